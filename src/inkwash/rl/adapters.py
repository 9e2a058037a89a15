"""The reward system under the signatures of two public trainers, which need not be installed.

TRL: `GRPOTrainer(reward_funcs=[trl_reward(system)], ...)`; the columns of the data set arrive by name. verl:
`custom_reward_function.path` names a file of yours with `compute_score = verl_reward(RewardSystem.from_yaml(...))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.rl.verifiers.system import Item, RewardSystem

TrlReward = Callable[..., list[float | None]]
VerlReward = Callable[..., float]


def trl_reward(system: RewardSystem, *, truth: str = "ground_truth", source: str = "datasource") -> TrlReward:
    """A reward function for TRL; `truth` and `source` name columns. None where a judge abstained: TRL skips it."""

    def verifier_reward(
        prompts: Sequence[Any], completions: Sequence[Any], **columns: Sequence[Any]
    ) -> list[float | None]:
        if truth not in columns:
            raise ConfigError(f"the data set has no column {truth!r}; name the one with the right answers.")
        sources = columns.get(source) or ["default"] * len(completions)
        items = [
            Item(question=_text(prompt), response=_text(completion), wanted=str(wanted), datasource=str(kind))
            for prompt, completion, wanted, kind in zip(prompts, completions, columns[truth], sources, strict=True)
        ]
        return [None if score.abstained else score.reward for score in system.score(items)]

    return verifier_reward


def verl_reward(system: RewardSystem) -> VerlReward:
    """A `compute_score` for verl; `extra_info["question"]` is what a judge is shown."""

    def compute_score(
        data_source: str, solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None
    ) -> float:
        question = str((extra_info or {}).get("question", ""))
        item = Item(question=question, response=solution_str, wanted=str(ground_truth), datasource=data_source)
        return system.score([item])[0].reward

    return compute_score


def _text(value: Any) -> str:
    """A text, or the text of the last message of a conversation."""
    if isinstance(value, str):
        return value
    content = value[-1]["content"] if value else ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))
