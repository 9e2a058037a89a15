"""The options of `generate` and `edit`: what is drawn, with which model, how it is checked, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inkwash.cli import options as o
from inkwash.cli.settings import draw_seed, pace, read_loras, verification
from inkwash.core.types import Size

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.request import DrawRequest
    from inkwash.engine.verify import Verify


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which checkpoint, and how it is loaded."""

    model: o.Model = "nano"
    device: o.DeviceName = None
    dtype: o.Dtype = None
    lora: o.Loras = None
    offload: o.Offload = "none"
    quantize: o.Quantize = None
    compile: o.Compile = False

    def load(self) -> LoadOptions:
        """The same for the engine, checked."""
        from inkwash.engine.open import LoadOptions

        return LoadOptions(
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            offload=self.offload,
            quantize=self.quantize,
            compile=self.compile,
            loras=read_loras(self.lora),
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
