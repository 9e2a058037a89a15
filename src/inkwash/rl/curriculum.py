"""Curriculum sampling: which tier of difficulty to draw questions from, and how many more to roll out.

The rules of RLCS (arXiv 2507.01006). Offline, a question is graded by how often the starting checkpoint answers it and
by its own difficulty. Online, the pass rate of every tier is a moving average; a tier is drawn by p(1 - p), which is
largest where half of the answers are right, with a floor so that none is forgotten. Questions that are answered all
right or all wrong teach nothing, so more are rolled out than are needed, and the most balanced are kept. All functions
are pure; the state is a frozen value that a checkpoint can hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from inkwash.core.errors import ConfigError

TIERS = 5  # from very easy (0) to very hard (4)
FLOOR = 0.05  # least share of a tier
RATE_DECAY = 0.7  # of a question's and a tier's pass rate
EXPANSION_DECAY = 0.9  # the paper names none
MOST_EXPANSION = 4.0
REWEIGHT_EVERY = 10  # steps


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Unbiased chance that one of k answers is right (Chen et al. 2021, arXiv 2107.03374)."""
    if not 0 <= correct <= samples or not 1 <= k <= samples:
        raise ConfigError(f"pass@{k} of {correct} right among {samples} is not defined: needs 1 <= k <= samples.")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def hardness(pass_rate: float, difficulty: float | None = None, *, weight: float = 0.5) -> float:
    """0 (very easy) to 1 (very hard): the share of wrong answers, merged with the question's own difficulty."""
    for name, value in (("pass rate", pass_rate), ("difficulty", difficulty), ("weight", weight)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise ConfigError(f"the {name} is {value}, but must lie from 0 to 1.")
    measured = 1.0 - pass_rate
    return measured if difficulty is None else (1.0 - weight) * measured + weight * difficulty


def tier_of(hard: float, tiers: int = TIERS) -> int:
    """The tier of a hardness from 0 to 1; tiers are equally wide."""
    return min(tiers - 1, max(0, int(hard * tiers)))


def moving(previous: float | None, new: float, decay: float) -> float:
    """Exponential moving average; the first value counts whole."""
    return new if previous is None else decay * previous + (1.0 - decay) * new


def tier_weights(rates: Sequence[float | None], floor: float = FLOOR) -> tuple[float, ...]:
    """Sampling shares of tiers by their pass rates: by p(1 - p), none under the floor, together 1.

    A tier without a measured rate counts as p = 1/2, so that it is drawn and measured.
    """
    if not rates or not 0.0 <= floor * len(rates) <= 1.0:
        raise ConfigError(f"{len(rates)} tiers with a floor of {floor} each do not fit into 1.")
    raw = [0.25 if rate is None else max(0.0, rate * (1.0 - rate)) for rate in rates]
    total = math.fsum(raw)
    shares = [value / total for value in raw] if total > 0 else [1.0 / len(rates)] * len(rates)
    return tuple(floor + (1.0 - floor * len(rates)) * share for share in shares)


def not_valid_share(right: Sequence[int], samples: int) -> float:
    """Share of questions whose answers were all right or all wrong."""
    return sum(count in (0, samples) for count in right) / len(right) if right else 0.0


def expansion(not_valid: float, previous: float | None = None, *, most: float = MOST_EXPANSION) -> float:
    """How many times the batch to roll out: moving average of 1 / (1 - not valid), capped."""
    now = most if not_valid >= 1.0 else min(most, 1.0 / (1.0 - max(0.0, not_valid)))
    return min(most, max(1.0, moving(previous, now, EXPANSION_DECAY)))


def rollout_count(ratio: float, batch: int) -> int:
    """Questions to roll out for a batch."""
    return math.ceil(ratio * batch - 1e-9)  # 1.1 * 10 is 11.000000000000002


def most_balanced(right: Sequence[int], samples: int, keep: int) -> tuple[int, ...]:
    """Indices of the questions whose right and wrong answers are most even, in their order; ties go to the first."""
    ranked = sorted(range(len(right)), key=lambda index: (abs(2 * right[index] - samples), index))
    return tuple(sorted(ranked[:keep]))


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """The state between two steps: pass rates, expansion ratio, and the shares in force."""

    step: int = 0
    questions: Mapping[str, float] = field(default_factory=dict)  # pass rate by question, or by cell of a world
    tiers: tuple[float | None, ...] = (None,) * TIERS
    ratio: float | None = None
    weights: tuple[float, ...] = (1.0 / TIERS,) * TIERS

    def observe(self, keys: Sequence[str], tiers: Sequence[int], right: Sequence[int], samples: int) -> Curriculum:
        """The state after a step in which every question was answered `samples` times, `right` of them right."""
        if not len(keys) == len(tiers) == len(right) or samples < 1 or not all(0 <= n <= samples for n in right):
            raise ConfigError("keys, tiers and right answers must be as many, and none more right than sampled.")
        questions = dict(self.questions)
        for key, count in zip(keys, right, strict=True):
            questions[key] = moving(questions.get(key), count / samples, RATE_DECAY)
        rates = tuple(
            moving(rate, _mean(shares), RATE_DECAY)
            if (shares := [n / samples for n, place in zip(right, tiers, strict=True) if place == tier])
            else rate
            for tier, rate in enumerate(self.tiers)
        )
        step = self.step + 1
        ratio = expansion(not_valid_share(right, samples), self.ratio) if right else self.ratio
        due = step % REWEIGHT_EVERY == 0
        return replace(
            self,
            step=step,
            questions=questions,
            tiers=rates,
            ratio=ratio,
            weights=tier_weights(rates) if due else self.weights,
        )

    def tier(self, key: str, offline: float) -> int:
        """The tier of a question now: its offline hardness, merged with its own pass rate once it has one."""
        rate = self.questions.get(key)
        return tier_of(offline if rate is None else hardness(rate, offline))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
