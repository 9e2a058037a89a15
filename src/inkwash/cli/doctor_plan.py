"""`inkwash doctor --plan MODEL`: peak memory and time of a drawing on this machine, before anything is loaded.

Memory is counted and printed first, then the time is measured on small layers: seconds and a few hundred megabytes
for a model of any size.
"""

from __future__ import annotations

import gc
import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from inkwash.core.errors import WeightsError
from inkwash.core.types import Size

if TYPE_CHECKING:
    import torch

    from inkwash.engine.memory import Forecast, ForecastInput, Sizes

CHOICES: tuple[tuple[Literal["none", "stage", "block"], str | None], ...] = (
    ("none", None),
    ("none", "int8"),
    ("stage", None),
    ("stage", "int8"),
    ("block", None),
    ("block", "ar=int8"),
)


def show_plan(model: str, size: Size | None, *, device_name: str | None, as_json: bool) -> None:
    """Prints memory, one line for each way to hold the weights, and then the time."""
    with no_collection():
        from inkwash.core import device
        from inkwash.core.limits import check_size
        from inkwash.engine.memory import ForecastInput
        from inkwash.models.registry import defaults_of

        sizes = sizes_of(model)
        side = min(sizes.vae.sample_size // 32 * 32, 2048)
        size = Size(side, side) if size is None else check_size(size)
        place = device.pick_device(device_name)
        dtype = device.pick_dtype(None, place)
        device.set_threads()
        work = ForecastInput(height=size.height, width=size.width, steps=defaults_of(model).num_inference_steps)
        rounded = rounded_folder(model) if place.type == "cpu" else None
        with torch_without_compiler():
            plans = plans_of(sizes, work, dtype, place) if rounded is None else [plan_of_mapped(rounded, sizes, work)]
    head = {"model": model, "size": str(size), "steps": work.steps, "device": str(place)}
    head["memory_gb"] = round(memory_of(place) / 1e9, 1)
    if not as_json:
        print(", ".join(f"{name} {value}" for name, value in head.items()))
        show_memory(plans)
    with torch_without_compiler():
        if rounded is None:
            seconds = seconds_of(sizes, work, dtype, place, plans)
        else:
            seconds = [seconds_of_mapped(rounded, work) if plan.row["fits"] else None for plan in plans]
    if as_json:
        rows = [{**plan.row, "seconds": taken} for plan, taken in zip(plans, seconds, strict=True)]
        print(jsonlib.dumps({**head, "plans": rows}))
        return
    timings = [
        f"{plan.row['offload']} {shown_seconds(taken)}" for plan, taken in zip(plans, seconds, strict=True) if taken
    ]
    if rounded is not None:
        print(
            f"Seconds: {', '.join(timings) or 'not timed'}. Its own first layers were timed just now, with the files in"
        )
        print("memory: what else runs here, and a disk that is read in every step, make them longer.")
        return
    print(f"Seconds by offload: {', '.join(timings)}. Timed just now: what else runs here makes them longer. Quantized")
    print("weights are not timed (on a CPU they are slower); layers of a large model are estimated from small ones.")


def shown_seconds(seconds: float) -> str:
    """Seconds, from ten minutes on in a larger unit as well."""
    if seconds < 600:
        return f"{seconds:.1f}"
    size, unit = next(
        (size, unit) for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")) if seconds >= 2 * size
    )
    return f"{seconds:.0f} ({seconds / size:.1f} {unit})"


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One way to hold the weights, and what is known of it before anything is timed."""

    forecast: Forecast
    row: dict[str, Any]


def plans_of(sizes: Sizes, work: ForecastInput, dtype: torch.dtype, place: torch.device) -> list[PlanRow]:
    """Peak memory for every choice."""
    import torch

    from inkwash.engine.memory import Forecaster, Networks
    from inkwash.engine.quantize import parse_quantize

    import_module("inkwash.engine.pipeline")  # a drawing starts with what this brings along
    base, available = held_now() if place.type == "cpu" else 0, memory_of(place)
    networks, forecasters = Networks.of(sizes), dict[torch.dtype, Forecaster]()
    plans = []
    for profile, text in CHOICES:
        kinds = parse_quantize(text)
        kind = torch.bfloat16 if "ar" in kinds and place.type == "cpu" else dtype
        if kind not in forecasters:
            forecasters[kind] = Forecaster(sizes, work, dtype=kind, device=place, base=base, networks=networks)
        made = forecasters[kind].forecast(profile, kinds)
        row = {
            "offload": profile,
            "quantize": text or "none",
            "dtype": str(kind).removeprefix("torch."),
            "peak_gb": round(made.peak / 1e9, 2),
            "fits": made.peak < available,
        }
        plans.append(PlanRow(forecast=made, row=row))
    return plans


def rounded_folder(model: str) -> Path | None:
    """The folder of a checkpoint that is stored rounded; None for any other."""
    from inkwash.engine.loading import stated_kinds
    from inkwash.models.registry import locate

    found = locate(model)
    return found if isinstance(found, Path) and stated_kinds(found) else None


def plan_of_mapped(folder: Path, sizes: Sizes, work: ForecastInput) -> PlanRow:
    """The one way in which a CPU holds a checkpoint that is stored rounded."""
    import torch

    from inkwash.core.device import free_memory
    from inkwash.engine.loading import stated_kinds
    from inkwash.engine.memory import Forecaster

    import_module("inkwash.engine.pipeline")
    kinds, place = stated_kinds(folder), torch.device("cpu")
    made = Forecaster(sizes, work, dtype=torch.bfloat16, device=place, base=held_now()).mapped(kinds, packs=True)
    row = {
        "offload": "map",
        "quantize": ",".join(f"{stage}={kind}" for stage, kind in kinds.items()),
        "dtype": "bfloat16",
        "peak_gb": round(made.peak / 1e9, 2),
        "fits": made.peak < free_memory(place),
    }
    return PlanRow(forecast=made, row=row)


def seconds_of_mapped(folder: Path, work: ForecastInput) -> float:
    """The time of a drawing from a checkpoint that is stored rounded."""
    from inkwash.engine.pace import measure_mapped
    from inkwash.engine.pipeline import GlmImagePipeline

    parts = GlmImagePipeline.from_pretrained(folder, device_map="cpu", offload="map").parts
    return round(measure_mapped(parts, work).total, 2)


def show_memory(plans: list[PlanRow]) -> None:
    """The table, printed at once: timing takes longer."""
    wide = max(11, 2 + max(len(plan.row["quantize"]) for plan in plans))
    print(f"{'offload':<9}{'quantize':<{wide}}{'dtype':<10}{'peak GB':>8}  fits")
    for plan in plans:
        row = plan.row
        fits = "yes" if row["fits"] else "no"
        print(
            f"{row['offload']:<9}{row['quantize']:<{wide}}{row['dtype']:<10}{row['peak_gb']:>8.2f}  {fits}", flush=True
        )


def seconds_of(
    sizes: Sizes, work: ForecastInput, dtype: torch.dtype, place: torch.device, plans: list[PlanRow]
) -> list[float | None]:
    """The time of every plan without rounding; None for the others."""
    from inkwash.engine.pace import measure_pace

    pace = measure_pace(sizes, work, dtype=dtype, device=place)
    return [round(pace.under(plan.forecast, work), 2) if plan.row["quantize"] == "none" else None for plan in plans]


@contextmanager
def no_collection() -> Iterator[None]:
    """Inside, nothing looks for garbage: of what importing torch and building networks makes, nearly all stays."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def torch_without_compiler() -> Iterator[None]:
    """Inside, torch does not import its compiler (1.5 s) only to tell it which functions to leave alone."""
    name = "torch._dynamo"
    if name in sys.modules:
        yield
        return
    nothing = ModuleType(name)
    nothing.disable = lambda function, *_, **__: function  # type: ignore[attr-defined]
    sys.modules[name] = nothing
    try:
        yield
    finally:
        del sys.modules[name]


def sizes_of(model: str) -> Sizes:
    """The sizes of a checkpoint on disk, or of the released one."""
    from inkwash.engine.memory import Sizes
    from inkwash.models.glm_image import released
    from inkwash.models.glm_image.folder import inspect_folder
    from inkwash.models.registry import ModelEntry, locate

    found = locate(model)
    if isinstance(found, ModelEntry) and found.name == released.NAME:
        return Sizes.released()
    if isinstance(found, Path):
        inspect_folder(found)
        return Sizes.of_folder(found)
    raise WeightsError(f"The sizes of {model} are not known before it is on disk: give its folder.")


def held_now() -> int:
    """Bytes that this process holds, on a system that says so."""
    import os

    try:
        pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def memory_of(place: torch.device) -> int:
    """Bytes of the device's memory, or of the machine's."""
    import os

    import torch

    if place.type == "cuda":
        return torch.cuda.get_device_properties(place).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
