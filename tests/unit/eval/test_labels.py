"""Keys of scores in words."""

from __future__ import annotations

import pytest

from inkwash.eval.labels import label


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("word_accuracy", "word accuracy"),
        ("word_accuracy_95", "word accuracy, 95 % interval"),
        ("per_regions", "by number of texts"),
        ("per_kind", "by kind"),
        ("n", "pictures"),
        ("ned[en_ppocrv4]", "NED[en_ppocrv4]"),
        ("clip_score[a_b]", "clip score[a_b]"),
        ("this run", "this run"),
    ],
)
def test_a_key_in_words(key: str, words: str) -> None:
    assert label(key) == words
