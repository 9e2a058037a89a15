"""TensorBoard: running averages, speed and sample pictures of a run, below its folder in `board/`.

Where tensorboard is not installed nothing is written; log.csv, the curve and the report need nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class TensorBoardLog:
    """The event file is opened with the first number or picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "board"
        self._installed = importlib.util.find_spec("tensorboard") is not None
        self._writer: Any = None

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        if writer := self._open():
            for name, value in values.items():
                writer.add_scalar(name.replace("% of the matmul rate", "percent_of_matmul_rate"), value, step)

    def picture(self, path: Path, step: int) -> None:
        if writer := self._open():
            with Image.open(path) as image:
                writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None and self._installed:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder))
        return self._writer
