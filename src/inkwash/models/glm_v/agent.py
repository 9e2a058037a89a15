"""Replies of a model that operates a screen, read into one form: what it thought, what it does, what it remembers.

Three ways of writing are in use, one for each kind of screen: phones (`Memory: .. Reason: .. Action: {json}`, boxes),
computers (text around one call such as `left_click(start_box='[10,20]')`, then `Memory:`), and web pages with
numbered marks (`Thought: .. Action: Click [3] .. Memory_Updated: ..`). Answer tags, box marks and Python's spelling of
JSON are accepted everywhere, and so is a reply without any of them. Only the actions of a screen count (`ACTIONS`): a
boxed one first; of several different ones the first is taken and the reply flagged. Places are in the units of the
model. No text is an error: what cannot be read says why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inkwash.models.glm_v.answer import BOX, END_BOX, split_answer
from inkwash.models.glm_v.calls import find_calls
from inkwash.models.glm_v.literals import find_literals

Screen = Literal["phone", "computer", "web"]
_PLACE = ("start_box", "element_info")
ACTIONS: dict[Screen, dict[str, tuple[str, ...]]] = {  # the arguments in order; for phones, those of the JSON object
    "phone": {
        "status": ("goal_status",),
        "answer": ("text",),
        "click": ("box_2d",),
        "long_press": ("box_2d",),
        "input_text": ("text", "box_2d", "override"),
        "keyboard_enter": (),
        "navigate_home": (),
        "navigate_back": (),
        "swipe": ("direction", "box_2d"),
        "open_app": ("app_name",),
        "wait": (),
    },
    "computer": {
        "left_click": _PLACE,
        "right_click": _PLACE,
        "middle_click": _PLACE,
        "hover": _PLACE,
        "left_double_click": _PLACE,
        "left_drag": ("start_box", "end_box", "element_info"),
        "key": ("keys",),
        "type": ("content",),
        "scroll": ("start_box", "direction", "step", "element_info"),
        "WAIT": (),
        "DONE": (),
        "FAIL": (),
    },
    "web": {
        "Click": ("mark",),
        "Type": ("mark", "text"),
        "Scroll": ("mark", "text"),
        "Wait": (),
        "GoBack": (),
        "Bing": (),
        "Google": (),
        "Key": ("text",),
        "ANSWER": ("text",),
    },
}
MAX_ACTIONS = 32  # of one reply; more change nothing
_MARKS = ";:\uff1a,"  # between an action and what it is about
_BOXED = re.compile(f"{re.escape(BOX)}(.*?){re.escape(END_BOX)}", re.DOTALL)
_WEB_NAME = re.compile(
    rf"(?:^|(?<=[\s:*`(]))({'|'.join(ACTIONS['web'])})\b(?=\s*(?:[\[;:\uff1a,.)*`]|<content>|$|\n)|[^\n\[]{{1,60}}\[)",
    re.MULTILINE,
)
_NEXT = re.compile(
    r"\n\s*(?:(?:Click|Type|Scroll)\s*\[|(?:Wait|GoBack|Bing|Google)\s*(?:\n|$)|(?:ANSWER|Key)\s*[;:\uff1a\[])"
)
_MARK = re.compile(r"\[\s*([^\]]*?)\s*\]")
_LABEL = r"[*_#]*\s*[:\uff1a][*_]*"


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is to be done: the action's own name and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """Why a reply has no action."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class AgentReply:
    """One step of an agent; `action` is None where the reply names none, and `unreadable` says why.

    `extra`: other actions followed, which are not taken.
    """

    thought: str
    action: Action | None
    memory: Any = None
    extra: bool = False
    unreadable: Unreadable | None = None


def parse_agent(text: str, screen: Screen) -> AgentReply:
    """The reply of a model, with or without its thoughts and answer tags."""
    content = split_answer(text).content
    return {"phone": _phone, "computer": _computer, "web": _web}[screen](content)


def _reply(thought: str, actions: Sequence[Action], memory: Any, screen: Screen) -> AgentReply:
    if actions:
        others = any(action != actions[0] for action in actions)
        return AgentReply(thought=thought, action=actions[0], memory=memory, extra=others)
    names = ", ".join(ACTIONS[screen])
    reason = Unreadable(f"The reply names no action of a {screen} that can be read: {names}.")
    return AgentReply(thought=thought, action=None, memory=memory, unreadable=reason)


def _phone(content: str) -> AgentReply:
    parts = _sections(content, ("Memory", "Reason", "Action"))
    action = parts.get("Action", content)
    actions: list[Action] = []
    for text in (*_BOXED.findall(action), _unmarked(action), _unmarked(content)):
        for found, _, _ in find_literals(text, "{"):
            name = found.get("action_type") if isinstance(found, dict) else None
            if isinstance(name, str) and name.strip() in ACTIONS["phone"]:
                rest = {str(key): value for key, value in found.items() if key != "action_type"}
                actions.append(Action(name=name.strip(), arguments=rest))
        if actions:
            break
    return _reply(parts.get("Reason", ""), actions, parts.get("Memory"), "phone")


def _computer(content: str) -> AgentReply:
    action, memory = _before_memory(content)
    boxed = [found for span in _BOXED.findall(action) for found in find_calls(span, ACTIONS["computer"])]
    calls = boxed or find_calls(_unmarked(action), ACTIONS["computer"])
    thought = _unmarked(action)
    if calls:
        thought = thought.replace(calls[0].words, "", 1)
    actions = [Action(name=call.name, arguments=call.arguments) for call in calls]
    found = next((value for value, _, _ in find_literals(memory)), None)
    return _reply(thought.strip(), actions, [] if found is None else found, "computer")


def _before_memory(content: str) -> tuple[str, str]:
    """What stands before the label of the memory, and the memory: a label begins a line, or has a list behind it."""
    found = list(re.finditer(rf"(?:^|\n)[ \t*_#]*Memory{_LABEL}", content))
    found = found or list(re.finditer(rf"Memory{_LABEL}(?=\s*[\[{{])", content))
    found = found or list(re.finditer(r"(?<=[\s)>])Memory:", content))
    return (content[: found[-1].start()], content[found[-1].end() :]) if found else (content, "")


def _web(content: str) -> AgentReply:
    parts = _sections(content, ("Thought", "Action", "Memory_Updated", "Memory"))
    action = parts.get("Action", content)
    actions: list[Action] = []
    for text in (*_BOXED.findall(action), _unmarked(action)):
        actions = _web_actions(text)
        if actions:
            break
    memory = next((found for found, _, _ in find_literals(parts.get("Memory_Updated", parts.get("Memory", "")))), None)
    return _reply(parts.get("Thought", ""), actions, memory, "web")


def _web_actions(text: str) -> list[Action]:
    """Actions one behind the other; a text to be typed may run over several lines."""
    actions: list[Action] = []
    at = 0
    while len(actions) < MAX_ACTIONS and (found := _WEB_NAME.search(text, at)) is not None:
        name, rest = found[1], text[found.end() :]
        following = _NEXT.search(rest)
        at = found.end()
        if name == "ANSWER":
            actions.append(Action(name=name, arguments={"text": _answer(rest)}))
            break
        if following is not None:
            rest = rest[: following.start()]
        action = _web_action(name, rest)
        if action is not None:
            actions.append(action)
            at = found.end() + len(rest)
    return actions


def _answer(rest: str) -> str:
    _, opened, inner = rest.partition("<content>")
    if opened:
        return inner.partition("</content>")[0].strip()
    bare = rest.strip().lstrip(_MARKS).strip()
    return bare[1:-1].strip() if bare[:1] == "[" and bare[-1:] == "]" else bare


def _web_action(name: str, rest: str) -> Action | None:
    """One action from what stands behind its name; None where it lacks its mark."""
    if not ACTIONS["web"][name]:
        return Action(name=name)
    if name == "Key":
        found = _MARK.search(rest)
        text = found[1] if found else rest.strip().lstrip(_MARKS).strip().split("\n")[0]
        return Action(name=name, arguments={"text": text}) if text else None
    mark = _MARK.search(rest)
    if mark is None:
        return None
    arguments = {"mark": mark[1]}
    if name == "Click":
        return Action(name=name, arguments=arguments)
    text = rest[mark.end() :].strip().lstrip(_MARKS).strip()
    if text[:1] == "[" and "]" in text:
        text = text[1 : text.rindex("]")]
    else:
        text = text.split("\n")[0].strip()
    return Action(name=name, arguments={**arguments, "text": text.strip()} if text else arguments)


def _sections(content: str, labels: Sequence[str]) -> dict[str, str]:
    """What stands after each label, up to the next one; a label counts once, where it comes first."""
    found: dict[str, tuple[int, int]] = {}
    for match in re.finditer(rf"(?:^|(?<=\s)|(?<=\*))({'|'.join(labels)}){_LABEL}", content):
        found.setdefault(match[1], match.span())
    ends = [*sorted(start for start, _ in found.values()), len(content)]
    return {
        label: content[end : next(place for place in ends if place >= end)].strip().rstrip("*#").strip()
        for label, (_, end) in found.items()
    }


def _unmarked(text: str) -> str:
    return text.replace(BOX, "").replace(END_BOX, "")


def numbers_of(value: Any) -> list[float]:
    """The numbers of a box or point, however it is nested or written."""
    return [float(found) for found in re.findall(r"-?\d{1,12}(?:\.\d{1,12})?", str(value))] if value is not None else []
