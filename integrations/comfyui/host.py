"""What ComfyUI gives to its nodes: progress, interruption, folders, memory. Outside of ComfyUI nothing of it is there.

ComfyUI imports its own modules before custom nodes, so they are looked up and never imported from here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from inkwash.engine.request import Progress

if TYPE_CHECKING:
    from PIL import Image

UNITS = 1000  # of one attempt on the progress bar
PREVIEW_SIDE = 512


class ProgressBar:
    """ComfyUI's bar under a node; also where a run is interrupted, between two tokens or two steps.

    An attempt is one half AR stage, one half decoder; without the AR stage (`planned`) it is decoder alone.
    """

    def __init__(self, attempts: int = 1, *, planned: bool = False) -> None:
        self.attempts, self.planned, self.before = attempts, planned, 0
        self.total = attempts * UNITS
        utils = _module("comfy.utils")
        self._bar = None if utils is None else utils.ProgressBar(self.total)
        self._done = 0

    @property
    def shown(self) -> bool:
        """Whether anybody looks."""
        return self._bar is not None

    def __call__(self, state: Progress) -> None:
        check_interrupted()
        share = state.done / max(1, state.total)
        if not self.planned:
            share = share / 2 if state.stage == "prior" else 0.5 + share / 2
        self._show(self.before * UNITS + round(share * UNITS))

    def attempted(self, done: int, most: int) -> None:
        """So many attempts of the picture at hand are done."""
        self.before = self.attempts - most + done
        self._show(self.before * UNITS)

    def preview(self, picture: Image.Image) -> None:
        """Show an unfinished picture in the node."""
        if self._bar is not None:
            self._bar.update_absolute(self._done, self.total, ("JPEG", picture, PREVIEW_SIDE))

    def _show(self, done: int) -> None:
        self._done = max(self._done, done)
        if self._bar is not None:
            self._bar.update_absolute(self._done, self.total)


def check_interrupted() -> None:
    """Raise ComfyUI's own exception when its user pressed Cancel."""
    management = _module("comfy.model_management")
    if management is not None:
        management.throw_exception_if_processing_interrupted()


def make_room() -> None:
    """Move ComfyUI's own models out of the accelerator's memory."""
    management = _module("comfy.model_management")
    if management is not None:
        management.unload_all_models()
        management.soft_empty_cache()


def model_folder(name: str) -> str:
    """A folder `models/inkwash/NAME` of ComfyUI where there is one, else the name as it is."""
    folders = _module("folder_paths")
    if folders is not None and name.strip():
        place = Path(folders.models_dir) / "inkwash" / name
        if place.is_dir():
            return str(place)
    return name


def lora_names() -> list[str]:
    """The files below ComfyUI's `models/loras`."""
    folders = _module("folder_paths")
    return [] if folders is None else list(folders.get_filename_list("loras"))


def lora_path(name: str) -> Path:
    """Where such a file lies; the name itself where it is none of them."""
    folders = _module("folder_paths")
    found = None if folders is None else folders.get_full_path("loras", name)
    return Path(found or name)


def _module(name: str) -> ModuleType | None:
    return sys.modules.get(name)
