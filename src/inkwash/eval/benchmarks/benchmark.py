"""What a benchmark is: one object with its prompts, its file layout, its scores and its published numbers.

Each file of this folder exports a `BENCHMARK` and `registry.BENCHMARKS` lists them; the command line, drawing, scoring
and the page read everything from that object. How to add one: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.judges import Judges, Need
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.pictures import ImagePath
from inkwash.eval.benchmarks.results import Result
from inkwash.eval.ocr import ReaderConfig

MAX_PROMPTS = 100_000
MAX_SAMPLES = 64
StageProgress = Callable[[str, int, int], None]  # stage (judge, draw, read ...), done, total


def option(
    default: Any,
    *,
    help: str,
    metavar: str | None = None,
    choices: Sequence[str] = (),
    selects_prompts: bool = False,
) -> Any:
    """A field of `Options`: `--name` of the command.

    A tuple is given as a comma-separated list. `selects_prompts` marks an option that gives other prompts in the same
    file layout, so that a folder drawn with one value is refused for another.
    """
    details = {"help": help, "metavar": metavar, "choices": tuple(choices), "selects_prompts": selects_prompts}
    return field(default=default, metadata=details)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of one benchmark beyond those of all benchmarks; none in this base class."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, choices = getattr(self, each.name), each.metadata["choices"]
            for one in (value or ("",)) if isinstance(value, tuple) else (value,):
                if choices and one not in choices:
                    name = each.name.removesuffix("s") if isinstance(value, tuple) else each.name
                    raise ConfigError(f"the {name} is {one!r}; it must be one of {', '.join(choices)}.")

    def that_select_prompts(self) -> dict[str, Any]:
        """The values that must not change in a folder of drawn pictures."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata["selects_prompts"]}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class SampledOptions(Options):
    """Options of a benchmark with several pictures per prompt."""

    samples: int = option(4, help="Pictures per prompt; the benchmark has 4.")

    def __post_init__(self) -> None:
        super().__post_init__()
        limits.check_whole("samples", self.samples, 1, MAX_SAMPLES)


@dataclass(frozen=True, kw_only=True)
class SystemOptions(Options):
    """Options of a benchmark whose layout has a folder for each system."""

    system: str | None = option(
        None, metavar="NAME", help="The system's folder in this layout [default: the only one there]."
    )


@dataclass(frozen=True, kw_only=True)
class EditOptions(Options):
    """Options of a benchmark that edits pictures."""

    sources: Path | None = option(None, metavar="DIR", help="The pictures to be edited [default: below the data].")


O = TypeVar("O", bound=Options)
P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """One file to be drawn: a picture, or a grid of four where the official scorer wants grids."""

    path: ImagePath
    prompt: str
    cells: int = 1  # pictures pasted row by row, two in a row
    source: Path | None = None  # the picture that the prompt edits
    texts: tuple[tuple[str, str], ...] = ()  # (path, content) of text files beside it
    copy: str | None = None  # where a copy of the source belongs, as PNG
    seed: int | None = None  # added to the run's seed; None: a seed that follows from the run's seed and the path

    @property
    def file(self) -> str:
        """The path below the folder."""
        return self.path.example


@dataclass(frozen=True, kw_only=True)
class Published:
    """Numbers that others have published, with the judge behind each metric."""

    judges: Mapping[str, str]  # metric -> judge
    rows: Mapping[str, tuple[float | None, ...]]  # model -> a value for each metric, in the order of `judges`

    def measures(self, task: str) -> dict[str, list[Measure]]:
        """Model -> its known numbers."""
        return {
            model: [
                Measure(name=f"{task}.{metric}", judge=judge, value=value)
                for (metric, judge), value in zip(self.judges.items(), values, strict=True)
                if value is not None
            ]
            for model, values in self.rows.items()
        }


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun(Generic[O]):
    """One run of a benchmark: which prompts, and where the files are."""

    benchmark: Benchmark[O, Any]
    data: Path  # the benchmark's official files
    images: Path  # pictures in the official layout
    options: O
    limit: int | None = None  # prompts
    cache: Path | None = None  # of answers; None keeps them in memory only
    model_folder: str | None = None  # the folder of the model that draws, in layouts with one for each system

    def __post_init__(self) -> None:
        if self.limit is not None:
            limits.check_whole("limit", self.limit, 1, MAX_PROMPTS)

    @property
    def task(self) -> str:
        """The benchmark's name."""
        return self.benchmark.name

    def prompts(self) -> Sequence[Any]:
        """The prompts of this run, as the benchmark's own objects."""
        return self.benchmark.read(self)

    def tasks(self) -> list[ImageTask]:
        """Every file of this run, in the order of the prompts."""
        return self.benchmark.layout(self, self.prompts())

    def score(self, judges: Judges, *, progress: StageProgress | None = None) -> Result:
        """Judge the pictures and put their scores together."""
        return self.benchmark.score(self, self.prompts(), judges, progress or (lambda stage, done, total: None))


@dataclass(frozen=True, kw_only=True)
class Benchmark(Generic[O, P]):
    """A benchmark; `P` is its class of prompts and `O` its class of options.

    `score` must fail before it asks a judge when a picture is missing, and let the judge pass a self-check first.
    """

    name: str  # of the command, and of its metrics: `name.metric`
    summary: str  # the first line of the command's help
    read: Callable[[BenchmarkRun[O]], Sequence[P]]
    layout: Callable[[BenchmarkRun[O], Sequence[P]], list[ImageTask]]
    score: Callable[[BenchmarkRun[O], Sequence[P], Judges, StageProgress], Result]
    options: type[O]
    needs: Callable[[O], Sequence[Need]] = lambda options: ()  # judges without which a run cannot be scored
    published: Published | None = None
    data: Path | None = None  # prompts that ship with the package; None: its command has --data
    language: str = "en"  # of the texts to be read
    best: float = 1.0  # the best value of a part, for the bars of the page
    shows_texts: bool = False  # the page aligns wanted and read texts; else it lists questions and answers
    reads: bool = False  # its command has --reader and --reader-models
    reader: ReaderConfig | None = None  # how the bundled reader reads; None: plainly
    weights: bool = False  # its command has --weights
    official_file: bool = False  # its command has --official: a results file of the official scorer

    def run(
        self,
        *,
        images: Path,
        data: Path | None = None,
        limit: int | None = None,
        cache: Path | None = None,
        model_folder: str | None = None,
        **options: Any,
    ) -> BenchmarkRun[O]:
        """A run with this benchmark's own options by name."""
        folder = data or self.data
        if folder is None:
            raise ConfigError(f"{self.name} needs the folder with the benchmark's official files.")
        return BenchmarkRun(
            benchmark=self,
            data=folder,
            images=images,
            limit=limit,
            cache=cache,
            model_folder=model_folder,
            options=self.options(**options),
        )
