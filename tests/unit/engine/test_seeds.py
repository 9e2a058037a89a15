"""Every picture has its own random numbers, whatever is drawn beside it."""

from __future__ import annotations

import pytest
import torch

from inkwash.core import seeds
from inkwash.core.errors import RequestError


def numbers(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


def test_one_generator_is_spread_as_seed_plus_number() -> None:
    spread = seeds.per_picture(seeds.make_generator(7), 3)
    assert [seeds.reported_seed(each) for each in spread] == [7, 8, 9]
    assert [numbers(each) for each in spread] == [numbers(seeds.make_generator(seed)) for seed in (7, 8, 9)]


def test_the_first_picture_uses_the_generator_itself() -> None:
    generator = seeds.make_generator(7)
    assert seeds.per_picture(generator, 2)[0] is generator


def test_a_used_generator_spreads_differently_every_time() -> None:
    generator = seeds.make_generator(7)
    first = numbers(generator)
    assert seeds.reported_seed(generator) is None
    second = seeds.per_picture(generator, 2)[1]
    numbers(generator)
    third = seeds.per_picture(generator, 2)[1]
    assert len({tuple(first), tuple(numbers(second)), tuple(numbers(third))}) == 3


def test_the_largest_seed_wraps_instead_of_failing() -> None:
    spread = seeds.per_picture(seeds.make_generator(2**63 - 1), 2)
    assert [each.initial_seed() for each in spread] == [2**63 - 1, 0]


def test_no_generator_draws_seeds_that_repeat_the_pictures() -> None:
    spread, other = seeds.per_picture(None, 2), seeds.per_picture(None, 2)
    reported = [seeds.reported_seed(each) for each in spread]
    assert reported != [seeds.reported_seed(each) for each in other]
    assert reported[0] is not None and reported[1] == reported[0] + 1
    assert numbers(spread[1]) == numbers(seeds.make_generator(reported[1]))


def test_plan_generator_reads_the_state_and_draws_nothing() -> None:
    generator = seeds.make_generator(7)
    plan = numbers(seeds.plan_generator(generator))
    assert plan == numbers(seeds.plan_generator(generator))
    assert plan != numbers(seeds.plan_generator(seeds.make_generator(8)))
    assert numbers(generator) == numbers(seeds.make_generator(7))
    assert plan != numbers(seeds.plan_generator(generator))  # a moved state means another plan


def test_wrong_lists_are_refused() -> None:
    with pytest.raises(RequestError, match="2 generators were given for 3 pictures"):
        seeds.per_picture([seeds.make_generator(1)] * 2, 3)
