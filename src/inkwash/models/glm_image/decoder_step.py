"""The decoder's blocks at inference: one joint stream, changed in place, with everything no step changes at hand.

Glyph and image tokens stand in one tensor (B, glyphs + N, D); a block is two regions around its attention, so that
each can be compiled without knowing who sees whom. `Block.forward` is the naive twin, and tests hold this file to
it. Beside it, a block saves here: a copy for each join and split, the separate AdaLN after the norm (one affine layer
norm), two of three projections, and the tables of the rotation, which happens in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from inkwash.models.glm_image.decoder_blocks import NORM_EPS, Activated, Block, Rotary
from inkwash.nn.linear import apply_linear

# Places in a block's 12 modulations: for attention these, for the feed-forward the same six further on.
SHIFT, GLYPH_SHIFT, SCALE, GLYPH_SCALE, GATE, GLYPH_GATE = range(6)
FEED_FORWARD = 6
SCALES = (SCALE, GLYPH_SCALE, FEED_FORWARD + SCALE, FEED_FORWARD + GLYPH_SCALE)

Heads = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Regions:
    """What runs before and after a block's attention; compiled functions may take their place."""

    before: Callable[[Block, Tensor, int, Tensor, Rotary], Heads]
    after: Callable[[Block, Tensor, Tensor, int, Tensor], Tensor]


def run_block(
    regions: Regions,
    block: Block,
    x: Tensor,
    glyphs: int,
    modulation: Tensor,
    rotary: Rotary,
    see: Callable[..., Tensor],
) -> Tensor:
    """x (B, glyphs + N, D), overwritten; modulation (1 or B, 12, D) of `step_modulation`; `see(q, k, v)` attends."""
    heads = see(*regions.before(block, x, glyphs, modulation, rotary))
    return regions.after(block, x, heads, glyphs, modulation)


def before_attention(block: Block, x: Tensor, glyphs: int, modulation: Tensor, rotary: Rotary) -> Heads:
    """Queries, keys and values (B, heads, glyphs + N, head_dim), normalised and rotated."""
    attn = block.attn1
    joint = _norm(x, glyphs, modulation, 0)
    qk, v = attn.project_pair(joint)
    qk = rearrange(qk, "b l (two h d) -> b l two h d", two=2, h=attn.heads)
    qk = F.layer_norm(qk, qk.shape[-1:], eps=NORM_EPS)
    _rotate(qk[:, glyphs:], rotary)
    q, k = qk.unbind(2)
    return q.transpose(1, 2), k.transpose(1, 2), rearrange(v, "b l (h d) -> b h l d", h=attn.heads)


def after_attention(block: Block, x: Tensor, heads: Tensor, glyphs: int, modulation: Tensor) -> Tensor:
    """Adds the attention's and then the feed-forward's output to x, in place."""
    attended = apply_linear(block.attn1.to_out[0], rearrange(heads, "b h l d -> b l (h d)"))
    _add_gated(x, attended, glyphs, modulation, 0)
    up, _, down = block.ff.net
    assert isinstance(up, Activated)
    hidden = apply_linear(up.proj, _norm(x, glyphs, modulation, FEED_FORWARD), gelu=True)
    return _add_gated(x, apply_linear(down, hidden), glyphs, modulation, FEED_FORWARD)


PLAIN = Regions(before_attention, after_attention)


def step_modulation(modulation: Tensor) -> Tensor:
    """Modulations (..., 12, D) with 1 added to every scale, once for all steps."""
    ones = modulation.new_zeros(modulation.shape[-2], 1)
    ones[list(SCALES)] = 1.0
    return modulation + ones


def step_rotary(rotary: Rotary) -> Rotary:
    """Tables (N, head_dim) as (N, 1, 1, head_dim), the sines with the sign of the rotation."""
    cos, sin = rotary
    half = sin.shape[-1] // 2
    signed = torch.cat([-sin[:, :half], sin[:, half:]], dim=-1)
    return cos[:, None, None], signed[:, None, None]


def _norm(x: Tensor, glyphs: int, modulation: Tensor, at: int) -> Tensor:
    """AdaLN of both kinds of tokens; one row of modulations is an affine layer norm."""
    width = x.shape[-1:]
    if modulation.shape[0] == 1:
        m = modulation[0]
        out = F.layer_norm(x, width, m[at + SCALE], m[at + SHIFT], NORM_EPS)
        if glyphs:  # few rows: normalised a second time rather than split off and joined again
            out[:, :glyphs] = F.layer_norm(x[:, :glyphs], width, m[at + GLYPH_SCALE], m[at + GLYPH_SHIFT], NORM_EPS)
        return out
    out = F.layer_norm(x, width, eps=NORM_EPS)
    out[:, glyphs:].mul_(modulation[:, at + SCALE, None]).add_(modulation[:, at + SHIFT, None])
    out[:, :glyphs].mul_(modulation[:, at + GLYPH_SCALE, None]).add_(modulation[:, at + GLYPH_SHIFT, None])
    return out


def _rotate(x: Tensor, rotary: Rotary) -> None:
    """x (B, N, 2, heads, head_dim) turned in place; fp32 tables make the arithmetic an fp32 island."""
    cos, sin = rotary
    swapped = x.roll(x.shape[-1] // 2, -1)
    if x.dtype == cos.dtype:
        x.mul_(cos).addcmul_(swapped, sin)
    else:
        x.copy_(torch.addcmul(x * cos, swapped, sin))


def _add_gated(x: Tensor, update: Tensor, glyphs: int, modulation: Tensor, at: int) -> Tensor:
    x[:, glyphs:].addcmul_(update[:, glyphs:], modulation[:, at + GATE, None])
    if glyphs:
        x[:, :glyphs].addcmul_(update[:, :glyphs], modulation[:, at + GLYPH_GATE, None])
    return x
