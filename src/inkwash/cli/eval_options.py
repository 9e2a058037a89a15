"""The options that several evaluation commands share, as dataclasses whose fields become options.

`command(function, A, B)` gives a function of objects the signature of their fields: every option is declared once, and
a command receives an `A` and a `B` in place of thirty arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

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
        from inkwash.cli.settings import pace
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


def command(function: Callable[..., None], *groups: type, doc: str | None = None) -> Callable[..., None]:
    """`function(*objects)`, one object of each group, as a command with the options of all groups."""

    def call(**given: Any) -> None:
        function(*(_object(group, given) for group in groups))

    parameters = [parameter for group in groups for parameter in _parameters(group)]
    call.__doc__ = doc or function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _object(group: type, given: dict[str, Any]) -> Any:
    values = {each.name: given[each.name] for each in fields(group)}
    for each in fields(group):
        if isinstance(each.default, tuple):
            values[each.name] = tuple(part.strip() for part in values[each.name].split(","))
    return group(**values)


def _parameters(group: type) -> Sequence[inspect.Parameter]:
    """A keyword for each field; a field of `eval.benchmarks.benchmark.option` has its help text in its metadata."""
    hints = get_type_hints(group, include_extras=True)
    found = []
    for each in fields(group):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        annotation = hints[each.name]
        if each.metadata:
            kind = str if isinstance(default, tuple) else annotation
            default = ",".join(default) if isinstance(default, tuple) else default
            name, details = "--" + each.name.replace("_", "-"), each.metadata
            annotation = Annotated[kind, typer.Option(name, metavar=details["metavar"], help=details["help"])]
        found.append(
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return found
