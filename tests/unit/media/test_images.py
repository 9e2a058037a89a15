"""The one pixel path: every odd kind of picture comes out as upright 8-bit RGB, or as one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from inkwash.core.errors import MediaError
from inkwash.media import images
from inkwash.media.colors import converted
from inkwash.media.images import (
    check_writable,
    encode_image,
    image_size,
    load_image,
    load_mask,
    load_rgba,
    read_metadata,
    save_image,
)
from tests.pictures import noise_picture

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SETTINGS = {"prompt": 'A poster that says "你好"', "seed": 7, "guidance": 1.5}


def halves(left: tuple[int, ...], right: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """A 32x16 picture of two colours, so that a turn or a flip shows."""
    picture = Image.new(mode, (32, 16), left)
    picture.paste(right, (16, 0, 32, 16))
    return picture


def packed(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("source", ["bytes", "path", "str", "pil"])
def test_reads_every_kind_of_source(tmp_path: Path, source: str) -> None:
    path = tmp_path / "a.png"
    halves(RED, BLUE).save(path)
    with Image.open(path) as opened:
        picture = load_image({"bytes": path.read_bytes(), "path": path, "str": str(path), "pil": opened}[source])
    assert picture.mode == "RGB" and picture.getpixel((2, 2)) == RED and picture.getpixel((30, 2)) == BLUE


def test_a_pil_picture_is_copied_not_shared() -> None:
    original = halves(RED, BLUE)
    load_image(original).putpixel((0, 0), WHITE)
    assert original.getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    ("turn", "size", "top_left"),
    [
        (1, (32, 16), RED),
        (2, (32, 16), BLUE),
        (3, (32, 16), BLUE),
        (4, (32, 16), RED),
        (5, (16, 32), RED),
        (6, (16, 32), RED),
        (7, (16, 32), BLUE),
        (8, (16, 32), BLUE),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])  # Pillow turns TIFF by itself, in the middle of loading
def test_exif_orientation_is_honoured(
    kind: str, turn: int, size: tuple[int, int], top_left: tuple[int, int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    picture = load_image(packed(halves(RED, BLUE), kind, exif=exif))
    assert picture.size == size and picture.getpixel((1, 1)) == top_left


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_flattened_on_white(mode: str) -> None:
    clear, solid = ((255, 0, 0, 0), (255, 0, 0, 255)) if mode == "RGBA" else ((0, 0), (0, 255))
    picture = load_image(packed(halves(clear, solid, mode), "PNG"))
    assert picture.getpixel((1, 1)) == WHITE
    assert picture.getpixel((31, 1)) == (RED if mode == "RGBA" else (0, 0, 0))


def test_half_transparent_is_mixed_with_white() -> None:
    picture = load_image(packed(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert picture.getpixel((0, 0)) == (127, 127, 127)


def test_palette_with_a_transparent_colour() -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    picture.putpixel((3, 3), 1)
    read = load_image(packed(picture, "PNG", transparency=0))
    assert read.getpixel((0, 0)) == WHITE and read.getpixel((3, 3)) == BLUE


def test_cmyk_jpeg() -> None:
    read = load_image(packed(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = read.getpixel((8, 8))
    assert red > 200 and green < 60 and blue < 60


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    read = np.asarray(load_image(packed(Image.fromarray(ramp), "PNG")))
    assert np.array_equal(read[..., 0], np.rint(ramp / 257).astype(np.uint8))


def test_sixteen_bit_rgb_png() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + struct.pack(">HHH", 65535, 32896, 0) * 2
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    assert load_image(content).getpixel((1, 1)) == (255, 128, 0)


def test_floating_point_tiff_within_and_beyond_one() -> None:
    inside = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    assert load_image(packed(inside, "TIFF")).getpixel((0, 0)) == (128, 128, 128)
    with pytest.raises(MediaError, match="8-bit PNG"):
        load_image(packed(Image.fromarray(np.full((4, 4), 7.0, np.float32)), "TIFF"))


def test_a_wide_gamut_profile_is_applied_and_srgb_is_not() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = Image.new("RGB", (4, 4), (200, 30, 30))
    for profile in (srgb, lab, b"no profile at all"):  # LAB does not fit RGB pixels: left alone, no failure
        assert load_image(packed(picture, "PNG", icc_profile=profile)).getpixel((0, 0)) == (200, 30, 30)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_is_refused_with_its_count(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE)]
    content = packed(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(MediaError, match=r"animated.*\(3\)"):
        load_image(content)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_a_file_cut_short_is_one_sentence(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = packed(Image.fromarray(noise), format)
    assert load_image(content).size == (64, 64)
    with pytest.raises(MediaError) as caught:
        load_image(content[: len(content) // 2])
    assert "\n" not in caught.value.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(st.data())
def test_damaged_files_never_raise_anything_else(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
    content = bytearray(packed(halves(RED, BLUE), format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MediaError):  # any other exception fails
        assert load_image(bytes(content), max_pixels=10_000).mode == "RGB"


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture(content: bytes) -> None:
    with pytest.raises(MediaError, match="not a picture that can be read"):
        load_image(content)


def test_missing_folder_and_null_paths(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "none.png", "No such file"), (tmp_path, "is a folder"), ("a\0b.png", "null")):
        with pytest.raises(MediaError, match=word):
            load_image(path)


def test_limits_come_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    Image.new("1", (4000, 3000)).save(path)
    with pytest.raises(MediaError, match="4000x3000"):
        load_image(path, max_pixels=1_000_000)
    with pytest.raises(MediaError, match="MiB"):
        load_image(path, max_bytes=100)
    with pytest.raises(MediaError, match="MiB"):
        load_image(path.read_bytes(), max_bytes=100)


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])  # below, at and beyond the two alarms of Pillow
def test_decompression_bombs_are_refused_without_decoding(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(MediaError, match="too large"):
        load_image(content)


@pytest.mark.parametrize(
    ("stays", "changes", "mode"),
    [
        ((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
        ((255, 255, 255, 255), (255, 255, 255, 0), "RGBA"),  # transparency decides, not the colour below it
        ((9, 200, 30, 255), (255, 255, 255, 0), "RGBA"),
        ((0, 255), (0, 0), "LA"),
        ((0, 0, 0, 255), (255, 255, 255, 255), "RGBA"),  # opaque everywhere: white decides
        ((0, 0, 0), (255, 255, 255), "RGB"),
        (0, 255, "L"),
        (0, 1, "1"),
    ],
)
def test_what_a_mask_lets_change(stays: Any, changes: Any, mode: str) -> None:
    mask = load_mask(packed(halves(stays, changes, mode), "PNG"))
    assert mask.mode == "L" and mask.getpixel((1, 1)) == 0 and mask.getpixel((31, 1)) == 255


def test_a_picture_in_the_place_of_a_mask_is_refused() -> None:
    with pytest.raises(MediaError, match="no mask: it has colours"):
        load_mask(packed(halves(RED, BLUE), "PNG"))
    grey = halves((0, 0, 0), (255, 255, 255))
    assert load_mask(packed(grey, "JPEG")).getpixel((31, 1)) > 250


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".JPEG"])
def test_settings_survive_the_file(tmp_path: Path, suffix: str) -> None:
    path = save_image(halves(RED, BLUE), tmp_path / f"out{suffix}", metadata=SETTINGS)
    assert read_metadata(path) == SETTINGS
    assert load_image(path).size == (32, 16)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "no temporary file stays behind"


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_png_and_webp_are_lossless(tmp_path: Path, suffix: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    path = save_image(noise, tmp_path / f"out{suffix}")
    assert np.array_equal(np.asarray(load_image(path)), np.asarray(noise))


def test_no_settings_and_foreign_settings_are_an_empty_dict(tmp_path: Path) -> None:
    for suffix in (".png", ".webp", ".jpg"):
        assert read_metadata(save_image(halves(RED, BLUE), tmp_path / f"out{suffix}")) == {}
    info = Image.new("RGB", (4, 4))
    path = tmp_path / "foreign.png"
    from PIL.PngImagePlugin import PngInfo

    chunk = PngInfo()
    chunk.add_text("inkwash", "not json")
    info.save(path, pnginfo=chunk)
    assert read_metadata(path) == {}


def test_settings_too_long_for_exif_are_cut_and_say_so(tmp_path: Path) -> None:
    path = save_image(halves(RED, BLUE), tmp_path / "out.jpg", metadata={"prompt": "x" * 100_000, "seed": 7})
    found = read_metadata(path)
    assert found["cut"] is True and found["seed"] == 7 and found["prompt"].startswith("xxx")


def test_an_unknown_suffix_and_format(tmp_path: Path) -> None:
    for name in ("out.gif", "out", "out.txt"):
        with pytest.raises(MediaError, match="must end in"):
            save_image(halves(RED, BLUE), tmp_path / name)
    with pytest.raises(MediaError, match="cannot be written"):
        encode_image(halves(RED, BLUE), "GIF")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", ["write", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = save_image(halves(RED, BLUE), tmp_path / "out.png", metadata={"seed": 1})
    before = path.read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync" if moment == "write" else "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        save_image(halves(BLUE, RED), path, metadata={"seed": 2})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_a_link_is_followed_and_the_umask_respected(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    save_image(halves(RED, BLUE), real)
    link.symlink_to(real)
    save_image(halves(BLUE, RED), link)
    assert link.is_symlink() and load_image(real).getpixel((1, 1)) == BLUE
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~umask


def test_check_writable(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "out.png") == tmp_path / "out.png"
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder.png").mkdir()
    for path, word in (
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "none" / "out.png", "no folder"),
        (tmp_path / "out.bmp", "must end in"),
        (Path("/proc/out.png"), "cannot be written"),
    ):
        with pytest.raises(MediaError, match=word):
            check_writable(path)


def test_transparency_can_be_read_as_it_is() -> None:
    picture = Image.new("RGBA", (4, 3), (9, 8, 7, 255))
    picture.putpixel((1, 2), (1, 2, 3, 0))
    read = load_rgba(packed(picture, "PNG"))
    assert read.mode == "RGBA" and read.getpixel((1, 2)) == (1, 2, 3, 0) and read.getpixel((0, 0)) == (9, 8, 7, 255)
    with pytest.raises(MediaError, match="no transparency"):
        load_rgba(packed(picture.convert("RGB"), "PNG"))
    with pytest.raises(MediaError, match="too large"):
        load_rgba(packed(picture, "PNG"), max_pixels=11)


def test_quality_makes_jpeg_and_webp_smaller() -> None:
    noise = noise_picture((64, 64), 60)
    for kind in ("JPEG", "WEBP"):
        assert len(encode_image(noise, kind, quality=10)) < len(encode_image(noise, kind))
    assert load_image(encode_image(noise, "WEBP", quality=100)).tobytes() == noise.tobytes()


def swapped_profile() -> bytes:
    """An RGB profile whose red and green change places, so that an applied profile cannot be overlooked."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(content[at : at + 4]): at for at in range(132, 132 + 12 * content[131], 12)}
    red, green = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"gXYZ"))
    content[red], content[green] = content[green], content[red]
    return bytes(content).replace(b"s\0R\0G\0B", b"o\0d\0d\0!").replace(b"\0s\0R\0G\0B", b"\0o\0d\0d\0!")


def odd_profile() -> bytes:
    profile = swapped_profile()
    assert "srgb" not in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    return profile


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "PA", "P with a clear colour"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_profile_acts_before_flattening_in_every_mode(mode: str, kind: str) -> None:
    solid = halves(RED, BLUE)
    picture, options = solid, {}
    if mode == "RGBA":
        picture = halves((*RED, 128), (*BLUE, 255), "RGBA")
    elif mode != "RGB":
        picture = solid.quantize(3)
        if mode == "PA":
            picture = solid.convert("RGBA").convert("PA")
        elif "clear" in mode:
            clear = picture.getpixel((0, 0))
            options["transparency"] = clear
    if (kind, mode) in (("TIFF", "P with a clear colour"), ("PNG", "PA"), ("TIFF", "PA"), ("WEBP", "PA")):
        pytest.skip("the format has no such mode")
    if kind == "WEBP":
        options["lossless"] = True
    content = packed(picture, kind, icc_profile=odd_profile(), **options)
    left, right = load_image(content).getpixel((2, 2)), load_image(content).getpixel((30, 2))
    assert right[2] > 250 and right[0] < 6 and right[1] < 6
    if mode == "RGBA":
        assert left[1] > 250 and abs(left[0] - 127) < 6, "green at half strength over white"
    elif "clear" in mode and kind != "WEBP":
        assert left == WHITE
    elif "clear" not in mode:
        assert left[1] > 250 and left[0] < 6, "red by this profile is green"


def test_a_palette_with_alpha_in_memory_has_its_profile_applied() -> None:
    picture = halves((*RED, 255), (*BLUE, 0), "RGBA").convert("PA")
    picture.info["icc_profile"] = odd_profile()
    read = load_image(picture)
    assert read.getpixel((2, 2))[1] > 250 and read.getpixel((30, 2)) == WHITE


def grey_profile(gamma: float) -> bytes:
    """A grey profile of one gamma, written by hand: header, white point, curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(79)
    bodies = [(b"kTRC", curve), (b"wtpt", white), (b"desc", text)]
    at, table, data = 132 + 12 * len(bodies), struct.pack(">I", len(bodies)), b""
    for name, body in bodies:
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    return head + table + data


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_acts_on_grey(mode: str) -> None:
    picture = Image.new(mode, (4, 4), {"L": 128, "LA": (128, 255), "I;16": 128 * 257}[mode])
    (value, *_) = load_image(packed(picture, "PNG", icc_profile=grey_profile(1.0))).getpixel((1, 1))
    assert abs(value - 188) <= 2, "half the light is 188 in sRGB"


def test_sixteen_bit_grey_keeps_its_clear_colour() -> None:
    values = np.array([[1000, 65535], [1001, 0]], np.uint16)
    read = load_image(packed(Image.fromarray(values), "PNG", transparency=1000))
    assert [read.getpixel(place)[0] for place in ((0, 0), (1, 0), (0, 1), (1, 1))] == [255, 255, 4, 0]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP"])
def test_a_header_tells_the_size_that_is_read(tmp_path: Path, turn: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"turned.{kind.lower()}"
    halves(RED, BLUE).save(path, kind, exif=exif)
    assert image_size(path) == image_size(path.read_bytes()) == load_image(path).size


def test_bands_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (50, 30, 4), dtype=np.uint8)
    grey = Image.fromarray(noise[..., :2].copy().view(np.uint16)[..., 0])
    contents = [packed(Image.fromarray(noise), "PNG", icc_profile=odd_profile()), packed(grey, "PNG")]
    whole = [load_image(content).tobytes() for content in contents]
    monkeypatch.setattr("inkwash.media.colors._BAND_PIXELS", 7 * 30)
    assert [load_image(content).tobytes() for content in contents] == whole


def test_a_picture_is_resized_as_pillow_does_and_a_huge_jpeg_is_reduced_first(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = noise_picture((640, 480), 60)
    content = packed(noise, "JPEG", quality=95)
    exact = load_image(content).resize((40, 30), Image.Resampling.BICUBIC)
    assert load_image(content, size=(40, 30)).tobytes() == exact.tobytes()
    monkeypatch.setattr(images, "EXACT_PIXELS", 1000)
    seen: list[tuple[int, int]] = []
    plain = converted
    monkeypatch.setattr(images, "converted", lambda picture, mode: seen.append(picture.size) or plain(picture, mode))
    assert load_image(content, size=(40, 30)).size == (40, 30)
    assert seen == [(80, 60)]


@pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "socket"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = Path(kind) if kind.startswith("/") else tmp_path / "odd.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    for read in (load_image, image_size, read_metadata):
        with pytest.raises(MediaError, match=r"is a (device|pipe|socket): give the path of one picture"):
            read(path)


def test_a_file_that_grows_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x" * 5000)
    real = os.fstat

    def small(fd: int) -> os.stat_result:
        return os.stat_result((*real(fd)[:6], 10, *real(fd)[7:]))

    monkeypatch.setattr("inkwash.media.sources.os.fstat", small)
    with pytest.raises(MediaError, match="too large"):
        load_image(path, max_bytes=1000)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"hello", "a text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "a HEIC picture"),
        (b"8BPS" + bytes(40), "a Photoshop file"),
        (b"PK\3\4", "a damaged ZIP archive"),
        (bytes(range(128, 256)), "of an unknown kind"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture, but a damaged or unusual one"),
        (b"BM" + bytes(40), "a BMP picture, but a damaged or unusual one"),
        (bytes(4) + b"\x11\xaf" + bytes(6) + b"\x08\0" + bytes(20), "an FLI or FLC animation"),
        (b"\x01\xda\1\1\0\3" + bytes(40), "an SGI picture"),
        (b"\x0a\5\1\x08" + bytes(60), "a PCX picture"),
        (b"\0\0\x02" + bytes(9) + b"\x80\0\x80\0\x18\x20" + bytes(40), "a TGA picture"),
        (b"\0\0\x0b" + bytes(9) + b"\x80\0\x80\0\x08\x00\xff\x00", "a TGA picture"),
        (b"\xff" * 30 + b"TRUEVISION-XFILE.\0", "a TGA picture"),
        (b"BLP2" + bytes(40), "a BLP texture"),
        (b"icns" + bytes(40), "an icon"),
        (b"\xc5\xd0\xd3\xc6" + bytes(40), "a PostScript document"),
        (b"a.jpg".ljust(257, b"\0") + b"ustar" + bytes(300), "a TAR archive"),
        (b"\0\0\x02" + bytes(40), "of an unknown kind"),  # a TGA picture would have sides
    ],
)
def test_a_refusal_names_what_it_saw(content: bytes, kind: str) -> None:
    with pytest.raises(MediaError, match=f"is {kind}.*not a picture that can be read"):
        load_image(content)
