"""How much reinforcement could gain: the best of n plans and the best of n noises, before a single update.

If the best of eight is hardly better than the mean, there is nothing to learn from; if half of the groups have no
variance, half of the rollouts are wasted. Pictures are chosen by the rewarding reader and scored by another, since a
choice by the judge itself would flatter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkwash.engine.readback import compare
from inkwash.eval.metrics import score_words
from inkwash.eval.predictions import TextReader
from inkwash.rl.advantage import LEAST_STD
from inkwash.rl.judging import bootstrap
from inkwash.rl.prompts import Ask, digest
from inkwash.rl.rollout import Rollout

Table = npt.NDArray[np.float64]
SIZES = (2, 4, 8, 16)


def best_of(scores: Table, chosen_by: Table, n: int) -> float:
    """Expected score of the best of n out of each row's K, chosen by another table, over all choices of n.

    The j-th best of K is the best of a random n with probability C(K - j, n - 1) / C(K, n).
    """
    from math import comb

    count = scores.shape[1]
    weights = np.array([comb(count - 1 - j, n - 1) / comb(count, n) for j in range(count)])
    order = np.argsort(-chosen_by, axis=1, kind="stable")
    return float((np.take_along_axis(scores, order, axis=1) * weights).sum(1).mean())


def summary(rewards: Table, scores: Table, words: Table) -> dict[str, Any]:
    """What the samples of each prompt (N, K) are worth: by the rewarding reader, by the reporting one, in words."""
    count = rewards.shape[1]
    sizes = [n for n in SIZES if n <= count]
    gains = [float(best) for best in np.take_along_axis(words, rewards.argmax(1)[:, None], 1)[:, 0] - words.mean(1)]
    low, high = bootstrap(gains)
    varied = rewards.std(1) >= LEAST_STD
    return {
        "prompts": len(rewards),
        "samples": count,
        "reward_mean": float(rewards.mean()),
        "reward_best_of": {str(n): best_of(rewards, rewards, n) for n in sizes},
        "reported_mean": float(scores.mean()),
        "reported_best_of": {str(n): best_of(scores, rewards, n) for n in sizes},
        "words_mean": float(words.mean()),
        "words_best": float(words.mean() + np.mean(gains)),
        "words_gain_95": [low, high],
        "zero_variance": float(1 - varied.mean()),
        "std_in_group": float(rewards.std(1, ddof=1).mean()) if count > 1 else 0.0,
    }


def headroom_numbers(
    rollout: Rollout,
    asks: Sequence[Ask],
    samples: int,
    rewarding: TextReader,
    reporting: TextReader,
    *,
    seed: int = 0,
    done: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """`plans`: that many plans of every prompt under one noise; `noises`: that many noises of its first plan."""
    rows: dict[str, list[list[Table]]] = {"plans": [], "noises": []}
    for number, ask in enumerate(asks):
        seeds = [digest("plan", seed, ask.key, k) for k in range(samples)]
        (plans,) = rollout.plans([ask], [seeds])
        noise = digest("noise", seed, ask.key)
        noises = [digest("noise", seed, ask.key, k) for k in range(samples)]
        sets = {
            "plans": ([plan.target for plan in plans], [noise] * samples),
            "noises": ([plans[0].target] * samples, noises),
        }
        for name, (tokens, numbers) in sets.items():
            images = rollout.pictures(tokens, [ask.prompt] * samples, numbers).images
            rows[name].append([_scores(ask, images, rewarding), *_reported(ask, images, reporting)])
        if done is not None:
            done(number + 1, len(asks))
    tables = {name: [np.stack(each) for each in zip(*found, strict=True)] for name, found in rows.items()}
    return {
        "rewarding": rewarding.name,
        "reporting": reporting.name,
        "steps": rollout.steps,
        "guidance": rollout.guidance,
        **{name: summary(*found) for name, found in tables.items()},
    }


def _scores(ask: Ask, images: Sequence[Image.Image], reader: TextReader) -> Table:
    return np.array([compare(ask.texts, reader.texts(image)).score for image in images])


def _reported(ask: Ask, images: Sequence[Image.Image], reader: TextReader) -> tuple[Table, Table]:
    """Scores and shares of words."""
    lines = [reader.texts(image) for image in images]
    words = [score_words(ask.texts, read) for read in lines]
    shares = np.array([each.correct / max(1, each.total) for each in words])
    return np.array([compare(ask.texts, read).score for read in lines]), shares
