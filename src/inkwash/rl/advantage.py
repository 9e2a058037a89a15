"""Group-relative advantages: how much better than its siblings a rollout is, from one reward or several.

Rows are rollouts; those of one prompt form a group. Three schemes, chosen by name:

- `batch`: one reward, centred by its group's mean, divided by the batch's standard deviation (Flow-GRPO's global
  deviation, TRL's `scale_rewards="batch"`).
- `gdpo`: each reward is centred and divided inside its group first, then summed by weight and divided by the batch's
  deviation, so that no reward rules by its scale alone (GDPO; TRL's `normalize_then_sum`).
- `none`: centred only (Dr. GRPO, arXiv 2503.20783).

A group without variance teaches nothing and is dropped; the caller refills it. A rollout with a NaN or infinite reward
leaves its group. Standard deviations are those of a sample (divided by n - 1), in float64, as the public trainers do.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from inkwash.core.errors import ConfigError

Scheme = Literal["batch", "gdpo", "none"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

EPSILON = 1e-4  # added to every deviation, as in the public trainers
LEAST_STD = 1e-6  # a group whose rewards differ by less has no variance
CLIP = 5.0


@dataclass(frozen=True, kw_only=True)
class Advantages:
    """One advantage per rollout, 0 where it is not kept; the shares are for the log."""

    values: Floats  # (N,)
    kept: Mask  # (N,)
    groups: int
    dropped_groups: int  # without variance, or with fewer than two usable rollouts
    unusable: int  # rollouts with a reward that is no finite number
    clipped: int

    @property
    def zero_variance_share(self) -> float:
        """Share of groups that taught nothing."""
        return self.dropped_groups / self.groups if self.groups else 0.0


def group_advantages(
    rewards: npt.ArrayLike,
    groups: Sequence[Hashable],
    *,
    scheme: Scheme = "batch",
    weights: Sequence[float] | None = None,
) -> Advantages:
    """Advantages of rewards (N,) or (N, R) whose rows belong to the named groups; ConfigError where they do not fit."""
    table = _table(rewards, len(groups))
    weight = _weights(weights, table.shape[1])
    if scheme not in get_args(Scheme):
        raise ConfigError(f"the advantage scheme is {scheme!r}; allowed are {', '.join(get_args(Scheme))}.")
    if scheme == "batch" and table.shape[1] > 1:
        raise ConfigError(f"the scheme 'batch' takes one reward, got {table.shape[1]}; use 'gdpo' for several.")
    usable: Mask = np.asarray(np.isfinite(table).all(axis=1))
    members = _members(groups)
    centred, kept, dropped = np.zeros(len(table)), np.zeros(len(table), dtype=bool), 0
    for rows in members:
        rows = rows[usable[rows]]
        if len(rows) < 2 or _std(table[rows] @ weight) < LEAST_STD:
            dropped += 1
            continue
        kept[rows] = True
        centred[rows] = _within(table[rows], weight, scheme)
    values = _scaled(centred, table[:, 0], kept, scheme)
    clipped = np.clip(values, -CLIP, CLIP)
    return Advantages(
        values=clipped,
        kept=kept,
        groups=len(members),
        dropped_groups=dropped,
        unusable=int((~usable).sum()),
        clipped=int((clipped != values).sum()),
    )


def _within(rewards: Floats, weight: Floats, scheme: Scheme) -> Floats:
    """What a group's rewards (n, R) are against each other: (n,)."""
    centred = rewards - rewards.mean(axis=0)
    if scheme == "gdpo":
        centred = centred / (rewards.std(axis=0, ddof=1) + EPSILON)
    return np.asarray(centred @ weight)


def _scaled(centred: Floats, reward: Floats, kept: Mask, scheme: Scheme) -> Floats:
    if scheme == "none" or not kept.any():
        return centred
    return centred / (_std(reward[kept] if scheme == "batch" else centred[kept]) + EPSILON)


def _std(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _members(groups: Sequence[Hashable]) -> list[npt.NDArray[np.intp]]:
    """The rows of every group, groups in the order in which they first appear."""
    rows: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.asarray(members, dtype=np.intp) for members in rows.values()]


def _table(rewards: npt.ArrayLike, rows: int) -> Floats:
    table = np.asarray(rewards, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or table.shape[1] == 0 or len(table) != rows:
        raise ConfigError(f"rewards have the shape {table.shape}, but there are {rows} rollouts; give (N,) or (N, R).")
    return table


def _weights(weights: Sequence[float] | None, count: int) -> Floats:
    weight = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (count,) or not np.isfinite(weight).all():
        raise ConfigError(f"weights are {weights!r}, but must be {count} finite numbers, one for every reward.")
    return weight
