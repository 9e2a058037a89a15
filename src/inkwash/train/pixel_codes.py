"""Two tokenizers that learn from pixels alone, to compare the semantic one with: VQ-VAE codes and 1-D codes.

Both have the semantic tokenizer's ViT blocks, codebook, k-means start and revival; what differs is what a code must
tell. A VQ-VAE code must redraw its patch, beside its neighbours. A 1-D code belongs to no place: learned queries gather
the picture, and a second stack redraws all patches from them.
Sources: VQ-VAE, arXiv:1711.00937; 1-D codes (TiTok), arXiv:2406.07550.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from inkwash.models.glm_image.ar import VisionBlock, VisionEncoder, VQModel
from inkwash.models.glm_image.config import VisionConfig, VQConfig
from inkwash.train.device import autocast
from inkwash.train.optim import descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.tokenizer import Codebook, clip_normalize, perplexity


class PixelTokenizer(nn.Module):
    """Pictures to `grid` (rows * columns) codes and back; `line` takes the codes from learned queries."""

    def __init__(self, config: VisionConfig, codebook: VQConfig, grid: tuple[int, int], *, line: bool) -> None:
        super().__init__()
        self.grid, self.patch, self.line = grid, config.patch_size, line
        count, width = grid[0] * grid[1], config.hidden_size
        self.vision = VisionEncoder(config)
        self.vq = VQModel(codebook)
        self.queries = nn.Parameter(0.02 * torch.randn(count, width))
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.blocks = nn.ModuleList([VisionBlock(config) for _ in range(config.depth)])
        self.out = nn.Linear(width, 3 * self.patch**2)

    def features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> what is quantised, (B, N, width)."""
        if not self.line:
            return self.vision(pixels)
        patches = self.vision.patch_embed(pixels) + self.vision.embeddings(*self.grid)
        x = torch.cat([patches, self.queries.expand(len(patches), -1, -1)], dim=1)
        for block in self.vision.blocks:
            x = block(x)
        return x[:, patches.shape[1] :]

    def redraw(self, tokens: Tensor) -> Tensor:
        """Quantised (B, N, E) -> patches (B, N, 3 p p)."""
        x = self.vq.decode(tokens) + self.places
        if self.line:  # codes keep their order, patches start from their place alone
            x = torch.cat([x, self.places.expand(len(x), -1, -1)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.out(x[:, -len(self.places) :])


def train_pixel_tokenizer(
    model: PixelTokenizer,
    make: Callable[[int], Tensor],
    *,
    steps: int,
    lr: float = 1e-3,
    free_steps: int,
    start_batches: int = 20,
    decay: float = 0.98,
) -> dict[str, float]:
    """Learn to redraw `make(step)`, uint8 (B, H, W, 3); returns the last losses and the codebook's health."""
    model.vq.quantize.embedding.weight.requires_grad_(False)
    optimizers = make_optimizers([model], lr=lr, muon_marker="blocks.")
    book = Codebook(model.vq, decay)
    usage = torch.zeros(model.vq.config.num_embeddings)
    error = torch.zeros(())
    device = model.queries.device
    for step in range(steps):
        set_lr(optimizers, lr * warmup_cosine(step, total=steps, warmup=50))
        if step == free_steps:
            with torch.no_grad(), autocast(device):
                many = [model.vq.project(model.features(clip_normalize(make(i)))) for i in range(start_batches)]
            book.start(torch.cat(many).flatten(0, 1))
        pixels = clip_normalize(make(step))
        with autocast(device):
            features = model.features(pixels)
            tokens, ids, commitment = model.vq(features)
            if step < free_steps:
                tokens, commitment = model.vq.project(features), torch.zeros(())
            patches = model.redraw(tokens)
        target = rearrange(pixels, "b c (h p) (w q) -> b (h w) (c p q)", p=model.patch, q=model.patch)
        error = (patches.float() - target).abs().mean()
        descend(error + 0.5 * commitment, optimizers)
        if step >= free_steps:
            z = model.vq.project(features.detach()).detach().flatten(0, 1)
            book.follow(z, ids.flatten())
            usage.mul_(0.98).index_add_(0, ids.flatten(), torch.ones(ids.numel()))
            if (step + 1) % 50 == 0 and step < 0.85 * steps:
                book.revive((usage > 0.05).float(), z, ids.flatten())
    return {
        "error": float(error.detach()),
        "usage": float((usage > 0.05).float().mean()),
        "perplexity": perplexity(usage),
    }
