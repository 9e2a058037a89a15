"""Two processes that share a model say what one says, and each holds half of the decoder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inkwash.core.errors import ConfigError
from inkwash.engine.ranks.shares import share_decoder
from inkwash.engine.see.loading import load_vision_model
from inkwash.engine.see.parallel import TensorParallelGroup
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_v.weights import load_glm_v, save_glm_v
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.engine.see.shared import facts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
FOUR = {
    "num_attention_heads": 4,
    "head_dim": 12,
    "rope_parameters": RopeParameters(partial_rotary_factor=0.5, mrope_section=(1, 1, 1)),
}


def launch(*words: str) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*torchrun, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Dense with a key head for each process; experts with one key head that both share."""
    base = tmp_path_factory.mktemp("shared")
    dense = tiny_parts(base / "a", num_key_value_heads=2, **FOUR)
    experts = tiny_parts(base / "b", experts=True, n_shared_experts=2, n_group=2, topk_group=1, **FOUR)
    return [save_glm_v(dense, base / "dense"), save_glm_v(experts, base / "experts")]


def test_two_processes_say_what_one_says(folders: list[Path], tmp_path: Path) -> None:
    done = launch("tests.unit.engine.see.shared", str(tmp_path), *map(str, folders))
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    for one, other, folder in zip(first, second, folders, strict=True):
        alone = facts(folder)
        for shared in (one, other):
            torch.testing.assert_close(shared["logits"], alone["logits"], atol=1e-5, rtol=1e-5)
            assert shared["tokens"] == alone["tokens"] and shared["cached"] == alone["cached"] > 0
            assert shared["size"] < 0.62 * alone["size"]  # norms and routers are whole
        assert one["sampled"] == other["sampled"]


@pytest.mark.slow
def test_describe_under_torchrun_prints_once(folders: list[Path], tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    words = ["describe", str(tmp_path / "red.png"), "--model", str(folders[0]), "--max-tokens", "4", "--json"]
    done = launch("inkwash", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('"finish_reason"') == 1


def test_a_number_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="2 processes do not divide num_attention_heads=3"):
        share_decoder(tiny_parts(tmp_path).model.model.language_model, TensorParallelGroup(0, 2, torch.device("cpu")))


@pytest.mark.parametrize("world", [2, 4])
def test_shares_put_together_are_the_checkpoint(folders: list[Path], world: int) -> None:
    """Every matrix is dealt out once; key heads that are too few are held by several processes."""
    cpu = torch.device("cpu")
    for folder in folders:
        whole = load_glm_v(folder).model.state_dict()
        shares = [
            load_vision_model(
                folder, dtype=torch.float32, device=cpu, ranks=TensorParallelGroup(rank, world, cpu)
            ).model.state_dict()
            for rank in range(world)
        ]
        assert set().union(*shares) == set(whole)
        for name, full in whole.items():
            parts = [share[name] for share in shares if name in share]
            if "language_model.layers" not in name:
                assert all(torch.equal(part, full) for part in parts), name
            elif name.endswith(("q_proj.weight", "q_proj.bias", ".gate_proj.weight", ".up_proj.weight")):
                expected = torch.cat(parts) if ".experts." not in name else parts[0]
                assert torch.equal(expected, full), name
            elif name.endswith(("o_proj.weight", "down_proj.weight")) and ".experts." not in name:
                assert torch.equal(torch.cat(parts, dim=1), full), name
            elif name.endswith("gate_up_proj.weight"):
                halves = [torch.cat([part.chunk(2)[half] for part in parts]) for half in (0, 1)]
                assert torch.equal(torch.cat(halves), full), name
            elif name.endswith(("k_proj.weight", "v_proj.weight", "k_proj.bias", "v_proj.bias")):
                own = max(1, full.shape[0] // 12 // world) * 12  # of 12 channels each
                assert all(
                    torch.equal(part, full[i * full.shape[0] // 12 // world * 12 :][:own])
                    for i, part in enumerate(parts)
                )
            else:
                assert all(torch.equal(part, full) for part in parts), name
            assert len(parts) == (1 if ".experts." in name else world)
