"""The diffusion decoder over several devices: the halves of guidance apart, the tokens of each half among its ranks.

Every rank has all weights. Of an even number of ranks the first half computes the conditional rows and the other half
the unconditional ones (guidance parallelism); within a half each rank has some of the glyph and image tokens. For
attention tokens are exchanged for heads, so that each rank attends over all tokens with some of the heads, and back
(sequence parallelism as in DeepSpeed-Ulysses, arXiv:2309.14509). Without guidance, or with an odd number of ranks, all
ranks share the tokens of all rows. The first rank has the latents: it sends them before a step and gets the velocity.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.core.device import one_thread
from inkwash.engine.denoise import DenoiseInput, Denoiser, references_of
from inkwash.engine.ranks.collectives import Collectives
from inkwash.engine.ranks.commands import Groups
from inkwash.engine.ranks.group import RankGroup
from inkwash.engine.ranks.shares import fill_share
from inkwash.engine.request import Watch
from inkwash.engine.step_cache import StepCache, full_steps
from inkwash.models.glm_image.decoder import Decoder, DecoderConditions, fuse_qkv
from inkwash.models.glm_image.decoder_blocks import KeyGroup, References, attend_groups
from inkwash.models.weights import StoredTensors

KEY, ALL, HALVES = "decoder", "all", ("conditional", "unconditional")


def shares(total: int, world: int) -> list[slice]:
    """Neighbouring parts of `total` things, as equal as can be; the first ones get what is left over."""
    sizes = [total // world + (rank < total % world) for rank in range(world)]
    return [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """How a follower reads the decoder; `build` makes the network of a folder without numbers."""

    folder: Path
    build: Callable[[Path], Decoder]
    dtype: torch.dtype
    variant: str | None = None

    def members(self, world: int) -> dict[str, list[int]]:
        """All ranks together, and the two halves of an even number."""
        ranks = list(range(world))
        half = world // 2
        return {ALL: ranks} if world % 2 else {ALL: ranks, HALVES[0]: ranks[:half], HALVES[1]: ranks[half:]}

    def build_follower(self, groups: Groups) -> FollowerDecoder:
        """With all weights."""
        decoder = self.build(self.folder)
        fill_decoder(decoder, self.folder, groups[ALL].device, self.dtype, self.variant)
        return FollowerDecoder(decoder, groups)


def fill_decoder(
    decoder: Decoder, folder: Path, device: torch.device, dtype: torch.dtype, variant: str | None = None
) -> None:
    """Give a decoder without numbers all of its weights."""
    stored = StoredTensors(folder, variant)
    fill_share(decoder, stored, list(decoder.state_dict()), {}, device=device, dtype=dtype)
    decoder.requires_grad_(False).eval()
    fuse_qkv(decoder)


@dataclass(frozen=True)
class TokenSplit:
    """How the tokens of some rows, and the heads of attention, are dealt out to the ranks of a team."""

    team: Collectives
    glyphs: list[slice]
    images: list[slice]
    heads: list[slice]

    @classmethod
    def of(cls, conditions: DecoderConditions, heads: int, team: Collectives) -> TokenSplit:
        counts = (conditions.glyph.shape[1], conditions.prior.shape[1], heads)
        return cls(team, *(shares(count, team.world) for count in counts))

    def local(self, conditions: DecoderConditions) -> DecoderConditions:
        """What this rank needs of them; of references its heads."""
        rank, (cos, sin) = self.team.rank, conditions.rotary
        glyphs, images = self.glyphs[rank], self.images[rank]
        return replace(
            conditions,
            glyph=conditions.glyph[:, glyphs],
            prior=conditions.prior[:, images],
            rotary=(cos[images], sin[images]),
        )

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        groups: Sequence[KeyGroup],
        references: References | None,
        layer: int,
    ) -> Tensor:
        """`attend_groups` over the tokens of all ranks; q, k, v (B, heads, own tokens, head_dim)."""
        see = partial(attend_groups, groups=groups, references=references, layer=layer)
        if self.team.world == 1:
            return see(q, k, v)
        batch, _, tokens, width = q.shape
        local_heads = _size(self.heads[self.team.rank])
        mine = [torch.stack([each[:, heads] for each in (q, k, v)]) for heads in self.heads]
        sizes = [(_size(glyphs), _size(images)) for glyphs, images in zip(self.glyphs, self.images, strict=True)]
        theirs = self.team.exchange(mine, [(3, batch, local_heads, sum(size), width) for size in sizes])
        parts = [part.split(size, dim=3) for part, size in zip(theirs, sizes, strict=True)]
        joint = torch.cat([*(glyph for glyph, _ in parts), *(image for _, image in parts)], dim=3)
        seen = see(*joint.unbind(0))  # (B, own heads, all tokens, head_dim)
        glyph, image = seen.split([self.glyphs[-1].stop, self.images[-1].stop], dim=2)
        back = [
            torch.cat([glyph[:, :, glyphs], image[:, :, images]], dim=2)
            for glyphs, images in zip(self.glyphs, self.images, strict=True)
        ]
        shapes = [(batch, _size(heads), tokens, width) for heads in self.heads]
        return torch.cat(self.team.exchange(back, shapes), dim=1)


def _size(part: slice) -> int:
    count: int = part.stop - part.start
    return count


@dataclass(frozen=True, kw_only=True)
class SplitRows:
    """Rows that a team computes, as one of its ranks has them."""

    split: TokenSplit
    conditions: DecoderConditions

    @classmethod
    def of(cls, rows: DecoderConditions, heads: int, team: Collectives) -> SplitRows:
        split = TokenSplit.of(rows, heads, team)
        return cls(split=split, conditions=split.local(rows))

    def tokens(self, decoder: Decoder, latents: Tensor, index: int, cache: StepCache | None) -> Tensor:
        """This rank's image tokens (B, n, numbers of a patch) after step `index` of the decoder."""
        conditions, images = self.conditions, self.split.images[self.split.team.rank]
        x = decoder.embed(latents, conditions, images)
        x = decoder.pass_blocks(x, conditions, index, cache, self.split.attend)
        return decoder.project(x[:, conditions.glyph.shape[1] :], conditions.final[index])

    def shape(self, rank: int) -> tuple[int, int]:
        """How many rows and image tokens a rank of the team has."""
        return self.conditions.prior.shape[0], _size(self.split.images[rank])


@dataclass(frozen=True, kw_only=True)
class SplitPass:
    """One pass of a run (`engine.denoise.Pass`) as a rank has it.

    `conditional` and `unconditional` are None on ranks that do not compute them; `rows` are both where all ranks share
    them. Caches of rows that are computed elsewhere only note that something is kept.
    """

    pictures: slice
    groups: Groups
    rows: SplitRows | None
    conditional: SplitRows | None
    unconditional: SplitRows | None
    cache: StepCache | None
    other_cache: StepCache | None

    @classmethod
    def of(cls, denoiser: Denoiser, part: slice, rows: DecoderConditions, heads: int, groups: Groups) -> SplitPass:
        """The pass of some pictures on the rank that `groups` are of; references are cut for the rank's team."""
        count, total, guided = part.stop - part.start, rows.prior.shape[0], denoiser.guided
        share = denoiser.quality.full_share
        full = full_steps(rows, share) if share < 1 else None
        halves: dict[str, SplitRows | None] = {"rows": None, "conditional": None, "unconditional": None}
        if guided and len(groups) > 1:
            first = HALVES[0] in groups
            half = rows.part(0, count) if first else rows.part(count, total)
            halves["conditional" if first else "unconditional"] = SplitRows.of(half, heads, team_of(groups, guided))
        else:
            conditional = rows.part(0, count) if guided else rows
            halves["conditional"] = SplitRows.of(conditional, heads, groups[ALL])
            halves["rows"] = SplitRows.of(rows, heads, groups[ALL]) if guided else None
        caches = [None if full is None else StepCache(full) for _ in range(2)]
        return cls(pictures=part, groups=groups, cache=caches[0], other_cache=caches[1], **halves)

    def step(self, decoder: Decoder, latents: Tensor, index: int, guided: bool) -> Tensor | None:
        """This rank's image tokens; None where it has nothing to do."""
        cache, other = self.cache, self.other_cache
        if guided and self.rows is not None:
            return self.rows.tokens(decoder, latents, index, cache)
        if cache is not None and other is not None:  # as in `Denoiser.velocity_of`
            if guided and other.empty:
                cache.forget()
            elif not guided and cache.runs(index):
                other.forget()
        made = None
        if self.conditional is not None:
            made = self.conditional.tokens(decoder, latents, index, cache)
        elif cache is not None:
            cache.note()
        if self.unconditional is not None and guided:
            made = self.unconditional.tokens(decoder, latents, index, other)
        elif other is not None and guided:
            other.note()
        return made

    def gather(self, tokens: Tensor, guided: bool) -> list[Tensor]:
        """On the first rank: all image tokens of the conditional and, in a guided step, of the unconditional rows."""
        everyone = self.groups[ALL]
        rows = self.rows if guided and self.rows is not None else self.conditional
        assert rows is not None
        halves = guided and self.rows is None
        size = rows.split.team.world
        parts = [tokens]
        for rank in range(1, 2 * size if halves else size):
            shape = (*rows.shape(rank % size), tokens.shape[2])
            parts.append(everyone.receive(tokens.new_empty(shape), rank))
        if halves:
            return [torch.cat(parts[:size], dim=1), torch.cat(parts[size:], dim=1)]
        whole = torch.cat(parts, dim=1)
        return list(whole.chunk(2)) if guided else [whole]


def team_of(groups: Groups, guided: bool) -> Collectives:
    """The ranks that compute the same rows as this one."""
    return next((groups[name] for name in HALVES if guided and name in groups), groups[ALL])


def cut_heads(references: References, heads: slice, *, copied: bool = False) -> References:
    """References of some heads; a copy lets go of the others."""
    layers = tuple(
        (k[:, heads].clone(), v[:, heads].clone()) if copied else (k[:, heads], v[:, heads])
        for k, v in references.layers
    )
    return replace(references, layers=layers)


@dataclass(frozen=True, kw_only=True)
class ReferencesAhead:
    """References that follow by broadcast, tensor after tensor."""

    shape: tuple[int, ...]
    layers: int
    dtype: torch.dtype
    rows: int
    mask: Tensor | None

    @classmethod
    def of(cls, references: References | None) -> ReferencesAhead | None:
        if references is None:
            return None
        k, _ = references.layers[0]
        mask = None if references.mask is None else references.mask.cpu()
        count = len(references.layers)
        return cls(shape=tuple(k.shape), layers=count, dtype=k.dtype, rows=references.rows, mask=mask)

    def receive(self, everyone: Collectives, heads: slice) -> References:
        """Those of some heads."""
        layers = []
        for _ in range(self.layers):
            pair = [torch.empty(self.shape, dtype=self.dtype, device=everyone.device) for _ in range(2)]
            k, v = (everyone.broadcast(each)[:, heads].clone() for each in pair)
            layers.append((k, v))
        mask = None if self.mask is None else self.mask.to(everyone.device)
        return References(layers=tuple(layers), rows=self.rows, mask=mask)


def send_references(references: References | None, everyone: Collectives) -> None:
    """What `ReferencesAhead.receive` waits for."""
    for pair in () if references is None else references.layers:
        for each in pair:
            everyone.broadcast(each.contiguous())


class FollowerDecoder:
    """A follower's decoder; the methods below are what the first rank announces."""

    def __init__(self, decoder: Decoder, groups: Groups) -> None:
        self.decoder, self.groups = decoder, groups
        self.heads = decoder.config.num_attention_heads
        self._runs: dict[int, list[SplitPass]] = {}

    def prepare(
        self,
        handle: int,
        denoiser: Denoiser,
        pictures: Sequence[DenoiseInput],
        latent_size: tuple[int, int],
        ahead: Sequence[ReferencesAhead | None],
        dropped: Sequence[int],
    ) -> None:
        """The step-independent work of a run; those in `dropped` are over."""
        for old in dropped:
            self._runs.pop(old, None)
        denoiser = replace(denoiser, decoder=self.decoder)
        everyone, team = self.groups[ALL], team_of(self.groups, denoiser.guided)
        heads, passes = shares(self.heads, team.world)[team.rank], []
        for part, coming in zip(denoiser.parts(len(pictures), everyone.device), ahead, strict=True):
            references = None if coming is None else coming.receive(everyone, heads)
            with one_thread(everyone.device):
                rows = denoiser.conditions(pictures[part], latent_size, references, everyone.device)
                passes.append(SplitPass.of(denoiser, part, rows, self.heads, self.groups))
        self._runs[handle] = passes

    def velocity(self, handle: int, number: int, index: int, guided: bool, shape: Sequence[int]) -> None:
        """One pass of one step."""
        everyone = self.groups[ALL]
        latents = everyone.broadcast(torch.empty(*shape, device=everyone.device))
        made = self._runs[handle][number].step(self.decoder, latents, index, guided)
        if made is not None:
            everyone.send(made, 0)


@dataclass
class _Run:
    """A run on the first rank, known to the others by its handle."""

    handle: int
    edition: int
    passes: list[SplitPass]


class SharedDecoder:
    """The first rank's side: makes denoisers whose steps all ranks take."""

    def __init__(self, group: RankGroup, decoder: Decoder) -> None:
        self.group, self.decoder = group, decoder
        self.heads = decoder.config.num_attention_heads
        self._dropped: deque[int] = deque()
        self._handles = itertools.count()

    def denoiser(self, **settings: Any) -> SharedDenoiser:
        """As `Denoiser`, less its decoder."""
        return SharedDenoiser(decoder=self.decoder, shared=self, **settings)

    def prepare(self, denoiser: Denoiser, pictures: Sequence[DenoiseInput], latent_size: tuple[int, int]) -> _Run:
        """Begin a run on every rank."""
        device, handle = self.group.device, next(self._handles)
        dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        parts = denoiser.parts(len(pictures), device)
        whole = [references_of(pictures[part]) for part in parts]
        bare = replace(denoiser, decoder=None)  # type: ignore[arg-type]
        inputs = [replace(each, references=()).cpu() for each in pictures]
        ahead = [ReferencesAhead.of(each) for each in whole]
        with self.group.step(KEY, "prepare", handle, bare, inputs, latent_size, ahead, dropped) as groups:
            edition, team = self.group.edition, team_of(groups, denoiser.guided)
            heads, passes = shares(self.heads, team.world)[team.rank], []
            for part, references in zip(parts, whole, strict=True):
                send_references(references, groups[ALL])
                local = None if references is None else cut_heads(references, heads)
                rows = denoiser.conditions(pictures[part], latent_size, local, device)
                passes.append(SplitPass.of(denoiser, part, rows, self.heads, groups))
        run = _Run(handle, edition, passes)
        weakref.finalize(run, self._dropped.append, handle).atexit = False
        return run

    def velocity(self, run: _Run, number: int, latents: Tensor, index: int, guided: bool) -> list[Tensor]:
        """Velocities of the conditional and, in a guided step, of the unconditional rows of one pass, fp32."""
        split, latents = run.passes[number], latents.contiguous()
        arguments = (run.handle, number, index, guided, tuple(latents.shape))
        with self.group.step(KEY, "velocity", *arguments, edition=run.edition) as groups:
            made = split.step(self.decoder, groups[ALL].broadcast(latents), index, guided)
            assert made is not None, "the first rank has conditional rows"
            tokens = split.gather(made, guided)
        return [self.decoder.unpatch(each, latents.shape).float() for each in tokens]


@dataclass(frozen=True, kw_only=True)
class SharedDenoiser(Denoiser):
    """`Denoiser` over all ranks of a group."""

    shared: SharedDecoder
    runs: list[_Run] = field(default_factory=list)

    @torch.no_grad()
    def prepare(self, pictures: Sequence[DenoiseInput], latent_size: tuple[int, int]) -> None:
        """Do the step-independent work for these pictures on every rank."""
        plain = Denoiser(**{each.name: getattr(self, each.name) for each in fields(Denoiser)})
        self.runs[:] = [self.shared.prepare(plain, pictures, latent_size)]

    def _velocity(self, latents: Tensor, index: int, guided: bool, watch: Watch, scale: float) -> Tensor:
        run, parts = self.runs[0], []
        for number, each in enumerate(run.passes):
            watch.check()
            made = self.shared.velocity(run, number, latents[each.pictures], index, guided)
            parts.append(made[0] if len(made) == 1 else made[1] + scale * (made[0] - made[1]))
        return torch.cat(parts)
