"""A stage that is stopped and continued ends bit-identical to one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inkwash.core.errors import InkwashError
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.scenes.labels import LABELS
from inkwash.train.ar import ARTraining, train_ar
from inkwash.train.decoder import DecoderTraining, train_decoder
from inkwash.train.run import TrainingRun
from inkwash.train.tokenizer import TokenizerTraining, train_tokenizer
from inkwash.train.vae import VAETraining, train_vae
from tests.unit.train.conftest import CPU, tiny_ar, tiny_decoder, tiny_frozen, tiny_tokenizer, tiny_vae

pytestmark = pytest.mark.slow

STEPS, STOP = 6, 3
SMALL = (Phase(first=0, batch=2, canvases=((128, 128),)),)
Stage = Callable[[Path, Callable[[int], dict]], list[Tensor]]


def vae_stage(folder: Path, wrap: Callable) -> list[Tensor]:
    model = tiny_vae()
    make = wrap(PixelCrops(seed=1, phases=((0, 64, 2),)))
    train_vae(model, make, folder, VAETraining(steps=STEPS, workers=0, save_every_s=0.0), device=CPU)
    return list(model.parameters())


def tokenizer_stage(folder: Path, wrap: Callable) -> list[Tensor]:
    encoder, codebook = tiny_tokenizer()
    make = wrap(LabelledScenes(seed=1, batch=2, canvases=((128, 128),)))
    config = TokenizerTraining(steps=STEPS, free_steps=2, revive_every=2, workers=0, save_every_s=0.0)
    train_tokenizer(encoder, codebook, LABELS, make, folder, config, device=CPU)
    return [*encoder.parameters(), *codebook.parameters()]


def decoder_stage(folder: Path, wrap: Callable) -> list[Tensor]:
    model, texts = tiny_decoder()
    make = wrap(PictureBatches(seed=1, phases=SMALL, edits=0.5, edits_from=2))
    config = DecoderTraining(steps=STEPS, workers=0, save_every_s=0.0)
    train_decoder(model, texts, tiny_frozen(), make, folder, config, device=CPU)
    return [*model.parameters(), *texts.parameters()]


@pytest.fixture
def ar_stage(processor: GlmImageProcessor) -> Stage:
    def stage(folder: Path, wrap: Callable) -> list[Tensor]:
        model = tiny_ar(processor.tokenizer)
        make = wrap(PlanBatches(seed=1, phases=SMALL, preview_from=2, edits=0.3))
        config = ARTraining(steps=STEPS, workers=0, save_every_s=0.0)
        train_ar(model, processor.tokenizer, make, folder, config, device=CPU)
        return list(model.parameters())

    return stage


class Killed(Exception):
    """Stands for a kill: nothing of the loop runs after it."""


@pytest.mark.parametrize("name", ["vae", "tokenizer", "decoder", "ar"])
def test_a_stopped_stage_ends_bit_identical(name: str, tmp_path: Path, ar_stage: Stage) -> None:
    stage = {"vae": vae_stage, "tokenizer": tokenizer_stage, "decoder": decoder_stage, "ar": ar_stage}[name]
    torch.manual_seed(0)
    whole = stage(tmp_path / "whole", lambda make: make)

    def kill_at_stop(make: Callable) -> Callable:
        def one(step: int) -> dict:
            if step == STOP:
                raise Killed
            return make(step)

        return one

    torch.manual_seed(0)
    with pytest.raises(Killed):
        stage(tmp_path / "cut", kill_at_stop)
    torch.manual_seed(12345)
    resumed = stage(tmp_path / "cut", lambda make: make)
    assert len(whole) == len(resumed) > 10
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    start = {"vae": lambda: list(tiny_vae().parameters())}.get(name)
    if start is not None:
        assert any(not torch.equal(a, b) for a, b in zip(whole, start(), strict=True)), "nothing was trained"


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_good_state(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    run = TrainingRun(tmp_path, {"m": model}, [], None, total=10, save_every_s=0.0)
    run.log(0, 1, loss=1.0)
    with pytest.raises(InkwashError, match="loss became nan at step 1"):
        run.log(1, 1, loss=float("nan"))
    assert TrainingRun(tmp_path, {"m": model}, [], None, total=10).resume() == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path / "run", {"m": torch.nn.Linear(2, 2)}, [], None, total=3)
    run.state_file.mkdir()
    with pytest.raises(InkwashError, match="cannot save training state"):
        run.save(1)
