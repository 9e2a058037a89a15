"""Proposals: what they look at, how far they reach, and that they stay out of random codes."""

from __future__ import annotations

import random

from inkwash.engine.sampling import WORTH, GridProposer


def fed(proposer: GridProposer, codes: list[int], *, started: bool = False) -> int:
    """Show the codes one by one; returns how many passes of up to 12 rows would have drawn them."""
    passes, at = 0, 0
    while at < len(codes):
        ahead = proposer.propose(11) if at or started else []
        right = next((i for i, guess in enumerate(ahead) if at + i >= len(codes) or guess != codes[at + i]), len(ahead))
        for code in codes[at : at + right + 1]:
            proposer.add(code)
        at += right + 1
        passes += 1
    return passes


def test_a_flat_picture_takes_a_pass_for_every_dozen_of_codes() -> None:
    assert fed(GridProposer([(16, 16)]), [7] * 256) <= 256 / 12 + 6


def test_rows_that_return_are_guessed_from_their_neighbours() -> None:
    row = [1, 2, 3, 4, 5, 6, 7, 8]
    assert fed(GridProposer([(16, 8)]), row * 16) < 128 / 4
    assert fed(GridProposer([(8, 8), (8, 8)]), row * 16) < 128 / 4  # a second grid learns from the first


def test_random_codes_are_not_guessed_for_long() -> None:
    rng = random.Random(3)
    codes = [rng.randrange(8192) for _ in range(320)]
    proposer = GridProposer([(16, 16), (8, 8)])
    tried = 0
    for code in codes:
        proposer.add(code)
        tried += len(proposer.propose(11))
    assert tried <= 6


def test_ways_that_were_right_lately_are_followed() -> None:
    proposer = GridProposer([(8, 4)])
    for code in [1, 2, 1, 2] * 6:
        proposer.add(code)
    assert proposer.propose(4) == [1, 2, 1, 2]  # beside the same neighbours, though never the last code again
    for code in [3, 3, 3, 3]:
        proposer.add(code)
    assert set(proposer.propose(4)) <= {3}


def test_a_plan_is_guessed_from_its_preview() -> None:
    rng = random.Random(5)
    preview = [[rng.randrange(8192) for _ in range(16)] for _ in range(16)]
    corner = [code for row in preview[:8] for code in row[:8]]
    proposer = GridProposer([(16, 16), (8, 8)])
    for row in preview:
        for code in row:
            proposer.add(code)
    assert fed(proposer, corner, started=True) < 64 / 4


def test_a_row_begins_without_the_end_of_the_last() -> None:
    proposer = GridProposer([(3, 2)])
    for code in [1, 2, 3, 4]:
        proposer.add(code)
    assert proposer._around() == (-1, 3, 4)
    proposer.add(5)
    assert proposer._around() == (5, 4, -1)


def test_an_edit_is_guessed_from_its_picture() -> None:
    rng = random.Random(4)
    picture = [rng.randrange(8192) for _ in range(64)]
    edited = picture.copy()
    edited[20:24] = [1, 2, 3, 4]
    assert fed(GridProposer([(8, 8)], picture), edited) < 64 / 2
    assert fed(GridProposer([(8, 8)]), edited) > 64 - 4


def test_no_guess_goes_past_the_plan_or_what_was_asked_for() -> None:
    proposer = GridProposer([(4, 8)])
    for _ in range(26):
        proposer.add(5)
    assert proposer.propose(3) == [5, 5, 5] and proposer.propose(11) == [5] * 6 and proposer.propose(0) == []
    for _ in range(6):
        proposer.add(5)
    assert proposer.propose(4) == []


def test_asking_twice_gives_the_same() -> None:
    proposer = GridProposer([(8, 8)])
    for code in [1, 2, 1, 2, 1, 2, 1]:
        proposer.add(code)
    assert proposer.propose(8) == proposer.propose(8)
    assert 0 < WORTH < 1
