"""How often an agent reaches what is asked on held-out panels: shares by kind of task, with intervals.

Single-step tasks need one act, multi-step tasks two to five; the page decides, and the agent must also say that it is
done. A random clicker and one that takes the first element say what a share is worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from inkwash.agent.act import AgentError
from inkwash.agent.model import Model
from inkwash.agent.worlds.panels import Episode, Expert, FirstWidget, PanelWorld, RandomClicker
from inkwash.scenes.panel_tasks import KINDS, MULTI, SINGLE, TaskKind

GROUPS: dict[str, tuple[TaskKind, ...]] = {"single": SINGLE, "multi": MULTI, "all": KINDS}
BASELINES = ("expert", "random", "first widget")
_Z = 1.959964  # of 95 %
MakeModel = Callable[[PanelWorld, Episode], Model]


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of how many, with Wilson's interval of 95 %."""

    right: int
    count: int

    @property
    def value(self) -> float:
        return self.right / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return 0.0, 1.0
        n, p, z2 = self.count, self.value, _Z**2
        middle, spread = p + z2 / (2 * n), _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return max(0.0, (middle - spread) / (1 + z2 / n)), min(1.0, (middle + spread) / (1 + z2 / n))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        low, high = self.interval
        return {"success": round(self.value, 4), "low": round(low, 4), "high": round(high, 4), "n": self.count}


@dataclass(frozen=True, kw_only=True)
class MarkedEpisode:
    """One episode, how it ended, and every act in it."""

    seed: int
    kind: str
    task: str
    success: bool
    status: str
    acts: tuple[str, ...]


def check_group(name: str) -> tuple[TaskKind, ...]:
    """The kinds of a group; raises AgentError for an unknown one."""
    if name not in GROUPS:
        raise AgentError(f"There is no group of tasks {name!r}: choose {', '.join(GROUPS)}.")
    return GROUPS[name]


def evaluate(
    world: PanelWorld,
    make: MakeModel,
    *,
    count: int,
    kinds: Sequence[TaskKind] = KINDS,
    split: str = "held_out",
    seed: int = 0,
    tell: Callable[[int], None] | None = None,
) -> list[MarkedEpisode]:
    """Episodes seed, seed + 1, ...; the kinds take turns."""
    found = []
    for number in range(count):
        episode = world.episode(seed + number, split=split, kinds=kinds)
        acts: list[str] = []
        agent = world.agent(make(world, episode))
        agent.tell = lambda event, acts=acts: acts.append(str(event.get("said"))) if event["type"] == "step" else None  # type: ignore[misc]
        outcome = agent.run(episode.task.text)
        found.append(
            MarkedEpisode(
                seed=episode.seed,
                kind=episode.task.kind,
                task=episode.task.text,
                success=world.success(episode, outcome),
                status=outcome.status,
                acts=tuple(acts),
            )
        )
        if tell is not None:
            tell(number + 1)
    return found


def shares(marked: Sequence[MarkedEpisode]) -> dict[str, Share]:
    """By kind, and for the groups that have episodes; all of them last."""
    by_kind = {each.kind: (each.kind,) for each in marked}
    ordered = {kind: by_kind[kind] for kind in KINDS if kind in by_kind} | by_kind
    groups: dict[str, tuple[str, ...]] = {name: kinds for name, kinds in GROUPS.items() if name != "all"}
    found = {}
    for name, kinds in (ordered | groups | {"all": tuple(by_kind)}).items():
        these = [each for each in marked if each.kind in kinds]
        if these:
            found[name] = Share(right=sum(each.success for each in these), count=len(these))
    return found


def baseline(name: str) -> MakeModel:
    """One of `BASELINES`, made anew for each episode."""
    makers: dict[str, MakeModel] = {
        "expert": Expert,
        "random": lambda world, episode: RandomClicker(episode.seed),
        "first widget": lambda world, episode: FirstWidget(world.browser),
    }
    return makers[name]
