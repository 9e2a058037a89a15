"""Word Accuracy and normalised edit distance, as the CVTG-2K benchmark defines them.

Pure functions on plain strings: no model, no picture, no file. The definitions follow the scorer of
TextCrafter's CVTG-2K: words are lower-cased whitespace pieces with punctuation and accents kept, a wanted word counts
as right when it is *somewhere* among the words that were read, and every wanted word is compared with the read word
that `difflib` finds most similar. Both averages run over words, not over pictures.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inkwash.core.errors import MissingExtraError

_CJK = (("\u4e00", "\u9fff"), ("\u3040", "\u30ff"), ("\uac00", "\ud7af"))  # Han, kana, Hangul
_LENGTH_FLOOR = 1e-5  # the benchmark's guard against an empty pair; part of the published numbers


def words(texts: Iterable[str]) -> list[str]:
    """All lower-cased whitespace-separated words of some lines, in order, duplicates kept."""
    return [word for text in texts for word in text.lower().split()]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of characters, each costing one."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as missing:
        raise MissingExtraError(f"Comparing texts (package {missing.name})", extra="eval") from missing
    return Levenshtein.distance(a, b)


def closeness(wanted: str, read: str) -> float:
    """1 for equal words, near 0 for words with nothing in common: `1 - distance / (longer length + 1e-5)`."""
    return 1.0 - edit_distance(wanted, read) / (max(len(wanted), len(read)) + _LENGTH_FLOOR)


@dataclass(frozen=True, kw_only=True)
class WordScore:
    """What one picture contributes: how many wanted words were found, and how near each of them was."""

    found: tuple[bool, ...]
    closeness: tuple[float, ...]

    @property
    def total(self) -> int:
        return len(self.found)

    @property
    def correct(self) -> int:
        return sum(self.found)


def score_words(wanted: Iterable[str], read: Iterable[str]) -> WordScore:
    """Compare the texts a picture should show with the lines that were read from it."""
    targets = words(wanted)
    seen = words(read) or [""]
    known = set(seen)
    nearest = (word if word in known else _most_similar(word, known) for word in targets)
    return WordScore(
        found=tuple(word in known for word in targets),
        closeness=tuple(closeness(word, near) for word, near in zip(targets, nearest, strict=True)),
    )


def _most_similar(wanted: str, read: Iterable[str]) -> str:
    """What `difflib.get_close_matches(wanted, read, n=1, cutoff=0)` answers, faster."""
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(wanted)
    best = (-1.0, "")
    for word in read:
        matcher.set_seq1(word)
        if matcher.real_quick_ratio() >= best[0] and matcher.quick_ratio() >= best[0]:  # upper bounds of the ratio
            best = max(best, (matcher.ratio(), word))
    return best[1]


def has_cjk(text: str) -> bool:
    """Whether a text holds characters of a script without spaces: Chinese, Japanese or Korean."""
    return any(_is_cjk(character) for character in text)


def cjk_characters(wanted: Iterable[str], read: Iterable[str]) -> list[float]:
    """For each Chinese, Japanese or Korean character of the texts, 1 if it was read anywhere in the picture, else 0."""
    unused = Counter("".join(read))
    found = []
    for character in filter(_is_cjk, "".join(wanted)):
        found.append(float(unused[character] > 0))
        unused[character] -= 1
    return found


def _is_cjk(character: str) -> bool:
    return any(first <= character <= last for first, last in _CJK)


def word_accuracy(scores: Iterable[WordScore]) -> float:
    """Share of all wanted words that were read somewhere in their picture; nan without words."""
    scores = list(scores)
    total = sum(score.total for score in scores)
    return sum(score.correct for score in scores) / total if total else math.nan


def mean_closeness(scores: Iterable[WordScore]) -> float:
    """The benchmark's NED: mean closeness over all wanted words (higher is better); nan without words."""
    values = [value for score in scores for value in score.closeness]
    return math.fsum(values) / len(values) if values else math.nan


def interval(correct: int, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, so that nobody reads a difference into 200 pictures that is not there."""
    if total == 0:
        return 0.0, 1.0
    share, weight = correct / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean(values: Sequence[float]) -> float:
    """Plain mean; nan for an empty sequence (a number that was never measured is not zero)."""
    return math.fsum(values) / len(values) if values else math.nan
