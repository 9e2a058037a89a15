"""Nano-V, second edition, from nothing: a GLM-V that reads, names, counts and points at what cards show.

As `nano_v.py`, for level `card`: pictures of any size, things, wrapped texts in mixed case, Chinese, and pictures that
show nothing known. State lies in `work`/see2; a killed run continues. The export is beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch

from inkwash.data.card_questions import (
    CARD_CANVASES,
    CARD_EVERYWHERE,
    CardQuestionBatches,
    card_label_sizes,
    card_question_lines,
    character_lines,
)
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import train_bpe, write_processor_files
from inkwash.recipes.nano_v import CPU, MAX_SIDE, MERGE, MIN_SIDE, PATCH, NanoVSizes, export_trained, new_model
from inkwash.train.vlm import VLMTraining, train_vlm

VOCABULARY = 2048
SPELLED = 200  # times the tokenizer sees every character alone, so that each becomes one token
SIZES = NanoVSizes(
    vision_depth=5,
    vision_width=192,
    vision_heads=4,
    merger=576,
    width=288,
    inner=608,
    layers=7,
    heads=6,
    kv_heads=2,
    mrope_section=(4, 4, 4),
    image_size=512,
)


def write_nano_v2_processor(work: Path, lines: int = 20000) -> GlmVProcessor:
    """Train the BPE on questions and answers once, and write the files beside it.

    Pictures are scaled, with their aspect kept, to an area between those of `MIN_SIDE` and `MAX_SIDE` squared.
    """
    folder = work / "see2" / "processor"
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(_lines(lines), vocab_size=VOCABULARY, spelled=True)
        write_processor_files(
            folder, bpe, patch_size=PATCH, merge_size=MERGE, min_pixels=MIN_SIDE**2, max_pixels=MAX_SIDE**2
        )
    return GlmVProcessor.from_folder(folder)


def _lines(count: int) -> Iterator[str]:
    yield from card_question_lines(random.Random("bpe"), count)
    yield from (line for line in character_lines() for _ in range(SPELLED))


def train_nano_v2(
    work: Path,
    steps: int = 40000,
    language_from: int = 4000,
    batch: int = 6,
    lr: float = 1e-3,
    ema: float = 0.998,
    chinese: float = 0.25,
    canvases: tuple[tuple[int, int], ...] = CARD_CANVASES,
    sizes: NanoVSizes = SIZES,
) -> None:
    """Train the whole network: `work`/see2/see.pt. A finished run goes on when it is asked for more steps."""
    torch.manual_seed(0)
    processor = write_nano_v2_processor(work)
    model = new_model(processor, sizes)
    make = CardQuestionBatches(seed=9, batch=batch, chinese=chinese, canvases=canvases, talk_from=language_from)
    settings = VLMTraining(steps=steps, language_from=language_from, lr=lr, ema=ema)
    folder = work / "see2"
    train_vlm(model, processor, card_label_sizes(), make, folder, settings, device=CPU, everywhere=CARD_EVERYWHERE)
    torch.save(model.state_dict(), folder / "see.pt")


def export_nano_v2(work: Path, output: Path, sizes: NanoVSizes = SIZES) -> Path:
    """Write the checkpoint in bf16, from the finished stage or from the running average of an unfinished one."""
    processor = write_nano_v2_processor(work)
    return export_trained(new_model(processor, sizes), processor, work / "see2", output)
