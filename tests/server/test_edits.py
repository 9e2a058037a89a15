"""Edits: forms and JSON, masks in OpenAI's polarity, untouched pixels, and every kind of bad upload."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import openai
import pytest
from PIL import Image

from tests.server.conftest import Live, backend_of
from tests.server.test_generations import picture


def png(image: Image.Image, format: str = "PNG") -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def gradient(width: int, height: int) -> Image.Image:
    """A picture in which every pixel is different from its neighbours."""
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 7 % 256, y * 11 % 256, (x + y) * 5 % 256) for y in range(height) for x in range(width)])
    return image


def hole(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """A mask of OpenAI's kind: opaque, with a transparent box that may change."""
    mask = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), box)
    return mask


def changed(before: Image.Image, after: Image.Image) -> list[tuple[int, int]]:
    """Where two pictures differ."""
    pairs = zip(before.get_flattened_data(), after.get_flattened_data(), strict=True)
    return [(i % before.width, i // before.width) for i, (a, b) in enumerate(pairs) if a != b]


@pytest.mark.parametrize("size", [(100, 70), (64, 64), (90, 131)])
def test_a_mask_edit_keeps_every_other_pixel(nano: Live, size: tuple[int, int]) -> None:
    original = gradient(*size)
    box = (20, 16, 60, 50)
    answer = nano.openai.images.edit(
        image=("a.png", png(original), "image/png"),
        mask=("m.png", png(hole(*size, box)), "image/png"),
        prompt="a red circle",
        extra_body={"steps": 1, "seed": 1},
    )
    assert answer.data is not None and answer.size == f"{size[0]}x{size[1]}"
    edited = picture(answer.data[0])
    where = changed(original, edited)
    assert len(where) > 500, "the hole was drawn"
    assert all(box[0] <= x < box[2] and box[1] <= y < box[3] for x, y in where)


def test_several_images_reach_the_engine_in_order(nano: Live) -> None:
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    answer = nano.openai.images.edit(
        image=[("a.png", png(red), "image/png"), ("b.jpg", png(blue, "JPEG"), "image/jpeg")],
        prompt="both colours",
        size="64x64",
        extra_body={"steps": 1},
    )
    assert answer.usage is not None and answer.usage.input_tokens_details.image_tokens > 0
    assert answer.data is not None and picture(answer.data[0]).size == (64, 64)


def test_every_spelling_of_the_parts(fake: Live) -> None:
    red = png(Image.new("RGB", (8, 8), (255, 0, 0)))
    for names in (["image"], ["image[]", "image[]"], ["image[0]", "image[1]"], ["image", "image"]):
        files = [(name, ("a.png", red, "image/png")) for name in names]
        answer = fake.http.post("/v1/images/edits", data={"prompt": "a", "n": "1", "size": "64x64"}, files=files)
        assert answer.status_code == 200, answer.text
        assert len(backend_of(fake).drawn[-1].images) == len(names)


def test_json_references_are_data_urls(fake: Live) -> None:
    url = data_url(png(Image.new("RGB", (64, 64), (255, 0, 0))))
    mask = data_url(png(hole(64, 64, (0, 0, 32, 64))))
    for images in ({"images": [{"image_url": url}]}, {"images": [url]}, {"image": url}, {"image": [url]}):
        answer = fake.http.post("/v1/images/edits", json={"prompt": "a", "mask": {"image_url": mask}, **images})
        assert answer.status_code == 200, answer.text
        request = backend_of(fake).drawn[-1]
        assert request.mask is not None and request.mask.getpixel((0, 0)) == 255 and request.mask.getpixel((60, 0)) == 0
        assert request.images[0].getpixel((0, 0)) == (255, 0, 0)


def test_a_mask_without_transparency_is_white_where_it_may_change(fake: Live) -> None:
    """The convention of `inkwash edit --mask`; a picture of colours in its place is refused."""
    grey = Image.new("L", (64, 64), 0)
    grey.paste(255, (0, 0, 32, 64))
    files = {"image": png(Image.new("RGB", (64, 64), "red")), "mask": png(grey)}
    assert fake.http.post("/v1/images/edits", data={"prompt": "a"}, files=files).status_code == 200
    mask = backend_of(fake).drawn[-1].mask
    assert mask is not None and mask.getpixel((0, 0)) == 255 and mask.getpixel((60, 0)) == 0
    files["mask"] = png(gradient(64, 64))
    answer = fake.http.post("/v1/images/edits", data={"prompt": "a"}, files=files)
    assert answer.status_code == 400 and "no mask: it has colours" in answer.json()["error"]["message"]


def test_a_picture_beyond_the_limit_is_edited_smaller_and_stays_exact_outside(fake: Live) -> None:
    original = Image.new("RGB", (2500, 700), (10, 20, 30))
    files = {"image": png(original), "mask": png(hole(2500, 700, (0, 0, 100, 100)))}
    answer = fake.http.post("/v1/images/edits", data={"prompt": "a"}, files=files).json()
    edited = picture(answer["data"][0])
    assert edited.size == (2500, 700) and "untouched pixels are exact" in answer["warnings"][0]
    assert edited.crop((100, 0, 2500, 700)).getcolors() == [(2400 * 700, (10, 20, 30))]
    assert edited.crop((0, 0, 100, 100)).getcolors(20000) != [(10000, (10, 20, 30))]


def test_markup_is_laid_over_the_first_image(fake: Live) -> None:
    overlay = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    overlay.paste((0, 255, 0, 255), (0, 0, 8, 8))
    files = {"image": png(Image.new("RGB", (64, 64), (255, 0, 0))), "markup": png(overlay)}
    assert fake.http.post("/v1/images/edits", data={"prompt": "a"}, files=files).status_code == 200
    first = backend_of(fake).drawn[-1].images[0]
    assert first.getpixel((0, 0)) == (0, 255, 0) and first.getpixel((20, 20)) == (255, 0, 0)
    files["mask"] = png(hole(64, 64, (0, 0, 8, 8)))
    refusal = fake.http.post("/v1/images/edits", data={"prompt": "a"}, files=files)
    assert refusal.status_code == 400 and refusal.json()["error"]["param"] == "markup"


def test_edit_fields_are_converted_from_text(fake: Live) -> None:
    files = {"image": png(Image.new("RGB", (64, 64)))}
    fields = {
        "prompt": "a", "n": "2", "seed": "7", "steps": "3", "guidance_scale": "1.25", "stream": "false",
        "output_format": "webp", "user": "u", "input_fidelity": "high", "size": "",
    }  # fmt: skip
    answer = fake.http.post("/v1/images/edits", data=fields, files=files).json()
    assert answer["used"]["seed"] == 7 and answer["used"]["steps"] == 3 and answer["used"]["guidance_scale"] == 1.25
    assert len(answer["data"]) == 2 and answer["output_format"] == "webp" and answer["warnings"] == []


def bomb() -> bytes:
    """A PNG of a few kilobytes that claims 30000 x 30000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


SMALL = png(Image.new("RGB", (64, 64)))


@pytest.mark.parametrize(
    ("data", "files", "status", "param"),
    [
        ({"prompt": "a"}, {}, 415, None),
        ({"prompt": "a"}, {"other": SMALL}, 400, "other"),
        ({}, {"image": SMALL}, 400, "prompt"),
        ({"prompt": "a"}, {"image": b"no picture"}, 400, "image"),
        ({"prompt": "a"}, {"image": b""}, 400, "image"),
        ({"prompt": "a"}, {"image": bomb()}, 400, "image"),
        ({"prompt": "a"}, {"image": SMALL, "mask": SMALL}, 400, "mask"),
        ({"prompt": "a"}, {"image": SMALL, "mask": png(hole(32, 64, (0, 0, 8, 8)))}, 400, "mask"),
        ({"prompt": "a"}, {"image": SMALL, "mask": png(hole(64, 64, (0, 0, 0, 0)))}, 400, "mask"),
        ({"prompt": "a", "n": "many"}, {"image": SMALL}, 400, "n"),
        ({"prompt": "a", "background": "transparent"}, {"image": SMALL}, 400, "background"),
        ({"prompt": "a", "mask": "http://127.0.0.1:1/m.png"}, {"image": SMALL}, 403, "mask"),
        ({"prompt": "a", "image": "file:///etc/passwd"}, {"image": SMALL}, 400, "image"),
    ],
)
def test_bad_forms(fake: Live, data: dict[str, str], files: dict[str, bytes], status: int, param: str | None) -> None:
    if not files:
        answer = fake.http.post("/v1/images/edits", content=b"x", headers={"Content-Type": "text/plain"})
    else:
        answer = fake.http.post("/v1/images/edits", data=data, files=files)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert "/work" not in answer.text and "/tmp" not in answer.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"images": []}, 400),
        ({"images": ["data:image/png;base64,!!!"]}, 400),
        ({"images": ["data:image/png,abc"]}, 400),
        ({"images": [{"file_id": "file-1"}]}, 400),
        ({"images": [{"image_url": "http://169.254.169.254/latest/meta-data"}]}, 403),
        ({"images": [{"image_url": "http://user:pw@host/a.png"}]}, 400),
        ({"images": [{"image_url": "gopher://host/a"}]}, 400),
        ({"images": ["data:image/png;base64," + base64.b64encode(SMALL).decode()] * 17}, 400),
    ],
)
def test_bad_references(fake: Live, fields: dict[str, Any], status: int) -> None:
    answer = fake.http.post("/v1/images/edits", json={"prompt": "a", **fields})
    assert answer.status_code == status and answer.json()["error"]["message"]


def test_broken_multipart_is_one_clear_error(fake: Live) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (b"", b"--x\r\n", b"--y\r\nContent-Disposition: form-data\r\n\r\n", b"\0" * 100):
        answer = fake.http.post("/v1/images/edits", content=content, headers=headers)
        assert answer.status_code == 400 and "error" in answer.json(), answer.text
    answer = fake.http.post("/v1/images/edits", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 400 and "error" in answer.json()


def test_too_many_images_are_refused(fake: Live) -> None:
    files = [("image[]", SMALL)] * 17
    with pytest.raises(openai.BadRequestError) as caught:
        fake.openai.images.edit(image=[each[1] for each in files], prompt="a")
    assert "16" in caught.value.message
