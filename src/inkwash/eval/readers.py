"""Other readers than the bundled one: tesseract, PP-OCRv4, and PaddleOCR models that the user has (ONNX or as they
are).

    reader = open_reader("tesseract")
    reader = open_reader("paddle", models=Path("en_models"))

The official judge of CVTG-2K is PaddleOCR 2.10 with `en_PP-OCRv3_det_infer`, `en_PP-OCRv4_rec_infer` and
`ch_ppocr_mobile_v2.0_cls_infer`. A folder with these three is read through the `paddleocr` package; a folder with
`det.onnx`, `rec.onnx` (and `cls.onnx`, `dict.txt`) through rapidocr, with the official thresholds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError, MissingExtraError
from inkwash.eval.ocr import Line, Reader, ReaderConfig, reading_order
from inkwash.eval.predictions import TextReader
from inkwash.media.images import encode_image

READERS = ("rapidocr", "rapidocr-v4", "tesseract", "paddle")
OFFICIAL = ("en_PP-OCRv3_det_infer", "en_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer")
OFFICIAL_ONNX = ("ea07c15d", "e8770c96")  # SHA-256 of the ONNX conversions of the first two
# Joining and squeezing are made for scenes: of plainly rendered benchmark texts joining read "OCEANS NOW" as one word.
PLAIN = ReaderConfig(join_tracking=False, squeeze=1.0)
_SECONDS = 120  # a picture that takes tesseract longer than this is given up
_SMALL = 512  # pixels of the longer side below which tesseract gets an enlarged picture


def open_reader(
    name: str, *, models: Path | None = None, language: str = "en", config: ReaderConfig | None = None
) -> TextReader:
    """The reader of that name; ConfigError when it is unknown or lacks what it needs. `config` is for rapidocr."""
    if name not in READERS:
        raise ConfigError(f"the reader is {name!r}; it must be one of {', '.join(READERS)}.")
    if (models is not None) != (name == "paddle"):
        raise ConfigError(
            f"the reader {name} and a folder of models ({models}) do not go together; only paddle has one."
        )
    if name == "tesseract":
        return Tesseract("chi_sim" if language == "zh" else "eng")
    if name == "paddle":
        assert models is not None
        return PaddleOnnx(models) if (models / "rec.onnx").is_file() else Paddle(models)
    if name == "rapidocr-v4":
        return Reader(replace(config or PLAIN, version="v4"))
    return Reader(config or PLAIN)


class Tesseract:
    """The `tesseract` program, sparse text (page segmentation 11); small pictures are enlarged twice."""

    def __init__(self, language: str = "eng") -> None:
        self.program = shutil.which("tesseract") or ""
        if not self.program:
            raise ConfigError("the reader tesseract is not installed: apt-get install tesseract-ocr, or use rapidocr.")
        self.language = language
        version = self._run(["--version"], b"").split("\n")[0].removeprefix("tesseract ").strip()
        self.name = f"tesseract-{language}[{version},psm=11,small=x2]"

    def texts(self, image: Image.Image) -> list[str]:
        """The lines of a picture, from the top."""
        picture = image.convert("RGB")
        if max(picture.size) < _SMALL:
            picture = picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC)
        answer = self._run(["stdin", "stdout", "-l", self.language, "--psm", "11", "tsv"], encode_image(picture, "PNG"))
        words: dict[tuple[str, ...], list[str]] = {}
        for row in csv.DictReader(io.StringIO(answer), delimiter="\t", quoting=csv.QUOTE_NONE):
            if (row.get("text") or "").strip() and float(row["conf"]) >= 0:
                words.setdefault((row["block_num"], row["par_num"], row["line_num"]), []).append(row["text"].strip())
        return [" ".join(line) for line in words.values()]

    def _run(self, arguments: list[str], picture: bytes) -> str:
        try:
            done = subprocess.run([self.program, *arguments], input=picture, capture_output=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise ConfigError(f"tesseract does not answer ({problem}); check its installation.") from problem
        if done.returncode:
            message = " ".join(done.stderr.decode(errors="replace").split())[:200]
            raise ConfigError(f"tesseract fails ({message}); is its language {self.language} installed?")
        return done.stdout.decode(errors="replace")


class PaddleOnnx:
    """PaddleOCR models as ONNX files, run by rapidocr with the thresholds of PaddleOCR 2.10."""

    def __init__(self, folder: Path) -> None:
        self.files = {part: folder / f"{part}.onnx" for part in ("det", "rec", "cls")}
        for part in ("det", "rec"):
            if not self.files[part].is_file():
                raise ConfigError(f"the reader paddle needs {self.files[part]}; put det.onnx and rec.onnx there.")
        self.letters = folder / "dict.txt"
        self._engines = threading.local()
        digests = [hashlib.sha256(self.files[part].read_bytes()).hexdigest()[:8] for part in ("det", "rec")]
        official = "en_ppocrv4" if tuple(digests) == OFFICIAL_ONNX else "paddle"
        turned = ",cls" if self.files["cls"].is_file() else ""
        self.name = f"{official}[onnx,det={digests[0]},rec={digests[1]},side=960{turned}]"

    @property
    def engine(self) -> Any:
        """The loaded models, of this thread."""
        if not hasattr(self._engines, "engine"):
            self._engines.engine = self._load()
        return self._engines.engine

    def _load(self) -> Any:
        try:
            import onnxruntime  # noqa: F401
            from rapidocr import RapidOCR
        except ImportError as missing:
            raise MissingExtraError(f"Reading text (package {missing.name})", extra="ocr") from missing
        params: dict[str, Any] = {
            "Global.log_level": "error",
            "Global.use_cls": self.files["cls"].is_file(),
            "Global.text_score": 0.5,
            "Det.model_path": str(self.files["det"]),
            "Det.limit_side_len": 960,
            "Det.limit_type": "max",
            "Det.thresh": 0.3,
            "Det.box_thresh": 0.6,
            "Det.unclip_ratio": 1.5,
            "Det.use_dilation": False,
            "Rec.model_path": str(self.files["rec"]),
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        if self.files["cls"].is_file():
            params["Cls.model_path"] = str(self.files["cls"])
        if self.letters.is_file():
            params["Rec.rec_keys_path"] = str(self.letters)
        return RapidOCR(params=params)

    def texts(self, image: Image.Image) -> list[str]:
        """The lines of a picture, in reading order."""
        import numpy as np

        result = self.engine(np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1]))
        if result.txts is None:
            return []
        return _texts(zip(result.txts, result.scores, result.boxes, strict=True))


class Paddle:
    """The official models in the official package: PaddleOCR 2.10, its settings as CVTG-2K's scorer calls it."""

    def __init__(self, folder: Path) -> None:
        absent = [name for name in OFFICIAL if not (folder / name).is_dir()]
        if absent:
            raise ConfigError(
                f"the reader paddle finds neither rec.onnx nor the folder {absent[0]} in {folder}; unpack the official "
                f"models of PaddleOCR 2.10 there."
            )
        try:
            from paddleocr import PaddleOCR  # type: ignore[import-not-found,unused-ignore]
        except ImportError as problem:
            raise ConfigError(
                f"the official models need PaddleOCR itself ({problem}): pip install paddleocr==2.10.0 paddlepaddle, "
                f"or convert them to det.onnx and rec.onnx."
            ) from problem
        keys = ("det_model_dir", "rec_model_dir", "cls_model_dir")
        folders = {key: str(folder / name) for key, name in zip(keys, OFFICIAL, strict=True)}
        self.engine = PaddleOCR(use_angle_cls=True, lang="en", show_log=False, **folders)
        self.name = "en_ppocrv4[paddleocr]"

    def texts(self, image: Image.Image) -> list[str]:
        """The lines of a picture, in reading order."""
        import numpy as np

        pages = self.engine.ocr(np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1]), cls=True)
        return _texts((text, score, corners) for page in pages if page for corners, (text, score) in page)


def _texts(found: Any) -> list[str]:
    lines = []
    for text, score, corners in found:
        xs, ys = [float(point[0]) for point in corners], [float(point[1]) for point in corners]
        lines.append(Line(text=str(text), score=float(score), box=(min(xs), min(ys), max(xs), max(ys))))
    return [line.text for line in reading_order(lines)]
