"""Replies of the two generations of models on three kinds of screens: read into acts, and acts written as replies.

    reply = read_reply(text, Format(model="4.5V", screen="computer"))
    reply.act, reply.thought, reply.memory, reply.unreadable

`read_reply` takes any text and never raises: what cannot be done is `Unreadable`, with a sentence. `write_act` and
`write_reply` are its inverse; a text that a format has no way to carry is refused, never written as another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inkwash.agent.act import (
    DIRECTIONS,
    OPPOSITE,
    Act,
    AgentError,
    Grid,
    Kind,
    Mark,
    Place,
    read_keys,
    write_keys,
)
from inkwash.models.glm_v.agent import Action, Screen, Unreadable, numbers_of, parse_agent
from inkwash.models.glm_v.answer import BOX, END_BOX, history_text

ModelVersion = Literal["4.1V", "4.5V"]
SCREENS: tuple[Screen, ...] = ("phone", "computer", "web")
VERSIONS: tuple[ModelVersion, ...] = ("4.1V", "4.5V")
WHEEL = 5  # clicks of a scroll that names none
MAX_WHEEL = 50
MAX_REPLY = 100_000  # characters; a longer reply is not read


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a generation of models writes about a kind of screen."""

    model: ModelVersion
    screen: Screen

    def __post_init__(self) -> None:
        if self.model not in VERSIONS or self.screen not in SCREENS:
            raise AgentError(
                f"There is no format {self.model!r} for {self.screen!r}: models are {' and '.join(VERSIONS)}, screens "
                f"{', '.join(SCREENS)}."
            )

    @property
    def grid(self) -> Grid:
        """4.1V counts to 1000 on computers, all else to 999."""
        return Grid(last=1000 if (self.model, self.screen) == ("4.1V", "computer") else 999)


@dataclass(frozen=True, kw_only=True)
class StepReply:
    """One step of a model. `answer` is all that stands behind its thoughts, as a history shows it."""

    answer: str = ""
    thought: str = ""  # the answer's own words about the act
    act: Act | None = None
    memory: Any = None
    extra: bool = False  # other acts followed, which are not taken
    unreadable: Unreadable | None = None


class Impossible(ValueError):
    """An action that names nothing that can be done; the sentence says why."""


def version_of(model: str) -> ModelVersion:
    """The generation that a model's name tells; 4.5V where it tells none."""
    return "4.1V" if "4.1v" in model.lower() else "4.5V"


def read_reply(text: str, form: Format) -> StepReply:
    """A model's text as its act, or as the reason why there is none."""
    if len(text) > MAX_REPLY:
        reason = f"The reply has {len(text)} characters, more than the {MAX_REPLY} that are read."
        return StepReply(unreadable=Unreadable(reason))
    answer = history_text(text).replace(BOX, "").replace(END_BOX, "").strip()
    found = parse_agent(text, form.screen)
    shared: dict[str, Any] = {"answer": answer, "thought": found.thought, "memory": found.memory, "extra": found.extra}
    if found.action is None:
        return StepReply(unreadable=found.unreadable, **shared)
    try:
        return StepReply(act=_READ[form.screen](found.action, form.grid), **shared)
    except Impossible as impossible:
        return StepReply(unreadable=Unreadable(str(impossible)), **shared)


def write_act(act: Act, form: Format) -> str:
    """The act alone. Raises AgentError where the screen lacks it, or its text cannot be carried."""
    written = spell(act, form.screen)
    framed = f"Action: {written}" if form.screen != "computer" else f"{written}\nMemory:\n[]"
    back = read_reply(framed, form).act
    if back != act:
        raise AgentError(f"The act {written!r} cannot be written for a {form.screen}: it would be read as {back}.")
    return written


def spell(act: Act, screen: Screen) -> str:
    """The act for people and histories; `write_act` also makes sure that it is read as the same one."""
    try:
        return _WRITE[screen](act)
    except (KeyError, StopIteration):
        raise AgentError(f"A {screen} has no act {act.kind!r}.") from None


def write_reply(reply: StepReply, form: Format, *, thinking: str = "") -> str:
    """A whole reply as the model of that generation writes it; `thinking` goes between its tags."""
    if reply.act is None:
        raise AgentError("A reply without an act cannot be written.")
    act = f"{BOX}{write_act(reply.act, form)}{END_BOX}"
    if form.screen == "phone":
        body = f"Memory: {reply.memory or ''}\nReason: {reply.thought}\nAction: {act}"
    elif form.screen == "computer":
        body = f"{reply.thought}\n{act}\nMemory:\n{json.dumps(reply.memory or [], ensure_ascii=False)}".lstrip()
    else:
        memory = json.dumps(reply.memory or {}, ensure_ascii=False)
        body = f"Thought: {reply.thought}\nAction: {act}\nMemory_Updated: {memory}"
    if form.model == "4.1V":
        return f"<think>{thinking}</think><answer>{body}</answer>"
    return f"<think>{thinking}</think>\n{body}"


# -- fields ------------------------------------------------------------------------------------------------------------


def _place(value: Any, grid: Grid, name: str) -> Place:
    numbers = numbers_of(value)
    if len(numbers) not in (2, 4):
        raise Impossible(f"{name} is {_shortened(value)}, but must be a point or a box: two or four numbers.")
    if any(not 0 <= number <= 1000 for number in numbers):
        raise Impossible(f"{name} is {_shortened(value)}, but places are counted from 0 to {grid.last}.")
    x1, y1, x2, y2 = (int(n) if n == int(n) else n for n in (numbers if len(numbers) == 4 else numbers * 2))
    return Place(left=min(x1, x2), top=min(y1, y2), right=max(x1, x2), bottom=max(y1, y2))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise Impossible(f"{name} is {_shortened(value)}, but must be a text.")
    return value


def _direction(value: Any) -> Any:
    word = str(value).strip().lower()
    if word not in DIRECTIONS:
        raise Impossible(f"The direction is {_shortened(value)}, but must be one of {', '.join(DIRECTIONS)}.")
    return word


def _keys(value: Any) -> tuple[str, ...]:
    text = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    keys = read_keys(text)
    if keys is None:
        raise Impossible(f"The keys are {_shortened(value)}, but must be written like ctrl+c, enter or pagedown.")
    return keys


def _amount(value: Any) -> int:
    numbers = numbers_of(value)
    if value is None or not numbers:
        return WHEEL
    return min(max(abs(round(numbers[0])), 1), MAX_WHEEL)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- phones ------------------------------------------------------------------------------------------------------------


def _read_phone(action: Action, grid: Grid) -> Act:
    arguments = action.arguments
    target = None if arguments.get("box_2d") is None else _place(arguments["box_2d"], grid, "box_2d")
    if action.name in ("click", "long_press"):
        if target is None:
            raise Impossible(f"{action.name} names no place: it needs box_2d with four numbers.")
        return Act(kind="click" if action.name == "click" else "long_press", target=target)
    if action.name == "input_text":
        replaces = str(arguments.get("override", False)).strip().lower() in ("true", "1")
        text = _text(arguments.get("text"), "text")
        return Act(kind="type", target=target, text=text, replaces=replaces, submits=True)
    if action.name == "swipe":
        finger = _direction(arguments.get("direction"))
        return Act(kind="scroll", target=target, direction=OPPOSITE[finger])
    if action.name == "open_app":
        return Act(kind="open_app", app=_filled(arguments.get("app_name"), "app_name"))
    if action.name == "answer":
        return Act(kind="answer", text=_text(arguments.get("text"), "text"))
    if action.name == "status":
        ends: dict[str, Kind] = {"complete": "done", "infeasible": "fail"}
        status = str(arguments.get("goal_status")).strip().lower()
        if status not in ends:
            raise Impossible(
                f"goal_status is {_shortened(arguments.get('goal_status'))}, but must be complete or infeasible."
            )
        return Act(kind=ends[status])
    return _PHONE_BARE[action.name]


def _filled(value: Any, name: str) -> str:
    text = _text(value, name).strip()
    if not text:
        raise Impossible(f"{name} is empty.")
    return text


_PHONE_BARE = {
    "keyboard_enter": Act(kind="key", keys=("enter",)),
    "navigate_home": Act(kind="home"),
    "navigate_back": Act(kind="back"),
    "wait": Act(kind="wait"),
}


def _write_phone(act: Act) -> str:
    fields: dict[str, Any] = {}
    if isinstance(act.target, Place):
        fields["box_2d"] = [[act.target.left, act.target.top, act.target.right, act.target.bottom]]
    bare = next((name for name, known in _PHONE_BARE.items() if known == act), None)
    if bare is not None:
        name = bare
    elif act.kind in ("click", "long_press"):
        name = act.kind
    elif act.kind == "type":
        name, fields = "input_text", {"text": act.text, **fields, "override": act.replaces}
    elif act.kind == "scroll" and act.direction is not None:
        name, fields = "swipe", {"direction": OPPOSITE[act.direction], **fields}
    elif act.kind == "open_app":
        name, fields = "open_app", {"app_name": act.app}
    elif act.kind == "answer":
        name, fields = "answer", {"text": act.text}
    elif act.kind in ("done", "fail"):
        name, fields = "status", {"goal_status": "complete" if act.kind == "done" else "infeasible"}
    else:
        raise KeyError(act.kind)
    return json.dumps({"action_type": name, **fields}, ensure_ascii=False)


# -- computers ---------------------------------------------------------------------------------------------------------

_POINTED: dict[str, tuple[Kind, Literal["left", "right", "middle"]]] = {
    "left_click": ("click", "left"),
    "right_click": ("click", "right"),
    "middle_click": ("click", "middle"),
    "left_double_click": ("double_click", "left"),
    "hover": ("hover", "left"),
    "left_drag": ("drag", "left"),
}
_COMPUTER_BARE: dict[str, Kind] = {"WAIT": "wait", "DONE": "done", "FAIL": "fail"}


def _read_computer(action: Action, grid: Grid) -> Act:
    arguments = action.arguments
    label = arguments.get("element_info")
    label = None if label is None or not str(label) else str(label)
    if action.name in _POINTED:
        kind, button = _POINTED[action.name]
        start = _place(arguments.get("start_box"), grid, "start_box")
        end = _place(arguments.get("end_box"), grid, "end_box") if kind == "drag" else None
        return Act(kind=kind, button=button, target=start, end=end, label=label)
    if action.name == "type":
        return Act(kind="type", text=_text(arguments.get("content"), "content"))
    if action.name == "key":
        return Act(kind="key", keys=_keys(arguments.get("keys")))
    if action.name == "scroll":
        box = arguments.get("start_box")
        target = None if box is None else _place(box, grid, "start_box")
        direction = _direction(arguments.get("direction"))
        return Act(
            kind="scroll", target=target, direction=direction, amount=_amount(arguments.get("step")), label=label
        )
    return Act(kind=_COMPUTER_BARE[action.name])


def _write_computer(act: Act) -> str:
    info = {} if act.label is None else {"element_info": act.label}
    for name, (kind, button) in _POINTED.items():
        if (act.kind, act.button) == (kind, button):
            drag = {"end_box": _box(act.end)} if kind == "drag" else {}
            return _call(name, {"start_box": _box(act.target), **drag, **info})
    if act.kind == "type":
        return _call("type", {"content": act.text})
    if act.kind == "key":
        return _call("key", {"keys": write_keys(act.keys)})
    if act.kind == "scroll":
        start = {} if act.target is None else {"start_box": _box(act.target)}
        return _call("scroll", {**start, "direction": act.direction, "step": act.amount or WHEEL, **info})
    return f"{next(name for name, kind in _COMPUTER_BARE.items() if kind == act.kind)}()"


def _box(place: Place | Mark | None) -> str:
    if not isinstance(place, Place):
        raise KeyError("place")
    numbers = (place.left, place.top) if place.is_point else (place.left, place.top, place.right, place.bottom)
    return f"[{','.join(map(str, numbers))}]"


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


# -- pages with marks --------------------------------------------------------------------------------------------------


def _read_web(action: Action, grid: Grid) -> Act:
    arguments = action.arguments
    if action.name in ("Click", "Type"):
        mark = _mark(arguments.get("mark"))
        if action.name == "Click":
            return Act(kind="click", target=mark)
        return Act(kind="type", target=mark, text=_text(arguments.get("text", ""), "text"), replaces=True, submits=True)
    if action.name == "Scroll":
        window = str(arguments.get("mark")).strip().lower() == "window"
        target = None if window else _mark(arguments.get("mark"))
        return Act(kind="scroll", target=target, direction=_direction(arguments.get("text", "down")))
    if action.name == "Key":
        return Act(kind="key", keys=_keys(arguments.get("text")))
    if action.name == "ANSWER":
        return Act(kind="answer", text=_text(arguments.get("text", ""), "text"))
    return _WEB_BARE[action.name]


_WEB_BARE = {
    "Wait": Act(kind="wait"),
    "GoBack": Act(kind="back"),
    "Bing": Act(kind="search", text="bing"),
    "Google": Act(kind="search", text="google"),
}


def _mark(value: Any) -> Mark:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise Impossible(f"The mark is {_shortened(value)}, but must be the number of an element.")
    return Mark(number=int(text))


def _write_web(act: Act) -> str:
    bare = next((name for name, known in _WEB_BARE.items() if known == act), None)
    if bare is not None:
        return bare
    if act.kind in ("click", "type") and isinstance(act.target, Mark):
        mark = f"[{act.target.number}]"
        return f"Click {mark}" if act.kind == "click" else f"Type {mark}; [{act.text}]"
    if act.kind == "scroll":
        mark = f"[{act.target.number}]" if isinstance(act.target, Mark) else "[WINDOW]"
        return f"Scroll {mark}; [{act.direction}]"
    if act.kind == "key":
        return f"Key; [{'Return' if act.keys == ('enter',) else write_keys(act.keys)}]"
    if act.kind == "answer":
        return f"ANSWER; <content>{act.text}</content>"
    raise KeyError(act.kind)


_READ: dict[Screen, Callable[[Action, Grid], Act]] = {
    "phone": _read_phone,
    "computer": _read_computer,
    "web": _read_web,
}
_WRITE: dict[Screen, Callable[[Act], str]] = {"phone": _write_phone, "computer": _write_computer, "web": _write_web}
