"""Checkpoints and adapters in ComfyUI: what is loaded once, and what acts on it in each branch of a workflow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkwash import InkwashError, LoadOptions, open_pipeline
from inkwash.models.lora import check_weight, find_adapters
from inkwash.models.registry import folder_of

from . import host

if TYPE_CHECKING:
    from inkwash import GlmImagePipeline

CATEGORY = "Inkwash"
AUTO = "auto"
Adapter = tuple[str, float]  # path, weight


@dataclass(kw_only=True)
class Checkpoint:
    """A loaded checkpoint, which all branches of a workflow share; one of them draws at a time."""

    pipe: GlmImagePipeline
    lock: threading.Lock = field(default_factory=threading.Lock)
    names: dict[tuple[str, float], str] = field(default_factory=dict)  # of adapters in memory, by path and time
    acting: tuple[Adapter, ...] | None = ()  # None: not known


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the type INKWASH_MODEL carries."""

    options: LoadOptions
    checkpoint: Checkpoint
    adapters: tuple[Adapter, ...] = ()

    @contextmanager
    def pipeline(self) -> Iterator[GlmImagePipeline]:
        """The pipeline with exactly these adapters at work."""
        loaded = self.checkpoint
        with loaded.lock:
            if loaded.acting != self.adapters:
                names = [self._name(path) for path, _ in self.adapters]
                loaded.pipe.set_adapters(names, [weight for _, weight in self.adapters])
                loaded.acting = self.adapters
            yield loaded.pipe

    def _name(self, path: str) -> str:
        """The adapter's name in memory; a file that was written anew is read anew."""
        key = path, changed_at(path)
        if key not in self.checkpoint.names:
            self.checkpoint.acting = None  # a new adapter acts at once; `set_adapters` says how strongly
            self.checkpoint.names[key] = self.checkpoint.pipe.load_lora_weights(path)
        return self.checkpoint.names[key]


class InkwashLoadModel:
    """Load a checkpoint by name (nano is part of the package), from a folder, or from a hub."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Load a checkpoint that draws: nano, a folder, a folder below models/inkwash, or zai-org/GLM-Image."
    RETURN_TYPES = ("INKWASH_MODEL",)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("STRING", {"default": "nano", "tooltip": "nano, a folder, or owner/name on a hub"}),
            },
            "optional": {
                "device": ([AUTO, "cpu", "cuda", "mps", "xpu"], {"default": AUTO}),
                "dtype": ([AUTO, "float32", "bfloat16", "float16"], {"default": AUTO}),
                "offload": (["none", "stage", "block"], {"default": "none", "tooltip": "where weights wait"}),
                "quantize": ("STRING", {"default": "", "tooltip": "int8, fp8, or ar=int8,decoder=fp8; empty: no"}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None = None) -> bool | str:
        """A wrong name is said before the queue starts; what is on a hub is known when it is fetched."""
        if model is not None:
            try:
                folder_of(host.model_folder(model))
            except InkwashError as error:
                return error.message
        return True

    @classmethod
    def IS_CHANGED(cls, model: str, **_: Any) -> float:
        """A checkpoint that was written anew is loaded anew."""
        folder = folder_of(host.model_folder(model))
        return 0.0 if folder is None else changed_at(folder)

    def load(
        self, model: str, device: str = AUTO, dtype: str = AUTO, offload: str = "none", quantize: str = ""
    ) -> tuple[Model]:
        options = LoadOptions(
            model=host.model_folder(model),
            device=None if device == AUTO else device,
            dtype=None if dtype == AUTO else dtype,
            offload=offload,  # type: ignore[arg-type]  # one of the list above
            quantize=quantize.strip() or None,
        )
        place, _ = options.place()
        if place.type != "cpu":
            host.make_room()
        return (Model(options=options, checkpoint=Checkpoint(pipe=open_pipeline(options))),)


class InkwashLora:
    """Let an adapter act in this branch of the workflow; the model that goes in stays as it was."""

    CATEGORY = CATEGORY
    DESCRIPTION = "An adapter of PEFT, diffusers or kohya: from models/loras, a path, or owner/name on a hub."
    RETURN_TYPES = ("INKWASH_MODEL",)
    RETURN_NAMES = ("model",)
    FUNCTION = "adapt"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ["", *host.lora_names()]
        return {
            "required": {
                "model": ("INKWASH_MODEL",),
                "lora": (names, {"default": "", "tooltip": "a file below models/loras"}),
                "strength": ("FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.05}),
            },
            "optional": {
                "path": ("STRING", {"default": "", "tooltip": "in place of lora: a folder, a file, or owner/name"}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, lora: str, path: str = "", **_: Any) -> float:
        return changed_at(_adapter_path(lora, path))

    def adapt(self, model: Model, lora: str, strength: float, path: str = "") -> tuple[Model]:
        place = _adapter_path(lora, path)
        check_weight(strength)
        find_adapters(place)  # what is no adapter is said here, not while drawing
        return (replace(model, adapters=(*model.adapters, (place, strength))),)


def changed_at(path: str | Path) -> float:
    """When the file, or the newest file of the folder, was written; 0 for what is on a hub."""
    place = Path(path).expanduser()
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return max((file.stat().st_mtime for file in files), default=0.0)


def _adapter_path(lora: str, path: str) -> str:
    return path.strip() or str(host.lora_path(lora))
