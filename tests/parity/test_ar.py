"""The AR generator computes what the reference computes: blocks, whole, with references, in batches, greedy plans.

The second half holds our own paths to each other: prefill to decode, the short decode path to the module, a row of
a batch to the same row alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import ARGenerator, Grid, init_weights
from inkwash.models.glm_image.config import ARConfig
from inkwash.nn.attention import additive_mask
from tests.parity.ar_reference import (
    PAD,
    PLACEHOLDER,
    TEXT,
    build_reference,
    load_ours,
    our_inputs,
    packed,
    pair,
    pictures,
    prompt_ids,
    reference_inputs,
    relative_error,
)
from tests.parity.batches import left_pad, stack_plans

CASES: list[tuple[list[Grid], list[Grid]]] = [
    ([], [(4, 4), (8, 8)]),
    ([], [(2, 5), (4, 10)]),
    ([(3, 5)], [(6, 3)]),
    ([(4, 2), (2, 6)], [(3, 7)]),
]


def fill(ids: list[int], references: list[Grid], model: ARGenerator) -> list[int]:
    """Placeholders replaced by the codes of the reference pictures."""
    codes = iter([code for p in pictures(references) for code in model.image_ids(p)[0].tolist()])
    return [next(codes) if token == PLACEHOLDER else token for token in ids]


def reference_logits(model: Any, ids: list[int], references: list[Grid], plan: list[Grid]) -> Tensor:
    inputs = reference_inputs(ids, references, plan)
    if references:
        inputs["pixel_values"] = packed(pictures(references))
    model.model.rope_deltas = None
    with torch.no_grad():
        logits: Tensor = model(**inputs).logits
    return logits


@pytest.mark.parametrize(("references", "plan"), CASES)
@pytest.mark.parametrize("with_grad", [False, True])
def test_logits(references: list[Grid], plan: list[Grid], with_grad: bool) -> None:
    reference, ours = pair()
    ids = prompt_ids(references)
    expected = reference_logits(reference, ids, references, plan)
    row, positions, _ = our_inputs(fill(ids, references, ours), references, plan)
    with torch.set_grad_enabled(with_grad):
        logits = ours.lm_head(ours(row, positions))
    assert relative_error(logits.detach(), expected) < 1e-5


def test_names_and_shapes_at_the_released_size() -> None:
    import transformers

    rope = {**TEXT["rope_parameters"], "mrope_section": [8, 12, 12]}
    config = transformers.GlmImageConfig(text_config={"rope_parameters": rope})
    with torch.device("meta"):
        expected = transformers.GlmImageForConditionalGeneration(config).state_dict()
        found = ARGenerator(ARConfig.from_dict(config.to_dict())).state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


@pytest.mark.parametrize("index", range(TEXT["num_hidden_layers"]))
def test_block(index: int) -> None:
    reference, ours = pair()
    theirs, mine = reference.model.language_model, ours.model.language_model
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(2, 9, TEXT["hidden_size"], generator=generator)
    positions = torch.randint(0, 50, (3, 2, 9), generator=generator)
    seen = torch.ones(9, 9, dtype=torch.bool).tril()[None, None]
    with torch.no_grad():
        tables = theirs.rotary_emb(x, positions)
        expected = theirs.layers[index](x, position_embeddings=tables, attention_mask=seen)
        assert relative_error(mine.layers[index](x, mine.rotary(positions), None, None, index, 0), expected) < 1e-5


@pytest.mark.parametrize("part", ["self_attn", "mlp", "input_layernorm", "post_mlp_layernorm"])
def test_parts_of_a_block_change_its_result(part: str) -> None:
    """The weights are such that a part left out, or a norm exchanged, would be seen by the tests above."""
    _, ours = pair()
    row, positions, _ = our_inputs(prompt_ids(), [], [(4, 4)])
    other = ARGenerator(ours.config)
    state = {k: v.clone() for k, v in ours.state_dict().items()}
    prefix = "model.language_model.layers.1."
    for name in [k for k in state if k.startswith(prefix + part)]:
        state[name] = state[name] * 0.5
    if part.endswith("layernorm"):
        state[f"{prefix}{part}.weight"] = state[f"{prefix}post_self_attn_layernorm.weight"]
    other.load_state_dict(state)
    with torch.no_grad():
        exact = ours.lm_head(ours(row, positions))
        assert relative_error(other.lm_head(other(row, positions)), exact) > 1e-3


def test_left_padded_batch_equals_the_reference_batch_and_single_rows() -> None:
    reference, ours = pair()
    prompts = [prompt_ids(words=n, seed=n) for n in (3, 12, 7)]
    plans: list[list[Grid]] = [[(2, 2), (4, 4)], [(2, 3), (3, 5)], [(1, 2), (2, 4)]]
    rows = [our_inputs(p, [], plan) for p, plan in zip(prompts, plans, strict=True)]
    ids, positions, keep = left_pad(prompts, [r[1][:, 0] for r in rows], PAD)
    grids = [reference_inputs(p, [], plan)["image_grid_thw"] for p, plan in zip(prompts, plans, strict=True)]
    reference.model.rope_deltas = None
    with torch.no_grad():
        expected = reference(
            input_ids=ids,
            attention_mask=keep.long(),
            image_grid_thw=torch.cat(grids),
            images_per_sample=torch.tensor([len(g) for g in grids]),
        ).logits
        batch = ours.lm_head(ours(ids, positions, mask=keep))
        assert relative_error(batch[keep], expected[keep]) < 1e-5
        for i, (row, place, _) in enumerate(rows):
            alone = ours.lm_head(ours(row, place))[0]
            assert relative_error(batch[i, -row.shape[1] :], alone) < 1e-5
    with torch.enable_grad():
        hidden = ours(ids, positions, mask=keep)
    assert not hidden.isnan().any()
    assert relative_error(ours.lm_head(hidden)[keep].detach(), batch[keep]) < 1e-5


def test_gradients_are_the_reference_gradients() -> None:
    reference, ours = pair()
    ids = prompt_ids()
    inputs = reference_inputs(ids, [], [(4, 4)])
    reference.model.rope_deltas = None
    labels = torch.arange(len(ids)) % TEXT["vision_vocab_size"]
    names = [n for n, _ in reference.named_parameters() if "language_model" in n or n == "lm_head.weight"]
    theirs, mine = dict(reference.named_parameters()), dict(ours.named_parameters())
    loss = torch.nn.functional.cross_entropy(reference(**inputs).logits[0], labels)
    expected = torch.autograd.grad(loss, [theirs[n] for n in names])
    row, positions, _ = our_inputs(ids, [], [(4, 4)])
    our_loss = torch.nn.functional.cross_entropy(ours.lm_head(ours(row, positions))[0], labels)
    found = torch.autograd.grad(our_loss, [mine[n] for n in names])
    for name, a, b in zip(names, found, expected, strict=True):
        scale = max(b.abs().max().item(), 1e-5)  # the key bias has no gradient but rounding
        assert (a - b).abs().max().item() / scale < 1e-3, name


def greedy(model: ARGenerator, ids: Tensor, positions: Tensor, plan: Tensor, count: int) -> tuple[list[int], Tensor]:
    """The likeliest tokens by prefill and the short decode path, and the logits they were taken from."""
    decoder, length = fuse_for_decode(model), ids.shape[1]
    cache, tables = model.make_cache(1, length + count), decoder.tables(plan)
    with torch.no_grad():
        logits = model.lm_head(model(ids, positions, cache=cache)[:, -1])
        tokens, history = [logits.argmax(-1)], [logits]
        for i in range(count - 1):
            history.append(decoder.forward_token(tokens[-1], tables[:, i], cache, length + i))
            tokens.append(history[-1].argmax(-1))
    return torch.cat(tokens).tolist(), torch.cat(history)


@pytest.mark.parametrize(
    ("references", "plan"), [([], [(8, 8), (16, 16)]), ([(3, 5)], [(12, 26)]), ([(4, 2), (2, 6)], [(20, 16)])]
)
def test_greedy_plan_is_the_reference_plan(references: list[Grid], plan: list[Grid]) -> None:
    reference, ours = pair()
    count = sum(rows * columns for rows, columns in plan) + 1
    assert count > 300
    ids = prompt_ids(references)
    inputs = reference_inputs(ids, references, plan)
    if references:
        inputs["pixel_values"] = packed(pictures(references))
    reference.model.rope_deltas = None
    output = reference.generate(
        **inputs, do_sample=False, max_new_tokens=count, output_logits=True, return_dict_in_generate=True
    )
    expected = output.sequences[0, len(ids) :].tolist()
    assert len(set(expected)) > 15  # not a fixed point that any model would reach
    row, positions, decode = our_inputs(fill(ids, references, ours), references, plan)
    tokens, logits = greedy(ours, row, positions, decode, count)
    assert tokens == expected
    assert relative_error(logits, torch.cat(output.logits)) < 1e-4


def test_prefill_equals_decode_on_both_paths() -> None:
    _, ours = pair()
    row, positions, plan = our_inputs(prompt_ids(), [], [(3, 4), (4, 6)])
    written = torch.arange(plan.shape[2]).view(1, -1) % TEXT["vision_vocab_size"]
    everything = torch.cat([row, written], 1)
    places = torch.cat([positions, plan], 2)
    length, count = row.shape[1], written.shape[1]
    decoder = fuse_for_decode(ours)
    tables = decoder.tables(plan)
    with torch.no_grad():
        whole = ours.lm_head(ours(everything, places))[:, length:]
        slow, fast, by_row = (ours.make_cache(1, length + count) for _ in range(3))
        for cache in (slow, fast, by_row):
            ours(row, positions, cache=cache)
        for i in range(count):
            expected = whole[:, i]
            token = written[:, i : i + 1]
            naive = ours(token, plan[:, :, i : i + 1], cache=slow, start=length + i)
            placed = ours(token, plan[:, :, i : i + 1], cache=by_row, start=torch.tensor([length + i]))
            assert relative_error(ours.lm_head(naive[:, 0]), expected) < 1e-5
            assert relative_error(ours.lm_head(placed[:, 0]), expected) < 1e-5
            assert relative_error(decoder.forward_token(token[:, 0], tables[:, i], fast, length + i), expected) < 1e-5


def test_prompt_continued_on_a_cache_in_pieces() -> None:
    _, ours = pair()
    row, positions, _ = our_inputs(prompt_ids([(3, 4)]), [(3, 4)], [(2, 2)])
    cache, parts = ours.make_cache(1, row.shape[1] + 3), []
    with torch.no_grad():
        for begin, end in ((0, 5), (5, 6), (6, row.shape[1])):
            parts.append(ours(row[:, begin:end], positions[:, :, begin:end], cache=cache, start=begin))
        assert relative_error(torch.cat(parts, 1), ours(row, positions)) < 1e-5


@pytest.mark.parametrize("per_row", [False, True])
def test_batch_of_different_prompts_equals_each_alone(per_row: bool) -> None:
    """Left padding with one start, or no padding with a start per row: the plans are those of the rows alone."""
    _, ours = pair()
    prompts = [prompt_ids(words=n, seed=n) for n in (2, 11, 6)]
    plan_grids: list[Grid] = [(4, 4), (6, 6)]
    count = 4 * 4 + 6 * 6
    rows = [our_inputs(p, [], plan_grids) for p in prompts]
    alone = [greedy(ours, *row, count) for row in rows]
    decoder = fuse_for_decode(ours)
    tables = decoder.tables(stack_plans([r[2][:, 0] for r in rows]))
    longest = max(len(p) for p in prompts)
    cache = ours.make_cache(len(rows), longest + count)
    with torch.no_grad():
        if per_row:
            starts = torch.tensor([len(p) for p in prompts])
            logits = torch.cat([_prefill_row(ours, cache, i, *row[:2]) for i, row in enumerate(rows)])
        else:
            ids, positions, keep = left_pad(prompts, [r[1][:, 0] for r in rows], PAD)
            logits = ours.lm_head(ours(ids, positions, cache=cache, mask=keep)[:, -1])
            seen = torch.nn.functional.pad(keep, (0, count), value=True)
        tokens, history = [logits.argmax(-1)], [logits]
        for i in range(count - 1):
            if per_row:
                here = starts + i
                mask = additive_mask(torch.arange(cache.max_length) <= here[:, None], torch.float32)
                logits = decoder.forward_token(tokens[-1], tables[:, i], cache, here, mask[:, None, None])
            else:
                mask = additive_mask(seen[:, : longest + i + 1], torch.float32)
                logits = decoder.forward_token(tokens[-1], tables[:, i], cache, longest + i, mask[:, None, None])
            tokens.append(logits.argmax(-1))
            history.append(logits)
    for i, (expected, expected_logits) in enumerate(alone):
        assert torch.stack(tokens, 1)[i].tolist() == expected
        assert relative_error(torch.stack(history, 1)[i], expected_logits) < 1e-5


def _prefill_row(model: ARGenerator, cache: Any, row: int, ids: Tensor, positions: Tensor) -> Tensor:
    single = model.make_cache(1, ids.shape[1])
    logits: Tensor = model.lm_head(model(ids, positions, cache=single)[:, -1])
    cache.k[:, row, :, : ids.shape[1]] = single.k[:, 0]
    cache.v[:, row, :, : ids.shape[1]] = single.v[:, 0]
    return logits


def test_one_prefill_serves_several_samples() -> None:
    _, ours = pair()
    row, positions, plan = our_inputs(prompt_ids(), [], [(2, 2), (2, 2)])
    decoder, length = fuse_for_decode(ours), row.shape[1]
    first = torch.tensor([3, 41, 3])
    with torch.no_grad():
        one = ours.make_cache(1, length + 2)
        ours(row, positions, cache=one)
        three = one.select(torch.zeros(3, dtype=torch.long))
        tables = decoder.tables(plan.expand(3, 3, -1))
        together = decoder.forward_token(first, tables[:, 0], three, length)
        for i, token in enumerate(first):
            alone = one.select(torch.tensor([0]))
            single = decoder.forward_token(token[None], decoder.tables(plan)[:, 0], alone, length)
            assert relative_error(together[i], single[0]) < 1e-5
    assert not one.k[:, :, :, length:].any()  # the copies did not write into the original


def test_bf16_module_is_the_reference_bf16_module() -> None:
    """Norms, rotation and residuals round where the released model rounds; attention kernels may differ a little."""
    reference, ours = build_reference(), ARGenerator(pair()[1].config)
    ours.load_state_dict(reference.state_dict())
    reference, ours = reference.bfloat16(), ours.bfloat16()
    ids = prompt_ids(words=20)
    expected = reference_logits(reference, ids, [], [(4, 4)]).float()
    row, positions, _ = our_inputs(ids, [], [(4, 4)])
    with torch.no_grad():
        norm, x = ours.model.language_model.norm, torch.randn(5, TEXT["hidden_size"]).bfloat16()
        assert torch.equal(norm(x), reference.model.language_model.norm(x))
        logits = ours.lm_head(ours(row, positions)).float()
    assert relative_error(logits, expected) < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trains_under_autocast_and_in_bf16(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = ARGenerator(pair()[1].config)
    init_weights(model)
    model.to(dtype)
    row, positions, _ = our_inputs(prompt_ids(), [], [(4, 4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    labels, losses = torch.arange(row.shape[1])[None] * 7 % 96, []
    for _ in range(40):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            logits = model.lm_head(model(row, positions))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(4.64, abs=0.1)  # log(104): fresh weights know nothing
    assert losses[-1] < 0.5


def test_config_returns_to_the_reference(tmp_path: Path) -> None:
    import transformers

    reference, ours = pair()
    (tmp_path / "config.json").write_text(json.dumps(ours.config.to_dict()))
    written = transformers.GlmImageConfig.from_pretrained(tmp_path).to_dict()
    expected = reference.config.to_dict()
    for values in (written, expected):
        for part in (values, values["text_config"], values["vision_config"], values["vq_config"]):
            for bookkeeping in ("architectures", "dtype", "_name_or_path", "_commit_hash"):
                part.pop(bookkeeping, None)
    assert written == expected
    assert ARConfig.from_dict(ours.config.to_dict()) == ours.config


def test_our_weights_load_in_the_reference(tmp_path: Path) -> None:
    import transformers
    from safetensors.torch import save_file

    model = ARGenerator(pair()[1].config).eval()
    init_weights(model, 0.2)
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    save_file(model.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    reference = transformers.GlmImageForConditionalGeneration.from_pretrained(tmp_path).eval()
    reference.save_pretrained(tmp_path / "again")
    again = load_ours(tmp_path / "again").state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())
    ids = prompt_ids()
    row, positions, _ = our_inputs(ids, [], [(2, 2)])
    with torch.no_grad():
        expected = reference_logits(reference, ids, [], [(2, 2)])
        assert relative_error(model.lm_head(model(row, positions)), expected) < 1e-5
