"""Train the semantic tokenizer: a ViT and a codebook whose tokens say what their cell shows.

Every quantised token must tell the background, the letter, its colour and face, or the shape and which part
of it (cross-entropy, only where the question makes sense), and redraw its patch coarsely. The first steps run
without quantisation; then the codebook is set to k-means centres of the features and follows them as a running
mean; codes that nothing uses are moved onto badly represented features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import VisionEncoder, VQModel
from inkwash.models.glm_image.tokenizer_files import CLIP_MEAN, CLIP_STD
from inkwash.train.config import Training
from inkwash.train.device import autocast, to_device
from inkwash.train.optim import clear_gradients, lr_at, make_optimizers, set_lr, update
from inkwash.train.parallel import single_process_only
from inkwash.train.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining(Training):
    """Settings of the stage: `free_steps` without quantisation, then codes; unused ones move every `revive_every`.

    At step `again_at` the codebook is set anew from the features, which tell more kinds of cells apart by then.
    """

    clip: float = math.inf
    ns_steps: int = 5
    free_steps: int = 800
    again_at: int = -1
    start_batches: int = 60  # that the codebook starts from
    revive_every: int = 100
    reconstruction: float = 1.0
    commitment: float = 0.5
    codebook_decay: float = 0.98


class Heads(nn.Module):
    """What a token must tell: one linear classifier per label and a coarse patch. Used in training only."""

    def __init__(self, labels: dict[str, int], width: int, patch_numbers: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU())
        self.classifiers = nn.ModuleDict({name: nn.Linear(4 * width, classes) for name, classes in labels.items()})
        self.patch = nn.Linear(4 * width, patch_numbers)

    def forward(self, tokens: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        hidden = self.trunk(tokens)
        return {name: head(hidden) for name, head in self.classifiers.items()}, self.patch(hidden)


def clip_normalize(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> (B, 3, H, W) with the mean and deviation of the released processor."""
    mean = torch.tensor(CLIP_MEAN, device=pixels.device)
    std = torch.tensor(CLIP_STD, device=pixels.device)
    return rearrange((pixels.float() / 255 - mean) / std, "b h w c -> b c h w")


def token_grid(vision: VisionEncoder, vq: VQModel, half: Tensor) -> Tensor:
    """Semantic tokens (B, rows, columns) of half-size uint8 pictures (B, H/2, W/2, 3)."""
    patch = vision.config.patch_size
    with torch.no_grad():
        ids = vq.encode(vision(clip_normalize(half)))
    return ids.view(len(half), half.shape[1] // patch, half.shape[2] // patch)


def relevant(labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Where each head's question makes sense, as bool (B, N) masks."""
    kind = labels["kind"]
    everywhere = torch.ones_like(kind, dtype=torch.bool)
    empty, letter, shape, thing = kind == 0, kind == 1, kind == 2, kind == 3
    factored = "sign" in labels  # there a cell with content need not tell the background
    return {
        "background": empty if factored else everywhere,
        "style": empty,
        "structure": empty,
        "kind": everywhere,
        "letter": letter,
        "sign": letter,
        "quarter": letter,
        "face": letter,
        "color": letter | shape,
        "shape": shape,
        "thing": thing,
        "part": shape | thing,
    }


def head_losses(logits: dict[str, Tensor], labels: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of the masked cross-entropies, and the accuracy of each head."""
    masks = relevant(labels)
    total = torch.zeros((), device=labels["kind"].device)
    accuracy: dict[str, Tensor] = {}
    for name, values in logits.items():
        mask = masks[name].float()
        count = mask.sum().clamp(min=1)
        each = F.cross_entropy(values.float().flatten(0, 1), labels[name].flatten(), reduction="none")
        total = total + (each * mask.flatten()).sum() / count
        accuracy[name] = ((values.argmax(-1) == labels[name]).float() * mask).sum() / count
    return total, accuracy


class Codebook:
    """Running-mean codebook around a VQModel: k-means start, decayed means, revival of unused codes."""

    def __init__(self, vq: VQModel, decay: float) -> None:
        self.vq = vq
        self.decay = decay
        weight = vq.quantize.embedding.weight
        self.counts = torch.ones(len(weight), device=weight.device)
        self.sums = weight.detach().clone()

    @torch.no_grad()
    def start(self, features: Tensor, rounds: int = 8) -> None:
        """k-means on unit vectors (M, E), starting from a random choice of them."""
        size = len(self.counts)
        centres = features[torch.randperm(len(features))[:size]].clone()
        if len(centres) < size:
            extra = centres[torch.randint(len(centres), (size - len(centres),))]
            centres = torch.cat([centres, F.normalize(extra + 0.05 * torch.randn_like(extra), dim=-1)])
        for _ in range(rounds):
            ids = torch.cat([(part @ centres.T).argmax(1) for part in features.split(8192)])
            counts = torch.bincount(ids, minlength=size).float()
            sums = torch.zeros_like(centres).index_add_(0, ids, features)
            lost = counts == 0
            sums[lost] = features[torch.randint(len(features), (int(lost.sum()),))]
            centres = F.normalize(sums, dim=-1)
        self.counts.fill_(1.0)
        self.sums.copy_(centres)
        self.vq.quantize.embedding.weight.copy_(centres)

    @torch.no_grad()
    def start_from(self, features: Tensor, meanings: Tensor) -> int:
        """One code for each of the commonest meanings (M,), the mean of its features (M, E); how many meanings came.

        What is left of the codebook starts from single features, to be moved by `revive`.
        """
        _, places, counts = meanings.unique(return_inverse=True, return_counts=True)
        sums = torch.zeros(len(counts), features.shape[1]).index_add_(0, places, features)
        chosen = counts.argsort(descending=True)[: len(self.counts)]
        centres = features[torch.randint(len(features), (len(self.counts),))].clone()
        centres[: len(chosen)] = F.normalize(sums[chosen], dim=-1)
        self.counts.fill_(1.0)
        self.sums.copy_(centres)
        self.vq.quantize.embedding.weight.copy_(centres)
        return len(counts)

    @torch.no_grad()
    def follow(self, z: Tensor, ids: Tensor) -> None:
        """One running-mean update from features (M, E) and their ids (M,)."""
        counts = torch.bincount(ids, minlength=len(self.counts)).float()
        sums = torch.zeros_like(self.sums).index_add_(0, ids, z)
        used = counts > 0
        # Only codes that were used move: rare ones keep their place instead of fading between two visits.
        keep = torch.where(used, self.decay, 1.0)
        self.counts.mul_(keep).add_(counts * (1 - keep))
        self.sums.mul_(keep[:, None]).add_(sums * (1 - keep)[:, None])
        self.vq.quantize.embedding.weight.copy_(F.normalize(self.sums, dim=-1))

    @torch.no_grad()
    def revive(self, usage: Tensor, z: Tensor, ids: Tensor) -> int:
        """Move codes without any use in `usage` onto the features that their code represents worst."""
        dead = (usage == 0).nonzero().flatten()
        vectors = F.embedding(ids, self.vq.quantize.directions())
        worst = (z - vectors).square().sum(1).argsort(descending=True)[: max(1, len(z) // 8)]
        chosen = worst[torch.randperm(len(worst))[: len(dead)]]
        dead = dead[: len(chosen)]
        self.sums[dead] = z[chosen]
        self.counts[dead] = 1.0
        self.vq.quantize.embedding.weight.copy_(F.normalize(self.sums, dim=-1))
        return len(dead)

    def state_dict(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "sums": self.sums}


def perplexity(usage: Tensor) -> float:
    """How many codes, used alike, would be as varied as these counts: exp of the entropy."""
    share = usage[usage > 0] / usage.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * share.log()).sum())) if len(share) else 0.0


@torch.no_grad()
def collect_features(
    vision: VisionEncoder, vq: VQModel, batches: Iterable[Batch], device: torch.device, empty_share: int = 12
) -> tuple[Tensor, Tensor]:
    """Unit features (M, E) of many cells, each picture's near-duplicates thinned, and their meanings, -1 if unsaid."""
    kept: list[Tensor] = []
    meanings: list[Tensor] = []
    for batch in batches:
        with autocast(device):
            z = vq.project(vision(clip_normalize(to_device(batch["pixels"], device)))).flatten(0, 1)
        full = to_device(batch["kind"], device).flatten() > 0
        empty = (~full).nonzero().flatten()
        some = empty[torch.randperm(len(empty))[: max(1, len(empty) // empty_share)]]
        kept += [z[full], z[some]]
        meaning = to_device(batch["meaning"], device).flatten() if "meaning" in batch else torch.full(full.shape, -1)
        meanings += [meaning[full], meaning[some]]
    return torch.cat(kept), torch.cat(meanings)


def tokenizer_loss(
    vision: VisionEncoder,
    vq: VQModel,
    heads: Heads,
    pixels: Tensor,
    truth: dict[str, Tensor],
    config: TokenizerTraining,
    *,
    quantised: bool,
) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor | None]:
    """The loss of normalised pixels (B, 3, H, W), what the log says of it, the ViT's features, and the codes.

    Heads learn from codes, or from what is projected where codes are not `quantised` yet, and half as much from the
    projection in any case.
    """
    patch = vision.config.patch_size
    with autocast(pixels.device, config.precision):
        features = vision(pixels)
        tokens, ids, commitment = vq(features) if quantised else (vq.project(features), None, torch.zeros(()))
        logits, patches = heads(tokens)
        free_logits, _ = heads(vq.project(features))
    loss, accuracy = head_losses(logits, truth)
    free_loss, _ = head_losses(free_logits, truth)
    target = rearrange(pixels, "b c (h p) (w q) -> b (h w) (c p q)", p=patch, q=patch)
    error = (patches.float() - target).abs().mean()
    total = loss + 0.5 * free_loss + config.reconstruction * error + config.commitment * commitment
    values = {"loss": loss, "error": error, **{f"{name}_acc": value for name, value in accuracy.items()}}
    return total, values, features, ids


def train_tokenizer(
    vision: VisionEncoder,
    vq: VQModel,
    labels: dict[str, int],
    make: Callable[[int], Batch],
    folder: Path,
    config: TokenizerTraining,
    *,
    device: torch.device,
) -> None:
    """Run or continue the stage. `make(step)` gives {"pixels": uint8 (B, H, W, 3), label: (B, N) ...}."""
    single_process_only("tokenizer")
    patch = vision.config.patch_size
    heads = Heads(labels, vq.config.embed_dim, 3 * patch * patch)
    for module in (vision, vq, heads):
        module.train().to(device)
    vq.quantize.embedding.weight.requires_grad_(False)
    optimizers = make_optimizers([vision, vq, heads], lr=config.lr, muon_marker="blocks.", ns_steps=config.ns_steps)
    codebook = Codebook(vq, config.codebook_decay)
    bookkeeping = nn.Module()
    for name, value in codebook.state_dict().items():
        bookkeeping.register_buffer(name, value)
    usage = torch.zeros(vq.config.num_embeddings, device=device)
    bookkeeping.register_buffer("usage", usage)
    modules = {"vision": vision, "vq": vq, "heads": heads, "codebook": bookkeeping}
    trained = [p for module in (vision, vq, heads) for p in module.parameters() if p.requires_grad]
    run = TrainingRun.of(config, folder, modules, optimizers, device=device)
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, lr_at(step, config))
        if step in (config.free_steps, config.again_at):
            many = (make(config.steps + i) for i in range(config.start_batches))
            z, meanings = collect_features(vision, vq, many, device)
            if "meaning" in batch:
                print(f"step {step}: {codebook.start_from(z, meanings)} meanings", flush=True)
            else:
                codebook.start(z)
        truth = {name: to_device(batch[name], device) for name in labels}
        pixels = clip_normalize(to_device(batch["pixels"], device))
        quantised = step >= config.free_steps
        total, values, features, ids = tokenizer_loss(vision, vq, heads, pixels, truth, config, quantised=quantised)
        clear_gradients(optimizers)
        total.backward()
        norm = update(optimizers, trained, config.clip)
        numbers = {name: float(value.detach()) for name, value in values.items()}
        numbers |= {"gradient": float(norm), "usage": 0.0, "perplexity": 0.0}
        if ids is not None:
            z = vq.project(features.detach()).detach().flatten(0, 1)
            codebook.follow(z, ids.flatten())
            usage.mul_(0.995).index_add_(0, ids.flatten(), torch.ones(ids.numel(), device=device))
            usage[usage < 0.05] = 0.0
            numbers |= {"usage": float((usage > 0).float().mean()), "perplexity": perplexity(usage)}
            if (step + 1) % config.revive_every == 0 and step < 0.85 * config.steps:
                codebook.revive(usage, z, ids.flatten())
        run.log(step, len(pixels), **numbers)
    for module in (vision, vq):
        module.eval()
