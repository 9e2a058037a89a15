"""Train the diffusion decoder and the glyph encoder: flow matching on the autoencoder's latents.

The picture's own semantic tokens are the prior (teacher tokens) and its texts are the glyph condition; each is
dropped now and then, together or alone, so that guidance works. The noise level is logit-normal
(arXiv:2403.03206); the decoder is told the unshifted time that inference would tell it at that level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import VisionEncoder, VQModel
from inkwash.models.glm_image.config import SchedulerConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_blocks import KeyValue, References
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import CELL
from inkwash.models.glm_image.schedule import add_noise, shift_amount
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.train.config import NetworkTraining, equal_parts
from inkwash.train.device import autocast, to_device
from inkwash.train.flops import decoder_step_flops
from inkwash.train.optim import EMA, clear_gradients, lr_at, network_optimizers, set_lr, update
from inkwash.train.parallel import finish, full_state, prepare_decoder, start
from inkwash.train.run import TrainingRun
from inkwash.train.tokenizer import token_grid

LATENT_PIXELS = 8  # of the picture in a latent's side
DETAIL_VARIANCE = (
    0.15  # of normalised latents within a cell: below it 95 % of the flat cells, above it 95 % of the things
)


@dataclass(frozen=True, kw_only=True)
class DecoderTraining(NetworkTraining):
    """Settings of the stage; the drop rates are for the glyph texts, the prior, and both together.

    `corrupt` is the share of prior tokens that are replaced by random ones, as a generator's mistakes would be. Cells
    in which the latents vary (letters, pictures, edges) count `detail_weight` times as much as flat ones.
    """

    ns_steps: int = 3
    drop_glyphs: float = 0.06
    drop_prior: float = 0.04
    drop_both: float = 0.08
    corrupt: float = 0.02
    detail_weight: float = 1.0
    frozen_glyphs: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("above 0", lambda value: value > 0, "detail_weight")


@dataclass(frozen=True, kw_only=True)
class FrozenParts:
    """What the decoder learns from and does not change: autoencoder, ViT, codebook, schedule."""

    vae: AutoencoderKL
    vision: VisionEncoder
    vq: VQModel
    scheduler: SchedulerConfig

    def to(self, device: torch.device) -> None:
        """Move the networks."""
        for module in (self.vae, self.vision, self.vq):
            module.to(device)

    @torch.no_grad()
    def latents(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> normalised latents (B, C, H/8, W/8), fp32."""
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        with autocast(pixels.device):
            mean = self.vae.encode(x)[0]
        return self.vae.normalize(mean.float())

    def tokens(self, half: Tensor) -> Tensor:
        """Half-size uint8 pictures (B, H/2, W/2, 3) -> semantic tokens (B, rows, columns)."""
        return token_grid(self.vision, self.vq, half)


def upsample_tokens(ids: Tensor) -> Tensor:
    """Semantic tokens (B, h, w) -> prior ids (B, 4 h w) on the decoder's grid, each repeated 2 x 2."""
    return ids.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).flatten(1)


def unshifted(sigma: Tensor, mu: float) -> Tensor:
    """The times in (0, 1] that a linear shift by mu maps to noise levels sigma."""
    return sigma / (mu - mu * sigma + sigma)


Source = tuple[Tensor, Tensor]  # latents (C, h, w) and semantic tokens (rows, columns) of a reference picture


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A batch as the decoder takes it: latents (B, C, h, w), semantic tokens (B, rows, columns), texts, references.

    With `calls` every row encodes that many references one by one, repeated where it has fewer: processes that hold
    shards must use them equally often, whichever rows are theirs. 0: as it is fastest.
    """

    clean: Tensor
    ids: Tensor
    texts: Sequence[Sequence[str]]
    sources: Sequence[Sequence[Source]] = ()  # one sequence for each row, or nothing at all
    calls: int = 0

    def rows(self, chosen: slice) -> Inputs:
        return replace(
            self,
            clean=self.clean[chosen],
            ids=self.ids[chosen],
            texts=self.texts[chosen],
            sources=self.sources[chosen],
        )

    def evened(self) -> Inputs:
        """The same with `calls` set, unless one call encodes the references of any rows; ask before rows are chosen."""
        return self if _alike(self.sources) else replace(self, calls=max(len(row) for row in self.sources))


def batch_inputs(frozen: FrozenParts, batch: Batch, chosen: slice, device: torch.device) -> Inputs:
    """The chosen rows of a batch of pictures, encoded here or, where it holds `latents` and `tokens`, before."""
    texts = batch["texts"][chosen]
    if "latents" in batch:
        clean, ids = to_device(batch["latents"][chosen], device), to_device(batch["tokens"][chosen], device)
    else:
        clean = frozen.latents(to_device(batch["pixels"][chosen], device))
        ids = frozen.tokens(to_device(batch["half"][chosen], device))
    sources: list[list[Source]] = []
    if "source_latents" in batch:
        pairs = zip(batch["source_latents"][chosen], batch["source_tokens"][chosen], strict=True)
        sources = [[(to_device(latents, device), to_device(tokens, device))] for latents, tokens in pairs]
    elif "sources" in batch:
        latents = frozen.latents(to_device(batch["sources"][chosen], device))
        tokens = frozen.tokens(to_device(batch["sources_half"][chosen], device))
        sources = [[pair] for pair in zip(latents, tokens, strict=True)]
    return Inputs(clean=clean, ids=ids, texts=texts, sources=sources)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The random numbers of a step's rows, each row's from its own generator, whichever process or part it is in."""

    noise: Tensor  # (B, C, h, w)
    level: Tensor  # (B,) normal
    drop: Tensor  # (B,) uniform
    wrong: Tensor  # (B, rows, columns) uniform
    code: Tensor  # (B, rows, columns) uniform

    @classmethod
    def of(cls, step: int, rows: range, inputs: Inputs) -> Draws:
        each = []
        for row in rows:
            generator = torch.Generator().manual_seed(step * 65_537 + row)
            each.append(
                (
                    torch.randn(inputs.clean.shape[1:], generator=generator),
                    torch.randn((), generator=generator),
                    torch.rand((), generator=generator),
                    torch.rand(inputs.ids.shape[1:], generator=generator),
                    torch.rand(inputs.ids.shape[1:], generator=generator),
                )
            )
        parts = (torch.stack(values).to(inputs.clean.device) for values in zip(*each, strict=True))
        return cls(**dict(zip(("noise", "level", "drop", "wrong", "code"), parts, strict=True)))

    @classmethod
    def fresh(cls, clean: Tensor, ids: Tensor) -> Draws:
        """From torch's own generator."""
        count, device = len(clean), clean.device
        level, drop = torch.randn(count, device=device), torch.rand(count, device=device)
        wrong, code = torch.rand(ids.shape, device=device), torch.rand(ids.shape, device=device)
        return cls(noise=torch.randn_like(clean), level=level, drop=drop, wrong=wrong, code=code)


def train_decoder(
    decoder: Decoder,
    glyph: GlyphEncoder,
    frozen: FrozenParts,
    make: Callable[[int], Batch],
    folder: Path,
    config: DecoderTraining,
    *,
    device: torch.device,
    inputs_of: Callable[[Batch, slice], Inputs] | None = None,
    sample: Callable[[int], Path | None] | None = None,
    sample_every: int = 500,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Run or continue the stage; averaged weights are in `decoder` and `glyph` afterwards, and returned whole.

    `inputs_of` reads some rows of a batch of another kind than pictures.
    """
    ranks, device = start(device, tensor=config.tensor)
    glyph.requires_grad_(not config.frozen_glyphs)
    modules: list[nn.Module] = [decoder.train().to(device), glyph.train(not config.frozen_glyphs).to(device)]
    frozen.to(device)
    prepare_decoder(decoder, glyph, ranks, config)
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizers = network_optimizers(modules, config, muon_marker="transformer_blocks.")
    ema = EMA(modules, config.ema)
    run = TrainingRun.of(
        config, folder, {"decoder": decoder, "glyph": glyph}, optimizers, ema, ranks=ranks, device=device
    )
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, lr_at(step, config))
        count = len(batch["texts"])
        chosen = ranks.mine(count)
        inputs = inputs_of(batch, chosen) if inputs_of else batch_inputs(frozen, batch, chosen, device)
        clear_gradients(optimizers)
        loss = torch.zeros((), device=device)
        for part in equal_parts(len(inputs.texts), config.accumulate):
            rows = range(chosen.start + part.start, chosen.start + part.stop)
            part_loss = inputs_loss(decoder, glyph, inputs.rows(part), rows, step, config, frozen.scheduler)
            (part_loss / config.accumulate).backward()  # parts and processes are equal: a mean of means
            loss = loss + part_loss.detach() / config.accumulate
        norm = update(optimizers, trained, config.clip)
        ema.update()
        tokens = inputs.ids[0].numel() * 4
        glyphs = max(sum(len(text.encode()) + 1 for text in row) for row in batch["texts"])
        references = tokens if inputs.sources else 0
        run.log(
            step,
            count,
            tokens=count * (tokens + glyphs),
            flops=decoder_step_flops(
                decoder.config, pictures=count, tokens=tokens, glyphs=glyphs, references=references
            ),
            velocity=ranks.total(loss) / ranks.data,
            gradient=norm,
        )
        run.sample(step, sample, sample_every)
    ema.swap()
    states = full_state(decoder, ranks), full_state(glyph, ranks)
    finish(ranks)
    return states


def inputs_loss(
    decoder: Decoder,
    glyph: GlyphEncoder,
    inputs: Inputs,
    rows: range,
    step: int,
    config: DecoderTraining,
    scheduler: SchedulerConfig,
) -> Tensor:
    """Mean squared error of the velocity over some rows of a step, which are numbered in the whole batch."""
    make_references = partial(join_references, decoder, inputs.sources, inputs.calls) if inputs.sources else None
    return velocity_loss(
        decoder,
        glyph,
        inputs.clean,
        inputs.ids,
        inputs.texts,
        config,
        scheduler,
        make_references=make_references,
        draws=Draws.of(step, rows, inputs),
    )


def velocity_loss(
    decoder: Decoder,
    glyph: GlyphEncoder,
    clean: Tensor,
    ids: Tensor,
    texts: Sequence[Sequence[str]],
    config: DecoderTraining,
    scheduler: SchedulerConfig,
    *,
    make_references: Callable[[], References | None] | None = None,
    draws: Draws | None = None,
) -> Tensor:
    """Mean squared error of the velocity from latents (B, C, h, w) and semantic tokens (B, rows, columns).

    `make_references` is called under autocast and gives the rows' reference pictures as keys and values.
    """
    draws = Draws.fresh(clean, ids) if draws is None else draws
    drop = draws.drop
    no_glyphs = drop < config.drop_glyphs + config.drop_both
    no_prior = (drop >= config.drop_glyphs) & (drop < config.drop_glyphs + config.drop_both + config.drop_prior)
    kept = [[] if dropped else list(row) for dropped, row in zip(no_glyphs.tolist(), texts, strict=True)]
    codebook_size = decoder.config.prior_vq_quantizer_codebook_size
    ids = torch.where(draws.wrong < config.corrupt, (draws.code * codebook_size).long(), ids)
    sigma = torch.sigmoid(draws.level)
    noise = draws.noise
    noisy = add_noise(clean, noise, sigma.view(-1, 1, 1, 1))
    velocity = predict_velocity(
        decoder,
        glyph,
        noisy,
        sigma,
        ids,
        kept,
        scheduler,
        precision=config.precision,
        prior_drop=no_prior,
        make_references=make_references,
    )
    error = (velocity - (noise - clean)).square()
    return error.mean() if config.detail_weight == 1.0 else (error * detail_weights(clean, config.detail_weight)).mean()


def predict_velocity(
    decoder: Decoder,
    glyph: GlyphEncoder,
    noisy: Tensor,
    sigma: Tensor,
    ids: Tensor,
    texts: Sequence[Sequence[str]],
    scheduler: SchedulerConfig,
    *,
    precision: str = "auto",
    prior_drop: Tensor | None = None,
    make_references: Callable[[], References | None] | None = None,
) -> Tensor:
    """The decoder's velocity (B, C, h, w), fp32, of latents at noise levels sigma (B,), as training computes it.

    Semantic tokens (B, rows, columns) are the prior; a row where `prior_drop` is True has none.
    """
    device, count = noisy.device, len(noisy)
    mu = shift_amount(scheduler, ids[0].numel() * 4)
    timestep = (unshifted(sigma, mu) * scheduler.num_train_timesteps - 1).clamp(min=0)
    size = torch.tensor([[ids.shape[1] * CELL, ids.shape[2] * CELL]], device=device, dtype=torch.float32)
    size = size.expand(count, -1)
    with autocast(device, precision):
        references = None if make_references is None else make_references()
        glyphs, mask = _round_up(*glyph.encode(texts))
        velocity: Tensor = decoder(
            noisy,
            glyphs,
            upsample_tokens(ids),
            timestep,
            size,
            torch.zeros_like(size),
            glyph_mask=mask,
            prior_drop=prior_drop,
            references=references,
        )
    return velocity.float()


def detail_weights(clean: Tensor, weight: float) -> Tensor:
    """Loss weights (B, 1, h, w) of latents (B, C, h, w): `weight` to 1 for cells with and without detail.

    They are scaled to a mean of one in every picture, so that a picture counts the same whatever company it is in.
    """
    side = CELL // LATENT_PIXELS
    cells = rearrange(clean, "b c (h p) (w q) -> b h w c (p q)", p=side, q=side)
    detailed = cells.var(dim=-1, unbiased=False).mean(dim=-1) > DETAIL_VARIANCE  # (B, rows, columns)
    weights = torch.where(detailed, weight, 1.0)
    weights = weights / weights.mean(dim=(1, 2), keepdim=True)
    return repeat(weights, "b h w -> b 1 (h p) (w q)", p=side, q=side)


def _round_up(glyphs: Tensor, mask: Tensor, step: int = 8) -> tuple[Tensor, Tensor]:
    """Pad (B, L, D) and (B, L) to a multiple of `step`: fewer shapes, fewer kernels to build."""
    missing = -glyphs.shape[1] % step
    return nn.functional.pad(glyphs, (0, 0, 0, missing)), nn.functional.pad(mask, (0, missing))


def join_references(decoder: Decoder, sources: Sequence[Sequence[Source]], calls: int = 0) -> References | None:
    """Every row's own reference pictures, any number and size, as keys and values with gradient."""
    if not calls and _alike(sources):
        latents, ids = (torch.stack([row[0][i] for row in sources]) for i in (0, 1))
        return References(layers=tuple(_encoded(decoder, latents, ids)), rows=len(sources))
    filler = next((row[0] for row in sources if row), None)
    rows = []
    for row in sources:
        encoded = [_encoded(decoder, latents[None], ids[None]) for latents, ids in row]
        for _ in range(calls - len(row)):
            assert filler is not None
            again = _encoded(decoder, filler[0][None], filler[1][None])
            encoded.append([(k[:, :, :0], v[:, :, :0]) for k, v in again])  # seen by nobody, yet part of the graph
        rows.append(encoded)
    return References.collect(rows)


def _alike(sources: Sequence[Sequence[Source]]) -> bool:
    """Whether every row has one reference picture, all of one size."""
    return all(len(row) == 1 and row[0][0].shape == sources[0][0][0].shape for row in sources)


def _encoded(decoder: Decoder, latents: Tensor, ids: Tensor) -> list[KeyValue]:
    size = torch.tensor([[ids.shape[1] * CELL, ids.shape[2] * CELL]], device=ids.device, dtype=torch.float32)
    return decoder.encode_reference(latents, upsample_tokens(ids), size.expand(len(ids), -1))
