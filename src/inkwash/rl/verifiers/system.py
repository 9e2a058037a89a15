"""The reward system: responses in, scores out.

Every response passes the same line: its form, one language, no repetition, one answer, the rule of its datasource, and
a judge where the rule cannot say and a judge is configured. Rules run at once and in order; judges are asked in
parallel. `Score.rule` names what decided, and `rule_counts` counts it: a rule that suddenly decides everything is how
a hacked reward shows.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.rl.verifiers.config import Domain, SystemConfig, read_config
from inkwash.rl.verifiers.extraction import answer_part, extract, extract_wanted
from inkwash.rl.verifiers.gates import MAX_RESPONSE, mixes_languages, repeats
from inkwash.rl.verifiers.judge import MAX_JUDGED, Judge, open_judge
from inkwash.rl.verifiers.verdict import Verdict, Verifier

MIN_REWARD = 0.0
ABSTAINED = "abstained"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One response and what it should say."""

    response: str
    wanted: str  # plain text; the form and box of a response are taken off
    question: str = ""
    datasource: str = "default"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A reward from 0 to 1, what was compared, and what decided."""

    reward: float
    rule: str
    reason: str = ""
    extracted: str | None = None
    wanted: str = ""

    @property
    def abstained(self) -> bool:
        """A judge was needed and did not answer: the reward says nothing, and the sample should leave its group."""
        return self.rule == ABSTAINED


class RewardSystem:
    """Scores responses by the configuration; safe in many threads."""

    def __init__(self, config: SystemConfig, judges: Mapping[str, Judge] | None = None, *, workers: int = 16) -> None:
        """`judges` by datasource, for those whose rules may not decide."""
        self.config, self.judges, self.workers = config, dict(judges or {}), workers

    @classmethod
    def from_yaml(cls, path: str | Path, *, offline: bool = False, allow_code: bool = False) -> RewardSystem:
        """The system of a file; `offline` asks no judge: what no rule decides is wrong."""
        config = read_config(path, allow_code=allow_code)
        for note in config.notes:
            _log.info("%s: not followed: %s", path, note)
        opened: dict[int, Judge] = {}
        judges = {}
        for source, domain in config.domains.items():
            if domain.judge is not None and not offline:
                if id(domain) not in opened:
                    opened[id(domain)] = open_judge(domain.judge, graded=domain.verifier.graded)
                judges[source] = opened[id(domain)]
        return cls(config, judges)

    def score(self, items: Sequence[Item]) -> list[Score]:
        """A score for every item, in order; datasources may be mixed."""
        for item in items:
            self._domain(item.datasource)
        verdicts = [self._by_rule(item) for item in items]
        scores = [score for _, score in verdicts]
        waiting = [
            place for place, (open_, _) in enumerate(verdicts) if open_ and items[place].datasource in self.judges
        ]
        if waiting:
            with ThreadPoolExecutor(min(self.workers, len(waiting))) as pool:
                judged = pool.map(lambda place: self._by_judge(items[place], scores[place]), waiting)
                for place, score in zip(waiting, judged, strict=True):
                    scores[place] = score
        return scores

    def get_reward(
        self,
        prompts: Sequence[str],
        answers: Sequence[str],
        gt_answers: Sequence[str],
        *,
        datasources: Sequence[str] | None = None,
        return_extracted_answers: bool = False,
    ) -> list[float] | tuple[list[float], list[str | None], list[str]]:
        """The call of the public reward system; datasources may differ."""
        sources = datasources or ["default"] * len(answers)
        if not len(prompts) == len(answers) == len(gt_answers) == len(sources):
            raise ConfigError(
                f"{len(prompts)} prompts, {len(answers)} answers, {len(gt_answers)} ground truths and {len(sources)} "
                f"datasources do not pair: give lists of one length."
            )
        scores = self.score(
            [
                Item(question=question, response=response, wanted=wanted, datasource=source)
                for question, response, wanted, source in zip(prompts, answers, gt_answers, sources, strict=True)
            ]
        )
        rewards = [score.reward for score in scores]
        if not return_extracted_answers:
            return rewards
        return rewards, [score.extracted for score in scores], [score.wanted for score in scores]

    def _domain(self, datasource: str) -> Domain:
        try:
            return self.config.domains[datasource]
        except KeyError:
            known = ", ".join(self.config.domains)
            raise ConfigError(f"there is no datasource {datasource!r}; the configuration has {known}.") from None

    def _by_rule(self, item: Item) -> tuple[bool, Score]:
        """Whether a judge may still decide, and the score of the rules alone."""
        form, verifier = self.config.form, self._domain(item.datasource).verifier
        refused = self._gate(item.response)
        if refused is not None:
            return False, refused
        if verifier.reads_response:
            wanted, answer = item.wanted, item.response
        else:
            wanted = extract_wanted(item.wanted, form)
            found = extract(item.response, form, strict=verifier.strict_boxed_extraction)
            if found.answer is None:
                return False, Score(reward=MIN_REWARD, rule="no answer", reason=found.reason, wanted=wanted)
            answer = found.answer
        verdict = _decided(verifier, answer, wanted)
        score = Score(
            reward=MIN_REWARD if verdict.score is None else min(1.0, max(0.0, verdict.score)),
            rule=verdict.rule,
            reason=verdict.reason,
            extracted=answer,
            wanted=wanted,
        )
        return verdict.score is None, score

    def _gate(self, response: object) -> Score | None:
        """The score of a response that is void as a whole."""
        if not isinstance(response, str):
            return Score(reward=MIN_REWARD, rule="form", reason="the response is no text")
        if len(response) > MAX_RESPONSE:
            return Score(reward=MIN_REWARD, rule="form", reason=f"it has more than {MAX_RESPONSE} characters")
        if answer_part(response, self.config.form) is None:
            return Score(reward=MIN_REWARD, rule="form", reason=f"it has not the form of {self.config.form.style}")
        if mixes_languages(response):
            return Score(reward=MIN_REWARD, rule="mixed", reason="whole paragraphs in two languages")
        if repeats(response):
            return Score(reward=MIN_REWARD, rule="repeats", reason="it says the same over and over")
        return None

    def _by_judge(self, item: Item, score: Score) -> Score:
        answer = score.extracted or ""
        if len(answer) > MAX_JUDGED:
            return replace(score, rule="too long", reason=f"more than {MAX_JUDGED} characters to judge")
        grade = self.judges[item.datasource].grade(item.question, answer, score.wanted)
        if grade is None:
            return replace(score, rule=ABSTAINED, reason="no judge gave a usable answer")
        return replace(score, reward=grade, rule="judge", reason=f"after the rule {score.rule!r}")


def _decided(verifier: Verifier, answer: str, wanted: str) -> Verdict:
    """The verdict; a verifier that fails on an answer calls it wrong, and the log says so."""
    try:
        return verifier.decide(answer, wanted)
    except InkwashError:
        raise  # a package is missing, and no answer's fault
    except Exception as problem:
        _log.warning("A verifier failed with %s: %s", type(problem).__name__, problem)
        return Verdict.wrong("error", type(problem).__name__)


def rule_counts(scores: Iterable[Score]) -> dict[str, int]:
    """How many scores every rule decided, most first."""
    return dict(Counter(score.rule for score in scores).most_common())
