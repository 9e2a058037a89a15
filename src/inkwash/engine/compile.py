"""Compiled regions of the decoder, for those who draw many pictures of few sizes: off unless asked for.

The two regions of a block (before and after its attention) are compiled once and serve all blocks; attention keeps its
own kernels. The first picture of every size pays for the compiler, tens of seconds on a CPU, and the last bits differ
from those of the plain drawing, which stays the default.
"""

from __future__ import annotations

import os
import shutil

import torch

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_blocks import PLAIN, BlockKernels


def compile_decoder(decoder: Decoder, device: torch.device, *, backend: str = "inductor") -> None:
    """Compile the decoder's regions; they are made when a picture is drawn. Raises ConfigError where nothing can."""
    if decoder.stream is not None:
        raise ConfigError("The offload profile 'block' changes the weights under a compiled region: choose 'stage'.")
    if backend == "inductor" and device.type == "cpu" and compiler() is None:
        raise ConfigError("Compiling for a CPU needs a C++ compiler: install g++, or name one in CXX.")
    decoder.kernels = BlockKernels(
        torch.compile(PLAIN.before, backend=backend, dynamic=False),
        torch.compile(PLAIN.after, backend=backend, dynamic=False),
    )


def compiler() -> str | None:
    """The C++ compiler that torch would call."""
    return next(
        (found for name in (os.environ.get("CXX"), "g++", "clang++") if name and (found := shutil.which(name))), None
    )
