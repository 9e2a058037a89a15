"""The options of `generate` and `edit`: what is drawn, with which model, how it is checked, and where it goes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from inkwash import __version__
from inkwash.cli import options as o
from inkwash.core.errors import RequestError
from inkwash.core.seeds import draw_seed
from inkwash.core.types import Size

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.request import DrawRequest
    from inkwash.engine.verify import Verify


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which checkpoint."""

    model: o.Model = "nano"


@dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """How a checkpoint is loaded."""

    device: o.DeviceName = None
    dtype: o.Dtype = None
    lora: o.Loras = None
    offload: o.Offload = "auto"
    quantize: o.Quantize = None
    compile: o.Compile = False
    tensor_parallel_size: o.TensorParallel = 1

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

    size: o.SizeText = None
    steps: o.Steps = None
    guidance: o.Guidance = None
    negative: o.Negative = None
    seed: o.Seed = None
    n: o.Count = 1
    layout: o.LayoutChoice = "new"
    temperature: o.Temperature = None
    top_p: o.TopP = None
    quality: o.Quality = "exact"

    def of_model(self, model: str) -> Self:
        """With the model's own steps and guidance where none are given."""
        steps, guidance = pace(model, self.steps, self.guidance)
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
            seed=draw_seed() if self.seed is None else self.seed,
            quality=self.quality,
        )


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Whether pictures are read back."""

    verify: o.Verify = False
    tries: o.Tries = None
    best_of: o.BestOf = None

    def rules(self) -> Verify | None:
        """The engine's setting; None without --verify."""
        return verification(self.verify, self.tries, self.best_of)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where pictures go, and what is printed."""

    output: o.Output = Path("out.png")
    overwrite: o.Overwrite = False
    json: o.Json = False
    quiet: o.Quiet = False


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
            "temperature": request.temperature,
            "top_p": request.top_p,
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
    """The prompt itself, or stdin when it is ``-``."""
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


def verification(verify: bool, tries: int | None, best_of: int | None) -> Verify | None:
    """The --verify options as the engine's setting; None without --verify."""
    if not verify:
        if tries is not None or best_of is not None:
            raise RequestError("--tries and --best-of need --verify: add it, or leave them out.", param="verify")
        return None
    from inkwash.engine.verify import Verify

    if tries is None:  # best-of alone says how many there are
        tries = Verify().tries if best_of is None else 1
    return Verify(tries=tries, best_of=1 if best_of is None else best_of)


def pace(model: str, steps: int | None, guidance: float | None) -> tuple[int, float]:
    """Steps and guidance: those asked for, otherwise those that the checkpoint itself asks for."""
    if steps is not None and guidance is not None:
        return steps, guidance
    from inkwash.models.registry import defaults_of

    own = defaults_of(model)
    return (
        own.num_inference_steps if steps is None else steps,
        own.guidance_scale if guidance is None else guidance,
    )
