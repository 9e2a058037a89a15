"""What processes that train together need of each other: one of them at work, equal gradients, equally many calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed import TCPStore

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.models.glm_image.decoder_blocks import KeyValue
from inkwash.train.decoder import DecoderTraining, Inputs, Source, inputs_loss
from inkwash.train.parallel import Ranks, average_gradients, first_does, single_process_only
from inkwash.train.run import TrainingRun
from tests.unit.train.conftest import CODES, SCHEDULER, tiny_decoder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def test_two_processes_share_work_failures_and_gradients(tmp_path: Path) -> None:
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # the launcher's, as under torchrun
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    env |= {"MASTER_PORT": str(meeting.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    command = [sys.executable, "-m", "tests.unit.train.pieces", str(tmp_path)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={**env, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["result"] == second["result"] == "done"
    assert first["sentence"] == second["sentence"] == "There is no caption."
    assert first["bug"] == "ValueError('odd')"
    assert second["bug"] == "The first process failed: ValueError('odd')."
    assert first["gradients"] == second["gradients"] == [[1.5, 3.0], [2.0, 3.0], [0.0, 0.0]]


def test_one_process_is_the_same_code_with_nothing_applied() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    average_gradients([parameter], Ranks())
    assert parameter.grad is None
    assert first_does(Ranks(), lambda: 7) == 7


def source(side: int, seed: int) -> Source:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(4, 4 * side, 4 * side, generator=generator)
    return latents, torch.randint(CODES, (side, side), generator=generator)


def edits(sources: list[list[Source]]) -> Inputs:
    generator = torch.Generator().manual_seed(9)
    count = len(sources)
    clean = torch.randn(count, 4, 8, 8, generator=generator)
    ids = torch.randint(CODES, (count, 2, 2), generator=generator)
    return Inputs(clean=clean, ids=ids, texts=[["A"]] * count, sources=sources)


def test_rows_with_fewer_references_encode_as_often_and_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, glyph = tiny_decoder()
    config = DecoderTraining(steps=1, precision="fp32")
    calls: list[int] = []
    encode = decoder.encode_reference

    def counted(*args: torch.Tensor) -> list[KeyValue]:
        calls.append(1)
        return encode(*args)

    monkeypatch.setattr(decoder, "encode_reference", counted)

    def loss_of(inputs: Inputs, rows: range) -> tuple[torch.Tensor, int]:
        calls.clear()
        return inputs_loss(decoder, glyph, inputs, rows, 0, config, SCHEDULER), len(calls)

    uneven = edits([[source(2, 1)], [source(2, 2)], [source(2, 3), source(3, 4)], [source(3, 5)]])
    halves = [slice(0, 2), slice(2, 4)]
    free = [loss_of(uneven.rows(half), range(half.start, half.stop)) for half in halves]
    assert [count for _, count in free] == [1, 3], "processes with these halves would wait for each other"
    torch.stack([loss for loss, _ in free]).sum().backward()
    wanted = {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}
    decoder.zero_grad()
    even = [loss_of(uneven.evened().rows(half), range(half.start, half.stop)) for half in halves]
    assert [count for _, count in even] == [4, 4]
    torch.stack([loss for loss, _ in even]).sum().backward()
    for (loss, _), (other, _) in zip(free, even, strict=True):
        torch.testing.assert_close(other, loss, atol=1e-6, rtol=1e-6)
    for name, parameter in decoder.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-6, rtol=1e-5)
    alike = edits([[source(2, 1)], [source(2, 2)]])
    assert alike.evened() is alike, "one call serves them all"


def test_a_state_of_another_kind_is_not_continued(tmp_path: Path) -> None:
    def run(**modules: nn.Module) -> TrainingRun:
        return TrainingRun(tmp_path, dict(modules), [], None, total=1)

    run(network=nn.Linear(1, 1)).save(0)
    assert run(network=nn.Linear(1, 1)).resume() == 0
    with pytest.raises(InkwashError, match="state of another method or stage"):
        run(adapter=nn.Linear(1, 1)).resume()
    (tmp_path / "shards-3").mkdir()
    assert run(network=nn.Linear(1, 1)).resume() == 0, "shards that were never finished do not count"
    (tmp_path / "shards-3" / ".metadata").touch()
    with pytest.raises(InkwashError, match="holds a state in shards of several processes"):
        run(network=nn.Linear(1, 1)).resume()


def test_stages_for_one_process_refuse_several(monkeypatch: pytest.MonkeyPatch) -> None:
    single_process_only("tokenizer")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="The tokenizer takes one process: start it without torchrun"):
        single_process_only("tokenizer")
