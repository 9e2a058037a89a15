"""How a checkpoint is loaded: device, number type, what saves memory, what changes weights.

    pipe = open_pipeline(LoadOptions(model="nano", quantize="decoder=int8"))

Commands, server and replicas all load through here. Importing this module loads no torch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from inkwash.core import device as devices
from inkwash.core.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch

    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.see.media import MediaRules
    from inkwash.engine.see.pipeline import GlmVisionPipeline


MAX_DEVICES = 64


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a checkpoint is loaded; None leaves it to the machine.

    model: a known name, a folder, or owner/name on a hub.
    device: "cpu", "cuda:1" ...
    dtype: "float32", "bfloat16" or "float16".
    offload: where weights wait; "auto" chooses by the memory there is.
    quantize: "int8", "int4", "fp8", or by stage ("ar=int8,decoder=fp8").
    compile: compile the decoder's blocks.
    loras: adapters that act, each with its weight.
    offered: adapters that act only where a request of an engine names them.
    tensor_parallel_size: devices of this machine that share the model.

    Raises ConfigError for choices that do not go together.
    """

    model: str
    device: str | None = None
    dtype: str | None = None
    offload: Literal["auto", "none", "stage", "block", "map"] = "auto"
    quantize: str | None = None
    compile: bool = False
    loras: tuple[tuple[Path, float], ...] = ()
    offered: tuple[Path, ...] = ()
    tensor_parallel_size: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.tensor_parallel_size <= MAX_DEVICES:
            raise ConfigError(
                f"--tensor-parallel-size is {self.tensor_parallel_size}, but must be from 1 to {MAX_DEVICES}."
            )
        if self.tensor_parallel_size > 1 and (self.adapted or self.compile):
            raise ConfigError("Several devices share the checkpoint's own weights: leave --lora and --compile out.")
        if self.quantize is not None:
            from inkwash.engine.quantize import parse_quantize

            parse_quantize(self.quantize)
        if self.compile and self.offload == "block":
            raise ConfigError("--compile needs the decoder's blocks in place: choose --offload stage or none.")

    @property
    def plain(self) -> bool:
        """Whether the weights are the checkpoint's, all of them in memory, and run as they are."""
        unchanged = self.quantize is None and not self.compile and not self.adapted
        return unchanged and self.offload in ("auto", "none") and self.tensor_parallel_size == 1

    @property
    def adapted(self) -> bool:
        """Whether adapters are loaded."""
        return bool(self.loras or self.offered)

    def place(self) -> tuple[torch.device, torch.dtype]:
        """The device and the number type on this machine; torch's threads are set as it has cores."""
        devices.set_threads()
        device = devices.pick_device(self.device)
        return device, devices.pick_dtype(self.dtype, device)


def open_pipeline(options: LoadOptions) -> GlmImagePipeline:
    """A checkpoint that draws; WeightsError where there is none, ConfigError where it does not fit."""
    from inkwash.engine.pipeline import GlmImagePipeline

    device, dtype = options.place()
    pipe = GlmImagePipeline.from_pretrained(
        options.model,
        torch_dtype=None if options.dtype is None else dtype,
        device_map=device,
        offload=options.offload,
        quantize=options.quantize,
        tensor_parallel_size=options.tensor_parallel_size,
    )
    if options.compile:
        pipe.compile()
    if options.loras:
        _adapt(pipe, options)
    for path in options.offered:
        try:
            pipe.offer_lora(path)
        except WeightsError as error:  # of a folder with many, one must not cost the others
            logging.getLogger(__name__).warning("an adapter was left out: %s", error.message)
    return pipe


def open_planner(options: LoadOptions) -> GlmImagePipeline:
    """The AR generator alone; of the other networks only the configurations are kept."""
    from inkwash.engine.pipeline import GlmImagePipeline

    assert options.plain, "planners load the checkpoint as it is"
    device, dtype = options.place()
    pipe = GlmImagePipeline.from_pretrained(options.model, torch_dtype=dtype, device_map="cpu", offload="none")
    pipe.parts.ar.to(device)
    for other in (pipe.parts.decoder, pipe.parts.vae, pipe.parts.glyph):
        other.to("meta")
    pipe.parts.decoder.proj_out.to_empty(device=device)  # its place is the pipeline's device
    return pipe


def open_vision_pipeline(options: LoadOptions, media: MediaRules | None = None) -> GlmVisionPipeline:
    """A checkpoint that sees; it knows neither offloading nor compiling."""
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    assert options.offload in ("auto", "none") and not options.compile, "a model that sees is loaded whole"
    device, dtype = options.place()
    pipe = GlmVisionPipeline.from_pretrained(
        options.model,
        torch_dtype=None if options.dtype is None else dtype,
        device_map=device,
        quantize=options.quantize,
        tensor_parallel_size=options.tensor_parallel_size,
        media=media,
    )
    if options.loras:
        _adapt(pipe, options)
    return pipe


class _Adaptable(Protocol):
    def load_lora_weights(self, path: str | Path) -> str: ...

    def set_adapters(self, adapter_names: list[str], adapter_weights: list[float]) -> None: ...


def _adapt(pipe: _Adaptable, options: LoadOptions) -> None:
    """Let the LoRAs act, each with its weight."""
    names = [pipe.load_lora_weights(path) for path, _ in options.loras]
    pipe.set_adapters(names, [weight for _, weight in options.loras])
