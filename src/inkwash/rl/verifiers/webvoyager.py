"""One action on a web page, in either of its two grammars: `CLICK(point=(x, y), ..)`, or `Click [12]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from inkwash.models.glm_v.agent import Action, parse_agent
from inkwash.models.glm_v.calls import Call, find_calls
from inkwash.rl.verifiers.pointing import numbers_of, point_score
from inkwash.rl.verifiers.similarity import common_share
from inkwash.rl.verifiers.verdict import Verdict, Verifier

LONGEST = 2_000
_PLACE = ("point", "box", "element_info")
ACTIONS = {
    "CLICK": _PLACE,
    "TYPE": ("point", "text", "box", "element_info"),
    "KEY_PRESS": ("key",),
    "SCROLL_UP": ("point", "box", "distance", "element_info"),
    "SCROLL_DOWN": ("point", "box", "distance", "element_info"),
    "ANSWER": ("content",),
}
_CALL = re.compile(rf"\b(?:{'|'.join(ACTIONS)})\(")
_SAME_ELEMENT = 0.05  # of the public rule, for a click elsewhere on what has the same description
_OTHER_PLACE = 0.95  # of the public rule, for a text typed elsewhere


@dataclass(frozen=True, kw_only=True)
class WebVoyager(Verifier):
    """The domain `webvoyager`. A point counts when it lies in the gold box, or near the gold point where none is given.

    `parity` restores the public rules: only the very point counts for a click, a text typed elsewhere keeps 0.95, and
    Return is not Enter.
    """

    parity: bool = False

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = read_step(answer), read_step(wanted)
        if parsed is None or truth is None:
            return Verdict.wrong("unreadable", "not one action")
        if type(parsed) is not type(truth) or parsed.name != truth.name:
            return Verdict.wrong("other action", f"{parsed.name} instead of {truth.name}")
        score = self._marked(parsed, truth) if isinstance(truth, Action) else self._placed(parsed.arguments, truth)
        return Verdict(score=score, rule=truth.name)

    def _placed(self, answer: dict[str, Any], wanted: Call) -> float:
        gold = wanted.arguments
        if wanted.name == "KEY_PRESS":
            return self._key(_text(answer, "key"), _text(gold, "key"))
        if wanted.name == "ANSWER":
            return common_share(_text(answer, "content"), _text(gold, "content"))
        place = self._place(answer, gold)
        if wanted.name == "CLICK":
            same = self.parity and gold.get("element_info") and answer.get("element_info") == gold["element_info"]
            return max(place, _SAME_ELEMENT if same else 0.0)
        if wanted.name == "TYPE":
            share = common_share(_text(answer, "text"), _text(gold, "text"))
            return _public_typing(share, place) if self.parity else share * place
        return place * _distance_share(answer.get("distance"), gold.get("distance"))

    def _place(self, answer: dict[str, Any], gold: dict[str, Any]) -> float:
        point, target, box = (numbers_of(value) for value in (answer.get("point"), gold.get("point"), gold.get("box")))
        if self.parity:
            return float(point == target != [])
        if len(box) == 4:
            return float(point_score(point, box) == 1.0)
        return point_score(point, target, smooth=True)

    def _key(self, answer: str, wanted: str) -> float:
        keys = [key.strip().lower() for key in (answer, wanted)]
        if keys[0] == keys[1]:
            return float(bool(keys[1]))
        return (_SAME_ELEMENT if self.parity else 1.0) if set(keys) == {"return", "enter"} else 0.0

    def _marked(self, answer: Action | Call, wanted: Action) -> float:
        """Marks drawn on the page: the same mark, and the same text."""
        if answer.arguments.get("mark") != wanted.arguments.get("mark"):
            return 0.0
        texts = _text(answer.arguments, "text"), _text(wanted.arguments, "text")
        if wanted.name in ("Type", "ANSWER"):
            return common_share(*texts)
        return float(texts[0].strip().lower() == texts[1].strip().lower())


def read_step(text: str) -> Call | Action | None:
    """The one action that a text is, in either grammar; None where it is none, or several."""
    text = text.strip()
    if len(text) > LONGEST:
        return None
    starts = len(_CALL.findall(text))
    if starts:
        calls = find_calls(text, ACTIONS) if starts <= 8 else []
        return calls[0] if len(calls) == 1 and calls[0].words == text else None
    reply = parse_agent(text, "web")
    return None if reply.extra else reply.action


def _public_typing(share: float, place: float) -> float:
    """The public rule: elsewhere a text keeps 0.95 of its share, and a wrong one gets something, too."""
    if place:
        return share
    return share * _OTHER_PLACE if share > _SAME_ELEMENT else _SAME_ELEMENT


def _distance_share(answer: Any, wanted: Any) -> float:
    """How near a scroll's distance is to the wanted one; 1 where none is wanted."""
    there, gold = numbers_of(answer), numbers_of(wanted)
    if not gold:
        return 1.0
    longest = max(abs(gold[0]), abs(there[0])) if there else 0.0
    return max(0.0, 1.0 - abs(there[0] - gold[0]) / longest) if longest else float(bool(there))


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name, "")
    return value if isinstance(value, str) else str(value)[:LONGEST]
