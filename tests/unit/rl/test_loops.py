"""The loops as processes: killed anywhere they end bit for bit alike; two ranks do as one, with adapters too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import torch

from inkwash.core.errors import InkwashError
from inkwash.models.glm_image.decoder import Decoder
from inkwash.rl.grpo_ar import ARReinforce, rolling_copy, scored
from inkwash.rl.loop import Best, Numbers, kept_weights, next_beta
from inkwash.rl.replica import PolicyReplica, Shadow, policy_state
from inkwash.rl.rewards.base import PlanInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.rollout import Rollout
from inkwash.train.curve import read_log
from inkwash.train.lora import LoRA, add_lora
from inkwash.train.optim import EMA
from inkwash.train.parallel import Ranks
from tests.unit.rl.kill_hunt import SETTINGS
from tests.unit.rl.stages import SOURCE, run_stage, tiny_parts
from tests.unit.train.stages import tiny_processor

ROOT = Path(__file__).resolve().parents[3]
STAGES = "tests.unit.rl.stages"


def start(*words: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """A stage in a process of its own, or in several under torchrun."""
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [*launcher, STAGES, *words]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)


def difference(a: Path, b: Path) -> float:
    first, second = torch.load(a), torch.load(b)
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


def mean_difference(a: Path, b: Path) -> float:
    first, second = torch.load(a), torch.load(b)
    apart = torch.cat([(first[name].double() - second[name].double()).abs().flatten() for name in first])
    return float(apart.mean())


def test_averaged_weights_outlive_the_exchange() -> None:
    """What is kept inside `EMA.averaged` is a copy: the policy's own weights come back into the same memory."""
    network = torch.nn.Linear(2, 2)
    ema = EMA([network], 0.9)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1.0)
    with ema.averaged():
        kept = kept_weights(network, Ranks(), None)
    assert torch.equal(kept["weight"], before) and torch.equal(network.weight, before + 1.0)


def test_where_only_plans_are_judged_no_picture_is_drawn(tmp_path: Path) -> None:
    class Sevens:
        name = "sevens"

        def __call__(self, items: Sequence[PlanInput]) -> list[float]:
            return [float((item.tokens == 7).float().mean()) for item in items]

    tiny_processor(tmp_path / "processor")
    config = ARReinforce(steps=1, group=3, precision="fp32")
    _, rollout = rolling_copy(tiny_parts(tmp_path), config, torch.device("cpu"))
    asks = SOURCE(0)["asks"][:2]
    sampled = list(zip(asks, rollout.plans(asks, [[1, 2, 3], [4, 5, 6]]), strict=True))
    idle = create_autospec(Rollout, instance=True)
    for group, (_, plans) in zip(
        scored(idle, Scorer(plans={"sevens": Sevens()}), sampled, config), sampled, strict=True
    ):
        assert group.rewards[:, 0].tolist() == [float((plan.target == 7).float().mean()) for plan in plans]
    idle.pictures.assert_not_called()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ar", "decoder"])
def test_killed_anywhere_it_ends_bit_for_bit(stage: str, tmp_path: Path) -> None:
    """SIGKILL while prompts are made, pictures scored, weights updated and the state saved, one after another."""
    words = ["--steps", "4", "--set", *SETTINGS[stage]]
    whole = start(stage, str(tmp_path / "whole"), *words)
    assert whole.returncode == 0, whole.stderr
    for place in ("score=2", "learn=2", "save=2", "make=1"):
        killed = start(stage, str(tmp_path / "cut"), "--kill", place, *words)
        assert killed.returncode == -signal.SIGKILL, (place, killed.stderr)
    rest = start(stage, str(tmp_path / "cut"), *words)
    assert rest.returncode == 0, rest.stderr
    assert difference(tmp_path / "whole" / f"{stage}.pt", tmp_path / "cut" / f"{stage}.pt") == 0.0
    assert (tmp_path / "whole" / stage / "log.csv").read_text() == (tmp_path / "cut" / stage / "log.csv").read_text()
    log = read_log(tmp_path / "cut" / stage / "log.csv")
    assert max(value for _, value in log["first_ratio"]) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "extra"),
    [("ar", []), ("ar", ["lora=1"]), ("decoder", []), ("decoder", ["lora=1"])],
    ids=["ar-shards", "ar-lora", "decoder-shards", "decoder-lora"],
)
def test_two_ranks_do_as_one(stage: str, extra: list[str], tmp_path: Path) -> None:
    """Rollouts, rewards and updates shared over gloo: the same rewards, the same weights but for rounding."""
    words = ["--steps", "2", "--set", *extra]
    one = start(stage, str(tmp_path / "one"), *words)
    assert one.returncode == 0, one.stderr
    two = start(stage, str(tmp_path / "two"), *words, processes=2)
    assert two.returncode == 0, two.stderr[-3000:]
    logs = [read_log(tmp_path / name / stage / "log.csv") for name in ("one", "two")]
    for name in ("reward_brightness", "first_ratio"):
        assert [v for _, v in logs[0][name]] == pytest.approx([v for _, v in logs[1][name]], abs=1e-4)
    assert [v for _, v in logs[0]["gradient"]] == pytest.approx([v for _, v in logs[1]["gradient"]], rel=1e-2)
    # AdamW's first steps are signs: where a gradient is all rounding they may differ by a whole step
    files = [tmp_path / name / f"{stage}.pt" for name in ("one", "two")]
    assert difference(*files) < 2e-3 and mean_difference(*files) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nft", "awm"])
def test_forward_process_losses_run_on_a_checkpoint(loss: str, tmp_path: Path) -> None:
    before = tiny_parts(tmp_path).decoder.state_dict()
    after = run_stage("decoder", tmp_path / "decoder", 2, loss=loss)
    assert any(not torch.equal(before[name], after[name]) for name in after)


@pytest.mark.slow
def test_a_replica_holds_rounded_weights_and_merged_adapters(tmp_path: Path) -> None:
    """A matrix keeps 11 binary digits; an adapter's product is in it; the engine's fast way packs it."""
    from inkwash.models.glm.decode import fuse_for_decode
    from inkwash.models.glm.row_decode import RowDecoder

    parts = tiny_parts(tmp_path)
    model = parts.ar
    replica = PolicyReplica(model, shared=(model.model.visual,))
    assert replica.network.model.visual is model.model.visual
    name = "model.language_model.layers.0.self_attn.q_proj"
    rounded = replica.network.get_submodule(name).weight
    exact = model.get_submodule(name).weight
    assert torch.allclose(rounded, exact, rtol=2**-11, atol=1e-9) and not torch.equal(rounded, exact)
    assert not rounded.requires_grad
    assert RowDecoder(fuse_for_decode(replica.network)).shares
    wrapped = add_lora(model, "vision_language_encoder", LoRA(rank=2, alpha=4.0))
    with torch.no_grad():
        for key, value in wrapped.named_parameters():
            if "lora_B" in key:
                value.fill_(0.1)
    state = policy_state(wrapped, Ranks())
    assert state.keys() == replica.network.state_dict().keys()
    layer = wrapped.get_base_model().get_submodule(name)
    merged = layer.base_layer.weight + 2.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert torch.allclose(state[f"{name}.weight"], merged, atol=1e-6)
    replica.refresh(state)
    assert torch.allclose(replica.network.get_submodule(name).weight, merged, rtol=2**-11, atol=1e-6)
    assert RowDecoder(fuse_for_decode(replica.network)).shares


def test_a_replica_moves_with_its_policy(tmp_path: Path) -> None:
    """A step of training is smaller than what bf16 tells apart, and is seen nevertheless."""
    model = tiny_parts(tmp_path).ar
    replica = PolicyReplica(model)
    name = "model.language_model.layers.0.self_attn.q_proj"
    before = replica.network.get_submodule(name).weight.clone()
    with torch.no_grad():
        model.get_submodule(name).weight.mul_(1.001)
    replica.refresh(policy_state(model, Ranks()))
    after = replica.network.get_submodule(name).weight
    assert float((after != before).float().mean()) > 0.9


def test_the_decoder_s_replica_draws_with_its_new_weights(tmp_path: Path) -> None:
    """Query, key and value are fused in it: a refresh reaches the fused matrix."""
    decoder: Decoder = tiny_parts(tmp_path).decoder
    replica = PolicyReplica(decoder)
    block = replica.network.blocks[0].attn1
    with torch.no_grad():
        decoder.blocks[0].attn1.to_q.weight.fill_(0.25)
    replica.refresh(policy_state(decoder, Ranks()))
    assert torch.equal(block.fused[0][: len(block.to_q.weight)], torch.full_like(block.to_q.weight, 0.25))


def test_a_shadow_swaps_blends_and_is_saved() -> None:
    layer = torch.nn.Linear(2, 2)
    shadow = Shadow(layer.parameters())
    first = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.add_(1.0)
    with shadow.swapped():
        assert torch.equal(layer.weight, first)
    assert torch.equal(layer.weight, first + 1)
    shadow.blend(0.75)
    with shadow.swapped():
        assert torch.allclose(layer.weight, first + 0.25)
    other = Shadow(layer.parameters())
    other.load_state_dict(shadow.state_dict())
    with other.swapped():
        assert torch.allclose(layer.weight, first + 0.25)
    with pytest.raises(InkwashError, match="other parameters"):
        Shadow(list(layer.parameters())[:1]).load_state_dict(shadow.state_dict())


def test_the_budget_raises_the_penalty_and_lets_it_go() -> None:
    beta = next_beta(0.0, 0.0, kl=2.0, budget=1.5)
    assert beta == pytest.approx(1.5e-3) and next_beta(beta, 0.0, kl=2.0, budget=1.5) == pytest.approx(2.25e-3)
    assert next_beta(beta, 0.0, kl=1.0, budget=1.5) == beta > next_beta(beta, 0.0, kl=0.5, budget=1.5)
    assert next_beta(0.3, 0.01, kl=9.0, budget=0.0) == 0.01


def test_the_best_weights_are_kept_and_a_hacked_reward_stops_the_run(tmp_path: Path) -> None:
    state = Numbers(**Best.numbers())
    best = Best(tmp_path, state)
    for step, (judged, reward) in enumerate([(0.5, 0.5), (0.7, 0.6), (0.6, 0.7)]):
        best.judged(judged, step, {"w": torch.tensor(float(step))})
        best.rewarded(judged, reward)
    assert not best.stopped() and best.weights() == {"w": torch.tensor(1.0)}
    best.judged(0.55, 3, {"w": torch.tensor(3.0)})
    best.rewarded(0.55, 0.8)
    again = Numbers(**Best.numbers())
    again.load_state_dict(state.state_dict())
    assert best.stopped() and Best(tmp_path, again).stopped() and again["best_step"] == 1
    fine = Best(tmp_path, Numbers(**Best.numbers()))
    for judged, reward in [(0.5, 0.5), (0.4, 0.4), (0.3, 0.3)]:  # both fall: bad luck, no hacking
        fine.judged(judged, 0, None)
        fine.rewarded(judged, reward)
    assert not fine.stopped()
