"""Tiny stages as a program, for tests that kill a process or start several: python -m tests.unit.train.stages ...

    stages.py STAGES FOLDER [--steps N] [--kill STAGE=STEP ...] [--kill-rank RANK] [--set NAME=VALUE ...]

`--kill` ends the process, or of several that of `--kill-rank`, with SIGKILL while it asks for that batch. A stage that
has written its weights is left out.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import train_bpe, write_processor_files
from inkwash.scenes.labels import LABELS
from inkwash.train.ar import ARTraining, train_ar
from inkwash.train.decoder import DecoderTraining, train_decoder
from inkwash.train.tokenizer import TokenizerTraining, train_tokenizer
from inkwash.train.vae import VAETraining, train_vae
from tests.unit.train.conftest import CODES, CPU, tiny_ar, tiny_decoder, tiny_frozen, tiny_tokenizer, tiny_vae

SMALL = (Phase(first=0, batch=4, canvases=((128, 128),)),)
Make = Callable[[int], dict[str, Any]]


def killed_at(make: Make, step: int | None) -> Make:
    def one(asked: int) -> dict[str, Any]:
        if asked == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(asked)

    return one


def tiny_processor(folder: Path) -> GlmImageProcessor:
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(['A poster that says "HELLO"'] * 4, vocab_size=500, codes=CODES)
        write_processor_files(folder, bpe, codes=CODES, min_pixels=128**2, max_pixels=1024**2)
    return GlmImageProcessor.from_folder(folder)


def run_stage(name: str, folder: Path, steps: int, kill_at: int | None, **extra: Any) -> dict[str, torch.Tensor]:
    """Train one stage in `folder`; the whole weights afterwards."""
    common: dict[str, Any] = {"steps": steps, "workers": 0, "save_every_s": 0.0, "warmup": 2}
    if name == "vae":
        vae = tiny_vae()
        train_vae(
            vae, killed_at(PixelCrops(seed=1, phases=((0, 64, 2),)), kill_at), folder, VAETraining(**common), device=CPU
        )
        return vae.state_dict()
    if name == "tokenizer":
        encoder, codebook = tiny_tokenizer()
        make = killed_at(LabelledScenes(seed=1, batch=2, canvases=((128, 128),)), kill_at)
        config = TokenizerTraining(**common, free_steps=2, revive_every=2)
        train_tokenizer(encoder, codebook, LABELS, make, folder, config, device=CPU)
        return encoder.state_dict() | codebook.state_dict()
    if name == "decoder":
        decoder, glyph = tiny_decoder()
        make = killed_at(PictureBatches(seed=1, phases=SMALL, edits=0.5, edits_from=2), kill_at)
        states = train_decoder(
            decoder, glyph, tiny_frozen(), make, folder, DecoderTraining(**common, **extra), device=CPU
        )
        return states[0] | states[1]
    processor = tiny_processor(folder.parent / "processor")
    model = tiny_ar(processor.tokenizer)
    make = killed_at(PlanBatches(seed=1, phases=SMALL, preview_from=2, edits=0.3), kill_at)
    return train_ar(model, processor.tokenizer, make, folder, ARTraining(**common, **extra), device=CPU)


GROUPS = {"all": ("vae", "tokenizer", "decoder", "ar"), "large": ("ar", "decoder")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stages", help="a stage, all, or large (the two that run on several processes)")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--kill", nargs="*", default=[], help="STAGE=STEP")
    parser.add_argument("--kill-rank", default="0")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="NAME=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mine = os.environ.get("RANK", "0") == args.kill_rank
    kills = {stage: int(step) for stage, _, step in (word.partition("=") for word in args.kill) if mine}
    settings = (word.partition("=") for word in args.settings)
    extra = {name: int(value) if value.isdecimal() else value for name, _, value in settings}
    args.folder.mkdir(parents=True, exist_ok=True)
    for stage in GROUPS.get(args.stages, (args.stages,)):
        if (args.folder / f"{stage}.pt").exists():
            continue
        torch.manual_seed(0)
        state = run_stage(stage, args.folder / stage, args.steps, kills.get(stage), **extra)
        if int(os.environ.get("RANK", "0")) == 0:
            torch.save(state, args.folder / f"{stage}.pt")


if __name__ == "__main__":
    main()
