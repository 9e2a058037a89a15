"""Drawing with the official client: every field does what it says, is mapped with a warning, or is refused."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import openai
import pytest
from PIL import Image

from inkwash.core.types import Size
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import Engine
from inkwash.media.images import load_image
from inkwash.serve.backend import LocalBackend
from tests.server.conftest import Live, backend_of

POSTER = 'A poster that says "HELLO"'


def picture(data: Any) -> Image.Image:
    """The picture of one entry of an answer."""
    content = data["b64_json"] if isinstance(data, dict) else data.b64_json
    return Image.open(io.BytesIO(base64.b64decode(content)))


def engine_of(live: Live) -> Engine:
    assert isinstance(live.service.backend, LocalBackend)
    return live.service.backend.engine


def refused(live: Live, **fields: Any) -> dict[str, Any]:
    """The error of a generation that must be refused with 400."""
    answer = live.http.post("/v1/images/generations", json={"prompt": "a", **fields})
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    return error


def test_the_official_client_gets_the_picture_of_the_engine(nano: Live) -> None:
    answer = nano.openai.images.generate(
        model="nano", prompt=POSTER, size="120x90", n=2, extra_body={"seed": 5, "steps": 2, "layout": "same"}
    )
    assert answer.data is not None and answer.usage is not None
    pictures = [picture(each) for each in answer.data]
    assert [each.size for each in pictures] == [(120, 90)] * 2 and answer.size == "120x90"
    alone = engine_of(nano).pipe.draw(
        DrawRequest(
            prompt=POSTER,
            height=96,
            width=128,
            num_inference_steps=2,
            guidance_scale=2.2,
            num_images=2,
            seed=5,
            layout="same",
        )
    )
    for got, drawn in zip(pictures, alone.images, strict=True):
        assert got.tobytes() == drawn.crop((4, 3, 124, 93)).tobytes()
    extra = answer.to_dict()
    assert extra["used"] == {
        "model": "nano", "seed": 5, "steps": 2, "tier": "exact", "guidance_scale": 2.2, "layout": "same",
        "drawn_size": "128x96", "planned": True,
    }  # fmt: skip
    assert [each["seed"] for each in extra["data"]] == [5, 6]  # type: ignore[attr-defined,index,union-attr]
    assert {"prior", "denoise", "decode", "total"} <= set(extra["timings"])  # type: ignore[call-overload]
    assert extra["warnings"] == [
        'prompt: "HELLO" has 5 characters, but 4 fit into a line of 128 px: the rest is lost.',
        "size: 128x96 is outside what this model has learnt: sides from 256 to 512 px, at most 2:1.",
    ]
    assert answer.usage.output_tokens == 13 * 18 + 3 * 4  # one plan: the preview's grid and the picture's
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_a_plan_handle_redraws_without_the_planning_stage(nano: Live) -> None:
    first = nano.http.post(
        "/v1/images/generations", json={"prompt": POSTER, "size": "96x64", "steps": 2, "seed": 1}
    ).json()
    handle = first["data"][0]["plan"]
    again = {"prompt": POSTER, "plan": handle, "steps": 2, "seed": 1}
    same = nano.http.post("/v1/images/generations", json=again).json()
    assert (
        same["data"][0]["b64_json"] != "" and picture(same["data"][0]).tobytes() == picture(first["data"][0]).tobytes()
    )
    assert same["usage"]["output_tokens"] == 0 and same["used"]["planned"] is False and same["size"] == "96x64"
    other = nano.http.post("/v1/images/generations", json={**again, "seed": 2}).json()
    assert picture(other["data"][0]).tobytes() != picture(first["data"][0]).tobytes()
    wrong = nano.http.post("/v1/images/generations", json={**again, "size": "64x64"})
    assert wrong.status_code == 400 and wrong.json()["error"]["code"] == "plan_mismatch"


def test_a_seed_is_drawn_and_returned_and_repeats_the_picture(fake: Live) -> None:
    first = fake.http.post("/v1/images/generations", json={"prompt": "a"}).json()
    seed = first["data"][0]["seed"]
    assert seed == first["used"]["seed"]
    again = fake.http.post("/v1/images/generations", json={"prompt": "a", "seed": seed}).json()
    assert picture(again["data"][0]).tobytes() == picture(first["data"][0]).tobytes()
    seeds = {fake.http.post("/v1/images/generations", json={"prompt": "a"}).json()["used"]["seed"] for _ in range(4)}
    assert len(seeds) == 4  # no hidden default


@pytest.mark.parametrize(
    ("size", "drawn"), [("1x1", "32x32"), ("100x33", "128x64"), ("64x64", "64x64"), ("2048x512", "2048x512")]
)
def test_any_size_is_drawn_larger_and_cut(fake: Live, size: str, drawn: str) -> None:
    answer = fake.http.post("/v1/images/generations", json={"prompt": "a", "size": size}).json()
    assert answer["used"]["drawn_size"] == drawn and answer["size"] == size
    assert str(Size(*picture(answer["data"][0]).size)) == size


@pytest.mark.parametrize("size", ["auto", None])
def test_auto_is_the_models_own_size(fake: Live, size: str | None) -> None:
    assert fake.http.post("/v1/images/generations", json={"prompt": "a", "size": size}).json()["size"] == "256x256"


@pytest.mark.parametrize("size", ["4096x4096", "0x5", "2048x100", "large", "64", "-1x64", "1e3x64"])
def test_bad_sizes_are_refused(fake: Live, size: str) -> None:
    assert refused(fake, size=size)["param"] == "size"


@pytest.mark.parametrize(("format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP"), (None, "PNG")])
def test_output_formats(fake: Live, format: str | None, kind: str) -> None:
    answer = fake.http.post("/v1/images/generations", json={"prompt": "a", "output_format": format, "seed": 3}).json()
    assert picture(answer["data"][0]).format == kind and answer["output_format"] == kind.lower()


def test_output_compression_makes_files_smaller(fake: Live) -> None:
    sizes = [
        len(
            fake.http.post(
                "/v1/images/generations",
                json={"prompt": "a", "seed": 3, "output_format": "jpeg", "output_compression": quality},
            ).json()["data"][0]["b64_json"]
        )
        for quality in (100, 50, 0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_quality_names_become_steps(fake: Live) -> None:
    steps = {}
    for quality in ("low", "medium", "high", "xhigh", "max", "auto", "hd", "standard"):
        answer = fake.http.post("/v1/images/generations", json={"prompt": "a", "quality": quality}).json()
        steps[quality] = answer["used"]["steps"]
        assert answer["quality"] in ("low", "medium", "high", "xhigh", "max")
    assert steps["low"] < steps["medium"] <= steps["high"] <= steps["xhigh"] < steps["max"]
    assert steps["auto"] == steps["xhigh"] and steps["hd"] == steps["high"] and steps["standard"] == steps["medium"]


def test_our_fields_reach_the_engine(fake: Live) -> None:
    fields = {
        "prompt": "a", "n": 3, "seed": 9, "num_inference_steps": 4, "guidance_scale": 2.5, "negative_prompt": 'a "b"',
        "layout": "same", "temperature": 0.5, "top_p": 0.6, "width": 64, "height": 96,
    }  # fmt: skip
    answer = fake.http.post("/v1/images/generations", json=fields).json()
    assert answer["warnings"] == []
    request = backend_of(fake).drawn[-1]
    assert (request.num_images, request.seed, request.num_inference_steps) == (3, 9, 4)
    assert (request.guidance_scale, request.negative_prompt, request.layout) == (2.5, 'a "b"', "same")
    assert (request.temperature, request.top_p, request.width, request.height) == (0.5, 0.6, 64, 96)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "gpt-image-9"}, "model"),
        ({"style": "vivid"}, "style"),
        ({"complexity": "high"}, "complexity"),
        ({"moderation": "low"}, "moderation"),
        ({"partial_images": 2}, "partial_images"),
        ({"output_compression": 50}, "output_compression"),
        ({"guidance_skale": 3}, "did you mean guidance_scale"),
        ({"quality": "low", "steps": 50}, "steps says 50"),
        ({"enhance_prompt": True}, "enhance_prompt"),
        ({"negative_prompt": "fog"}, "negative_prompt"),
        ({"negative_prompt": 'a "fog"', "guidance_scale": 1}, "negative_prompt"),
    ],
)
def test_what_has_no_effect_is_said_and_refused_when_strict(fake: Live, fields: dict[str, Any], said: str) -> None:
    answer = fake.http.post("/v1/images/generations", json={"prompt": "a", **fields})
    assert answer.status_code == 200 and any(said in each for each in answer.json()["warnings"])
    assert refused(fake, strict=True, **fields)["code"] == "strict"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"background": "transparent"}, "background"),
        ({"response_format": "file"}, "response_format"),
        ({"response_format": "url", "stream": True}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "svg"}, "output_format"),
        ({"output_format": "tiff"}, "output_format"),
        ({"svg": {"model": "a"}}, "svg"),
        ({"frame_count": 4}, "frame_count"),
        ({"quality": "best"}, "quality"),
        ({"steps": 0}, "steps"),
        ({"steps": 201}, "steps"),
        ({"seed": -2}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"guidance_scale": 1e9}, "guidance_scale"),
        ({"top_p": 0}, "top_p"),
        ({"layout": "other"}, "layout"),
        ({"plan": "plan1.abc.def"}, "plan"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"deadline_s": 0}, "deadline_s"),
    ],
)
def test_bad_values_are_refused_with_their_name(fake: Live, fields: dict[str, Any], param: str) -> None:
    drawn = len(backend_of(fake).drawn)
    error = refused(fake, **fields)
    assert error["param"] == param and param in error["message"].lower()
    assert len(backend_of(fake).drawn) == drawn


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"prompt": NaN}', b"\xff\xfe", b'{"prompt":"\\ud800"}']
)
def test_bodies_that_are_no_request(fake: Live, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = fake.http.post("/v1/images/generations", content=content, headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_the_official_client_raises_its_own_errors(fake: Live) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        fake.openai.images.generate(model="nano", prompt="a", n=99)
    assert caught.value.param == "n" and caught.value.code == "invalid_value"
    with pytest.raises(openai.InternalServerError) as failed:
        fake.openai.images.generate(model="nano", prompt="out of memory")
    assert failed.value.code == "out_of_memory"
    assert fake.openai.images.generate(model="nano", prompt="a").data  # only that request failed


def test_identifiers_are_echoed_and_request_ids_returned(fake: Live) -> None:
    answer = fake.openai.images.generate(prompt="a", user="u", extra_headers={"x-request-id": "mine-1"})
    assert answer.safety_identifier == "u" and answer._request_id == "mine-1"
    answer = fake.openai.images.generate(prompt="a", user="u", safety_identifier="s")
    assert answer.safety_identifier == "s" and str(answer._request_id).startswith("req_")


def test_pictures_carry_their_settings(fake: Live, tmp_path: Any) -> None:
    from inkwash.media.images import read_metadata

    answer = fake.http.post("/v1/images/generations", json={"prompt": POSTER, "n": 2, "seed": 4, "size": "50x40"})
    path = tmp_path / "b.png"
    path.write_bytes(base64.b64decode(answer.json()["data"][1]["b64_json"]))
    said = read_metadata(path)
    assert (said["prompt"], said["seed"], said["size"], said["index"]) == (POSTER, 5, "50x40", 2)
    assert load_image(path).size == (50, 40)


def test_models_and_unknown_paths(fake: Live) -> None:
    assert [each.id for each in fake.openai.models.list()] == ["nano"]
    assert fake.openai.models.retrieve("nano").id == "nano"
    with pytest.raises(openai.NotFoundError):
        fake.openai.models.retrieve("other")
    answer = fake.http.get("/v1/nothing")
    assert answer.status_code == 404 and "error" in answer.json()
    answer = fake.http.get("/v1/images/generations")
    assert answer.status_code == 405 and "error" in answer.json()
    answer = fake.http.post("/v1/images/generations", content=b"prompt=a", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_prepared_once(nano: Live, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """Four pictures from two references: prompt and references are read once, and once counted."""
    processor = type(engine_of(nano).pipe.parts.processor)
    prepare, reference = processor.prepare, processor.reference
    calls: list[str] = []

    def counted_prepare(self: Any, *arguments: Any, **more: Any) -> Any:
        calls.append("prepare")
        return prepare(self, *arguments, **more)

    def counted_reference(self: Any, *arguments: Any, **more: Any) -> Any:
        calls.append("reference")
        return reference(self, *arguments, **more)

    monkeypatch.setattr(processor, "prepare", counted_prepare)
    monkeypatch.setattr(processor, "reference", counted_reference)
    red, blue = (data_url_of(Image.new("RGB", (64, 64), colour)) for colour in ("red", "blue"))
    body = {"prompt": "a circle", "images": [{"image_url": red}, {"image_url": blue}], "n": 4, "steps": 1, "seed": 3}
    answer = nano.http.post("/v1/images/edits", json={**body, "stream": stream}, timeout=300)
    assert answer.status_code == 200, answer.text
    assert calls == ["prepare", "reference", "reference"]
    last = answer.text.rsplit("data: ", 1)[-1] if stream else answer.text
    rows, columns = engine_of(nano).pipe.parts.processor.pictures.grid(64, 64)
    assert json.loads(last)["usage"]["input_tokens_details"]["image_tokens"] == 2 * rows * columns


def data_url_of(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
