"""How a checkpoint is loaded to draw with: device, number type, what saves memory, what changes weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What a command or a server was told about loading; None leaves it to the machine."""

    model: str
    device: str | None = None
    dtype: str | None = None
    offload: Literal["none", "stage", "block"] = "none"
    quantize: str | None = None
    compile: bool = False
    loras: tuple[tuple[Path, float], ...] = ()

    def __post_init__(self) -> None:
        if self.quantize is not None:
            from inkwash.engine.quantize import parse_quantize

            parse_quantize(self.quantize)
        if self.compile and self.offload == "block":
            raise ConfigError("--compile needs the decoder's blocks in place: choose --offload stage or none.")

    @property
    def plain(self) -> bool:
        """Whether the weights are the checkpoint's, all of them in memory, and run as they are."""
        return self.offload == "none" and self.quantize is None and not self.compile and not self.loras


def open_pipeline(options: LoadOptions) -> GlmImagePipeline:
    """Load a checkpoint; threads are set as the machine has cores."""
    from inkwash.core import device
    from inkwash.engine.pipeline import GlmImagePipeline

    device.set_threads()
    place = device.pick_device(options.device)
    pipe = GlmImagePipeline.from_pretrained(
        options.model,
        torch_dtype=device.pick_dtype(options.dtype, place),
        device_map=place,
        offload=options.offload,
        quantize=options.quantize,
    )
    if options.compile:
        pipe.compile()
    if options.loras:
        names = [pipe.load_lora_weights(path) for path, _ in options.loras]
        pipe.set_adapters(names, [weight for _, weight in options.loras])
    return pipe
