"""One uniform number chooses one token: the right distribution, the right nucleus, and no dependence between rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine.sampling import Sampling, SamplingRows, choose, choose_rows, pick

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40)


def logits_of(probabilities: list[float]) -> Tensor:
    return torch.tensor([probabilities]).log()


def test_uniform_numbers_reproduce_the_distribution() -> None:
    probabilities = [0.1, 0.4, 0.2, 0.3]
    numbers = (torch.arange(10_000) + 0.5) / 10_000
    drawn = choose(logits_of(probabilities).expand(10_000, -1), numbers, Sampling(temperature=1.0, top_p=1.0))
    assert torch.allclose(drawn.bincount(minlength=4) / 10_000, torch.tensor(probabilities), atol=2e-4)


def test_nucleus_keeps_the_smallest_set_that_reaches_top_p() -> None:
    numbers = (torch.arange(1000) + 0.5) / 1000
    drawn = choose(logits_of([0.1, 0.4, 0.2, 0.3]).expand(1000, -1), numbers, Sampling(temperature=1.0, top_p=0.6))
    assert torch.allclose(drawn.bincount(minlength=4) / 1000, torch.tensor([0, 4 / 7, 0, 3 / 7]), atol=2e-3)


@settings(max_examples=200, deadline=None)
@given(
    LOGITS,
    st.floats(0.05, 1.0),
    st.floats(0, 1, exclude_max=True, width=32),
    st.integers(1, 50),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
)
def test_choice_lies_in_the_reference_nucleus(
    values: list[float], top_p: float, number: float, top_k: int, min_p: float
) -> None:
    from transformers.generation import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.tensor([values])
    sampling = Sampling(temperature=1.0, top_p=top_p, top_k=top_k, min_p=min_p)
    drawn = int(choose(logits, torch.tensor([number]), sampling))
    ids = torch.zeros(1, 1, dtype=torch.long)
    kept = TopPLogitsWarper(min(top_p + 1e-4, 1.0))(ids, TopKLogitsWarper(top_k)(ids, logits))
    kept = MinPLogitsWarper(min_p)(ids, kept)
    least = kept[kept > -torch.inf].min()
    assert logits[0, drawn] >= least - 1e-3  # which of several equal tokens is kept is nobody's promise


def test_min_p_keeps_second_thoughts_and_drops_slips() -> None:
    """A cell in which a line may begin, and a letter that is nearly certain, as one setting sees them."""
    numbers = (torch.arange(1000) + 0.5) / 1000
    sampling = Sampling(temperature=1.0, top_p=1.0, min_p=0.1)
    begins = choose(logits_of([0.85, 0.13, 0.02]).expand(1000, -1), numbers, sampling)
    assert torch.allclose(begins.bincount(minlength=3) / 1000, torch.tensor([0.85, 0.13, 0.0]) / 0.98, atol=2e-3)
    assert not choose(logits_of([0.95, 0.03, 0.02]).expand(1000, -1), numbers, sampling).any()


@settings(max_examples=100, deadline=None)
@given(LOGITS)
def test_greedy_and_a_narrow_nucleus_take_the_best(values: list[float]) -> None:
    logits = torch.tensor([values])
    number = torch.tensor([0.9])
    assert logits[0, choose(logits, number, Sampling(temperature=0.0))] == logits.max()
    chances = logits.softmax(-1)  # which may not tell two close logits apart
    assert chances[0, choose(logits, number, Sampling(temperature=1.0, top_k=1))] == chances.max()


@pytest.mark.parametrize("temperature", [5e-324, 1e-46, 1e-38, 1e-8, 9e-6])
def test_a_temperature_that_nothing_can_be_divided_by_is_greedy(temperature: float) -> None:
    logits, number = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([0.99])
    sampling = Sampling(temperature=temperature, top_p=1.0)
    assert int(choose(logits, number, sampling)) == 1
    assert pick(logits, [0.99], [sampling]) == [1]


def test_rows_do_not_see_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, numbers = torch.randn(64, 200, generator=generator) * 3, torch.rand(64, generator=generator)
    together = choose(logits, numbers, Sampling())
    alone = [choose(logits[i : i + 1], numbers[i : i + 1], Sampling()) for i in range(64)]
    assert torch.equal(together, torch.cat(alone))


def test_extreme_numbers_stay_inside() -> None:
    logits = torch.zeros(1, 5)
    for number in (0.0, 1.0 - 2**-24):
        assert 0 <= int(choose(logits, torch.tensor([number]), Sampling(top_p=1.0))) < 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": 0},
        {"min_p": -0.1},
        {"min_p": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        Sampling(**wrong)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.3, 0.9, 3.0]),
    st.sampled_from([0.2, 0.75, 0.95, 1.0]),
    st.sampled_from([None, 1, 7, 500]),
    st.sampled_from([12, 400]),
    st.booleans(),
    st.sampled_from([0.0, 0.01, 0.1, 1.0]),
)
def test_the_short_way_chooses_what_the_long_way_chooses(
    seed: int, temperature: float, top_p: float, top_k: int | None, vocabulary: int, ties: bool, min_p: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, numbers = torch.randn(6, vocabulary, generator=generator) * 4, torch.rand(6, generator=generator)
    if ties:
        logits = logits.round()
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p)
    assert pick(logits, numbers.tolist(), [sampling] * 6) == choose(logits, numbers, sampling).tolist()


def test_rows_with_settings_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, numbers = torch.randn(5, 100, generator=generator) * 3, torch.rand(5, generator=generator)
    rows = [Sampling(), Sampling(temperature=0.0), Sampling(top_k=2), Sampling(temperature=3.0, top_p=1.0)]
    rows[2:2] = [Sampling(top_p=1.0, min_p=0.2)]
    together = choose_rows(logits, numbers, SamplingRows.of(rows, 100))
    alone = [choose(logits[i : i + 1], numbers[i : i + 1], row) for i, row in enumerate(rows)]
    assert torch.equal(together, torch.cat(alone))
    assert pick(logits, numbers.tolist(), rows) == together.tolist()
