"""The options that several evaluation commands share, as dataclasses whose fields become options (`command.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import options as o

if TYPE_CHECKING:
    from inkwash.engine.request import CancelToken
    from inkwash.eval.sources import DrawConfig


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How the model is sampled; None leaves a value to the model."""

    steps: o.Steps = None
    guidance: o.Guidance = None
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Sampling temperature [default: the model's].")
    ] = None
    top_p: Annotated[float | None, typer.Option("--top-p", help="Nucleus mass [default: the model's].")] = None

    def config(self, model: str | None, seed: int, cancel: CancelToken) -> DrawConfig:
        """The same with the seed and, where a model draws, its own steps and guidance."""
        from inkwash.cli.draw_options import pace
        from inkwash.eval.sources import DrawConfig

        steps, guidance = self.steps, self.guidance
        if model is not None:  # finished pictures may be of any model, whatever it is called
            steps, guidance = pace(model, steps, guidance)
        return DrawConfig(
            seed=seed, steps=steps, guidance=guidance, temperature=self.temperature, top_p=self.top_p, cancel=cancel
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

    device: o.DeviceName = None
    dtype: o.Dtype = None
    quiet: o.Quiet = False
