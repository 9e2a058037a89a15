"""Messages on one line, near names, and seeds."""

from __future__ import annotations

import pytest

from inkwash.core.seeds import SEEDS, derived_seed, draw_seed, following_seed
from inkwash.core.text import did_you_mean, nearest, one_line, size_text, split_url


def test_one_line() -> None:
    assert one_line("a\n  b\tc ") == "a b c"
    assert one_line(ValueError("two\nlines")) == "two lines"
    assert one_line(ValueError()) == "ValueError" and one_line("") == ""
    assert one_line("x" * 400) == "x" * 300 and one_line("abc", 2) == "ab"


@pytest.mark.parametrize(
    ("count", "text"), [(73_301_542, "73.3 MB"), (36e9, "36 GB"), (1e9, "1 GB"), (216e9, "216 GB"), (9.2e6, "9.2 MB")]
)
def test_sizes_are_in_megabytes_or_gigabytes(count: float, text: str) -> None:
    assert size_text(count) == text


def test_a_near_name_is_found_and_a_far_one_is_not() -> None:
    known = ["generate", "edit", "serve"]
    assert nearest("generat", known) == "generate" and did_you_mean("generat", known) == "did you mean 'generate'?"
    assert nearest("xyz", known) is None and did_you_mean("xyz", known) == ""


def test_seeds_stay_in_their_range() -> None:
    assert all(0 <= draw_seed() < 2**32 for _ in range(20))
    assert following_seed(SEEDS - 1, 1) == 0 and following_seed(5, 2) == 7
    seeds = {derived_seed(1, plan, noise) for plan in range(3) for noise in range(3)}
    assert len(seeds) == 9 and all(0 <= seed < SEEDS for seed in seeds)
    assert derived_seed(1, 2, 3) == derived_seed("1", "2", "3")


@pytest.mark.parametrize("text", ["http://[::1", "http://a:x/", "http://a:99999/", "//[", "http://[a]b/"])
def test_what_is_no_address_has_no_parts(text: str) -> None:
    assert split_url(text) is None


def test_an_address_has_its_parts() -> None:
    parts = split_url(" https://a.example:8080/b?c#d ")
    assert parts is not None and (parts.scheme, parts.hostname, parts.port) == ("https", "a.example", 8080)
