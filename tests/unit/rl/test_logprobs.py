"""Log-probabilities over the kept ids: they sum to one there, and nothing outside has a gradient."""

from __future__ import annotations

import pytest
import torch

from inkwash.engine.sampling import Sampling, SamplingRows, Trace, choose_rows, kept, pick
from inkwash.rl.logprobs import KeptIds, token_logps

SETTINGS = [
    Sampling(temperature=1.0, top_p=1.0, min_p=0.1),
    Sampling(temperature=0.9, top_p=0.75),
    Sampling(temperature=1.3, top_p=0.9, top_k=7),
    Sampling(temperature=0.7, top_p=0.5, min_p=0.2, top_k=3),
    Sampling(temperature=0.0),
    Sampling(temperature=2.0, top_p=1.0),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=range(len(SETTINGS)))
def test_kept_is_what_can_be_drawn(setting: Sampling) -> None:
    """A walk over the uniform numbers meets every kept id that is not too rare and no other, in both ways to choose."""
    logits = torch.randn(12, 24, generator=torch.Generator().manual_seed(1)) * 2
    inside = kept(logits, SamplingRows.of([setting] * 12, 24))
    uniforms = torch.arange(2000) / 2000
    for row in range(12):
        many = logits[row : row + 1].expand(2000, -1)
        drawn = set(choose_rows(many, uniforms, SamplingRows.of([setting] * 2000, 24)).tolist())
        drawn |= set(pick(many[::50], uniforms[::50].tolist(), [setting] * 40))
        assert drawn <= set(inside[row].nonzero()[:, 0].tolist())
        law = (logits[row] / (setting.temperature or 1.0)).softmax(0) * inside[row]
        assert set((law / law.sum() > 1 / 1000).nonzero()[:, 0].tolist()) <= drawn


def test_the_short_way_keeps_what_the_order_keeps() -> None:
    """Without a nucleus nothing is sorted; a limit that limits nothing takes the long way."""
    logits = torch.randn(30, 50)
    short = kept(logits, SamplingRows.of([Sampling(top_p=1.0, min_p=0.05)] * 30, 50))
    rows = SamplingRows.of([Sampling(top_p=1.0, min_p=0.05)] * 30, 50)
    rows.top_p.fill_(0.9999999)
    assert torch.equal(short, kept(logits, rows))


def test_renormalised_over_the_kept_ids() -> None:
    """Sums to 1 over the set; the gradient is zero outside; twin in fp64 by a masked softmax."""
    logits = (torch.randn(6, 12) * 2).requires_grad_()
    inside = kept(logits.detach(), SamplingRows.of([Sampling(top_p=0.8, temperature=0.7)] * 6, 12))
    sets = KeptIds.of([row.nonzero()[:, 0] for row in inside])
    ids, there = sets.padded(torch.ones(6, dtype=torch.bool))
    for column in range(ids.shape[1]):
        tokens = ids[:, column].clone()
        tokens[~there[:, column]] = ids[~there[:, column], 0]
        got, entropy = token_logps(logits, tokens, ids, there, 0.7)
        masked = (logits.double() / 0.7).masked_fill(~inside, -torch.inf).log_softmax(-1)
        assert (got.double() - masked.gather(1, tokens[:, None])[:, 0]).abs().max() < 1e-6
        law = masked.exp()
        assert (entropy.double() + (law * masked.masked_fill(~inside, 0)).sum(1)).abs().max() < 1e-6
    total = sum(token_logps(logits, ids[:, c], ids, there, 0.7)[0].exp() * there[:, c] for c in range(ids.shape[1]))
    assert (total - 1).abs().max() < 1e-6
    got.sum().backward()
    assert logits.grad is not None and float(logits.grad[~inside].abs().max()) == 0.0
    assert float(logits.grad[inside].abs().max()) > 0.01


def test_a_token_without_a_choice_has_no_gradient() -> None:
    logits = torch.randn(1, 5, requires_grad=True)
    got, entropy = token_logps(logits, torch.tensor([3]), torch.tensor([[3]]), torch.tensor([[True]]))
    got.sum().backward()
    assert float(got.detach()) == 0.0 and float(entropy.detach()) == 0.0
    assert logits.grad is not None and not bool(logits.grad.any())


def test_kept_sets_are_cut_where_they_were_joined() -> None:
    sets = [torch.tensor([4]), torch.tensor([1, 2, 9]), torch.tensor([0, 3])]
    joined = KeptIds.of(sets)
    assert joined.counts.tolist() == [1, 3, 2] and joined.choice.tolist() == [False, True, True]
    ids, there = joined.padded(joined.choice)
    assert [row[mask].tolist() for row, mask in zip(ids, there, strict=True)] == [[1, 2, 9], [0, 3]]
    assert KeptIds.of([]).padded(torch.zeros(0, dtype=torch.bool))[0].shape == (0, 1)


def test_a_trace_notes_the_law_it_was_drawn_from() -> None:
    setting = Sampling(temperature=0.8, top_p=1.0, min_p=0.2)
    logits, trace = torch.randn(3, 10), Trace()
    tokens = pick(logits, [0.1, 0.5, 0.9], [setting] * 3)
    trace.saw(logits, tokens, setting)
    for row, (token, ids, logp) in enumerate(zip(tokens, trace.ids, trace.logps, strict=True)):
        law = (logits[row, ids].double() / 0.8).softmax(0)
        assert token in ids.tolist()
        assert logp == pytest.approx(float(law[ids.tolist().index(token)].log()), abs=1e-5)
