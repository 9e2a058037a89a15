"""Accumulation, packing, arithmetic, settings, logs, reports: what stages share, and losses that must not change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.core.heap import hold_memory
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import TokenLayout
from inkwash.train.ar import ARTraining, ar_loss
from inkwash.train.curve import draw_curve, read_log
from inkwash.train.decoder import DecoderTraining, Draws, Inputs, inputs_loss
from inkwash.train.device import matmul_rate
from inkwash.train.flops import ar_step_flops, decoder_step_flops
from inkwash.train.optim import descend, make_optimizers
from inkwash.train.parallel import Ranks, start
from inkwash.train.report import write_report
from inkwash.train.rows import ARBatch, build_rows, pack_rows
from inkwash.train.run import TrainingRun
from inkwash.train.tokenizer import perplexity
from inkwash.train.vae import VAETraining
from tests.unit.train.conftest import CODES, CPU, SCHEDULER, tiny_ar, tiny_decoder


def rows_of_four(processor: GlmImageProcessor) -> ARBatch:
    target = torch.randint(CODES, (4, 2, 3), generator=torch.Generator().manual_seed(0))
    prompts = ['"A"', 'A much longer prompt that says "HELLO"', "x", "A poster"]
    layout = TokenLayout(codes=CODES)
    return build_rows(
        processor.tokenizer, layout, prompts, target, [], preview=False, preview_weight=1.0, pad_id=CODES + 7
    )


def test_packed_rows_lose_what_single_rows_lose(processor: GlmImageProcessor) -> None:
    rows = rows_of_four(processor)
    packed = pack_rows(rows, 96, CODES + 7)
    assert packed.ids.shape[0] < 4
    assert float(packed.weight.sum()) == float(rows.weight.sum())
    model = tiny_ar(processor.tokenizer)
    one, _ = ar_loss(model, rows, CPU, precision="fp32")
    other, _ = ar_loss(model, packed, CPU, precision="fp32")
    torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-6)
    blind = ARBatch(ids=packed.ids, positions=packed.positions, targets=packed.targets, weight=packed.weight)
    assert abs(float(ar_loss(model, blind, CPU, precision="fp32")[0].detach() - one.detach())) > 1e-4
    with pytest.raises(ConfigError, match="pack=10 is shorter"):
        pack_rows(rows, 10, 0)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(processor: GlmImageProcessor) -> None:
    rows = rows_of_four(processor)
    model = tiny_ar(processor.tokenizer)
    model.model.visual.requires_grad_(False)
    model.model.vqmodel.requires_grad_(False)
    ar_loss(model, rows, CPU, precision="fp32")[0].backward()
    whole = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for part in rows.parts(2):
        ar_loss(model, part, CPU, total=rows.weight.sum(), precision="fp32")[0].backward()
    for name, parameter in model.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad, whole[name], atol=1e-6, rtol=1e-4)
    with pytest.raises(ConfigError, match="accumulate=3"):
        list(rows.parts(3))


def test_random_numbers_belong_to_a_row_of_a_step() -> None:
    clean, ids = torch.randn(4, 4, 16, 16), torch.randint(CODES, (4, 4, 4))
    inputs = Inputs(clean=clean, ids=ids, texts=[["A"], [], ["B", "C"], ["D"]])
    whole, half = Draws.of(3, range(4), inputs), Draws.of(3, range(2, 4), inputs.rows(slice(2, 4)))
    assert torch.equal(whole.noise[2:], half.noise)
    assert torch.equal(whole.code[2:], half.code)
    assert not torch.equal(whole.noise, Draws.of(4, range(4), inputs).noise)
    model, glyph = tiny_decoder()
    nn.init.normal_(model.proj_out.weight, std=0.1)
    config = DecoderTraining(steps=1, precision="fp32")
    parts = [inputs_loss(model, glyph, inputs.rows(s), r, 3, config, SCHEDULER) for s, r in halves()]
    one = inputs_loss(model, glyph, inputs, range(4), 3, config, SCHEDULER)
    torch.testing.assert_close(torch.stack(parts).mean(), one, atol=1e-6, rtol=1e-5)


def halves() -> list[tuple[slice, range]]:
    return [(slice(0, 2), range(2)), (slice(2, 4), range(2, 4))]


def test_arithmetic_is_what_torch_counts(processor: GlmImageProcessor) -> None:
    model, rows = tiny_ar(processor.tokenizer), rows_of_four(processor)
    model.model.visual.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        ar_loss(model, rows, CPU, precision="fp32")[0].backward()
    count, length = rows.ids.shape
    told = ar_step_flops(model.config.text_config, rows=count, length=length, counted=int((rows.weight > 0).sum()))
    assert told == pytest.approx(counter.get_total_flops(), rel=0.02)
    decoder, glyph = tiny_decoder()
    inputs = Inputs(
        clean=torch.randn(2, 4, 32, 32), ids=torch.zeros(2, 8, 8, dtype=torch.long), texts=[["ABCDEFG"]] * 2
    )
    with FlopCounterMode(display=False) as counter:
        config = DecoderTraining(steps=1, drop_both=0.0, precision="fp32")
        inputs_loss(decoder, glyph, inputs, range(2), 0, config, SCHEDULER).backward()
    told = decoder_step_flops(decoder.config, pictures=2, tokens=256, glyphs=8)
    assert told == pytest.approx(counter.get_total_flops(), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"schedule": "line"}, "one of cosine, wsd"),
        ({"precision": "fp8"}, "one of auto, bf16, fp32"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"ema": 1.0}, "below 1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ARTraining(**{"steps": 1, **settings})
    if "accumulate" not in settings:
        with pytest.raises(ValueError, match=word):
            VAETraining(**{"steps": 1, **settings})


def test_tensor_parallelism_needs_processes() -> None:
    with pytest.raises(ConfigError, match="torchrun --nproc-per-node 2"):
        start(CPU, tensor=2)
    with pytest.raises(ConfigError, match="cannot be spread over 2"):
        Ranks(rank=1, world=2).mine(5)
    assert [Ranks(rank=r, world=4, tensor=2).mine(6) for r in range(4)] == [slice(0, 3)] * 2 + [slice(3, 6)] * 2


def test_perplexity_is_the_number_of_codes_used_alike() -> None:
    assert perplexity(torch.tensor([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3.0)
    assert perplexity(torch.zeros(4)) == 0.0


def test_the_matmul_rate_is_measured() -> None:
    assert 1e7 < matmul_rate(CPU, torch.float32, side=128, repeats=3) < 1e15
    assert isinstance(hold_memory(), bool)


def small_run(folder: Path, steps: int = 4) -> tuple[TrainingRun, nn.Linear, list[torch.optim.Optimizer]]:
    model = nn.Linear(2, 2)
    optimizers = make_optimizers([model], lr=0.1, muon_marker=None)
    return (
        TrainingRun(folder, {"m": model}, optimizers, None, total=steps, settings=VAETraining(steps=steps)),
        model,
        optimizers,
    )


def batch(step: int) -> dict[str, object]:
    return {"prompts": [f'A poster that says "{step}"']}


def test_a_bad_batch_is_named_and_the_state_before_it_kept(tmp_path: Path) -> None:
    run, model, optimizers = small_run(tmp_path)

    def train() -> None:
        for step, _ in run.batches(batch, workers=0):
            loss = model(torch.full((1, 2), float("inf") if step == 2 else 1.0)).square().sum()
            norm = descend(loss, optimizers, clip=model.parameters())
            run.log(step, 1, loss=loss.detach(), gradient=norm)

    with pytest.raises(InkwashError) as caught:
        train()
    for part in ("at step 2", "batch number 2", 'says "2"', "of step 0", "state.pt"):
        assert part in caught.value.message
    again, fresh, _ = small_run(tmp_path)
    assert again.resume() == 0
    assert all(torch.isfinite(p).all() for p in fresh.parameters())


def test_logs_have_every_step_and_values_that_come_and_go(tmp_path: Path) -> None:
    run, _, _ = small_run(tmp_path)
    for step, _ in run.batches(batch, workers=0):
        run.log(step, 2, **({"draw": 1.0 / (step + 1)} if step % 2 else {"edit": 2.0}), gradient=0.5)
    points = read_log(run.log_file)
    assert points["edit"] == [(1.0, 2.0), (3.0, 2.0)]
    assert points["draw"] == [(2.0, 0.5), (4.0, 0.25)]
    assert len(points["gradient"]) == 4
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "<td>samples</td><td>8</td>" in page
    assert "<script" not in page
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (800, 400)


def test_rows_after_the_state_are_dropped(tmp_path: Path) -> None:
    run, _, _ = small_run(tmp_path)
    run.save(2)
    run.log_file.write_text("step,samples,loss\n1,1,0.5\n2,2,0.25\n3,3,0.1\n1")
    again, _, _ = small_run(tmp_path)
    assert again.resume() == 2
    assert run.log_file.read_text().split() == ["step,samples,loss", "1,1,0.5", "2,2,0.25"]


def test_nothing_logged_is_no_report(tmp_path: Path) -> None:
    assert write_report(tmp_path, None, samples=0, hours=0.0) is None
    draw_curve(tmp_path / "log.csv", tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_a_full_disk_is_told_and_the_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _, _ = small_run(tmp_path)
    run.save(1)
    before = run.state_file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(InkwashError, match="No space left on device; the last good state is untouched"):
        run.save(2)
    assert run.state_file.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
