"""Tiny reinforcement as a program, for tests that kill a process or start two: python -m tests.unit.rl.stages ...

    stages.py STAGE FOLDER [--steps N] [--kill PLACE=COUNT] [--kill-rank RANK] [--set NAME=VALUE ...]

`--kill` ends the process with SIGKILL when it comes to that place (make, score, learn, save) for the COUNT-th time, or,
with `after=SECONDS`, when it has taken so many CPU seconds since its first prompts.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.rl import grpo_ar as ar_loop
from inkwash.rl import grpo_decoder as decoder_loop
from inkwash.rl.grpo_ar import ARReinforce, grpo_ar
from inkwash.rl.grpo_decoder import grpo_decoder
from inkwash.rl.prompts import PromptSource
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.velocities import DecoderReinforce
from inkwash.train.lora import LoRA
from inkwash.train.parallel import finish, first_does, start
from inkwash.train.run import TrainingRun
from tests.unit.train.conftest import SCHEDULER, tiny_ar, tiny_decoder, tiny_vae
from tests.unit.train.stages import tiny_processor

CPU = torch.device("cpu")
SOURCE = PromptSource(seed=1, count=2, spare=2, level="first", canvases=((128, 128),), most_texts=1)


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """A reward without a reader: how bright the upper half is."""

    name: str = "brightness"
    reads: bool = False

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [float(np.asarray(item.image)[: item.image.height // 2].mean()) / 255 for item in items]


def tiny_parts(folder: Path) -> GlmImageParts:
    """A checkpoint of tiny random networks that draw something."""
    processor = tiny_processor(folder / "processor")
    decoder, glyph = tiny_decoder()
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return GlmImageParts(
        ar=tiny_ar(processor.tokenizer),
        decoder=decoder,
        vae=tiny_vae().requires_grad_(False),
        glyph=glyph,
        processor=processor,
        scheduler=SCHEDULER,
        generation={"temperature": 1.0, "top_p": 1.0, "min_p": 0.1},
    )


class KillAt:
    """Ends the process at the n-th call of a place."""

    def __init__(self, word: str) -> None:
        self.place, _, count = word.partition("=")
        self.after = float(count) if self.place == "after" else None
        self.left = 0 if self.after is not None else int(count or 0)

    def _watch(self, until: float) -> None:
        while time.process_time() < until:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    def at(self, place: str) -> None:
        if self.after is not None and place == "make":
            threading.Thread(target=self._watch, args=(time.process_time() + self.after,), daemon=True).start()
            self.after = None
        if place == self.place:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def before(self, place: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*args: Any, **named: Any) -> Any:
            self.at(place)
            return call(*args, **named)

        return one


COMMON: dict[str, Any] = {
    "asks": 2,
    "group": 4,
    "lr": 1e-3,
    "warmup": 1,
    "spare": 2,
    "judge_every": 0,
    "save_every_s": 0.0,
    "draw_steps": 3,
    "precision": "fp32",
}


def run_stage(name: str, folder: Path, steps: int, kill: KillAt | None = None, **extra: Any) -> dict[str, torch.Tensor]:
    """Train one stage in `folder`; the weights afterwards."""
    ranks, device = start(CPU)
    lora = LoRA(rank=2, alpha=4.0) if extra.pop("lora", False) else None
    first_does(ranks, lambda: tiny_processor(folder.parent / "processor") and None)
    parts = tiny_parts(folder.parent)
    scorer, make = Scorer(rewards={"brightness": Brightness()}), SOURCE
    if kill is not None:
        object.__setattr__(scorer, "score", kill.before("score", scorer.score))
        ar_loop.token_updates = kill.before("learn", ar_loop.token_updates)
        decoder_loop.learn = kill.before("learn", decoder_loop.learn)
        TrainingRun.save = kill.before("save", TrainingRun.save)  # type: ignore[method-assign]
        make = kill.before("make", SOURCE)  # type: ignore[assignment]
    loop: Any = grpo_ar if name == "ar" else grpo_decoder
    kind: Any = ARReinforce if name == "ar" else DecoderReinforce
    settings = kind(**{**COMMON, "steps": steps, **extra})
    state: dict[str, torch.Tensor] = loop(parts, make, scorer, folder, settings, device=device, lora=lora, ranks=ranks)
    finish(ranks)
    return state


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=("ar", "decoder"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--kill", default="")
    parser.add_argument("--kill-rank", default="0")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="NAME=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mine = os.environ.get("RANK", "0") == args.kill_rank
    settings = (word.partition("=") for word in args.settings)
    extra = {name: int(value) if value.isdecimal() else value for name, _, value in settings}
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    kill = KillAt(args.kill) if args.kill and mine else None
    state = run_stage(args.stage, args.folder / args.stage, args.steps, kill, **extra)
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save(state, args.folder / f"{args.stage}.pt")


if __name__ == "__main__":
    main()
