"""`inkwash doctor`: what this machine has, what is missing, and whether a small picture comes out of it."""

from __future__ import annotations

import json as jsonlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from inkwash.cli import options as o
from inkwash.core.errors import ConfigError

PACKAGES = ("torch", "safetensors", "tokenizers", "numpy", "pillow", "huggingface_hub")
EXTRAS = {"ocr": ("rapidocr", "onnxruntime"), "modelscope": ("modelscope",), "reference": ("transformers", "diffusers")}
FAST_MALLOCS = ("jemalloc", "tcmalloc", "mimalloc")

Plan = Annotated[
    str | None, typer.Option("--plan", metavar="MODEL", help="Predict peak memory and time of a drawing here.")
]
Picture = Annotated[bool, typer.Option("--picture/--no-picture", help="Draw a small test picture and time it.")]


def doctor(
    picture: Picture = True,
    model: o.Model = "nano",
    plan: Plan = None,
    size: o.SizeText = None,
    device: o.DeviceName = None,
    json: o.Json = False,
) -> None:
    """Check this machine: versions, device, speed-ups, where weights come from, a test picture.

    With --plan MODEL: what a drawing of --size needs here instead. The exit code is 1 when the test picture fails.
    """
    if plan is not None:
        from inkwash.cli.doctor_plan import show_plan
        from inkwash.core.types import Size

        show_plan(plan, None if size is None else Size.parse(size), device_name=device, as_json=json)
        return
    if size is not None:
        raise ConfigError("--size says how large a planned picture is: give --plan MODEL with it.")
    found: dict[str, Any] = {"versions": versions(), "machine": machine(device), "weights": weights(model)}
    failure = None
    if picture:
        found["test picture"], failure = trial_picture(model, device)
    if json:
        print(jsonlib.dumps(found, ensure_ascii=False))
    else:
        for title, rows in found.items():
            print(title)
            for name, value in rows.items():
                print(f"  {name:<16} {value}")
    if failure is not None:
        raise failure


def versions() -> dict[str, str]:
    """Versions of ourselves, Python, what we stand on, and the extras."""
    from inkwash import __version__

    found = {"inkwash": __version__, "python": platform.python_version()}
    found |= {name: _version(name) for name in PACKAGES}
    for extra, names in EXTRAS.items():
        found[extra] = ", ".join(f"{name} {_version(name)}" for name in names)
    return found


def machine(name: str | None) -> dict[str, str]:
    """Device, threads, allocator and 16-bit arithmetic, each with advice where something could be faster."""
    import torch

    from inkwash.core import device

    place = device.pick_device(name)
    features = device.cpu_features()
    return {
        "device": str(place) if place.type == "cpu" else f"{place} ({_accelerator_name(place)})",
        "number type": str(device.pick_dtype(None, place)).removeprefix("torch."),
        "threads": f"{device.set_threads()} (usable cores: {device.usable_cores()})",
        "processor": torch.backends.cpu.get_cpu_capability(),
        "bf16 in hardware": _bf16(features),
        "malloc": malloc_in_use(),
        "system": f"{platform.system()} {platform.machine()}, memory {_memory()}",
    }


def weights(model: str) -> dict[str, str]:
    """Where the model is or would come from."""
    from inkwash.cli.models import describe
    from inkwash.core import env

    row = describe(model)
    return {
        "model": f"{row['name']}: {row['where']}",
        "cache": os.environ.get("HF_HOME") or "the hub library's default",
        "hub": f"{env.hub()}{' (offline)' if env.offline() else ''}",
    }


def trial_picture(model: str, device_name: str | None) -> tuple[dict[str, str], Exception | None]:
    """Draws one picture with few steps; returns what to say, and the failure if there was one."""
    from inkwash.core.errors import InkwashError

    started = time.perf_counter()
    try:
        import torch

        from inkwash.engine.open import LoadOptions, open_pipeline

        pipe = open_pipeline(LoadOptions(model=model, device=device_name))
        loaded = time.perf_counter()
        generator = torch.Generator().manual_seed(0)
        images = pipe(prompt='A poster that says "OK"', num_inference_steps=4, generator=generator)[0]
        drawn = time.perf_counter()
    except Exception as error:
        failure = error if isinstance(error, InkwashError) else InkwashError(f"The test picture failed: {error}")
        return {"result": f"failed: {error}"}, failure
    image = images[0]
    if all(low == high for low, high in image.getextrema()):
        return {"result": "failed: the picture is blank"}, InkwashError("The test picture is blank: check the weights.")
    return {
        "result": f"ok, {image.width}x{image.height}, 4 steps",
        "load": f"{loaded - started:.2f} s",
        "draw": f"{drawn - loaded:.2f} s",
    }, None


def malloc_in_use(maps: Path = Path("/proc/self/maps")) -> str:
    """The memory allocator of this process; a thread-caching one makes training on a CPU faster."""
    try:
        mapped = maps.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    found = next((name for name in FAST_MALLOCS if name in mapped), None)
    return found or "the system's (for training on a CPU, preloading jemalloc or tcmalloc is faster)"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _bf16(features: Any) -> str:
    kinds = [name for name, there in (("AVX512-BF16", features.avx512_bf16), ("AMX", features.amx_bf16)) if there]
    return ", ".join(kinds) or "no"


def _accelerator_name(place: Any) -> str:
    import torch

    return torch.cuda.get_device_name(place) if place.type == "cuda" else place.type


def _memory() -> str:
    if sys.platform == "win32":
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
