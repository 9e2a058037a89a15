"""Which codes are easy to predict? Semantic-VQ, VQ-VAE and 1-D codes of one codebook size under the same AR generator.

python examples/codes_comparison.py [WORK] [--tokenizer-steps N] [--ar-steps N]      about twenty minutes on one core

Reproduces a claim about the released model's choice of tokenizer at nano's scale: three tokenizers with the same
blocks, steps and data, then the same small AR generator on each one's codes, from the same captions in the same order.
Writes losses.csv (every loss), table.json and losses.png in WORK. docs/training.md tells what came out.

All three have the ViT blocks, codebook, k-means start and revival of the semantic one; what differs is what a code must
tell. A VQ-VAE code must redraw its patch, beside its neighbours. A 1-D code belongs to no place: learned queries gather
the picture, and a second stack redraws all patches from them.
Sources: VQ-VAE, arXiv:1711.00937; 1-D codes (TiTok), arXiv:2406.07550.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw
from tokenizers import Tokenizer
from torch import Tensor, nn

from inkwash.core.device import set_threads
from inkwash.data.scenes import LabelledScenes, half_size, label_sizes
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image import ar
from inkwash.models.glm_image.ar import ARGenerator, VisionBlock, VisionEncoder, VQModel
from inkwash.models.glm_image.config import ARConfig, ARTextConfig, VisionConfig, VQConfig
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, TokenLayout, train_bpe
from inkwash.scenes.caption import caption
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.labels import cell_labels
from inkwash.scenes.render import render
from inkwash.train.ar import ar_loss, build_rows
from inkwash.train.device import autocast
from inkwash.train.optim import descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.tokenizer import (
    Codebook,
    TokenizerTraining,
    clip_normalize,
    perplexity,
    token_grid,
    train_tokenizer,
)

CPU = torch.device("cpu")
COLORS = {"semantic-VQ": "#1f77b4", "VQ-VAE": "#d62728", "1-D": "#2ca02c"}
LETTER = 1  # the kind of a cell that shows a letter


@dataclass(frozen=True, kw_only=True)
class CaptionedPictures:
    """`half` uint8 (P, H/2, W/2, 3), one prompt each, and the letter of every cell (P, N), 0 where there is none."""

    half: np.ndarray
    prompts: list[str]
    letters: np.ndarray


def captioned_pictures(seed: str, count: int, width: int, height: int) -> CaptionedPictures:
    """`count` scenes of one canvas, the same for the same seed."""
    rng = random.Random(seed)
    half, prompts, letters = [], [], []
    for _ in range(count):
        scene = sample_scene(rng, width=width, height=height, level="first", random_words=0.5)
        half.append(half_size(render(scene)))
        prompts.append(caption(scene, rng))
        labels = cell_labels(scene)
        letters.append(np.where(labels["kind"] == LETTER, labels["letter"] + 1, 0).ravel())
    return CaptionedPictures(half=np.stack(half), prompts=prompts, letters=np.stack(letters))


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


@dataclass(frozen=True, kw_only=True)
class CodesComparison:
    """Sizes of the comparison; every tokenizer and every generator has the same."""

    work: Path
    tokenizer_steps: int = 1000
    tokenizer_batch: int = 32
    ar_steps: int = 600
    codes: int = 512
    batch: int = 16
    pictures: int = 4000
    held: int = 256
    canvas: tuple[int, int] = (256, 128)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells of 32 px."""
        return self.canvas[1] // 32, self.canvas[0] // 32


def compare_codes(config: CodesComparison) -> None:
    """Train the three tokenizers and a generator on each one's codes; write losses, table and plot."""
    folder = config.work
    folder.mkdir(parents=True, exist_ok=True)
    pool = captioned_pictures("codes", config.pictures + config.held, *config.canvas)
    pixels, prompts = torch.from_numpy(pool.half), pool.prompts
    letters = torch.from_numpy(pool.letters)
    bpe = train_bpe(prompts, vocab_size=2000, codes=config.codes)
    table: dict[str, dict[str, float]] = {}
    curves: dict[str, list[float]] = {}
    for name in COLORS:
        ids = _encode(name, config, pixels, folder)
        curves[name], held = _generator_losses(config, bpe, prompts, ids)
        counts = torch.bincount(ids.flatten(), minlength=config.codes).float()
        table[name] = {
            "held-out loss": held,
            "training loss": float(np.mean(curves[name][-50:])),
            "perplexity": perplexity(counts),
            "used": float((counts > 0).float().mean()),
            "letters told": math.nan if name == "1-D" else _letters_told(ids, letters),
        }
        print(name, " ".join(f"{key} {value:.3f}" for key, value in table[name].items()), flush=True)
    _write(folder, table, curves)


def _encode(name: str, config: CodesComparison, pixels: Tensor, folder: Path) -> Tensor:
    """Train the tokenizer of that name and encode the pool: ids (P, rows, columns)."""
    torch.manual_seed(0)
    sizes = VisionConfig(depth=2, hidden_size=128, num_heads=2, intermediate_size=512, image_size=128, patch_size=16)
    book = VQConfig(embed_dim=32, num_embeddings=config.codes, latent_channels=128)
    free = config.tokenizer_steps * 3 // 5
    if name == "semantic-VQ":
        encoder, codebook = VisionEncoder(sizes), VQModel(book)
        ar.init_vision_weights(encoder)
        ar.init_vq_weights(codebook)
        make = LabelledScenes(seed=11, batch=config.tokenizer_batch, canvases=(config.canvas,), noise=0.0)
        settings = TokenizerTraining(steps=config.tokenizer_steps, free_steps=free, revive_every=50)
        train_tokenizer(encoder, codebook, label_sizes("first"), make, folder / "semantic", settings, device=CPU)
        return torch.cat([token_grid(encoder, codebook, part) for part in pixels.split(256)])
    model = PixelTokenizer(sizes, book, config.grid, line=name == "1-D")
    ar.init_vision_weights(model.vision)
    ar.init_vq_weights(model.vq)
    health = train_pixel_tokenizer(
        model,
        lambda step: pixels[_indices(step, config.tokenizer_batch, config)],
        steps=config.tokenizer_steps,
        free_steps=free,
    )
    print(name, health, flush=True)
    with torch.no_grad():
        parts = [model.vq.encode(model.features(clip_normalize(part))) for part in pixels.split(256)]
    return torch.cat(parts).view(len(pixels), *((1, -1) if model.line else config.grid))


def _indices(step: int, batch: int, config: CodesComparison) -> Tensor:
    """The pictures of a step: the pool without its held-out end, shuffled anew in every epoch."""
    per_epoch = config.pictures // batch
    generator = torch.Generator().manual_seed(step // per_epoch)
    order = torch.randperm(config.pictures, generator=generator)
    return order[step % per_epoch * batch :][:batch]


def _generator_losses(
    config: CodesComparison, bpe: Tokenizer, prompts: list[str], ids: Tensor
) -> tuple[list[float], float]:
    """Cross-entropy per code of every training step, and on the held-out pictures at the end."""
    torch.manual_seed(1)
    layout = TokenLayout(codes=config.codes)
    pad_id, image_id = bpe.token_to_id(END_OF_TEXT), bpe.token_to_id(IMAGE)
    assert pad_id is not None and image_id is not None
    model = _new_generator(bpe, layout, pad_id, image_id)
    optimizers = make_optimizers([model.model.language_model, model.lm_head], lr=1e-3, muon_marker="layers.")

    def loss_of(chosen: Tensor) -> Tensor:
        texts = [prompts[i] for i in chosen.tolist()]
        rows = build_rows(bpe, layout, texts, ids[chosen], [], preview=False, preview_weight=1.0, pad_id=pad_id)
        return ar_loss(model, rows, CPU)[0]

    losses = []
    for step in range(config.ar_steps):
        set_lr(optimizers, 1e-3 * warmup_cosine(step, total=config.ar_steps, warmup=50))
        loss = loss_of(_indices(step, config.batch, config))
        descend(loss, optimizers, clip=model.parameters())
        losses.append(float(loss.detach()))
    with torch.no_grad():
        held = torch.arange(config.pictures, config.pictures + config.held).split(32)
        return losses, float(torch.stack([loss_of(part) for part in held]).mean())


def _new_generator(bpe: Tokenizer, layout: TokenLayout, pad_id: int, image_id: int) -> ARGenerator:
    text = ARTextConfig(
        vocab_size=bpe.get_vocab_size(),
        vision_vocab_size=layout.vision_vocab_size,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=64,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(4, 6, 6)),
        pad_token_id=pad_id,
        eos_token_id=layout.image_end,
    )
    tiny = VisionConfig(depth=1, hidden_size=16, num_heads=1, intermediate_size=16, image_size=64, patch_size=16)
    config = ARConfig(
        text_config=text,
        vision_config=tiny,
        vq_config=VQConfig(embed_dim=8, num_embeddings=layout.codes, latent_channels=16),
        image_token_id=image_id,
        image_start_token_id=layout.image_start,
        image_end_token_id=layout.image_end,
    )
    model = ARGenerator(config)
    ar.init_weights(model)
    model.model.visual.requires_grad_(False)
    model.model.vqmodel.requires_grad_(False)
    return model


def _letters_told(ids: Tensor, letters: Tensor) -> float:
    """Share of letter cells whose letter is the commonest one among all letter cells with the same code."""
    there = letters.flatten() > 0
    codes, truth = ids.flatten()[there].tolist(), letters.flatten()[there].tolist()
    counts: dict[int, Counter[int]] = {}
    for code, letter in zip(codes, truth, strict=True):
        counts.setdefault(code, Counter())[letter] += 1
    return sum(max(each.values()) for each in counts.values()) / len(truth)


def _write(folder: Path, table: dict[str, dict[str, float]], curves: dict[str, list[float]]) -> None:
    (folder / "table.json").write_text(json.dumps(table, indent=2), encoding="utf-8")
    with (folder / "losses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *curves])
        writer.writerows(zip(range(1, 1 + len(next(iter(curves.values())))), *curves.values(), strict=True))
    draw_losses(curves, folder / "losses.png")


def draw_losses(curves: dict[str, list[float]], path: Path, width: int = 720, height: int = 400) -> None:
    """Running means of the losses over the steps, one line per kind of codes."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = 50, 20, width - 20, height - 40
    highest = math.ceil(max(max(values[5:] or values) for values in curves.values()))
    for tick in range(highest + 1):
        y = bottom - (bottom - top) * tick / highest
        draw.line((left, y, right, y), fill="#dddddd")
        draw.text((left - 18, y - 6), str(tick), fill="#333333")
    for row, (name, values) in enumerate(curves.items()):
        mean, points = values[0], []
        for step, value in enumerate(values):
            mean = 0.9 * mean + 0.1 * value
            x = left + (right - left) * step / max(1, len(values) - 1)
            points.append((x, bottom - (bottom - top) * min(mean, highest) / highest))
        draw.line(points, fill=COLORS[name], width=2)
        draw.text((right - 190, top + 6 + 16 * row), f"{name}: {mean:.2f} nats a code", fill=COLORS[name])
    draw.text((left, bottom + 8), f"AR training loss over {len(next(iter(curves.values())))} steps", fill="#333333")
    image.save(path)


def main() -> None:
    """The comparison, by the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="?", type=Path, default=Path("work/codes"))
    parser.add_argument("--tokenizer-steps", type=int, default=CodesComparison.tokenizer_steps)
    parser.add_argument("--ar-steps", type=int, default=CodesComparison.ar_steps)
    words = parser.parse_args()
    set_threads()
    compare_codes(CodesComparison(work=words.work, tokenizer_steps=words.tokenizer_steps, ar_steps=words.ar_steps))


if __name__ == "__main__":
    main()
