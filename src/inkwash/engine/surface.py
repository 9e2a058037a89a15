"""What scripts for the reference pipeline call beside drawing, so that of such a script only the import changes.

Parts under the reference's names, offload and memory switches, adapters, the values that callbacks read and write.
Whatever has no meaning here says in one sentence what to use. `docs/reference-surface.md` has the whole table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, NoReturn, Self, TypeAlias, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.device import pick_device, pick_dtype
from inkwash.core.errors import ConfigError, NoMeaning, RequestError
from inkwash.engine.adapters import Adapters
from inkwash.engine.arguments import as_prompts
from inkwash.engine.denoise import Steering
from inkwash.engine.loading import LoadPlan, load_parts
from inkwash.engine.offload import Profile
from inkwash.engine.stages import Stages
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import SchedulerConfig
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import GlmImageParts

P = TypeVar("P")
NumberTypes: TypeAlias = torch.dtype | str | Mapping[str, torch.dtype | str]
PARTS = {
    "processor": "processor",
    "text_encoder": "glyph",
    "vision_language_encoder": "ar",
    "vae": "vae",
    "transformer": "decoder",
    "scheduler": "scheduler",
}
NO_MEANING = {
    "enable_group_offload": "weights travel by stage or by block: use from_pretrained(..., offload='block')",
    "enable_xformers_memory_efficient_attention": "attention always runs in torch's fused kernels: leave it out",
    "push_to_hub": "save_pretrained writes a folder; upload it with the hub's own command, hf upload",
    "download": "from_pretrained fetches what is missing; inkwash models lists what is known",
    "from_config": "a pipeline is made by from_pretrained, or from parts",
    "load_config": "the configurations are those of the parts, as .config",
    "register_modules": "parts are given to from_pretrained or to the constructor",
    "set_use_memory_efficient_attention_xformers": "attention always runs in torch's fused kernels: leave it out",
    "remove_all_hooks": "there are no hooks; load the pipeline again without offload",
    "reset_device_map": "there is no device map; use to(device)",
    "fuse_qkv_projections": "query, key and value are fused when weights are loaded: leave it out",
    "enable_freeu": "FreeU is for U-Nets, and this decoder is a transformer",
    "load_textual_inversion": "prompts have no learnt words here; train a LoRA",
    "load_ip_adapter": "reference pictures are passed as image=",
    "config": "each part has its own, such as pipe.transformer.config",
    "parameters": "each part has its own, such as pipe.transformer.parameters()",
    "hf_device_map": "all parts are on one device, pipe.device",
    "progress_bar": "pass progress=, which is called with every token and step",
    "check_inputs": "a call checks its arguments itself",
    "prepare_latents": "pass latents= or generator= to the call",
    "numpy_to_pil": "pass output_type='pil' to the call",
    "get_glyph_texts": "use inkwash.models.glm_image.quotes.glyph_texts",
    "set_attention_slice": "attention runs in kernels that keep no scores: leave it out",
    "disable_xformers_memory_efficient_attention": "attention always runs in torch's fused kernels: leave it out",
    "save_config": "save_pretrained writes the configurations",
    "to_json_file": "save_pretrained writes the configurations",
    "to_json_string": "each part's .config has to_dict()",
    "enable_cache": "use quality='high', 'medium' or 'low'",
}


SPEED_ONLY = (  # how another library loads weights, or other formats of them
    "low_cpu_mem_usage",
    "max_memory",
    "offload_folder",
    "offload_state_dict",
    "use_onnx",
    "force_download",
    "proxies",
    "mirror",
    "disable_mmap",
)


class PipelinePart(Generic[P]):
    """A part of the pipeline under the reference's name; another of its kind may be put in its place."""

    def __init__(self, kind: type[P]) -> None:
        self.kind, self.name = kind, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, pipe: None, owner: type) -> Self: ...
    @overload
    def __get__(self, pipe: ReferenceSurface, owner: type) -> P: ...
    def __get__(self, pipe: ReferenceSurface | None, owner: type) -> Self | P:
        if pipe is None:
            return self
        found: P = getattr(pipe.parts, PARTS[self.name])
        return found

    def __set__(self, pipe: ReferenceSurface, part: P) -> None:
        pipe._replace(self.name, part)

    def check(self, part: Any) -> None:
        """Raise one sentence unless this can be the part."""
        if isinstance(part, self.kind):
            return
        if hasattr(part, "_orig_mod"):
            raise ConfigError(f"{self.name} is compiled outside of the pipeline: call pipe.compile() instead.")
        raise ConfigError(
            f"{self.name} is a {type(part).__module__}.{type(part).__name__}, but must be a {self.kind.__name__} "
            "of inkwash: load its folder with from_pretrained."
        )


class ReferenceSurface:
    """See the module; `GlmImagePipeline` adds drawing."""

    parts: GlmImageParts
    stages: Stages
    _calls: Calls
    _as_stored: bool
    _source: LoadPlan | None  # how the parts were loaded, for loading them under another offload profile
    _callback_tensor_inputs = ("latents", "prompt_embeds")
    _optional_components = ()
    model_cpu_offload_seq = "vision_language_encoder->text_encoder->transformer->vae"

    def __getattr__(self, name: str) -> NoReturn:
        if name in NO_MEANING:
            raise NoMeaning(f"{name} has no meaning here: {NO_MEANING[name]}.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # parts

    @cached_property
    def _adapters(self) -> Adapters:
        return Adapters(self.parts)

    @property
    def components(self) -> dict[str, Any]:
        """All parts under the reference's names; `GlmImagePipeline(**pipe.components)` shares them."""
        return {name: getattr(self.parts, attribute) for name, attribute in PARTS.items()} | {"tokenizer": None}

    processor = PipelinePart(GlmImageProcessor)
    text_encoder = PipelinePart(GlyphEncoder)
    vision_language_encoder = PipelinePart(ARGenerator)
    vae = PipelinePart(AutoencoderKL)
    transformer = PipelinePart(Decoder)
    scheduler = PipelinePart(SchedulerConfig)

    @property
    def tokenizer(self) -> None:
        """None: the glyph encoder reads bytes and needs no files."""
        return

    @property
    def vae_scale_factor(self) -> int:
        return self.parts.vae.config.scale_factor

    @property
    def name_or_path(self) -> str:
        return str(self._source.folder) if self._source else ""

    @property
    def _execution_device(self) -> torch.device:
        """Where a call computes, also while weights wait elsewhere."""
        return self.stages.device

    def _replace(self, name: str, part: Any) -> None:
        """Put another part in place of one."""
        if part is None:
            raise ConfigError(f"{name} cannot be taken out: to save memory load with offload='stage'.")
        if not self._as_stored or self._adapters.names:
            raise ConfigError(f"{name} cannot be replaced under offload, quantize or adapters: load without them.")
        self.parts = joined(self.parts, {name: part})
        for network in self._networks():
            network.eval().requires_grad_(False)
        fuse_qkv(self.parts.decoder)
        self.stages = replace(self.stages, parts=self.parts)
        self._adapters, self._source = Adapters(self.parts), None

    @classmethod
    def from_pipe(cls, pipeline: ReferenceSurface, **options: Any) -> Self:
        """Another pipeline over the same parts; `torch_dtype` or `dtype` is refused, since it would change both."""
        if options.keys() & {"torch_dtype", "dtype"}:
            raise ConfigError("from_pipe shares the weights: load a second pipeline for another number type.")
        return cls(**{**pipeline.components, **options})

    # memory

    def enable_model_cpu_offload(self, gpu_id: int | None = None, device: str | torch.device | None = None) -> None:
        """Weights of one stage at a time on the device: `offload="stage"`."""
        self._offload("stage", gpu_id, device)

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Of the decoder two blocks at a time: `offload="block"`."""
        self._offload("block", gpu_id, device)

    def _offload(self, profile: Profile, gpu_id: int | None, device: str | torch.device | None) -> None:
        source, target = self._source, pick_device(f"cuda:{gpu_id}" if gpu_id is not None else device)
        if source is not None and source.offload == profile and target == self.stages.device:
            return
        if source is None or self._adapters.names:
            raise ConfigError(
                f"Offload reads the weights from the checkpoint's folder: call it right after from_pretrained, or pass "
                f"offload={profile!r} to that."
            )
        self._source = replace(source, offload=profile)
        self.parts, residency = load_parts(self._source, target)
        for network in self._networks():
            network.eval().requires_grad_(False)
        self.stages = Stages(self.parts, self.stages.pictures_per_pass, residency=residency)
        self._adapters, self._as_stored = Adapters(self.parts), residency is None

    def enable_vae_tiling(self, *_: Any, **__: Any) -> None:
        """Nothing to do: large pictures are always decoded in tiles."""

    def enable_vae_slicing(self) -> None:
        """Nothing to do: pictures are always decoded one at a time."""

    def enable_attention_slicing(self, slice_size: Any = "auto") -> None:
        """Nothing to do: attention runs in kernels that keep no scores."""

    def disable_attention_slicing(self) -> None:
        """Nothing to do, as above."""

    def disable_vae_tiling(self) -> None:
        """Warns, as the VAE does."""
        self.vae.disable_tiling()

    def disable_vae_slicing(self) -> None:
        """Warns, as the VAE does."""
        self.vae.disable_slicing()

    def maybe_free_model_hooks(self) -> None:
        """Nothing to do: weights leave the device with their stage."""

    def set_progress_bar_config(self, **_: Any) -> None:
        """Nothing to do: a call draws no bar; `progress=` is called with every token and step."""

    # adapters

    def fuse_lora(
        self, components: Any = None, lora_scale: float = 1.0, safe_fusing: bool = False, adapter_names: Any = None
    ) -> None:
        """The acting adapters (or those named) become part of the weights, which then may be saved with them."""
        names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
        self._adapters.fuse(None if names is None else list(names), float(lora_scale))

    def unfuse_lora(self, components: Any = None, **_: Any) -> None:
        """Take back `fuse_lora`: the adapters act, and may be taken out again."""
        self._adapters.unfuse()

    def disable_lora(self) -> None:
        """No adapter acts until `enable_lora`."""
        self._adapters.pause()

    def enable_lora(self) -> None:
        self._adapters.resume()

    def delete_adapters(self, adapter_names: str | Sequence[str]) -> None:
        """Forget these adapters and what they did."""
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        if unknown := [name for name in names if name not in self._adapters.names]:
            raise RequestError(f"There is no adapter {unknown[0]!r}.", param="lora")
        self._adapters.unload(names)

    def get_list_adapters(self) -> dict[str, list[str]]:
        """Names of all loaded adapters by network."""
        return self._adapters.by_network()

    # embeddings

    @torch.inference_mode(False)
    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | Sequence[str] | None,
        do_classifier_free_guidance: bool = True,
        num_images_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        max_sequence_length: int = 2048,
    ) -> tuple[Tensor, Tensor | None]:
        """Glyph embeddings of the prompts' quoted texts and of none, (B, L, Dg), shorter ones filled with zeros."""
        if prompt_embeds is None:
            texts = as_prompts(prompt)
            if texts is None:
                raise RequestError("Give either prompt or prompt_embeds; neither of them was given.", param="prompt")
            prompt_embeds = self._embedded(texts, max_sequence_length)
            prompt_embeds = prompt_embeds.repeat_interleave(num_images_per_prompt, dim=0)
        if do_classifier_free_guidance and negative_prompt_embeds is None:
            negative_prompt_embeds = self._embedded([""] * len(prompt_embeds), max_sequence_length)
        made = [
            None if each is None else each.to(device or self.stages.device, dtype)
            for each in (prompt_embeds, negative_prompt_embeds)
        ]
        assert made[0] is not None
        return made[0], made[1]

    def _embedded(self, texts: Sequence[str], length: int) -> Tensor:
        rows = [self.stages.glyphs(text, length) for text in texts]
        longest = max(len(row) for row in rows)
        return torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])

    # calls

    @property
    def guidance_scale(self) -> float:
        return self._calls.now.guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._calls.now.guidance_scale > 1

    @property
    def num_timesteps(self) -> int:
        return self._calls.now.num_timesteps

    @property
    def current_timestep(self) -> Any:
        return self._calls.now.timestep

    @property
    def attention_kwargs(self) -> None:
        return

    @property
    def interrupt(self) -> bool:
        return self._calls.now.interrupt

    @property
    def _interrupt(self) -> bool:
        return self._calls.now.interrupt

    @_interrupt.setter
    def _interrupt(self, value: bool) -> None:
        self._calls.write("interrupt", bool(value))

    @property
    def _guidance_scale(self) -> float:
        return self._calls.now.guidance_scale

    @_guidance_scale.setter
    def _guidance_scale(self, value: float) -> None:
        self._calls.write("guidance_scale", float(value))

    def _networks(self) -> tuple[torch.nn.Module, ...]:
        return self.parts.ar, self.parts.decoder, self.parts.vae, self.parts.glyph


def joined(base: GlmImageParts | None, components: dict[str, Any]) -> GlmImageParts:
    """Parts from the reference's names, over those of a checkpoint where some are missing."""
    parts = {name: part for name, part in components.items() if part is not None}
    if unknown := sorted(parts.keys() - PARTS.keys() - {"tokenizer"}):
        raise ConfigError(f"There is no part {unknown[0]!r}: the parts are {', '.join(PARTS)}.")
    parts.pop("tokenizer", None)
    for name, part in parts.items():
        vars(ReferenceSurface)[name].check(part)
    if base is not None:
        return GlmImageParts(**{**vars(base), **{PARTS[name]: part for name, part in parts.items()}})
    if missing := [name for name in PARTS if name not in parts]:
        raise ConfigError(f"A pipeline needs {missing[0]} as well: use from_pretrained, or give all parts.")
    return GlmImageParts(**{PARTS[name]: part for name, part in parts.items()})


def part_dtypes(wanted: NumberTypes | None, device: torch.device) -> tuple[torch.dtype, dict[str, torch.dtype]]:
    """The number type of the parts, and those of parts that have another."""
    if not isinstance(wanted, Mapping):
        return pick_dtype(wanted, device), {}
    if unknown := sorted(wanted.keys() - PARTS.keys() - {"default", "tokenizer"}):
        raise ConfigError(f"There is no part {unknown[0]!r} to have a number type: the parts are {', '.join(PARTS)}.")
    default = pick_dtype(wanted.get("default", torch.float32), device)
    return default, {name: pick_dtype(kind, device) for name, kind in wanted.items() if name in PARTS}


def shard_bytes(size: int | str | None, default: int) -> int:
    """A size such as "5GB" or "200MiB" in bytes."""
    if size is None:
        return default
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    units = {"GIB": 2**30, "MIB": 2**20, "KIB": 2**10, "GB": 10**9, "MB": 10**6, "KB": 10**3}
    text = str(size).strip().upper()
    unit = next((unit for unit in units if text.endswith(unit)), "")
    try:
        value = float(text.removesuffix(unit)) * units.get(unit, 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 2**60:
        raise ConfigError(f"max_shard_size is {size!r}, but must be a size such as '5GB' or '200MB'.")
    return round(value)


def check_folder_options(options: dict[str, Any]) -> None:
    """Refuse options of the reference's from_pretrained that mean nothing here; those of its loading are let pass."""
    if options.pop("quantization_config", None) is not None:
        raise ConfigError("quantization_config has no meaning here: pass quantize='int8', or 'ar=int8,decoder=fp8'.")
    if options.pop("use_safetensors", True) is False:
        raise ConfigError("use_safetensors=False has no meaning here: only safetensors files are read.")
    if options.pop("custom_pipeline", None) or options.pop("trust_remote_code", None):
        raise ConfigError("custom_pipeline and trust_remote_code have no meaning here: no code of a checkpoint is run.")
    for name in SPEED_ONLY:
        options.pop(name, None)


_CURRENT: ContextVar[tuple[object, Steering] | None] = ContextVar("inkwash_call", default=None)


class Calls:
    """The calls of one pipeline."""

    def __init__(self) -> None:
        self._running: list[Steering] = []
        self._last = Steering()

    def __deepcopy__(self, memo: dict[int, Any]) -> Calls:
        return Calls()

    @contextmanager
    def begin(self, steering: Steering) -> Iterator[Steering]:
        """Inside, attributes of the pipeline are those of this call."""
        self._running.append(steering)
        token = _CURRENT.set((self, steering))
        try:
            yield steering
        finally:
            _CURRENT.reset(token)
            self._running.remove(steering)
            self._last = steering

    @property
    def now(self) -> Steering:
        """This thread's call; outside of one, the last that was begun, or that has ended."""
        current = _CURRENT.get()
        if current is not None and current[0] is self:
            return current[1]
        return self._running[-1] if self._running else self._last

    def write(self, name: str, value: Any) -> None:
        """Change a value of this thread's call; outside of one, of all that are under way."""
        current = _CURRENT.get()
        mine = [current[1]] if current is not None and current[0] is self else list(self._running)
        for each in mine:
            setattr(each, name, value)
