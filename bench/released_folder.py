"""A checkpoint folder of the released sizes with random weights, from configurations alone and in little memory.

    python -m bench.released_folder /tmp/half --depth half          # 15 and 20 layers: 18 GB
    python -m bench.released_folder /tmp/whole                      # 35 GB
    python -m bench.released_folder /tmp/see --kind glm-4.1v        # 21 GB
    python -m bench.released_folder /tmp/tiny --kind tiny           # nano's sizes, to see the script run

Tensor after tensor is written (`models.tensor_writer`); at most one is in memory. Time and memory of a run do not
depend on the values of the weights: they are drawn from one pool of normal numbers, norms are ones and biases zeros.
The tokenizer is a small one trained on the spot with the released number of semantic codes, so that text ids are not
the released ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from bench import released
from torch import Tensor, nn

from inkwash.core.files import write_json
from inkwash.engine.memory import Sizes
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image import folder as layout
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, train_bpe, write_processor_files
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_v import tokenizer_files as see_files
from inkwash.models.glm_v.config import GlmVConfig, GlmVVisionConfig, TextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.tensor_writer import TensorEntry, TensorWriter
from inkwash.models.weights import parameters_on_meta

Depth = Literal["whole", "half", "two"]
POOL, STD = 2**25, 0.02
LINES = ('A poster that says "HELLO" in red on a yellow background with two blue circles.',) * 40
TIED = ("encoder.embed_tokens.weight",)  # a second name of the glyph encoder's table
LEAST, MOST = 512**2, 2048**2  # pixels of a reference picture


class Pool:
    """Random tensors cut from one pool of normal numbers, each from another place."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._pool = torch.randn(POOL, generator=self._generator).mul_(STD).to(torch.bfloat16)

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        count = torch.Size(shape).numel()
        at = int(torch.randint(max(1, POOL - count), (1,), generator=self._generator))
        if at + count <= POOL:
            return self._pool[at : at + count].view(shape)
        return self._pool.repeat(-(-count // POOL))[:count].view(shape)


def write_network(build: Callable[[], nn.Module], folder: Path, base: str, pool: Pool, shard_bytes: int) -> int:
    """All tensors of a network's state; returns the bytes written."""
    with parameters_on_meta():
        state = build().state_dict()
    state = {name: tensor for name, tensor in state.items() if name not in TIED}
    kinds = {
        name: TensorEntry(dtype=torch.bfloat16 if each.is_floating_point() else each.dtype, shape=tuple(each.shape))
        for name, each in state.items()
    }
    with TensorWriter(folder, base, kinds, max_shard_bytes=shard_bytes) as writer:
        for name in writer.names:
            writer.write(name, value_of(name, kinds[name], state[name], pool))
    return sum(kind.nbytes for kind in kinds.values())


def value_of(name: str, kind: TensorEntry, built: Tensor, pool: Pool) -> Tensor:
    """Ones for norms, zeros for biases, what the network computes itself for tables, random numbers otherwise."""
    if not built.is_meta:
        return built.to(kind.dtype)
    if name.endswith("bias"):
        return torch.zeros(kind.shape, dtype=kind.dtype)
    if len(kind.shape) == 1:
        return torch.ones(kind.shape, dtype=kind.dtype)
    return pool(kind.shape).to(kind.dtype)


def halved(sizes: Sizes, depth: Depth) -> Sizes:
    """The same widths with half of the layers, or with two."""
    if depth == "whole":
        return sizes
    text, decoder, vision = sizes.ar.text_config, sizes.decoder, sizes.ar.vision_config
    few = {"half": lambda layers: layers // 2, "two": lambda _: 2}[depth]
    ar = replace(
        sizes.ar,
        text_config=replace(text, num_hidden_layers=few(text.num_hidden_layers)),
        vision_config=replace(vision, depth=few(vision.depth)),
    )
    return replace(sizes, ar=ar, decoder=replace(decoder, num_layers=few(decoder.num_layers)))


def write_image_folder(folder: Path, sizes: Sizes, *, seed: int = 0, shard_bytes: int = 2 * 10**9) -> int:
    """A whole GLM-Image folder of these sizes; returns the bytes of its weights."""
    codes = sizes.ar.vq_config.num_embeddings
    bpe = train_bpe(LINES, vocab_size=codes + 1000, codes=codes)
    write_processor_files(folder / "processor", bpe, codes=codes, min_pixels=LEAST, max_pixels=MOST)
    pad, image = bpe.token_to_id(END_OF_TEXT), bpe.token_to_id(IMAGE)
    assert pad is not None and image is not None
    text = replace(sizes.ar.text_config, pad_token_id=pad, eos_token_id=codes + 1)
    ar = replace(sizes.ar, text_config=text, image_token_id=image)
    pool, total = Pool(seed), 0
    networks: dict[str, tuple[Callable[[], nn.Module], dict[str, object]]] = {
        "vision_language_encoder": (lambda: ARGenerator(ar), ar.to_dict()),
        "transformer": (lambda: Decoder(sizes.decoder), sizes.decoder.to_dict()),
        "vae": (lambda: AutoencoderKL(sizes.vae), sizes.vae.to_dict()),
        "text_encoder": (lambda: GlyphEncoder(sizes.glyph), sizes.glyph.to_dict()),
    }
    for name, (build, config) in networks.items():
        part = layout.PARTS[name]
        total += write_network(build, folder / name, part.weights_name, pool, shard_bytes)
        write_json(folder / name / part.config_file, {**config, "dtype": "bfloat16"})
    for name in ("tokenizer", "scheduler"):
        (folder / name).mkdir(exist_ok=True)
    write_json(folder / "tokenizer" / "tokenizer_config.json", layout.byte_tokenizer_config())
    write_json(folder / "scheduler" / "scheduler_config.json", sizes.scheduler.to_dict())
    settings = layout.generation_config(end=codes + 1, pad=pad, vision_vocab_size=text.vision_vocab_size)
    write_json(folder / "vision_language_encoder" / layout.GENERATION_FILE, settings)
    write_json(folder / layout.INDEX_FILE, layout.pipeline_index())
    return total


def see_config(processor: GlmVProcessor, *, layers: int = 40, depth: int = 24) -> GlmVConfig:
    """The sizes of GLM-4.1V-9B around the ids of a tokenizer."""
    token = processor.token_id
    stops = tuple(token(name) for name in see_files.STOPS)
    text = TextConfig(
        vocab_size=151552,
        hidden_size=4096,
        intermediate_size=13696,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=2,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(8, 12, 12)),
        max_position_embeddings=65536,
        pad_token_id=stops[0],
        eos_token_id=stops,
    )
    vision = GlmVVisionConfig(
        depth=depth,
        hidden_size=1536,
        num_heads=12,
        out_hidden_size=4096,
        intermediate_size=13696,
        image_size=336,
        patch_size=14,
    )
    return GlmVConfig(
        model_type="glm4v",
        text_config=text,
        vision_config=vision,
        image_token_id=token("<|image|>"),
        video_token_id=token("<|video|>"),
        image_start_token_id=token("<|begin_of_image|>"),
        image_end_token_id=token("<|end_of_image|>"),
        video_start_token_id=token("<|begin_of_video|>"),
        video_end_token_id=token("<|end_of_video|>"),
    )


def write_see_folder(folder: Path, depth: Depth, *, seed: int = 0, shard_bytes: int = 2 * 10**9) -> int:
    """A whole folder of GLM-4.1V-9B's sizes; returns the bytes of its weights."""
    bpe = see_files.train_bpe(LINES, vocab_size=1024)
    see_files.write_processor_files(folder, bpe, patch_size=14, merge_size=2, min_pixels=112**2, max_pixels=2200**2)
    layers, vision = {"whole": (40, 24), "half": (20, 12), "two": (2, 2)}[depth]
    config = see_config(GlmVProcessor.from_folder(folder), layers=layers, depth=vision)
    total = write_network(lambda: GlmV(config), folder, "model", Pool(seed), shard_bytes)
    write_json(folder / "config.json", {**config.to_dict(), "dtype": "bfloat16"})
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=("glm-image", "glm-4.1v", "tiny"), default="glm-image")
    parser.add_argument("--depth", choices=("whole", "half", "two"), default="whole")
    given = parser.parse_args()
    start = time.perf_counter()
    if given.kind == "glm-4.1v":
        total = write_see_folder(given.folder, given.depth)
    else:
        sizes = Sizes.released() if given.kind == "glm-image" else released.tiny()
        total = write_image_folder(given.folder, halved(sizes, given.depth))
    print(f"{total / 1e9:.2f} GB of weights in {given.folder}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
