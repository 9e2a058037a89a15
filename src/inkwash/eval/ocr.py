"""Reading the words of a picture, offline: PP-OCRv6 through `rapidocr`, behind one small class.

The weights are inside the rapidocr wheel, so nothing is downloaded; those of PP-OCRv4, a second reader, are inside an
older wheel. A judge's name carries its version and settings: numbers of two judges must never stand in one table. Small
pictures are enlarged before they are read, because letters below about eight pixels are lost on every reader; pictures
with wide letters are read once more, squeezed (`squeeze`). Lines come back in reading order: rows from the top, each
from the left.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError, MissingExtraError
from inkwash.engine.verify import Reading
from inkwash.eval.spacing import join_letterspaced, plain_width
from inkwash.eval.squeeze import Box, Recognised, better_readings, letters_are_wide, rows_apart

V4_PACKAGE = "rapidocr-onnxruntime"


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How a picture is read. The defaults were measured on rendered scenes of 128 to 512 pixels."""

    enlarge_to: int = 320  # the picture's longer side is brought to at least this many pixels
    detect_side: int = 320  # and its shorter side, for finding lines only
    min_score: float = 0.5  # lines the recogniser is less sure of are dropped
    join_tracking: bool = True  # see `spacing`
    squeeze: float = 0.4  # share of the width at which wide letters are read again (see `squeeze`); 1: never
    threads: int = 1
    version: str = "v6"  # or v4, whose weights are those of the package rapidocr-onnxruntime

    def __post_init__(self) -> None:
        if not 32 <= self.detect_side <= 4096 or not 0 <= self.enlarge_to <= 4096:
            raise ConfigError(
                f"reader sides {self.detect_side} and {self.enlarge_to} must lie in 32..4096 and 0..4096 pixels."
            )
        if not 0.0 <= self.min_score < 1.0:
            raise ConfigError(f"reader min_score is {self.min_score}; it must lie in [0, 1).")
        if not 0.2 <= self.squeeze <= 1.0:
            raise ConfigError(f"reader squeeze is {self.squeeze}; it must lie in [0.2, 1].")
        if self.threads < 1:
            raise ConfigError(f"reader threads is {self.threads}; at least 1 is needed.")
        if self.version not in ("v6", "v4"):
            raise ConfigError(f"reader version is {self.version!r}; it must be v6 or v4.")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of text and where it stands, in pixels of the picture that was given."""

    text: str
    score: float
    box: Box


class Reader:
    """Reads pictures, from any number of threads; each of them loads networks of its own (about 100 MB)."""

    def __init__(self, config: ReaderConfig | None = None) -> None:
        self.config = config or ReaderConfig()
        _check_extra()  # now, so that a missing extra is reported before the work
        if self.config.version == "v4":
            v4_models()
        self._engines = threading.local()
        self.name = _judge_name(self.config)

    @property
    def _engine(self) -> Any:
        if not hasattr(self._engines, "engine"):
            self._engines.engine = _load_engine(self.config)
        return self._engines.engine

    def read(self, image: Image.Image) -> list[Line]:
        """The lines of one RGB picture, in reading order; an empty list where nothing legible stands."""
        scale = max(1.0, self.config.enlarge_to / max(image.size))
        picture = image.convert("RGB")
        if scale > 1.0:
            picture = picture.resize(
                (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
            )
        found = self._recognise(picture, detect_side=self.config.detect_side)
        if self.config.squeeze < 1.0 and letters_are_wide(found):
            found = better_readings(found, self._recognise_squeezed(picture))
        return reading_order([self._line(line, scale) for line in found])

    def _recognise(self, picture: Image.Image, *, detect_side: int, apart: bool = False) -> list[Recognised]:
        """The lines of a picture; lines are looked for with its shorter side brought to that length at least."""
        import numpy as np

        self._engine.apart = apart
        detector = self._engine.text_det  # None before the first picture, which is looked at as configured
        if detector is not None:
            detector.limit_side_len = detect_side
        blue_first = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # the library wants BGR arrays
        result = self._engine(blue_first, return_word_box=True)
        if result.txts is None:
            return []
        letters = result.word_results if len(result.word_results) == len(result.txts) else [()] * len(result.txts)
        return [
            Recognised(text=plain_width(text), score=float(score), box=_bounds(corners), centres=_centres(spots))
            for text, score, corners, spots in zip(result.txts, result.scores, result.boxes, letters, strict=True)
        ]

    def _recognise_squeezed(self, picture: Image.Image) -> list[Recognised]:
        """The same with the picture squeezed, at the same height of lines."""
        width = max(1, round(picture.width * self.config.squeeze))
        narrow = picture.resize((width, picture.height), Image.Resampling.BOX)
        side = max(1, round(self.config.detect_side * min(narrow.size) / min(picture.size)))
        lines = self._recognise(narrow, detect_side=side, apart=True)
        return [line.widened(picture.width / width) for line in lines]

    def _line(self, found: Recognised, scale: float) -> Line:
        text = found.text
        if self.config.join_tracking:
            text = join_letterspaced(text, found.centres, found.height)
        left, top, right, bottom = (side / scale for side in found.box)
        return Line(text=text, score=found.score, box=(left, top, right, bottom))

    def texts(self, image: Image.Image) -> list[str]:
        """Only the strings of `read`."""
        return [line.text for line in self.read(image)]

    def reading(self, image: Image.Image) -> Reading:
        """The same for verified drawing, with the mean confidence of the lines, each weighing by its length."""
        lines = self.read(image)
        letters = sum(len(line.text) for line in lines)
        confidence = sum(line.score * len(line.text) for line in lines) / letters if letters else 0.0
        return Reading(lines=tuple(line.text for line in lines), confidence=confidence)


def reading_order(lines: Sequence[Line]) -> list[Line]:
    """Rows from top to bottom, each from left to right; a line belongs to a row when their middles overlap by half."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda item: item.box[1] + item.box[3]):
        if rows and _same_row(rows[-1][0], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.box[0])]


def _same_row(a: Line, b: Line) -> bool:
    overlap = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return overlap > 0.5 * min(a.box[3] - a.box[1], b.box[3] - b.box[1])


def _bounds(corners: Any) -> Box:
    xs = [float(point[0]) for point in corners]
    ys = [float(point[1]) for point in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _centres(spots: Sequence[Any]) -> tuple[float, ...]:
    placed = [_bounds(corners) for _, _, corners in spots if corners is not None]
    return tuple((left + right) / 2 for left, _, right, _ in placed)


def _judge_name(config: ReaderConfig) -> str:
    from importlib.metadata import version

    settings = f"side={config.detect_side},enlarge={config.enlarge_to},score={config.min_score:g}"
    settings += ",join" if config.join_tracking else ""
    settings += f",squeeze={config.squeeze:g}" if config.squeeze < 1.0 else ""
    if config.version == "v4":
        return f"ppocrv4-mobile[rapidocr-onnxruntime=={version(V4_PACKAGE)},{settings}]"
    return f"ppocrv6-small[rapidocr=={version('rapidocr')},{settings}]"


def v4_models() -> tuple[Path, Path]:
    """The files of PP-OCRv4 mobile, detector and recogniser; only the weights of their package are used."""
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "the reader rapidocr-v4 needs the weights of rapidocr-onnxruntime: "
            "pip install --no-deps rapidocr-onnxruntime==1.4.4."
        )
    folder = Path(next(iter(found.submodule_search_locations))) / "models"
    return folder / "ch_PP-OCRv4_det_infer.onnx", folder / "ch_PP-OCRv4_rec_infer.onnx"


def _check_extra() -> None:
    try:
        import onnxruntime  # noqa: F401  (rapidocr itself only fails later, on the first picture)
        import rapidocr  # noqa: F401
    except ImportError as missing:
        raise MissingExtraError(f"Reading text (package {missing.name})", extra="ocr") from missing


def _load_engine(config: ReaderConfig) -> Any:
    from rapidocr import ModelType, OCRVersion, RapidOCR

    class RapidOcrEngine(RapidOCR):
        apart = False  # whether lines are cut out without the tips of their neighbours

        def crop_text_regions(self, img: Any, det_boxes: Any) -> Any:
            return super().crop_text_regions(img, rows_apart(det_boxes) if self.apart else det_boxes)

    params: dict[str, Any] = {
        "Global.log_level": "error",
        "Global.use_cls": False,  # nothing in our pictures stands upside down
        "Global.text_score": config.min_score,
        "Global.return_single_char_box": True,
        "Det.ocr_version": OCRVersion.PPOCRV6,
        "Det.model_type": ModelType.SMALL,
        "Det.limit_side_len": config.detect_side,
        "Rec.ocr_version": OCRVersion.PPOCRV6,
        "Rec.model_type": ModelType.SMALL,
        "EngineConfig.onnxruntime.intra_op_num_threads": config.threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    if config.version == "v4":
        detector, recogniser = v4_models()
        params |= {
            "Det.ocr_version": OCRVersion.PPOCRV4,
            "Det.model_type": ModelType.MOBILE,
            "Det.model_path": str(detector),
            "Rec.ocr_version": OCRVersion.PPOCRV4,
            "Rec.model_type": ModelType.MOBILE,
            "Rec.model_path": str(recogniser),
        }
    return RapidOcrEngine(params=params)
