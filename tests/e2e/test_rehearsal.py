"""The way of `runs/nano.sh` in small: two steps of every stage, the export, and a picture from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.recipes import nano


@pytest.mark.slow
def test_every_stage_runs_and_the_result_draws(tmp_path: Path) -> None:
    work = tmp_path / "work"
    nano.nano_vae(work, steps=2).run()
    nano.nano_vae_refined(work, steps=2).run()
    nano.nano_tokenizer(work, steps=2, batch=2).run()
    nano.nano_decoder(work, steps=2, batch=2).run()
    nano.nano_ar(work, steps=2, batch=2).run()
    folder = nano.export_nano(work, tmp_path / "checkpoint")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 20e6 < size < 60e6
    pipe = GlmImagePipeline.from_pretrained(folder)
    output = pipe(
        prompt='A poster that says "HI"',
        height=128,
        width=160,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(0),
    )
    assert output.images[0].size == (160, 128)
    for stage in ("vae", "tokenizer", "decoder", "ar"):
        assert (work / stage / "log.csv").is_file(), f"{stage} left no log"
