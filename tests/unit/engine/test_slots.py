"""Slots: a row of a batch is the row alone to the last bit, sequences join and leave, growing loses nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from inkwash.engine.ar import CpuSlots, DeviceSlots, PlanSequence, Prefix, Slots, read_prompt, reference_semantic_ids
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import forget_for_decode, fuse_for_decode
from inkwash.models.glm.row_decode import KEYS_STEP, RowByRow, RowDecoder, _runs, keys_read
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.nn.attention import SlotCache
from inkwash.nn.linear import PackedLinear, can_pack


@pytest.fixture(scope="module")
def prefixes(pipe: GlmImagePipeline) -> list[Prefix]:
    """Four prompts of different lengths and sizes, one of them with a reference."""
    picture = Image.linear_gradient("L").resize((128, 96)).convert("RGB")
    ar, prepare = pipe.parts.ar, pipe.parts.processor.prepare
    prompts = [
        prepare("Short", 96, 64, [picture]),
        prepare("A rather longer prompt about three coloured things and a word", 64, 64),
        prepare('"HELLO"', 128, 64, [picture, picture]),
        prepare("Four", 64, 96, [picture]),
    ]
    return [read_prompt(ar, prompt, reference_semantic_ids(ar, prompt)) for prompt in prompts]


def cpu_slots(pipe: GlmImagePipeline, count: int) -> CpuSlots:
    return CpuSlots(pipe.parts.ar, RowDecoder(fuse_for_decode(pipe.parts.ar)), count)


def device_slots(pipe: GlmImagePipeline, count: int) -> DeviceSlots:
    return DeviceSlots(pipe.parts.ar, fuse_for_decode(pipe.parts.ar), count)


def sequences_of(prefixes: list[Prefix]) -> list[PlanSequence]:
    settings = [Sampling(), Sampling(temperature=0.0), Sampling(top_k=3, top_p=1.0), Sampling(temperature=2.0)]
    return [
        PlanSequence(
            prefix, torch.rand(prefix.tokens, generator=torch.Generator().manual_seed(number)), settings[number]
        )
        for number, prefix in enumerate(prefixes)
    ]


def run(slots: Slots, sequences: list[PlanSequence], limit: int = 24) -> list[list[int]]:
    """Draw up to `limit` tokens of each, letting in what finds a slot; longer plans are given up there."""
    waiting, active, plans = list(sequences), list[Any](), dict[int, list[int]]()
    while waiting or active:
        while waiting and slots.free:
            slots.join(waiting[0])
            active.append(waiting.pop(0))
        for sequence in [each for each in active if each.finished or each.count >= limit]:
            plans[id(sequence)] = slots.plan(sequence)[:limit].tolist()
            slots.leave(sequence)
            active.remove(sequence)
        if active:
            slots.advance(active)
    return [plans[id(sequence)] for sequence in sequences]


def random_step(rows: RowDecoder, batch: int, chosen: list[int]) -> Tensor:
    """Logits of some of `batch` rows at unlike places of a cache full of random numbers."""
    generator = torch.Generator().manual_seed(7)
    step, length = rows.step, 4 * KEYS_STEP
    cache = SlotCache(len(step.layers), batch, step.kv_heads, length, step.head_dim)
    cache.kv.normal_(generator=generator)
    ids = torch.randint(0, 90, (batch,), generator=generator)
    rotary = torch.randn(batch, 2 * step.rotary_dim, generator=generator)
    keys = [1 + (23 * (row // 2)) % length for row in range(batch)]  # pairs of neighbours read equally much
    at = torch.tensor([row * length + keys[row] - 1 for row in range(batch)])
    pick = torch.tensor(chosen)
    spans = [(row, keys[row]) for row in chosen]
    return rows.forward(ids[pick], rotary[pick], cache, at[pick], spans)


def as_released(model: ARGenerator) -> ARGenerator:
    """The model in float32 with weights that were stored in bfloat16."""
    return copy.deepcopy(model).bfloat16().float()


@pytest.mark.parametrize("kind", [PackedLinear, RowByRow])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_of_a_batch_is_the_row_alone_bit_by_bit(pipe: GlmImagePipeline, threads: int, kind: type) -> None:
    if kind is PackedLinear and not can_pack():
        pytest.skip("this processor has no packed product")
    rows = RowDecoder(fuse_for_decode(as_released(pipe.parts.ar) if kind is PackedLinear else pipe.parts.ar))
    assert all(
        type(each) is kind for layer in rows.layers for each in (layer.qkv, layer.out, layer.gate_up, layer.down)
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([random_step(rows, 16, [row]) for row in range(16)])
        torch.set_num_threads(threads)
        for chosen in ([0, 1], [5, 3, 9], list(range(8)), list(range(16))[::-1]):
            assert torch.equal(random_step(rows, 16, chosen), alone[chosen])
    finally:
        torch.set_num_threads(before)
    assert len(torch.unique(alone, dim=0)) == 16


@pytest.mark.parametrize("count", [2, 3, 4])
def test_plans_in_company_are_those_of_each_alone(pipe: GlmImagePipeline, prefixes: list[Prefix], count: int) -> None:
    alone = [run(cpu_slots(pipe, 1), [sequence])[0] for sequence in sequences_of(prefixes)]
    assert run(cpu_slots(pipe, count), sequences_of(prefixes)) == alone
    assert [len(plan) for plan in alone] == [6, 24, 8, 6]


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_one_behind_the_other_are_those_of_passes_one_after_the_other(
    pipe: GlmImagePipeline, threads: int
) -> None:
    rows = RowDecoder(fuse_for_decode(as_released(pipe.parts.ar)))
    if not rows.shares:
        pytest.skip("this processor has no packed product")
    length, first, count = 4 * KEYS_STEP, 2 * KEYS_STEP - 3, 7  # across the next multiple of KEYS_STEP
    generator = torch.Generator().manual_seed(5)
    cache = SlotCache(len(rows.step.layers), 2, rows.step.kv_heads, length, rows.step.head_dim)
    cache.kv.normal_(generator=generator)
    before = cache.kv.clone()
    ids = torch.randint(0, 90, (count,), generator=generator)
    rotary = torch.randn(count, 2 * rows.step.rotary_dim, generator=generator)
    places, spans = length + first + torch.arange(count), [(1, first + 1 + row) for row in range(count)]
    alone = [
        rows.forward(ids[i : i + 1], rotary[i : i + 1], cache, places[i : i + 1], [spans[i]]) for i in range(count)
    ]
    after, set_before = cache.kv.clone(), torch.get_num_threads()
    cache.kv.copy_(before)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(rows.forward(ids, rotary, cache, places, spans), torch.cat(alone))
    finally:
        torch.set_num_threads(set_before)
    assert torch.equal(cache.kv, after)
    assert len(torch.unique(torch.cat(alone), dim=0)) == count


@dataclass
class Told:
    """Guesses from a list, with the codes at `wrong` places replaced."""

    plan: list[int]
    wrong: tuple[int, ...]
    seen: int = 0

    def add(self, code: int) -> None:
        assert code == self.plan[self.seen]
        self.seen += 1

    def propose(self, most: int) -> list[int]:
        places = range(self.seen, min(self.seen + most, len(self.plan)))
        return [self.plan[i] + (1 if i in self.wrong else 0) for i in places]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [(), (3, 4, 9, 10, 12), tuple(range(400))])
def test_guesses_change_the_number_of_passes_and_nothing_else(
    pipe: GlmImagePipeline, prefixes: list[Prefix], wrong: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ar = as_released(pipe.parts.ar)
    rows = RowDecoder(fuse_for_decode(ar))
    if not rows.shares:
        pytest.skip("this processor has no packed product")
    with monkeypatch.context() as patch:
        patch.setattr("inkwash.engine.ar.MOST_ROWS", 1)
        plans = [run(CpuSlots(ar, rows, 1), [sequence], 400)[0] for sequence in sequences_of(prefixes)]
    told = {prefix.grids: plan for prefix, plan in zip(prefixes, plans, strict=True)}
    monkeypatch.setattr("inkwash.engine.ar.GridProposer", lambda grids, edited: Told(told[grids], wrong))
    passes = 0

    def count(*given: Any) -> Tensor:
        nonlocal passes
        passes += 1
        return forward(*given)

    forward = rows.forward
    monkeypatch.setattr(rows, "forward", count)
    for slots in (1, 2, 4):
        passes = 0
        assert run(CpuSlots(ar, rows, slots), sequences_of(prefixes), 400) == plans
        tokens = sum(len(plan) for plan in plans)
        if len(wrong) == 400:
            assert passes >= max(len(plan) for plan in plans) - 1
        else:
            assert passes < tokens / 2
    passes = 0
    run(CpuSlots(ar, rows, 1), sequences_of(prefixes)[1:2], 400)
    expected = {(): -(-(len(plans[1]) - 1) // 12), tuple(range(400)): len(plans[1]) - 1}
    assert passes == expected.get(wrong, passes)


def test_a_plan_that_repeats_itself_takes_few_passes(pipe: GlmImagePipeline, prefixes: list[Prefix]) -> None:
    """The guesses of a drawing as it is: greedy plans of random weights repeat."""
    ar = as_released(pipe.parts.ar)
    rows = RowDecoder(fuse_for_decode(ar))
    if not rows.shares:
        pytest.skip("this processor has no packed product")
    sequence = sequences_of(prefixes)[1]
    slots, passes = CpuSlots(ar, rows, 1), 0
    slots.join(sequence)
    while not sequence.finished:
        count = sequence.count
        assert slots.advance([sequence]) == sequence.count - count > 0
        passes += 1
    alone = sequences_of([replace(prefix, grids=()) for prefix in prefixes])[1]
    assert run(CpuSlots(ar, rows, 1), [alone], 400) == [sequence.drawn]
    assert alone.proposer is None and passes < sequence.tokens - 1


def test_slots_on_a_device_draw_the_same_plans(pipe: GlmImagePipeline, prefixes: list[Prefix]) -> None:
    """The other arithmetic rounds otherwise, so this holds for these seeds; every rule of sampling is in it."""
    expected = run(cpu_slots(pipe, 4), sequences_of(prefixes))
    assert run(device_slots(pipe, 4), sequences_of(prefixes)) == expected
    assert run(device_slots(pipe, 2), sequences_of(prefixes)) == expected


@pytest.mark.parametrize("make", [cpu_slots, device_slots])
def test_a_longer_sequence_makes_all_slots_longer(
    pipe: GlmImagePipeline, prefixes: list[Prefix], make: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkwash.engine.ar.LENGTH_STEP", 16)
    short, long = sequences_of(prefixes)[3], sequences_of(prefixes)[1]
    expected = run(make(pipe, 1), [sequences_of(prefixes)[3]])[0]
    slots = make(pipe, 2)
    slots.join(short)
    slots.advance([short])
    slots.join(long)  # many times as long
    while not short.finished:
        slots.advance([short, long])
    assert slots.plan(short).tolist() == expected


def test_forks_of_one_prefix_do_not_meet(pipe: GlmImagePipeline, prefixes: list[Prefix]) -> None:
    forks = [
        PlanSequence(prefixes[0], torch.full((6,), number), Sampling(temperature=5.0, top_p=1.0))
        for number in (0.1, 0.9)
    ]
    together = run(cpu_slots(pipe, 2), forks)
    assert together[0] != together[1]
    kept = prefixes[0].cache.k.clone()
    run(cpu_slots(pipe, 2), forks[:0] + sequences_of(prefixes[:1]))
    assert torch.equal(prefixes[0].cache.k, kept)


def test_a_freed_slot_forgets_its_sequence(pipe: GlmImagePipeline, prefixes: list[Prefix]) -> None:
    slots = cpu_slots(pipe, 1)
    first = sequences_of(prefixes)[1]
    slots.join(first)
    for _ in range(9):
        slots.advance([first])
    slots.leave(first)
    assert slots.free == 1 and first.slot is None
    again = sequences_of(prefixes)[3]
    assert run(slots, [again]) == run(cpu_slots(pipe, 1), [sequences_of(prefixes)[3]])


def test_keys_are_read_in_steps() -> None:
    step = KEYS_STEP
    assert [keys_read(length) for length in (1, step, step + 1, 2 * step)] == [step, step, 2 * step, 2 * step]


def test_rows_that_read_equally_much_are_attended_together() -> None:
    two = 2 * KEYS_STEP
    neighbours = [(0, 3), (1, KEYS_STEP), (2, KEYS_STEP + 1), (4, KEYS_STEP + 5), (5, two)]
    assert _runs(neighbours) == [(0, 2, 0, 2, KEYS_STEP), (2, 1, 2, 1, two), (3, 2, 4, 2, two)]
    behind = [(1, KEYS_STEP - 1), (1, KEYS_STEP), (1, KEYS_STEP + 1), (2, two), (2, two + 1)]
    assert _runs(behind) == [(0, 2, 1, 1, KEYS_STEP), (2, 2, 1, 2, two), (4, 1, 2, 1, 3 * KEYS_STEP)]
    assert _runs([(0, 1), (1, 1), (1, 2), (2, 1)]) == [(0, 2, 0, 2, KEYS_STEP), (2, 2, 1, 2, KEYS_STEP)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_is_that_of_the_naive_forward(
    pipe: GlmImagePipeline, prefixes: list[Prefix], dtype: torch.dtype
) -> None:
    """The naive forward in float32 over the same weights; the rows' arithmetic is float32 for both number types."""
    ar, prefix = as_released(pipe.parts.ar), prefixes[1]
    rows = RowDecoder(fuse_for_decode(copy.deepcopy(ar).to(dtype)))
    cache = SlotCache(len(rows.step.layers), 1, rows.step.kv_heads, 256, rows.step.head_dim)
    cache.load(0, prefix.cache, prefix.length)
    rotary, at = rows.tables(prefix.positions)[:1], torch.tensor([prefix.length])
    found = rows.forward(torch.tensor([5]), rotary, cache, at, [(0, prefix.length + 1)])
    naive = ar.make_cache(1, prefix.length + 1)
    naive.k[..., : prefix.length, :], naive.v[..., : prefix.length, :] = prefix.cache.k, prefix.cache.v
    with torch.no_grad():
        hidden = ar(torch.tensor([[5]]), prefix.positions[:, None, :1], cache=naive, start=prefix.length)
        expected = ar.lm_head(hidden[:, 0])
    error = (found - expected).abs().max() / expected.abs().max()
    # in bfloat16 the tables of the rotation are rounded, as the released model has them
    assert found.dtype == torch.float32 and error < (1e-5 if dtype == torch.float32 else 1e-2)


def test_the_decode_path_is_kept_until_the_weights_change(pipe: GlmImagePipeline) -> None:
    ar = copy.deepcopy(pipe.parts.ar).requires_grad_(False)
    attn = ar.model.language_model.layers[0].self_attn
    before = [each.weight.clone() for each in (attn.q_proj, attn.k_proj, attn.v_proj)]
    step = fuse_for_decode(ar)
    assert fuse_for_decode(ar) is step
    assert torch.equal(step.layers[0].qkv, torch.cat(before))
    for part, old in zip((attn.q_proj, attn.k_proj, attn.v_proj), before, strict=True):
        assert torch.equal(part.weight, old)
        assert part.weight.untyped_storage().data_ptr() == step.layers[0].qkv.untyped_storage().data_ptr()
    with torch.no_grad():
        attn.k_proj.weight.mul_(2)
    again = fuse_for_decode(ar)
    assert again is not step
    assert again.layers[0].qkv.data_ptr() == step.layers[0].qkv.data_ptr()  # joined already: nothing is copied
    assert torch.equal(again.layers[0].qkv, torch.cat([before[0], 2 * before[1], before[2]]))
    forget_for_decode(ar)
    assert fuse_for_decode(ar) is not again


def test_trained_weights_stay_apart(pipe: GlmImagePipeline) -> None:
    ar = copy.deepcopy(pipe.parts.ar).requires_grad_(True)
    weight = ar.model.language_model.layers[0].self_attn.q_proj.weight
    place = weight.data_ptr()
    fuse_for_decode(ar)
    assert weight.data_ptr() == place
