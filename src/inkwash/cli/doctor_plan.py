"""``inkwash doctor --plan MODEL``: peak memory and time of a drawing on this machine, before anything is loaded."""

from __future__ import annotations

import json as jsonlib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inkwash.core.errors import WeightsError
from inkwash.core.types import Size

if TYPE_CHECKING:
    import torch

    from inkwash.engine.memory import Sizes

CHOICES: tuple[tuple[Literal["none", "stage", "block"], str | None], ...] = (
    ("none", None),
    ("none", "int8"),
    ("stage", None),
    ("stage", "int8"),
    ("block", None),
    ("block", "ar=int8"),
)


def show_plan(model: str, size: Size | None, *, device_name: str | None, as_json: bool) -> None:
    """Prints one line for each way to hold the weights."""
    import torch

    from inkwash.core import device
    from inkwash.core.limits import check_size
    from inkwash.engine.memory import Work, forecast
    from inkwash.engine.pace import measure_pace
    from inkwash.engine.quantize import parse_quantize

    sizes = sizes_of(model)
    side = min(sizes.vae.sample_size // 32 * 32, 2048)
    size = Size(side, side) if size is None else check_size(size)
    place = device.pick_device(device_name)
    dtype = device.pick_dtype(None, place)
    device.set_threads()
    work = Work(height=size.height, width=size.width, steps=50 if model_is_large(sizes) else 20)
    import_module("inkwash.engine.pipeline")  # a drawing starts with what this brings along
    base = held_now() if place.type == "cpu" else 0
    pace = measure_pace(sizes, work, dtype=dtype, device=place)
    room = memory_of(place)
    rows: list[dict[str, Any]] = []
    for profile, text in CHOICES:
        kinds = parse_quantize(text)
        number_type = torch.bfloat16 if "ar" in kinds and place.type == "cpu" else dtype
        made = forecast(
            sizes,
            work,
            dtype=number_type,
            device=place,
            profile=profile,
            quantize=kinds,
            base=base,
        )
        rows.append(
            {
                "offload": profile,
                "quantize": text or "none",
                "dtype": str(number_type).removeprefix("torch."),
                "peak_gb": round(made.peak / 1e9, 2),
                "fits": made.peak < room,
                "seconds": round(pace.under(made, work), 2) if text is None else None,
            }
        )
    said = {
        "model": model,
        "size": str(size),
        "steps": work.steps,
        "device": str(place),
        "memory_gb": round(room / 1e9, 1),
    }
    if as_json:
        print(jsonlib.dumps({**said, "plans": rows}))
        return
    print(", ".join(f"{name} {value}" for name, value in said.items()))
    print(f"{'offload':<9}{'quantize':<11}{'dtype':<10}{'peak GB':>8}  {'fits':<5}{'seconds':>9}")
    for row in rows:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        fits = "yes" if row["fits"] else "no"
        print(
            f"{row['offload']:<9}{row['quantize']:<11}{row['dtype']:<10}{row['peak_gb']:>8.2f}  {fits:<5}{seconds:>9}"
        )
    print("Seconds are those of a quiet machine; quantized weights are not timed (on a CPU they are slower).")


def sizes_of(model: str) -> Sizes:
    """The sizes of a checkpoint on disk, or of the released one."""
    from inkwash.engine.memory import Sizes
    from inkwash.models.glm_image import released
    from inkwash.models.glm_image.folder import inspect_folder
    from inkwash.models.registry import ModelEntry, bundled_folder, resolve_name

    found = resolve_name(model)
    if isinstance(found, ModelEntry) and found.name == released.NAME:
        return Sizes.released()
    if isinstance(found, ModelEntry) and found.bundled:
        return Sizes.of_folder(bundled_folder(found.name))
    if isinstance(found, Path):
        inspect_folder(found)
        return Sizes.of_folder(found)
    raise WeightsError(f"The sizes of {model} are not known before it is on disk: give its folder.")


def model_is_large(sizes: Sizes) -> bool:
    """Whether the model wants the released number of steps."""
    return sizes.decoder.width > 1024


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
