"""What a drawing will need, before anything is loaded: peak memory for each stage, by offload profile.

The networks are built without numbers (meta device) and the stages' own code runs on them once, while a counter follows
which tensors are alive; so a prediction changes with the code and not with a formula. Weights are counted by name,
quantised ones at their rounded size. On a CPU the sum starts from what the process holds already (interpreter,
libraries); an accelerator's allocator counts tensors only, and its library's own share comes on top. What is alive
grows evenly with the number of equal layers, so two short networks are run and the rest is continued from them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from inkwash.engine.denoise import DenoiseInput, Denoiser
from inkwash.engine.offload import Profile
from inkwash.engine.output import TILED_AREA
from inkwash.engine.quantize import BITS, INT4_GROUP, is_quantized
from inkwash.models.glm_image import released
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import (
    ARConfig,
    DecoderConfig,
    GlyphConfig,
    SchedulerConfig,
    VAEConfig,
    VisionConfig,
    VQConfig,
)
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_blocks import KeyValue
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.schedule import schedule
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.models.tensor_files import read_json
from inkwash.models.weights import parameters_on_meta
from inkwash.nn.int8 import scratch_bytes
from inkwash.nn.linear import can_pack

PROMPT_TOKENS, GLYPHS = 64, 16  # of a usual prompt
AR_LAYERS, DECODER_LAYERS = (6, 8), (1, 2)  # of the short networks: from there on the peak lies in the same place
NO_VISION = VisionConfig(depth=1, hidden_size=16, num_heads=1, intermediate_size=16, image_size=16, patch_size=16)
NO_CODES = VQConfig(embed_dim=8, num_embeddings=8, latent_channels=16)  # of a generator that looks at no references
SLOT_STEP = 256  # the planner's caches grow by so many tokens
TILE = 128  # latent cells of a VAE tile
CPU_RUNTIME = 70 * 2**20  # kernels made on the way, their scratch memory and the window files are read through
CPU_QUANTIZING = 80 * 2**20  # what the library that rounds weights brings along
HALVES = 2  # of a guided step, which run side by side and borrow memory each
CPU_CONVOLUTION = 1.5  # convolutions on a CPU keep re-ordered copies of what they read and write
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The configurations of a checkpoint's networks."""

    ar: ARConfig
    decoder: DecoderConfig
    vae: VAEConfig
    glyph: GlyphConfig
    scheduler: SchedulerConfig

    @classmethod
    def of_folder(cls, folder: Path) -> Sizes:
        """Read from a checkpoint's own files."""
        return cls(
            ar=ARConfig.from_dict(read_json(folder / "vision_language_encoder" / "config.json")),
            decoder=DecoderConfig.from_dict(read_json(folder / "transformer" / "config.json")),
            vae=VAEConfig.from_dict(read_json(folder / "vae" / "config.json")),
            glyph=GlyphConfig.from_dict(read_json(folder / "text_encoder" / "config.json")),
            scheduler=SchedulerConfig.from_dict(read_json(folder / "scheduler" / "scheduler_config.json")),
        )

    @classmethod
    def of_parts(cls, parts: GlmImageParts) -> Sizes:
        """Those of loaded networks."""
        return cls(
            ar=parts.ar.config,
            decoder=parts.decoder.config,
            vae=parts.vae.config,
            glyph=parts.glyph.config,
            scheduler=parts.scheduler,
        )

    @classmethod
    def released(cls) -> Sizes:
        """Those of the released checkpoint, before it is on disk."""
        return cls(
            ar=released.AR,
            decoder=released.DECODER,
            vae=released.VAE,
            glyph=released.GLYPH,
            scheduler=released.SCHEDULER,
        )


@dataclass(frozen=True, kw_only=True)
class ForecastInput:
    """What is to be drawn."""

    height: int
    width: int
    steps: int = 50
    pictures: int = 1
    guidance: bool = True
    reference: tuple[int, int] | None = None  # height and width of one reference picture, in pixels
    prompt_tokens: int = PROMPT_TOKENS


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Bytes: of weights and of the most that is alive beside them, stage by stage; `base` was there before."""

    base: int
    weights: Mapping[str, int]  # vision, ar, decoder, one of its blocks, all of them, small (VAE and glyph encoder)
    working: Mapping[str, int]  # vision, ar, decoder, vae
    profile: Profile

    @property
    def stages(self) -> dict[str, int]:
        """The peak within each stage."""
        w, fixed = self.weights, self.base + self.weights["small"]
        there = {"vision": w["vision"], "ar": w["ar"], "decoder": w["decoder"]}
        if self.profile == "block":
            there["decoder"] += 2 * w["block"] - w["blocks"]  # the one at work and the next
        there["vae"] = there["decoder"] if self.profile != "block" else w["decoder"] - w["blocks"]
        if self.profile == "none":
            there = dict.fromkeys(there, w["vision"] + w["ar"] + w["decoder"])
        return {stage: fixed + weights + self.working[stage] for stage, weights in there.items()}

    @property
    def peak(self) -> int:
        return max(self.stages.values())


def forecast(
    sizes: Sizes,
    work: ForecastInput,
    *,
    dtype: torch.dtype,
    device: torch.device,
    profile: Profile = "none",
    quantize: Mapping[str, str] | None = None,
    base: int = 0,
) -> Forecast:
    """Predict the peak of one call. `base` is what the process holds already, on a CPU."""
    return Forecaster(sizes, work, dtype=dtype, device=device, base=base).forecast(profile, quantize)


@dataclass(frozen=True, kw_only=True)
class Networks:
    """All networks of a checkpoint without numbers: what their weights take in any number type is read off them."""

    ar: ARGenerator
    decoder: Decoder
    vae: AutoencoderKL
    glyph: GlyphEncoder

    @classmethod
    def of(cls, sizes: Sizes) -> Networks:
        with parameters_on_meta():
            return cls(
                ar=ARGenerator(sizes.ar),
                decoder=Decoder(sizes.decoder),
                vae=AutoencoderKL(sizes.vae),
                glyph=GlyphEncoder(sizes.glyph),
            )


class Forecaster:
    """Forecasts of one call in one number type under any profile: networks are run once for all of them.

    `networks` are those of the same sizes, which forecasters in other number types may share.
    """

    def __init__(
        self,
        sizes: Sizes,
        work: ForecastInput,
        *,
        dtype: torch.dtype,
        device: torch.device,
        base: int = 0,
        networks: Networks | None = None,
    ) -> None:
        self.sizes, self.work, self.dtype, self.base = sizes, work, dtype, base
        self.on_cpu = device.type == "cpu"
        self.networks = networks or Networks.of(sizes)

    def forecast(self, profile: Profile = "none", quantize: Mapping[str, str] | None = None) -> Forecast:
        """The peak under an offload profile, with these stages quantised."""
        kinds = dict(quantize or {})
        on_cpu, ar, decoder = self.on_cpu, self.networks.ar, self.networks.decoder
        taken = partial(weight_bytes, dtype=self.dtype)
        vision = taken(ar.model.visual) + taken(ar.model.vqmodel)
        packed = _packed_bytes(ar, "ar" in kinds) if on_cpu else 0
        weights = {
            "vision": vision,
            "ar": taken(ar, "ar", kinds.get("ar")) - vision + packed,
            "decoder": taken(decoder, "decoder", kinds.get("decoder")),
            "small": taken(self.networks.vae) + taken(self.networks.glyph),
            "block": taken(decoder.blocks[0]),
            "blocks": sum(taken(block) for block in decoder.blocks),
        }
        return Forecast(
            base=self.base + ((CPU_RUNTIME + (CPU_QUANTIZING if kinds else 0)) if on_cpu else 0),
            weights=weights,
            working=self.working,
            profile=profile,
        )

    def mapped(self, kinds: Mapping[str, str], *, packs: bool) -> Forecast:
        """The peak of the process's own memory on a CPU with weights in the mapped files, these stages quantised.

        What is not of a quantised block is packed, or, without `packs`, queries, keys and values are joined.
        """
        networks, taken = self.networks, partial(weight_bytes, dtype=self.dtype)
        packed = _own_bytes(networks.ar, "ar" in kinds, packs, self.dtype)
        weights = {"vision": packed, "ar": packed, "decoder": packed, "block": 0, "blocks": 0}
        weights["small"] = taken(networks.vae) + taken(networks.glyph)
        scratch = HALVES * scratch_bytes(self.dtype) if kinds else 0
        return Forecast(base=self.base + CPU_RUNTIME + scratch, weights=weights, working=self.working, profile="map")

    @cached_property
    def working(self) -> dict[str, int]:
        """The most that is alive beside the weights, stage by stage."""
        return {
            "vision": self._vision(),
            "ar": _over_layers(self.sizes.ar.text_config.num_hidden_layers, AR_LAYERS, self._ar),
            "decoder": _over_layers(self.sizes.decoder.num_layers, DECODER_LAYERS, self._decoder),
            "vae": round(self._vae() * (CPU_CONVOLUTION if self.on_cpu else 1)),
        }

    def _vision(self) -> int:
        if self.work.reference is None:
            return 0
        text = replace(self.sizes.ar.text_config, num_hidden_layers=1)
        network = self._blank(lambda: ARGenerator(replace(self.sizes.ar, text_config=text)))
        return _vision_working(network, self.work.reference, self.on_cpu)

    def _vae(self) -> int:
        return _vae_working(self._blank(lambda: AutoencoderKL(self.sizes.vae)), self.work)

    def _ar(self, layers: int) -> int:
        text = replace(self.sizes.ar.text_config, num_hidden_layers=layers)
        config = replace(self.sizes.ar, text_config=text, vision_config=NO_VISION, vq_config=NO_CODES)
        network = self._blank(lambda: ARGenerator(config))
        return _ar_working(network, self.work, self.on_cpu)

    def _decoder(self, layers: int) -> int:
        network = self._blank(lambda: Decoder(replace(self.sizes.decoder, num_layers=layers)))
        return _decoder_working(network, self.sizes, self.work, self.on_cpu)

    def _blank(self, build: Callable[[], N]) -> N:
        """A network without numbers, in this number type."""
        with parameters_on_meta():
            network = build()
        return network.to("meta", self.dtype).requires_grad_(False)


def _over_layers(layers: int, short: tuple[int, int], working: Callable[[int], int]) -> int:
    """Bytes of a network by its number of layers: counted, or continued from two short ones."""
    few, more = short
    if layers <= more:
        return working(layers)
    first, second = working(few), working(more)
    return first + (second - first) * (layers - few) // (more - few)


def weight_bytes(
    network: nn.Module, stage: str | None = None, kind: str | None = None, *, dtype: torch.dtype | None = None
) -> int:
    """Bytes of a network's parameters and buffers, with the layers of a quantised stage at their rounded size.

    `dtype`: the number type that it will have, if another.
    """
    total = 0
    for name, tensor in network.state_dict().items():
        module, _, leaf = name.rpartition(".")
        if stage is not None and kind is not None and leaf == "weight" and is_quantized(stage, module):
            rows, columns = tensor.shape
            scales = rows * (2 * -(-columns // INT4_GROUP) if kind == "int4" else 1)
            total += tensor.numel() * BITS[kind] // 8 + scales * 4
        else:
            kept = tensor.dtype if dtype is None or not tensor.dtype.is_floating_point else dtype
            total += tensor.numel() * kept.itemsize
    return total


class LiveBytes(TorchDispatchMode):
    """Follows the storages that operations inside make: how many bytes are alive, and the most that ever were.

    The weights of `network` do not count, nor do views of them.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.alive = self.most = 0
        self._weights = [tensor.untyped_storage() for tensor in (*network.parameters(), *network.buffers())]
        self._known = {storage._cdata for storage in self._weights}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to mark itself for the compiler, a mode would import all of it."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return result

    def _follow(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        self._known.add(key)
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


class _Kernels(TorchFunctionMode):
    """Fused kernels as they are on the device: attention keeps no scores, and on a CPU GELU needs no second tensor."""

    def __init__(self, on_cpu: bool) -> None:
        super().__init__()
        self._on_cpu = on_cpu

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            query, value = args[0], args[2]
            if self._on_cpu:
                query.new_empty((3, *query.shape), dtype=torch.float32)  # queries, keys and values, head by head
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        if func is F.gelu and self._on_cpu:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _counting(network: nn.Module, on_cpu: bool) -> Iterator[LiveBytes]:
    torch.empty(1, device="meta").add(1)  # what torch imports for the first such operation makes tensors, too
    with torch.no_grad(), _Kernels(on_cpu), LiveBytes(network) as counter:
        yield counter


def _packed_bytes(ar: ARGenerator, quantized: bool) -> int:
    """The decode path's own copy of the matrices in 16 bits, on a CPU; quantised ones are read as they are."""
    if not can_pack():
        return 0
    layers: Any = ar.model.language_model.layers
    matrices = [part.weight for layer in layers for part in layer.modules() if isinstance(part, nn.Linear)]
    if quantized:
        matrices = [getattr(layer.self_attn, f"{name}_proj").weight for layer in layers for name in "qkv"]
    else:
        matrices.append(ar.lm_head.weight)
    return sum(2 * matrix.numel() for matrix in matrices)


def _own_bytes(ar: ARGenerator, quantized: bool, packs: bool, dtype: torch.dtype) -> int:
    """What decoding keeps of a mapped generator: packed matrices, or joined ones of attention."""
    layers: Any = list(ar.model.language_model.layers)
    if quantized and len(layers) > 2:
        layers = [layers[0], layers[-1]]
    if packs and can_pack():
        matrices = [part.weight for layer in layers for part in layer.modules() if isinstance(part, nn.Linear)]
        matrices.append(ar.lm_head.weight)
        largest = max(matrix.numel() for matrix in matrices)
        return sum(2 * matrix.numel() for matrix in matrices) + 4 * largest  # and the scratch of packing
    joined = [getattr(layer.self_attn, f"{name}_proj").weight for layer in layers for name in "qkv"]
    return sum(dtype.itemsize * matrix.numel() for matrix in joined)


def _vision_working(ar: ARGenerator, reference: tuple[int, int], on_cpu: bool) -> int:
    """The ViT on one reference picture at half its size, then the distances of its features to every code, fp32."""
    half = (reference[0] // 2, reference[1] // 2)
    with _counting(ar, on_cpu) as counter:
        features = ar.model.visual(torch.empty(1, 3, *half, dtype=ar.lm_head.weight.dtype, device="meta"))
    return max(counter.most, 2 * features.shape[1] * ar.config.vq_config.num_embeddings * 4)


def _ar_working(ar: ARGenerator, work: ForecastInput, on_cpu: bool) -> int:
    """Prefill of one prompt, and the caches of all pictures while their tokens are drawn."""
    text = ar.config.text_config
    semantic_tokens = work.height // 32 * (work.width // 32)
    preview = 0 if work.reference else 256
    read = work.prompt_tokens + (0 if work.reference is None else work.reference[0] // 32 * (work.reference[1] // 32))
    numbers = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_width
    per_token = numbers * ar.lm_head.weight.itemsize
    slot = -(-(read + preview + semantic_tokens) // SLOT_STEP) * SLOT_STEP * (numbers * 4 if on_cpu else per_token)
    with _counting(ar, on_cpu) as counter:
        ids = torch.empty(1, read, dtype=torch.long, device="meta")
        cache = ar.make_cache(1, read)
        ar(ids, ids.expand(3, 1, read), cache=cache)
    logits = 4 * work.pictures * 4 * text.vision_vocab_size  # fp32, sorted, summed
    return max(counter.most, read * per_token + work.pictures * slot + logits)


def _decoder_working(decoder: Decoder, sizes: Sizes, work: ForecastInput, on_cpu: bool) -> int:
    """Preparation and one step; on a CPU every picture of a call is prepared and they take turns in a step."""
    cells = work.height // sizes.vae.scale_factor, work.width // sizes.vae.scale_factor
    tokens = cells[0] // 2 * (cells[1] // 2)
    dtype = decoder.proj_out.weight.dtype
    rows = 1 if on_cpu else work.pictures
    with _counting(decoder, on_cpu) as counter:
        glyphs = torch.empty(GLYPHS, sizes.glyph.d_model, dtype=dtype, device="meta")
        picture = DenoiseInput(
            prior_ids=torch.empty(tokens, dtype=torch.long, device="meta"),
            glyphs=glyphs,
            no_glyphs=glyphs,
            references=_reference(decoder, sizes, work),
        )
        denoiser = Denoiser(
            decoder=decoder,
            schedule=schedule(sizes.scheduler, tokens, work.steps),
            guidance_scale=1.5 if work.guidance else 1.0,
            size=(work.height, work.width),
            pictures_per_pass=rows,
        )
        denoiser.prepare([picture] * work.pictures, cells)
        latents = torch.empty(rows, sizes.decoder.in_channels, *cells, dtype=torch.float32, device="meta")
        denoiser.velocity_of(denoiser.passes[0], latents, 0, work.guidance)
    return counter.most


def _reference(decoder: Decoder, sizes: Sizes, work: ForecastInput) -> tuple[list[KeyValue], ...]:
    if work.reference is None:
        return ()
    cells = work.reference[0] // sizes.vae.scale_factor, work.reference[1] // sizes.vae.scale_factor
    ids = torch.empty(1, cells[0] // 2 * (cells[1] // 2), dtype=torch.long, device="meta")
    latent = torch.empty(1, sizes.decoder.in_channels, *cells, device="meta")
    return (decoder.encode_reference(latent, ids, torch.empty(1, 2, device="meta")),)


def _vae_working(vae: AutoencoderKL, work: ForecastInput) -> int:
    """One picture, or one tile of it and the picture; all pictures of the call are kept in fp32."""
    cells = work.height // vae.config.scale_factor, work.width // vae.config.scale_factor
    whole = work.height * work.width * 3 * 4
    tiled = work.height * work.width > TILED_AREA
    shape = (min(cells[0], TILE), min(cells[1], TILE)) if tiled else cells
    with _counting(vae, on_cpu=False) as counter:
        weight = next(vae.parameters())
        vae.decode(torch.empty(1, vae.config.latent_channels, *shape, dtype=weight.dtype, device="meta"))
    return counter.most + (work.pictures + 1 + tiled) * whole
