"""The options that several commands share, each written once with its help text, and how commands are made of them.

The fields of dataclasses are options (`command`), so that a command receives objects: what is drawn, with which model,
how it is checked and where it goes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, get_type_hints

import typer

from inkwash import __version__
from inkwash.core.errors import RequestError
from inkwash.core.seeds import draw_seed
from inkwash.core.types import Size

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.request import CancelToken, DrawRequest
    from inkwash.engine.verify import Verify
    from inkwash.eval.sources import DrawConfig


Layout: TypeAlias = Literal["new", "same"]
Tier: TypeAlias = Literal["low", "medium", "high", "exact"]
OffloadProfile: TypeAlias = Literal["auto", "none", "stage", "block", "map"]

Prompt = Annotated[
    str, typer.Argument(help="What to draw; put the words to be written in quotation marks. - reads stdin.")
]
PromptOrFile = Annotated[
    str | None, typer.Argument(help="What to draw; put the words to be written in quotation marks. - reads stdin.")
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="Draw every line of a file, a prompt or a JSON object with settings of its own; - reads stdin.",
    ),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", help="File to write: .png, .webp or .jpg by its suffix. A taken name is numbered."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there instead of numbering.")]
Model = Annotated[str, typer.Option("--model", help="A name that `inkwash models` lists, or a checkpoint folder.")]
SizeText = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="WxH",
        help="Width x height, multiples of 32 [default: the model's own, or the first picture's].",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Denoising steps [default: the model's own; 14 for nano, 50 released].")
]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", help="Guidance scale; 1 turns it off [default: the model's own; 1.5 released]."),
]
Negative = Annotated[str | None, typer.Option("--negative", help="Words to keep out of the picture.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same picture [default: drawn and printed].")]
Count = Annotated[int, typer.Option("-n", "--n", help="How many pictures; picture i has seed + i.")]
LayoutChoice = Annotated[
    Layout, typer.Option("--layout", help="For -n > 1: a new plan for each picture, or one plan for all.")
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Sampling temperature of the plan [default: the model's own].")
]
PlanCandidates = Annotated[
    int | None,
    typer.Option(
        "--plan-candidates",
        metavar="N",
        help="Sample up to N plans, draw the one that spells the prompt best; 1: the first [default: the model's own].",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        help="Nucleus mass that the plan is sampled from; below 1 in place of the model's min-p [default: its own].",
    ),
]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps ... [default: the best there is].")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float32, bfloat16 or float16 [default: float32 on a CPU, else bfloat16].")
]
WithVerify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Read each picture back and try again until its quoted texts are right; else exit with 3. "
        "--tries and --best-of belong to it.",
    ),
]
Tries = Annotated[int | None, typer.Option("--tries", metavar="K", help="Read back: at most K attempts [default: 4].")]
BestOf = Annotated[
    int | None,
    typer.Option("--best-of", metavar="N", help="Read back: always draw N attempts and keep the best one."),
]
Loras = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="PATH[:WEIGHT]", help="A LoRA: folder, file or owner/name; again for more."),
]
Quality = Annotated[
    Tier,
    typer.Option("--quality", help="Trade a measured loss for speed; exact leaves nothing out (docs/speed.md)."),
]
Offload = Annotated[
    OffloadProfile,
    typer.Option(
        "--offload",
        help="auto: by the memory there is; stage: planner and decoder take turns; block: the decoder's blocks, too; "
        "map: weights stay in the files (CPU).",
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option("--quantize", metavar="KIND", help="int8, int4 or fp8 weights, or per stage: ar=int8,decoder=fp8."),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the decoder: the first picture of a size waits for the compiler; for many pictures (-n).",
    ),
]
TensorParallel = Annotated[
    int,
    typer.Option(
        "--tensor-parallel-size",
        "--tp-size",
        metavar="N",
        help="Devices of this machine that share the model; each gets a process (docs/several-devices.md).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def command(function: Callable[..., None], *groups: type, doc: str | None = None) -> Callable[..., None]:
    """`function(*objects)`, one object of each group, as a command with the options of all groups.

    Each field of a group is a keyword; one of `eval.benchmarks.benchmark.option` has its help text in its metadata, and
    a tuple is written with commas.
    """
    parameters = []
    for group in groups:
        hints = get_type_hints(group, include_extras=True)
        for each in fields(group):
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            annotation = hints[each.name]
            if each.metadata:
                kind = str if isinstance(default, tuple) else annotation
                default = ",".join(default) if isinstance(default, tuple) else default
                name, details = "--" + each.name.replace("_", "-"), each.metadata
                annotation = Annotated[kind, typer.Option(name, metavar=details["metavar"], help=details["help"])]
            parameters.append(
                inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            )

    def call(**values_of: Any) -> None:
        objects = []
        for group in groups:
            values = {each.name: values_of[each.name] for each in fields(group)}
            for each in fields(group):
                if isinstance(each.default, tuple):
                    values[each.name] = tuple(part.strip() for part in values[each.name].split(","))
            objects.append(group(**values))
        function(*objects)

    call.__doc__ = doc or function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


Also = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="MODEL", help="Another model that draws, which requests choose by name; again."),
]
LoraFolder = Annotated[
    Path | None,
    typer.Option("--lora-folder", help="LoRAs that a request may choose by name; one that is broken is left out."),
]


def adapters_of(folder: Path | None) -> tuple[Path, ...]:
    """The LoRAs of a folder; none without one."""
    if folder is None:
        return ()
    from inkwash.models.lora import folder_of_adapters

    return tuple(folder_of_adapters(folder).values())


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which checkpoint."""

    model: Model = "nano"


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """How a checkpoint is loaded."""

    device: DeviceName = None
    dtype: Dtype = None
    lora: Loras = None
    offload: Offload = "auto"
    quantize: Quantize = None
    compile: Compile = False
    tensor_parallel_size: TensorParallel = 1

    @property
    def changed(self) -> bool:
        """Whether anything but the place and the number type was asked for."""
        return bool(self.lora or self.offload not in ("auto", "none") or self.quantize or self.compile)

    def load(self, model: str) -> LoadOptions:
        """The same for the engine, checked."""
        from inkwash.engine.open import LoadOptions

        return LoadOptions(
            model=model,
            device=self.device,
            dtype=self.dtype,
            offload=self.offload,
            quantize=self.quantize,
            compile=self.compile,
            loras=read_loras(self.lora),
            tensor_parallel_size=self.tensor_parallel_size,
        )


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How a prompt is drawn; None leaves a value to the model."""

    size: SizeText = None
    steps: Steps = None
    guidance: Guidance = None
    negative: Negative = None
    seed: Seed = None
    n: Count = 1
    layout: LayoutChoice = "new"
    temperature: Temperature = None
    top_p: TopP = None
    plan_candidates: PlanCandidates = None
    quality: Quality = "exact"

    def of_model(self, model: str) -> Self:
        """With the model's own steps and guidance where none are given."""
        steps, guidance = resolve_defaults(model, self.steps, self.guidance)
        return replace(self, steps=steps, guidance=guidance)

    def request(self, prompt: str) -> DrawRequest:
        """The engine's request, which checks every value; a seed is drawn where none is given."""
        from inkwash.engine.request import DrawRequest

        assert self.steps is not None and self.guidance is not None, "of_model comes before"
        size = None if self.size is None else Size.parse(self.size)
        return DrawRequest(
            prompt=prompt,
            height=None if size is None else size.height,
            width=None if size is None else size.width,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            negative_prompt=self.negative,
            num_images=self.n,
            layout=self.layout,
            temperature=self.temperature,
            top_p=self.top_p,
            plan_candidates=self.plan_candidates,
            seed=draw_seed() if self.seed is None else self.seed,
            quality=self.quality,
        )


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Whether pictures are read back."""

    verify: WithVerify = False
    tries: Tries = None
    best_of: BestOf = None

    def rules(self) -> Verify | None:
        """The engine's setting; None without --verify."""
        tries, best_of = self.tries, self.best_of
        if not self.verify:
            if tries is not None or best_of is not None:
                raise RequestError("--tries and --best-of need --verify: add it, or leave them out.", param="verify")
            return None
        from inkwash.engine.verify import Verify

        if tries is None:  # best-of alone says how many there are
            tries = Verify().tries if best_of is None else 1
        return Verify(tries=tries, best_of=1 if best_of is None else best_of)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where pictures go, and what is printed."""

    output: Output = Path("out.png")
    overwrite: Overwrite = False
    json: Json = False
    quiet: Quiet = False


PLAN_OPTIONS = ("temperature", "top_p", "plan_candidates")  # of `DrawOptions`, None for the model's own
_MAX_STDIN = 2**20


@dataclass(frozen=True, kw_only=True)
class DrawJob:
    """One drawing of a command: what, with which model, from which files, and where it goes."""

    request: DrawRequest  # without the pictures of an edit, which are read after every other check
    load: LoadOptions
    output: Path
    images: tuple[Path, ...] = ()
    mask: Path | None = None
    verify: Verify | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.verify is None:
            return
        from inkwash.engine.verify import check_verifiable

        check_verifiable(self.request.prompt)
        if self.request.layout == "same" and self.request.num_images > 1:
            raise RequestError(
                "--verify samples plans for each picture, --layout same shares one: leave one of the two out.",
                param="layout",
            )

    def metadata(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """What the file of one picture says about how it was made."""
        request, load = self.request, self.load
        assert request.seed is not None, "commands draw a seed where none is given"
        metadata: dict[str, Any] = {
            "software": f"inkwash {__version__}",
            "model": load.model,
            "prompt": request.prompt,
            "size": f"{size[0]}x{size[1]}",
            "steps": request.num_inference_steps,
            "guidance": request.guidance_scale,
            "seed": request.seed + index,
        }
        optional = {
            **request.asked_plan(),
            "quality": None if request.quality == "exact" else request.quality,
            "quantize": load.quantize,
            "compiled": load.compile or None,
            "negative": request.negative_prompt or None,
            "lora": [f"{path.name}:{weight:g}" for path, weight in load.loras] or None,
            "images": [path.name for path in self.images] or None,
        }
        metadata |= {name: value for name, value in optional.items() if value is not None}
        if request.num_images > 1:  # with one shared plan the first seed made the plan, and the own seed the noise
            layout, n = request.layout, request.num_images
            metadata |= {"layout": layout, "first_seed": request.seed, "index": index + 1, "n": n}
        return metadata


def read_prompt(argument: str) -> str:
    """The prompt itself, or stdin when it is `-`."""
    if argument != "-":
        return argument
    return read_stdin("The prompt", advice="describe one picture").strip()


def read_stdin(what: str, *, limit: int = _MAX_STDIN, advice: str = "split it") -> str:
    """The text on stdin; RequestError for what is too long or no UTF-8."""
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise RequestError(f"{what} on stdin is longer than {limit // 2**20} MiB: {advice}.", param="prompt")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{what} on stdin is not UTF-8 text (byte {error.start + 1}): convert it first.", param="prompt"
        ) from None


def read_loras(texts: list[str] | None) -> tuple[tuple[Path, float], ...]:
    """The --lora options as folders and weights; each folder is looked at before anything heavy is loaded."""
    if not texts:
        return ()
    from inkwash.models.lora import find_adapters, parse_choice

    chosen = [parse_choice(text) for text in texts]
    for path, _ in chosen:
        find_adapters(path)
    return tuple(chosen)


def resolve_defaults(model: str, steps: int | None, guidance: float | None) -> tuple[int, float]:
    """Steps and guidance: those asked for, otherwise those that the checkpoint itself asks for."""
    if steps is not None and guidance is not None:
        return steps, guidance
    from inkwash.models.registry import defaults_of

    defaults = defaults_of(model)
    return (
        defaults.num_inference_steps if steps is None else steps,
        defaults.guidance_scale if guidance is None else guidance,
    )


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How the model is sampled; None leaves a value to the model."""

    steps: Steps = None
    guidance: Guidance = None
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Sampling temperature [default: the model's].")
    ] = None
    top_p: Annotated[float | None, typer.Option("--top-p", help="Nucleus mass [default: the model's].")] = None
    plan_candidates: PlanCandidates = None

    def config(self, model: str | None, seed: int, cancel: CancelToken) -> DrawConfig:
        """The same with the seed and, where a model draws, its own steps and guidance."""
        from inkwash.eval.sources import DrawConfig

        steps, guidance = self.steps, self.guidance
        if model is not None:  # finished pictures may be of any model, whatever it is called
            steps, guidance = resolve_defaults(model, steps, guidance)
        return DrawConfig(
            seed=seed,
            steps=steps,
            guidance=guidance,
            temperature=self.temperature,
            top_p=self.top_p,
            plan_candidates=self.plan_candidates,
            cancel=cancel,
        )


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Where the scores go."""

    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON; - is stdout.")
    ] = None
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page of the pictures, the worst ones first."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Where the work is done, and whether its progress is shown."""

    device: DeviceName = None
    dtype: Dtype = None
    quiet: Quiet = False
