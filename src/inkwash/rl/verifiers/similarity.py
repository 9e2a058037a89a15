"""How near two texts are that an agent types or answers."""

from __future__ import annotations

from collections import Counter

from inkwash.core.errors import MissingExtraError
from inkwash.eval.metrics import edit_distance


def common_share(answer: str, wanted: str) -> float:
    """Longest common subsequence over the longer length; 1 for equal texts, even empty ones."""
    if answer == wanted:
        return 1.0
    try:
        from rapidfuzz.distance import LCSseq
    except ImportError as missing:
        raise MissingExtraError(f"Comparing texts (package {missing.name})", extra="rl") from missing
    return LCSseq.similarity(answer, wanted) / max(len(answer), len(wanted))


def typed_share(answer: str, wanted: str) -> float:
    """OSWorld's measure: 0.6 edit similarity + 0.4 overlap of letter pairs, less for odd lengths and for filler."""
    parsed, truth = answer.strip().lower(), wanted.strip().lower()
    if parsed == truth:
        return 1.0
    if not parsed or not truth:
        return 0.0
    longest = max(len(parsed), len(truth))
    ratio = min(len(parsed), len(truth)) / longest
    score = 0.6 * (1.0 - edit_distance(parsed, truth) / longest) + 0.4 * _pairs_share(parsed, truth)
    if ratio < 0.3:
        score *= ratio
    return score * (0.3 if _is_filler(parsed) or _is_filler(truth) else 1.0)


def _pairs_share(a: str, b: str) -> float:
    left, right = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (a, b))
    return len(left & right) / len(left | right) if left | right else 1.0


def _is_filler(text: str, share: float = 0.7) -> bool:
    """Whether one piece of up to four letters makes up most of a text."""
    if len(text) < 10:
        return False
    for size in (1, 2, 3, 4):
        pieces = Counter(text[at : at + size] for at in range(len(text) - size + 1))
        if pieces.most_common(1)[0][1] * size > share * len(text):
            return True
    return False
