"""The other readers: a tesseract program, PaddleOCR models as ONNX files, and what is said when one is missing."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.self_check import render_texts
from inkwash.eval.metrics import score_words
from inkwash.eval.ocr import Reader
from inkwash.eval.readers import OFFICIAL, Paddle, PaddleOnnx, Tesseract, open_reader
from inkwash.media.images import load_image

TEXTS = ["Grand Opening", "50 percent off"]
HEADER = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
ROWS = [
    "1\t1\t0\t0\t0\t0\t0\t0\t64\t64\t-1\t",
    "5\t1\t1\t1\t1\t1\t5\t5\t20\t9\t96.1\tGrand",
    "5\t1\t1\t1\t1\t2\t30\t5\t20\t9\t91\tOpening",
    '5\t1\t2\t1\t1\t1\t5\t30\t20\t9\t90\t"50',
]


def program(folder: Path, body: str) -> None:
    """A stand-in for the tesseract program, first on the path."""
    folder.mkdir()
    script = folder / "tesseract"
    script.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo "tesseract 5.3.0"; exit; fi\n{body}\n')
    script.chmod(0o755)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "bin"


def test_tesseract_lines_are_put_together_from_words(on_path: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.tsv"
    answer.write_text("\n".join([HEADER, *ROWS]) + "\n")
    program(on_path, f'cat > {tmp_path}/picture.png; echo "$@" > {tmp_path}/asked; cat {answer}')
    reader = Tesseract()
    assert reader.texts(Image.new("RGB", (64, 32), "white")) == ["Grand Opening", '"50']
    assert (tmp_path / "asked").read_text().split() == ["stdin", "stdout", "-l", "eng", "--psm", "11", "tsv"]
    assert load_image(tmp_path / "picture.png").size == (128, 64)  # small pictures are enlarged
    assert reader.name == "tesseract-eng[5.3.0,psm=11,small=x2]"
    assert open_reader("tesseract", language="zh").name.startswith("tesseract-chi_sim")


def test_a_failing_tesseract_is_one_sentence(on_path: Path) -> None:
    program(on_path, 'cat > /dev/null; echo "no language chi_sim" >&2; exit 1')
    with pytest.raises(ConfigError, match="no language chi_sim"):
        Tesseract("chi_sim").texts(Image.new("RGB", (64, 64)))


def test_an_absent_tesseract_is_one_sentence(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="apt-get install tesseract-ocr"):
        open_reader("tesseract")


def test_onnx_models_by_path_read_like_the_bundled_ones(tmp_path: Path) -> None:
    """The bundled PP-OCRv6 files stand in for the official conversions: same runtime, official thresholds."""
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    for part, pattern in (("det", "*det*.onnx"), ("rec", "*rec*.onnx")):
        [found] = [file for file in models.glob(pattern) if "v6" in file.name.lower() or "small" in file.name.lower()]
        (tmp_path / f"{part}.onnx").symlink_to(found)
    reader = open_reader("paddle", models=tmp_path)
    picture = render_texts(TEXTS)
    assert picture is not None and isinstance(reader, PaddleOnnx)
    assert score_words(TEXTS, reader.texts(picture)).correct == 5
    assert reader.texts(Image.new("RGB", (64, 64), "white")) == []
    assert reader.name.startswith("paddle[onnx,det=") and ",side=960]" in reader.name


def test_the_official_package_gets_the_official_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class PaddleOCR:
        def __init__(self, **options: Any) -> None:
            made.append(options)

        def ocr(self, image: Any, cls: bool) -> list[Any]:
            assert cls and image.shape == (8, 16, 3)
            low = ([[0, 30], [9, 30], [9, 39], [0, 39]], ("50 percent", 0.9))
            high = ([[0, 0], [9, 0], [9, 9], [0, 9]], ("Grand", 0.8))
            return [[low, high]]

    monkeypatch.setitem(sys.modules, "paddleocr", types.SimpleNamespace(PaddleOCR=PaddleOCR))
    for name in OFFICIAL:
        (tmp_path / name).mkdir()
    reader = open_reader("paddle", models=tmp_path)
    assert isinstance(reader, Paddle) and reader.name == "en_ppocrv4[paddleocr]"
    assert reader.texts(Image.new("RGB", (16, 8))) == ["Grand", "50 percent"]
    assert made[0]["use_angle_cls"] and made[0]["rec_model_dir"].endswith("en_PP-OCRv4_rec_infer")


def test_what_is_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="must be one of rapidocr, rapidocr-v4, tesseract, paddle"):
        open_reader("easyocr")
    with pytest.raises(ConfigError, match="do not go together"):
        open_reader("paddle")
    with pytest.raises(ConfigError, match="en_PP-OCRv3_det_infer"):
        open_reader("paddle", models=tmp_path)
    (tmp_path / "rec.onnx").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"det\.onnx"):
        open_reader("paddle", models=tmp_path)
    (tmp_path / "rec.onnx").unlink()
    for name in OFFICIAL:
        (tmp_path / name).mkdir()
    monkeypatch.setitem(sys.modules, "paddleocr", None)
    with pytest.raises(ConfigError, match=r"pip install paddleocr==2\.10\.0"):
        open_reader("paddle", models=tmp_path)


def test_the_default_reads_without_joining() -> None:
    reader = open_reader("rapidocr")
    assert isinstance(reader, Reader) and not reader.config.join_tracking and reader.config.squeeze == 1.0
