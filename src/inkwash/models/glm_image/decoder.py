"""The diffusion decoder: from prior tokens, glyph embeddings and noise to the velocity of a flow-matching step.

A single-stream transformer. Image tokens (2x2 latent cells) and glyph tokens share every matrix; each kind has its
own AdaLN shift, scale and gate. Reference pictures enter as keys and values computed once at timestep 0.
`Decoder.forward` is the plain pass for training; `prepare` + `step` do the step-independent work once and are held
to `forward` by test. Parameter names are those of the released checkpoint's `transformer/` folder.
Sources: DiT, arXiv:2212.09748; QK norm, arXiv:2302.05442; rotary positions, arXiv:2104.09864.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.config import DecoderConfig
from inkwash.models.glm_image.decoder_blocks import (
    PLAIN,
    Block,
    BlockKernels,
    FeedForward,
    ImageProjector,
    KeyGroup,
    KeyValue,
    Modulation,
    References,
    Rotary,
    TimeConditionEmbed,
    attend_groups,
    key_groups,
    modulated_norm,
    pack_right,
    step_modulation,
    step_rotary,
)
from inkwash.models.weights import ReferencePart
from inkwash.nn.attention import image_rotary
from inkwash.nn.linear import is_plain

WrapBlocks: TypeAlias = Callable[[int, Tensor, Callable[[Tensor], Tensor]], Tensor]
Stream: TypeAlias = Callable[[Sequence[Block]], Iterator[Block]]


@dataclass(frozen=True, kw_only=True)
class DecoderConditions:
    """Everything about a drawing that no step changes, made by `Decoder.prepare`."""

    glyph: Tensor  # (B, Lg, D) projected
    prior: Tensor  # (B, N, D) projected
    rotary: Rotary
    modulations: tuple[Tensor, ...]  # per block (steps, B or 1, 12, D), 1 added to the scales
    final: Tensor  # (steps, B or 1, 2, D)
    groups: tuple[KeyGroup, ...]
    references: References | None

    @property
    def steps(self) -> int:
        return self.final.shape[0]

    def part(self, start: int, stop: int) -> DecoderConditions:
        """The conditions of some rows alone, without glyph padding that none of them needs."""
        groups = [group for group in self.groups if group.start < stop and group.stop > start]
        spare = min(group.skip for group in groups)
        rows = slice(start, stop) if self.final.shape[1] > 1 else slice(0, 1)  # one row serves all
        assert start == 0 or not any(group.seen for group in groups), "references belong to the first rows"
        return replace(
            self,
            glyph=self.glyph[start:stop, spare:],
            prior=self.prior[start:stop],
            modulations=tuple(each[:, rows] for each in self.modulations),
            final=self.final[:, rows],
            groups=tuple(
                replace(
                    group,
                    start=max(group.start, start) - start,
                    stop=min(group.stop, stop) - start,
                    skip=group.skip - spare,
                )
                for group in groups
            ),
            references=self.references if start == 0 else None,
        )


class Decoder(ReferencePart):
    """The diffusion transformer of GLM-Image."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.image_projector = ImageProjector(config)
        self.glyph_projector = FeedForward(config.text_embed_dim, width, width, "gelu")
        self.prior_token_embedding = nn.Embedding(config.prior_vq_quantizer_codebook_size, width)
        self.prior_projector = FeedForward(width, width, width, "silu")
        self.time_condition_embed = TimeConditionEmbed(config)
        self.transformer_blocks = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.norm_out = Modulation(config.time_embed_dim, width, 2)
        self.proj_out = nn.Linear(width, config.out_channels * config.patch_size**2)
        self.kernels: BlockKernels = PLAIN  # of a block at inference; compiled ones may be put here
        self.stream: Stream | None = None  # brings blocks into place one by one, where they do not all fit

    @property
    def blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.transformer_blocks))

    def forward(
        self,
        latents: Tensor,
        glyphs: Tensor,
        prior_ids: Tensor,
        timestep: Tensor,
        target_size: Tensor,
        crop: Tensor,
        *,
        glyph_mask: Tensor | None = None,
        prior_drop: Tensor | None = None,
        references: References | None = None,
    ) -> Tensor:
        """Velocity (B, C, H, W) of noisy latents (B, C, H, W).

        glyphs (B, Lg, text_embed_dim) with bool glyph_mask (B, Lg), False where padded; prior_ids (B, N) on the
        grid of patches, dropped where prior_drop (B,) is True; timestep (B,) from 0 to the number of training
        timesteps less one; target_size and crop (B, 2) in pixels, height first.
        """
        grid = self._grid(latents, prior_ids)
        image = self.image_projector(latents) + self.project_prior(prior_ids, prior_drop)
        glyph = self.project_glyphs(glyphs)
        condition = self.time_condition_embed(timestep, target_size, crop)
        rotary = image_rotary(*grid, self.config.attention_head_dim, device=latents.device)
        # which keys of the joint sequence exist (B, Lg + N), or None for all
        mask = None if glyph_mask is None else F.pad(glyph_mask.bool(), (0, image.shape[1]), value=True)
        for layer, block in enumerate(self.blocks):
            image, glyph = block(image, glyph, condition, rotary, mask, references, layer)
        return self.unpatch(self.project(image, self.norm_out(condition)), latents.shape)

    def project_glyphs(self, glyphs: Tensor) -> Tensor:
        """Glyph embeddings (B, Lg, text_embed_dim) as tokens (B, Lg, D)."""
        return self.glyph_projector(glyphs.to(self.proj_out.weight.dtype))

    def project_prior(self, prior_ids: Tensor, prior_drop: Tensor | None = None) -> Tensor:
        """Prior token ids (B, N) as an addition to the image tokens (B, N, D); a dropped row embeds as zeros."""
        embedded = self.prior_token_embedding(prior_ids)
        if prior_drop is not None:
            embedded = embedded.masked_fill(prior_drop[:, None, None], 0.0)
        return self.prior_projector(embedded)

    def encode_reference(self, latent: Tensor, prior_ids: Tensor, target_size: Tensor) -> list[KeyValue]:
        """Keys and values (B, heads, N, head_dim) of reference pictures, one pair for each layer.

        latent (B, C, H, W) clean and normalised, prior_ids (B, N) its own semantic tokens, target_size (B, 2) its
        size in pixels. Collect them for a batch with `References.collect`.
        """
        grid = self._grid(latent, prior_ids)
        image = self.image_projector(latent) + self.project_prior(prior_ids)
        glyph = image[:, :0]
        zeros = target_size.new_zeros(target_size.shape)
        condition = self.time_condition_embed(zeros[:, 0], target_size, zeros)
        rotary = image_rotary(*grid, self.config.attention_head_dim, device=latent.device)
        kept: list[KeyValue] = []
        for block in self._walk():
            image, glyph = block(image, glyph, condition, rotary, keep=kept)
        return kept

    @torch.no_grad()
    def prepare(
        self,
        glyphs: Tensor,
        prior_ids: Tensor,
        timesteps: Tensor,
        target_size: Tensor,
        crop: Tensor,
        *,
        size: tuple[int, int],
        glyph_mask: Tensor | None = None,
        prior_drop: Tensor | None = None,
        references: References | None = None,
    ) -> DecoderConditions:
        """Do once what no step changes; `size` is (H, W) of the latents, timesteps (steps,) one for each step.

        With guidance the rows are the conditional ones first, then the unconditional ones. A target_size and a crop of
        one row serve all.
        """
        grid = size[0] // self.config.patch_size, size[1] // self.config.patch_size
        if grid[0] * grid[1] != prior_ids.shape[1]:
            raise ConfigError(f"{prior_ids.shape[1]} prior tokens do not fill a grid of {grid[0]}x{grid[1]} patches.")
        if len(target_size) > 1 and bool((target_size == target_size[:1]).all() & (crop == crop[:1]).all()):
            target_size, crop = target_size[:1], crop[:1]  # one modulation serves all rows
        steps, rows, each = timesteps.shape[0], prior_ids.shape[0], len(target_size)
        times = timesteps.repeat_interleave(each)
        condition = self.time_condition_embed(times, target_size.repeat(steps, 1), crop.repeat(steps, 1))
        skips, seen = [0] * rows, [0] * rows if references is None else references.lengths(rows)
        if glyph_mask is not None:
            glyphs, skips = pack_right(glyphs, glyph_mask.bool())
        return DecoderConditions(
            glyph=self.project_glyphs(glyphs),
            prior=self.project_prior(prior_ids, prior_drop),
            rotary=step_rotary(image_rotary(*grid, self.config.attention_head_dim, device=prior_ids.device)),
            modulations=tuple(
                step_modulation(block.norm1(condition).unflatten(0, (steps, each))) for block in self._walk()
            ),
            final=self.norm_out(condition).unflatten(0, (steps, each)),
            groups=key_groups(skips, seen),
            references=references,
        )

    @torch.no_grad()
    def step(
        self, latents: Tensor, conditions: DecoderConditions, i: int, wrap_blocks: WrapBlocks | None = None
    ) -> Tensor:
        """Velocity of step i for latents (B, C, h, w); rows fewer than the conditions' are repeated to fill them.

        `wrap_blocks` may wrap or replace all blocks but the first: it is called with i, the tokens after the first
        block (B, glyphs + N, D) and a function that runs the rest on them, in place.
        """
        x, glyphs = self.embed(latents, conditions), conditions.glyph.shape[1]
        x = self.pass_blocks(x, conditions, i, wrap_blocks)
        return self.unpatch(self.project(x[:, glyphs:], conditions.final[i]), latents.shape)

    def embed(self, latents: Tensor, conditions: DecoderConditions, images: slice = slice(None)) -> Tensor:
        """Tokens (B, glyphs + N, D) before the first block; `images`: which of the N image tokens are wanted."""
        image = self.image_projector(latents)[:, images]
        image = image.repeat(conditions.prior.shape[0] // image.shape[0], 1, 1) + conditions.prior
        return image if conditions.glyph.shape[1] == 0 else torch.cat([conditions.glyph, image], dim=1)

    def pass_blocks(
        self,
        x: Tensor,
        conditions: DecoderConditions,
        i: int,
        wrap_blocks: WrapBlocks | None = None,
        attend: Callable[..., Tensor] = attend_groups,
    ) -> Tensor:
        """Tokens through all blocks, in place; `attend` looks from queries to keys and values of the same tokens."""
        blocks, glyphs, kernels = enumerate(self._walk()), conditions.glyph.shape[1], self.kernels

        def run(tokens: Tensor, count: int) -> Tensor:
            for layer, block in islice(blocks, count):
                modulation = conditions.modulations[layer][i]
                heads = attend(  # queries, keys and values have no name, which would keep them through the next block
                    *kernels.before(block, tokens, glyphs, modulation, conditions.rotary),
                    groups=conditions.groups,
                    references=conditions.references,
                    layer=layer,
                )
                tokens = kernels.after(block, tokens, heads, glyphs, modulation)
                del heads
            return tokens

        rest = self.config.num_layers - 1
        x = run(x, 1)
        return run(x, rest) if wrap_blocks is None else wrap_blocks(i, x, lambda tokens: run(tokens, rest))

    def _walk(self) -> Iterator[Block]:
        """The blocks in order, each with its weights in place when it is handed out."""
        return iter(self.blocks) if self.stream is None else self.stream(self.blocks)

    def _grid(self, latents: Tensor, prior_ids: Tensor) -> tuple[int, int]:
        height, width = latents.shape[2:]
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise ConfigError(f"Latents of {height}x{width} cells do not divide into patches of {patch}x{patch}.")
        grid = height // patch, width // patch
        if grid[0] * grid[1] != prior_ids.shape[1]:
            raise ConfigError(f"{prior_ids.shape[1]} prior tokens do not fill a grid of {grid[0]}x{grid[1]} patches.")
        return grid

    def project(self, image: Tensor, modulation: Tensor) -> Tensor:
        """Final AdaLN (scale first, then shift) and projection: image tokens as the numbers of their patches."""
        scale, shift = modulation.unbind(1)
        tokens: Tensor = self.proj_out(modulated_norm(image, shift, scale))
        return tokens

    def unpatch(self, tokens: Tensor, shape: Sequence[int]) -> Tensor:
        """All patches of pictures as latents of the height and width that end `shape`."""
        patch = self.config.patch_size
        height, width = shape[2] // patch, shape[3] // patch
        return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=height, w=width, p=patch, q=patch)


def fuse_qkv(decoder: Decoder) -> None:
    """Store each block's query, key and value matrices in one, for one product at inference.

    `to_q`, `to_k` and `to_v` become views into the fused matrix: no memory is added, state dicts keep their names and
    training, which ignores the fused matrix, keeps working. A move or a cast of the module undoes it.
    """
    for block in decoder.blocks:
        fuse_block(block)


def fuse_block(block: Block) -> None:
    """`fuse_qkv` for one block; one that is adapted or quantised from outside is left alone."""
    attn = block.attn1
    layers = [attn.to_q, attn.to_k, attn.to_v]
    if any(type(layer) is not nn.Linear or not is_plain(layer.weight) for layer in layers):
        return
    weight = torch.cat([layer.weight.data for layer in layers])
    bias = torch.cat([layer.bias.data for layer in layers])
    for layer, w, b in zip(layers, weight.chunk(3), bias.chunk(3), strict=True):
        layer.weight.data, layer.bias.data = w, b
    attn.fused = (weight, bias)


def init_weights(decoder: Decoder) -> None:
    """Start every block as the identity: AdaLN and output layers at zero, embeddings small, the rest Xavier."""
    for module in decoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.normal_(decoder.prior_token_embedding.weight, std=0.02)
    for embedder in (decoder.time_condition_embed.timestep_embedder, decoder.time_condition_embed.condition_embedder):
        nn.init.normal_(embedder.linear_1.weight, std=0.02)
        nn.init.normal_(embedder.linear_2.weight, std=0.02)
    for layer in (
        *(block.norm1.linear for block in decoder.blocks),
        decoder.norm_out.linear,
        decoder.proj_out,
    ):
        nn.init.zeros_(layer.weight)
