"""One action on a computer: a call such as `left_click(start_box='[500,300]')`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from inkwash.models.glm_v.agent import ACTIONS
from inkwash.models.glm_v.calls import Call, find_calls
from inkwash.rl.verifiers.pointing import numbers_of, point_score
from inkwash.rl.verifiers.similarity import typed_share
from inkwash.rl.verifiers.verdict import Verdict, Verifier

LONGEST = 2_000
_POINTED = {"left_click", "right_click", "middle_click", "hover", "left_double_click"}
_CALL = re.compile(r"\b\w{1,40}\(")
_STEP = 5.0  # of a scroll that names none


@dataclass(frozen=True, kw_only=True)
class OsWorld(Verifier):
    """The domain `osworld`. A gold box of four numbers is met anywhere inside; `smooth` mends the jump at 20."""

    smooth: bool = False

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = read_call(answer), read_call(wanted)
        if parsed is None or truth is None:
            return Verdict.wrong("unreadable", "not one action")
        if parsed.name != truth.name:
            return Verdict.wrong("other action", f"{parsed.name} instead of {truth.name}")
        return Verdict(score=self._score(parsed, truth), rule=truth.name)

    def _score(self, answer: Call, wanted: Call) -> float:
        if wanted.name in _POINTED:
            return self._place(answer, wanted, "start_box")
        if wanted.name == "left_drag":
            return math.sqrt(self._place(answer, wanted, "start_box") * self._place(answer, wanted, "end_box"))
        if wanted.name == "scroll":
            return self._scroll(answer, wanted)
        if wanted.name == "type":
            return typed_share(*(str(call.arguments.get("content", "")) for call in (answer, wanted)))
        if wanted.name == "key":
            return float(_keys(answer) == _keys(wanted) != "")
        return 1.0  # WAIT, DONE, FAIL

    def _place(self, answer: Call, wanted: Call, name: str) -> float:
        there, target = (numbers_of(call.arguments.get(name)) for call in (answer, wanted))
        return point_score(there, target, smooth=self.smooth)

    def _scroll(self, answer: Call, wanted: Call) -> float:
        if answer.arguments.get("direction") != wanted.arguments.get("direction"):
            return 0.0
        step = numbers_of(wanted.arguments.get("step"))
        steps = 1.0
        if step and step[0] > 0:
            taken = (numbers_of(answer.arguments.get("step")) or [_STEP])[0]
            steps = max(0.0, 1.0 - abs(taken - step[0]) / (2 * step[0]))
        return self._place(answer, wanted, "start_box") * steps


def read_call(text: str) -> Call | None:
    """The one action that a text is; None where it is none, or several."""
    text = text.strip()
    if len(text) > LONGEST or len(_CALL.findall(text)) > 8:
        return None
    if text.rstrip("()") in ("WAIT", "DONE", "FAIL"):
        return Call(name=text.rstrip("()"), arguments={}, words=text)
    calls = find_calls(text, ACTIONS["computer"])
    return calls[0] if len(calls) == 1 and calls[0].words == text else None


def _keys(call: Call) -> str:
    return "".join(str(call.arguments.get("keys", "")).lower().split())
