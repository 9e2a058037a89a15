"""The keys of scores in words, for the terminal and the page; JSON keeps the keys."""

from __future__ import annotations

WORDS = {"n": "pictures", "ned": "NED", "regions": "number of texts", "per_regions": "by number of texts"}


def label(key: str) -> str:
    """`word_accuracy[en_ppocrv4]` for reading; a judge in brackets keeps its exact name."""
    metric, bracket, judge = key.partition("[")
    if metric in WORDS:
        return WORDS[metric] + bracket + judge
    if metric.startswith("per_"):
        metric = "by_" + metric.removeprefix("per_")
    if metric.endswith("_95"):
        metric = metric.removesuffix("_95") + ", 95 % interval"
    return metric.replace("_", " ") + bracket + judge
