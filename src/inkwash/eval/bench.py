"""A whole evaluation as one function: cases, self-check of the judge, pictures, scores.

`run_scenes(ScenesRun(n=200), open_pipeline)` is what `inkwash eval scenes` calls, `run_edits` what `inkwash eval edits`
calls. The pipeline is opened only after everything that can fail early has been checked, and not at all when finished
pictures are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.core.types import Size
from inkwash.engine.request import PLAN_FIELDS
from inkwash.engine.verify import Reading, Verify
from inkwash.eval import verified
from inkwash.eval.digest import digest
from inkwash.eval.ocr import Reader, ReaderConfig
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import Predictions, TextReader
from inkwash.eval.run import Draw, Drawn, check_folder, check_settings, draw_all, load_all
from inkwash.eval.sources import SOURCES, DrawConfig, drawer, edit_drawer
from inkwash.eval.tasks.edits import KINDS, EditCase, EditsReport, held_out_edits, score_edits
from inkwash.eval.tasks.scenes import Case, CaseKind, ScenesReport, check_judge, held_out, score_images
from inkwash.eval.verified import Journal
from inkwash.scenes.card_edit import KINDS as CARD_KINDS
from inkwash.scenes.levels import BASIC, CARD, LEVELS, find_level
from inkwash.scenes.scene import Scene

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline

OpenPipeline = Callable[[], "GlmImagePipeline"]
StageProgress = Callable[[str, int, int], None]  # stage (judge, draw, read), done, total

DEFAULT_SIZE = Size(256, 256)
MAX_CASES = 100_000
CHECK_CASES = 24
_WORLD_CASES = 8
PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class EvalRun:
    """The settings that scenes and edits share."""

    n: int
    size: Size = DEFAULT_SIZE
    model: str = "nano"
    fingerprint: str = ""  # of the weights, so that a resumed folder never mixes two editions of a model
    draw: DrawConfig = field(default_factory=DrawConfig)
    batch: int = 4
    images: Path | None = None  # finished pictures to score instead of drawing
    out: Path | None = None  # where drawn pictures and predictions are kept, and taken from on a second run
    level: str = "first"

    def __post_init__(self) -> None:
        limits.check_whole("n", self.n, 1, MAX_CASES)
        limits.check_whole("batch", self.batch, 1, 1024)
        limits.check_size(self.size)
        if self.level not in LEVELS:
            raise ConfigError(f"the level is {self.level!r}; it must be one of {', '.join(LEVELS)}.")
        if self.images is not None and self.out is not None:
            raise ConfigError(
                f"both a folder to score ({self.images}) and one to draw into ({self.out}) are given; give one."
            )

    def settings(self) -> dict[str, Any]:
        """What decides a picture: written beside the pictures and into the report."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "size": str(self.size),
            **({} if find_level(self.level) is BASIC else {"level": self.level}),
            **self.draw.settings(),
        }


@dataclass(frozen=True, kw_only=True)
class ScenesRun(EvalRun):
    """`inkwash eval scenes`."""

    regions: tuple[int, int] = (1, 2)
    source: str = "ar"
    language: str = "en"
    verify: Verify | None = None  # read back and try again; only for the whole model

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in SOURCES:
            raise ConfigError(f"the source is {self.source!r}; it must be one of {', '.join(SOURCES)}.")
        if self.verify is not None and (self.source != "ar" or self.images is not None):
            raise ConfigError("verification draws with the whole model; leave --source and --images out, or --best-of.")
        low, high = self.regions
        if not 1 <= low <= high <= 5:
            raise ConfigError(
                f"the regions {low}-{high} are not a range within 1 to 5, lowest first; write it like 1-2."
            )

    def settings(self) -> dict[str, Any]:
        cases_digest = digest(f"{case.scene} {case.prompt}" for case in self.cases(_WORLD_CASES))
        return {
            "task": "scenes",
            "source": self.source,
            "regions": list(self.regions),
            "world": cases_digest,
            **super().settings(),
            **({} if self.language == "en" else {"language": self.language}),
            **({} if self.verify is None else {"tries": self.verify.tries, "best_of": self.verify.best_of}),
        }

    def cases(self, n: int | None = None) -> list[Case]:
        """The first n scenes, by default all of the run."""
        width, height = self.size
        kind = CaseKind(level=self.level, language=self.language)
        return held_out(n or self.n, seed=self.draw.seed, regions=self.regions, width=width, height=height, kind=kind)


@dataclass(frozen=True, kw_only=True)
class EditsRun(EvalRun):
    """`inkwash eval edits`."""

    kinds: tuple[str, ...] = ("background", "words")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = CARD_KINDS if find_level(self.level) is CARD else KINDS
        unknown = [kind for kind in self.kinds if kind not in known]
        if unknown or not self.kinds:
            raise ConfigError(f"the edit kinds are {self.kinds}; each must be one of {', '.join(known)}.")

    def settings(self) -> dict[str, Any]:
        cases_digest = digest(f"{case.edit}" for case in self.cases(_WORLD_CASES))
        return {"task": "edits", "kinds": list(self.kinds), "world": cases_digest, **super().settings()}

    def cases(self, n: int | None = None) -> list[EditCase]:
        """The first n edits, by default all of the run."""
        width, height = self.size
        seed, kinds, level = self.draw.seed, self.kinds, self.level
        return held_out_edits(n or self.n, seed=seed, kinds=kinds, width=width, height=height, level=level)


@dataclass(frozen=True, kw_only=True)
class ScenesResult:
    """A report with the pictures it is about."""

    report: ScenesReport
    cases: Sequence[Case]
    images: Sequence[Image.Image]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer, with what `inkwash eval compare` needs."""
        names = ("word_accuracy", "ned", "background_accuracy")
        return {**self.report.to_dict(), **self.settings, **_comparable(names, self.report.judge, self.items())}

    def items(self) -> list[PairedItem]:
        """What each picture contributes."""
        return [
            PairedItem(
                key=str(picture.index),
                sums={
                    "word_accuracy": (float(picture.words.correct), float(picture.words.total)),
                    "ned": (sum(picture.words.closeness), float(picture.words.total)),
                    **(
                        {}
                        if picture.facts.background is None
                        else {"background_accuracy": (float(picture.facts.background), 1.0)}
                    ),
                },
            )
            for picture in self.report.pictures
        ]


@dataclass(frozen=True, kw_only=True)
class EditsResult:
    """A report with the pictures it is about."""

    report: EditsReport
    cases: Sequence[EditCase]
    images: Sequence[Image.Image]
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer, with what `inkwash eval compare` needs."""
        names = ("edit_accuracy", "kept_accuracy", "both")
        return {**self.report.to_dict(), **self.settings, **_comparable(names, self.report.judge, self.items())}

    def items(self) -> list[PairedItem]:
        """What each picture contributes."""
        return [
            PairedItem(
                key=str(score.index),
                sums={
                    "edit_accuracy": (float(score.changed), 1.0),
                    "kept_accuracy": (float(score.kept), 1.0),
                    "both": (float(score.changed and score.kept), 1.0),
                },
            )
            for score in self.report.scores
        ]


def _comparable(names: Sequence[str], judge: str, items: Sequence[PairedItem]) -> dict[str, Any]:
    return {"judges": dict.fromkeys(names, judge), "per_prompt": [item.to_dict() for item in items]}


def usual_kinds(level: str) -> tuple[str, ...]:
    """The kinds of edits that a level is measured by where none are named."""
    if find_level(level) is CARD:
        return ("background", "words", "replace_thing", "add_thing", "remove_thing", "recolor_text")
    return ("background", "words")


def reader_config(level: str) -> ReaderConfig:
    """How pictures of a level are read: several lines of small letters need to be enlarged further."""
    sides = find_level(level).reader_sides
    return ReaderConfig() if sides is None else ReaderConfig(enlarge_to=sides[0], detect_side=sides[1])


def run_scenes(
    run: ScenesRun,
    open_pipeline: OpenPipeline,
    *,
    reader: TextReader | None = None,
    progress: StageProgress | None = None,
) -> ScenesResult:
    """Draw (or take) the pictures of n held-out scenes and score them."""
    tell = progress or (lambda stage, done, total: None)
    check_folders(run)
    cases = run.cases()
    predictions = Predictions(reader or Reader(), run.out / PREDICTIONS_FILE if run.out else None)
    share_read = None
    if run.source != "truth":
        share_read = _check_judge([case.scene for case in run.cases(CHECK_CASES)], predictions, tell)

    journal = Journal(run.out / verified.FILE if run.out else None)

    def open_drawer() -> Draw:
        if run.verify is not None:
            read = partial(_reading, predictions)
            return verified.verified_drawer(cases, open_pipeline(), run.draw, run.verify, read, journal)
        return drawer(run.source, cases, None if run.source == "truth" else open_pipeline(), run.draw)

    drawn = _pictures(run, open_drawer, tell)
    _check_sizes(drawn.images, run.size)
    report = score_images(drawn.images, cases, predictions, progress=lambda done, total: tell("read", done, total))
    settings = {**_reported_settings(run), "seconds_per_picture": _seconds(drawn), "truth_word_accuracy": share_read}
    if run.verify is not None:
        settings |= verified.gain(cases, journal)
    judge = predictions.judge
    if isinstance(judge, Reader) and judge.config.join_tracking:
        settings["word_accuracy_unjoined"] = _unjoined(run, cases, drawn, tell)
    return ScenesResult(report=report, cases=cases, images=drawn.images, settings=settings)


def run_edits(
    run: EditsRun,
    open_pipeline: OpenPipeline,
    *,
    reader: TextReader | None = None,
    progress: StageProgress | None = None,
) -> EditsResult:
    """Ask for n held-out edits of rendered scenes and score what came back."""
    tell = progress or (lambda stage, done, total: None)
    check_folders(run)
    cases = run.cases()
    predictions = Predictions(reader or Reader(), run.out / PREDICTIONS_FILE if run.out else None)
    share_read = _check_judge([case.edit.target for case in run.cases(CHECK_CASES)], predictions, tell)
    drawn = _pictures(run, lambda: edit_drawer(cases, open_pipeline(), run.draw), tell)
    _check_sizes(drawn.images, run.size)
    report = score_edits(drawn.images, cases, predictions, progress=lambda done, total: tell("read", done, total))
    settings = {**_reported_settings(run), "seconds_per_picture": _seconds(drawn), "truth_word_accuracy": share_read}
    return EditsResult(report=report, cases=cases, images=drawn.images, settings=settings)


def _reading(predictions: Predictions, image: Image.Image) -> Reading:
    """What the judge reads, for the choice between attempts; remembered, so that scoring asks nothing twice."""
    judge = predictions.judge
    if isinstance(judge, Reader):
        found = judge.reading(image)
        predictions.keep(image, found.lines)
        return found
    return Reading(lines=predictions.texts(image))


def _unjoined(run: ScenesRun, cases: Sequence[Case], drawn: Drawn, tell: StageProgress) -> float:
    """Word accuracy of the same pictures when each is read once and every space that the recogniser sees counts."""
    strict = Reader(replace(reader_config(run.level), join_tracking=False, squeeze=1.0))
    predictions = Predictions(strict, run.out / PREDICTIONS_FILE if run.out else None)
    progress = partial(tell, "read again, unjoined")
    return round(score_images(drawn.images, cases, predictions, progress=progress).word_accuracy, 6)


def check_folders(run: EvalRun) -> None:
    """Fail before any work when the folders do not fit the run."""
    if run.out is not None:
        check_settings(run.out, run.settings())
    if run.images is not None:
        check_folder(run.images, run.n)
        check_settings(run.images, {key: value for key, value in run.settings().items() if key in _SCENE_KEYS})


_MODEL_KEYS = ("source", "model", "fingerprint", "steps", "guidance", *PLAN_FIELDS)
# What decides the cases, whoever drew the pictures.
_SCENE_KEYS = ("task", "regions", "kinds", "seed", "size", "world", "level", "language")


def _check_judge(scenes: Sequence[Scene], judge: Predictions, tell: StageProgress) -> float | None:
    """The self-check: a judge must read the rendered scenes before it scores pictures."""
    tell("judge", 0, 1)
    accuracy = check_judge(scenes, judge)
    tell("judge", 1, 1)
    return None if accuracy != accuracy else round(accuracy, 6)


def _pictures(run: EvalRun, open_drawer: Callable[[], Draw], tell: StageProgress) -> Drawn:
    if run.images is not None:
        return load_all(run.images, run.n)
    return draw_all(
        open_drawer,
        run.n,
        batch=run.batch,
        folder=run.out,
        settings=run.settings(),
        progress=lambda done, total: tell("draw", done, total),
    )


def _check_sizes(images: Sequence[Image.Image], size: Size) -> None:
    for i, image in enumerate(images):
        if image.size != tuple(size):
            found = Size(image.width, image.height)
            raise ConfigError(f"picture {i} is {found}, but the scenes are {size}; give --size {found}.")


def _reported_settings(run: EvalRun) -> dict[str, Any]:
    settings = run.settings()
    if run.images is not None:
        settings |= dict.fromkeys(_MODEL_KEYS) | {"images": str(run.images)}
    elif settings.get("source") == "truth":
        settings |= dict.fromkeys(_MODEL_KEYS) | {"source": "truth"}
    return settings


def _seconds(drawn: Drawn) -> float | None:
    return None if drawn.seconds != drawn.seconds else round(drawn.seconds, 4)
