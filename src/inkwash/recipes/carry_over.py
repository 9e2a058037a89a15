"""A finished checkpoint of nano carried over to another tokenizer and to deeper networks.

Every new code starts with the mean of what the old codes of the same cells knew, every text token with the row of the
same text, added layers as the identity.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.data.code_labels import label_codes
from inkwash.data.scenes import LabelledScenes, PictureBatches
from inkwash.models.glm_image import ar, decoder
from inkwash.models.glm_image.ar import ARGenerator, VisionEncoder, VQModel
from inkwash.models.glm_image.code_labels import CodeLabels
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.processor import CELL as TOKEN_PIXELS
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import TokenLayout
from inkwash.models.glm_image.weights import GlmImageParts, save_pipeline_parts
from inkwash.recipes.nano_parts import frozen_parts_of, generator_config, load_tokenizer
from inkwash.train.decoder import LATENT_PIXELS
from inkwash.train.tokenizer import token_grid

VisionParts = tuple[VisionEncoder, VQModel]


def carry_over(
    work: Path, old: GlmImageParts, processor: GlmImageProcessor, cells: LabelledScenes, pictures: int
) -> Path:
    """A finished checkpoint with the tokenizer of `work`/tokenizer and the processor's text tokens: `work`/start.

    Which codes of both codebooks mean the same is counted on `pictures` of `cells`.
    """
    vision = load_tokenizer(work)
    seen = _met(old.ar, vision, cells, pictures)
    print(f"{int((seen.sum(1) > 0).sum())} of {len(seen)} codes seen", flush=True)
    generator = _carried_ar(old, processor, vision, seen)
    grown = _carried_decoder(old.decoder, seen)
    parts = replace(old, ar=generator, decoder=grown, processor=processor, generation={})  # it names the new ids
    return save_pipeline_parts(parts, work / "start")


@torch.no_grad()
def _met(old: ARGenerator, vision: VisionParts, cells: LabelledScenes, pictures: int) -> Tensor:
    """How often a cell that has a new code had each of the old ones: (new, old)."""
    counts = torch.zeros(vision[1].config.num_embeddings, old.config.vq_config.num_embeddings)
    for step in range(pictures // cells.batch):
        half = torch.as_tensor(cells(step)["pixels"])
        new = token_grid(*vision, half).flatten()
        was = token_grid(old.model.visual, old.model.vqmodel, half).flatten()
        counts.index_put_((new, was), torch.ones(len(new)), accumulate=True)
    return counts


def carried_rows(old: Tensor, seen: Tensor) -> Tensor:
    """A row for every new code: the mean of the rows of the old codes that it met, all of them alike if it met none."""
    weight = torch.where(seen.sum(1, keepdim=True) > 0, seen, torch.ones_like(seen))
    return (weight / weight.sum(1, keepdim=True)) @ old[: seen.shape[1]].float()


def _carried_ar(old: GlmImageParts, processor: GlmImageProcessor, vision: VisionParts, seen: Tensor) -> ARGenerator:
    tokens: Tokenizer = processor.tokenizer
    codes = len(seen)
    layout, former = TokenLayout(codes=codes), TokenLayout(codes=old.ar.config.vq_config.num_embeddings)
    config = generator_config(processor, codes)
    depth = old.ar.config.text_config.num_hidden_layers
    model = ARGenerator(replace(config, text_config=replace(config.text_config, num_hidden_layers=depth)))
    ar.init_weights(model)
    carried = {
        name: value
        for name, value in old.ar.state_dict().items()
        if not name.startswith(("model.visual.", "model.vqmodel.", "lm_head.", "model.language_model.embed_tokens."))
    }
    model.load_state_dict(carried, strict=False)
    model.model.visual.load_state_dict(vision[0].state_dict())
    model.model.vqmodel.load_state_dict(vision[1].state_dict())
    table, was = model.model.language_model.embed_tokens.weight, old.ar.model.language_model.embed_tokens.weight
    head, head_was = model.lm_head.weight, old.ar.lm_head.weight
    with torch.no_grad():
        table[:codes], head[:codes] = carried_rows(was, seen), carried_rows(head_was, seen)
        for new, place in ((layout.image_start, former.image_start), (layout.image_end, former.image_end)):
            table[new], head[new] = was[place], head_was[place]
        for token, number in tokens.get_vocab().items():
            text = old.processor.tokenizer.token_to_id(token)
            if number >= layout.vision_vocab_size and text is not None:
                table[number] = was[text]
    return model


def _carried_decoder(old: Decoder, seen: Tensor) -> Decoder:
    model = Decoder(replace(old.config, prior_vq_quantizer_codebook_size=len(seen)))
    decoder.init_weights(model)
    state = old.state_dict()
    table = state.pop("prior_token_embedding.weight")
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        model.prior_token_embedding.weight.copy_(carried_rows(table, seen))
    return model


def labelled(generator: ARGenerator, cells: LabelledScenes, batches: int) -> CodeLabels:
    """What the codes of a generator's tokenizer show in so many batches of labelled scenes."""
    network = generator.model

    def encode(half: NDArray[Any]) -> NDArray[np.int64]:
        return token_grid(network.visual, network.vqmodel, torch.as_tensor(half)).numpy()

    return CodeLabels(**label_codes(encode, map(cells, range(batches)), network.vqmodel.config.num_embeddings))


@torch.no_grad()
def add_looks(parts: GlmImageParts, data: PictureBatches, steps: int) -> Tensor:
    """Add the mean latents of every code's cells, turned at random, to its row in the decoder's table.

    The table learns only where a code occurs, and of many codes most are rare. So every row begins with what its cells
    look like, which one readout, shared by all codes, turns into a picture. The deviation from the mean of all cells
    gets the spread that the table has. Returns how often each code was met.
    """
    frozen = frozen_parts_of(parts)
    table = parts.decoder.prior_token_embedding.weight
    cell = TOKEN_PIXELS // LATENT_PIXELS
    sums = torch.zeros(len(table), cell * cell * parts.vae.config.latent_channels)
    counts = torch.zeros(len(table))
    for step in range(steps):
        batch = data(step)
        looks = frozen.latents(torch.as_tensor(batch["pixels"]))
        ids = frozen.tokens(torch.as_tensor(batch["half"])).flatten()
        sums.index_add_(0, ids, rearrange(looks, "b c (h p) (w q) -> (b h w) (c p q)", p=cell, q=cell))
        counts.index_add_(0, ids, torch.ones(len(ids)))
    met = counts > 0
    means = sums[met] / counts[met, None]
    means -= sums.sum(0) / counts.sum()
    turned = means @ random_rotation(means.shape[1], table.shape[1])
    table[met] += (turned * (table.std() / turned.std())).to(table.dtype)
    return counts


def random_rotation(rows: int, columns: int) -> Tensor:
    """Orthonormal rows or columns, whichever are fewer."""
    generator = torch.Generator().manual_seed(0)
    side = max(rows, columns)
    turn, _ = torch.linalg.qr(torch.randn(side, side, generator=generator))
    return turn[:rows, :columns]


def deepened(parts: GlmImageParts, *, ar_layers: int, decoder_layers: int) -> GlmImageParts:
    """The same functions with more layers: new ones stand between the old ones and begin as the identity.

    A new AR layer is a copy of the one before it whose outputs are scaled by norms of weight zero; a new decoder block
    is a copy whose modulations, gates included, are zero.
    """
    text = parts.ar.config.text_config
    taller = replace(text, num_hidden_layers=ar_layers)
    generator = ARGenerator(replace(parts.ar.config, text_config=taller))
    zeroed = ("post_self_attn_layernorm.weight", "post_mlp_layernorm.weight")
    layers = (text.num_hidden_layers, ar_layers)
    generator.load_state_dict(spread(parts.ar.state_dict(), "model.language_model.layers.", *layers, zeroed))
    deeper = Decoder(replace(parts.decoder.config, num_layers=decoder_layers))
    zeroed = ("norm1.linear.weight", "norm1.linear.bias")
    layers = (parts.decoder.config.num_layers, decoder_layers)
    deeper.load_state_dict(spread(parts.decoder.state_dict(), "transformer_blocks.", *layers, zeroed))
    return replace(parts, ar=generator, decoder=deeper)


def spread(state: dict[str, Tensor], prefix: str, old: int, new: int, zeroed: tuple[str, ...]) -> dict[str, Tensor]:
    """The state of a stack of `old` layers as one of `new`, evenly spread; parameters that end in `zeroed` of added
    layers are zero.
    """
    sources = [round((i + 0.5) * old / new - 0.5) for i in range(new)]
    made = {name: value for name, value in state.items() if not name.startswith(prefix)}
    for i, source in enumerate(sources):
        here = f"{prefix}{source}."
        added = i > 0 and sources[i - 1] == source
        for name, value in state.items():
            if name.startswith(here):
                rest = name.removeprefix(here)
                made[f"{prefix}{i}.{rest}"] = torch.zeros_like(value) if added and rest in zeroed else value.clone()
    return made
