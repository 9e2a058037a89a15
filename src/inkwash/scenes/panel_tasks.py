"""Tasks on panels: what is asked, when the page has reached it, and the next step of someone who knows the page.

Whether a task is done is read from the state of the page alone (`panel_page.py`), never from what an agent says; at the
end it must also say so. Words of the page stand in quotation marks, mostly: there they are spelled letter by letter for
a small model's tokenizer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inkwash.core.errors import ConfigError
from inkwash.scenes.panels import Panel, Widget, free_word
from inkwash.scenes.words import of_split

State = Mapping[str, Any]
TaskKind = Literal["press", "tick", "choose", "open", "link", "already", "infeasible", "type", "tab", "form"]
SINGLE: tuple[TaskKind, ...] = ("press", "tick", "choose", "open", "link", "already", "infeasible")
MULTI: tuple[TaskKind, ...] = ("type", "tab", "form")
KINDS = SINGLE + MULTI
QUOTED = 0.85  # share of the tasks whose words stand in quotation marks
PHRASES: dict[str, tuple[str, ...]] = {
    "press": ("Press {b}.", "Click {b}.", "Click the button {b}.", "Push the {b} button.", "Hit {b}.",
              "Press the button {b}."),
    "on": ("Tick {b}.", "Check {b}.", "Turn {b} on.", "Select the box {b}.", "Make sure {b} is ticked.",
           "Tick the box {b}."),
    "off": ("Untick {b}.", "Uncheck {b}.", "Turn {b} off.", "Clear the box {b}.", "Make sure {b} is not ticked."),
    "choose": ("Choose {o} for {b}.", "Set {b} to {o}.", "Pick {o} as {b}.", "Select {o} under {b}.",
               "For {b} choose {o}."),
    "open": ("Open the tab {b}.", "Go to the tab {b}.", "Show the tab {b}.", "Switch to {b}.",
             "Change to the tab {b}."),
    "link": ("Follow the link {b}.", "Click the link {b}.", "Open the link {b}.", "Go to {b}.", "Use the link {b}."),
    "type": ("Type {o} into {b}.", "Enter {o} in {b}.", "Write {o} in the field {b}.", "Put {o} into {b}.",
             "Fill {b} with {o}."),
    "tab": ("Open the tab {o} and press {b}.", "On the tab {o}, click {b}.", "Press {b} on the tab {o}.",
            "Go to {o} and hit {b}."),
    "form": ("Type {o} into {b} and {p} into {q}, then press {r}.", "Enter {o} in {b}, {p} in {q} and click {r}.",
             "Fill {b} with {o} and {q} with {p}; then press {r}.", "Put {o} into {b}, {p} into {q}, and hit {r}."),
}  # fmt: skip

PARTS = {"button": "button", "field": "field", "checkbox": "box", "radio": "option", "tab": "tab", "link": "link"}


def key_name(key: str) -> str:
    """What a widget is called on the page, by its key."""
    return key.partition(":")[2].rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One thing that must hold: a widget pressed, on or off, a tab open, or a field with a text."""

    key: str
    wants: Literal["clicked", "on", "off", "tab", "text"]
    text: str = ""

    def met(self, state: State) -> bool:
        if self.wants == "clicked":
            return self.key in state["clicked"]
        if self.wants == "tab":
            return bool(state["tab"] == self.key)
        if self.wants == "text":
            return bool(state["fields"].get(self.key) == self.text)
        return (self.key in state["on"]) == (self.wants == "on")


@dataclass(frozen=True, kw_only=True)
class PanelTask:
    """What is asked; nothing that was pressed beside the goals may have been."""

    kind: TaskKind
    text: str
    goals: tuple[Goal, ...] = ()

    @property
    def feasible(self) -> bool:
        return self.kind != "infeasible"

    def reached(self, state: State) -> bool:
        """Whether the page is as it was asked, and no other button was pressed."""
        pressed = {goal.key for goal in self.goals if goal.wants == "clicked"}
        return all(goal.met(state) for goal in self.goals) and set(state["clicked"]) <= pressed


@dataclass(frozen=True, kw_only=True)
class Move:
    """The next step: on a widget by its key, or the end."""

    kind: Literal["click", "type", "done", "fail"]
    key: str = ""
    text: str = ""

    @property
    def words(self) -> str:
        """The step in a few words, which are also its line in a history."""
        if self.kind == "click":
            return f'I click the {PARTS[self.key.partition(":")[0]]} "{key_name(self.key)}".'
        return {"type": f'I type "{self.text}".', "done": "It is done.", "fail": "There is no such thing."}[self.kind]


def sample_task(
    panel: Panel, rng: random.Random, *, split: str = "train", kinds: tuple[TaskKind, ...] = KINDS
) -> PanelTask:
    """A task of one of `kinds` that the panel has widgets for; raises ConfigError where it has none."""
    able = [kind for kind in kinds if fits(panel, kind)]
    if not able:
        raise ConfigError(f"The panel has nothing for tasks of the kinds {', '.join(kinds)}.")
    return _MAKERS[rng.choice(able)](panel, rng, split)


def fits(panel: Panel, kind: TaskKind) -> bool:
    """Whether the panel has widgets for such a task."""
    needs = {"tick": "checkbox", "choose": "radio", "open": "tabs", "tab": "tabs", "link": "link", "type": "field"}
    if kind == "form":
        return len(panel.of("field")) >= 2 and bool(panel.of("button"))
    if kind == "already":
        return bool(panel.of("checkbox"))
    if kind in ("press", "infeasible"):
        return bool(panel.of("button"))
    return bool(panel.of(needs[kind]))  # type: ignore[arg-type]


def next_move(task: PanelTask, state: State) -> Move:
    """What someone who knows the page does next; fields are clicked before they are typed into."""
    if not task.feasible:
        return Move(kind="fail")
    for goal in task.goals:
        if goal.met(state):
            continue
        if goal.wants == "text" and state["focus"] == goal.key:
            return Move(kind="type", key=goal.key, text=goal.text)
        return Move(kind="click", key=goal.key)
    return Move(kind="done")


def after(state: State, move: Move) -> dict[str, Any]:
    """The state that a page has after a step, without the page."""
    found: dict[str, Any] = {
        **state,
        "clicked": list(state["clicked"]),
        "on": list(state["on"]),
        "fields": dict(state["fields"]),
    }
    kind = move.key.partition(":")[0]
    if move.kind == "type":
        found["fields"][move.key] = found["fields"].get(move.key, "") + move.text
    elif move.kind == "click":
        found["focus"] = move.key
        if kind in ("button", "link"):
            found["clicked"].append(move.key)
        elif kind == "tab":
            found["tab"] = move.key
        elif kind == "checkbox":
            found["on"] = sorted(set(found["on"]) ^ {move.key})
        elif kind == "radio":
            group = move.key.rpartition("/")[0]
            found["on"] = [each for each in found["on"] if each.rpartition("/")[0] != group] + [move.key]
    return found


def _phrase(rng: random.Random, split: str, name: str, **slots: str) -> str:
    phrase = rng.choice(of_split(PHRASES[name], split, "question") or PHRASES[name])
    mark = '"' if rng.random() < QUOTED else ""
    return phrase.format(**{name: f"{mark}{word}{mark}" for name, word in slots.items()})


def _press(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    label = rng.choice(panel.of("button")).label
    goal = Goal(key=f"button:{label}", wants="clicked")
    return PanelTask(kind="press", text=_phrase(rng, split, "press", b=label), goals=(goal,))


def _ticked(widget: Widget, wants: bool, kind: TaskKind, rng: random.Random, split: str) -> PanelTask:
    goal = Goal(key=f"checkbox:{widget.label}", wants="on" if wants else "off")
    return PanelTask(kind=kind, text=_phrase(rng, split, "on" if wants else "off", b=widget.label), goals=(goal,))


def _tick(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    widget = rng.choice(panel.of("checkbox"))
    return _ticked(widget, not widget.on, "tick", rng, split)


def _already(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    widget = rng.choice(panel.of("checkbox"))
    return _ticked(widget, widget.on, "already", rng, split)


def _choose(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    widget = rng.choice(panel.of("radio"))
    option = rng.choice(widget.options)
    goal = Goal(key=f"radio:{widget.label}/{option}", wants="on")
    return PanelTask(kind="choose", text=_phrase(rng, split, "choose", b=widget.label, o=option), goals=(goal,))


def _open(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    option = rng.choice(panel.of("tabs")[0].options[1:])
    goal = Goal(key=f"tab:{option}", wants="tab")
    return PanelTask(kind="open", text=_phrase(rng, split, "open", b=option), goals=(goal,))


def _tab(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    options = panel.of("tabs")[0].options
    number = rng.randrange(1, len(options))
    goals = (
        Goal(key=f"tab:{options[number]}", wants="tab"),
        Goal(key=f"button:{panel.inside[number]}", wants="clicked"),
    )
    text = _phrase(rng, split, "tab", o=options[number], b=panel.inside[number])
    return PanelTask(kind="tab", text=text, goals=goals)


def _link(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    label = rng.choice(panel.of("link")).label
    goal = Goal(key=f"link:{label}", wants="clicked")
    return PanelTask(kind="link", text=_phrase(rng, split, "link", b=label), goals=(goal,))


def _infeasible(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    return PanelTask(kind="infeasible", text=_phrase(rng, split, "press", b=free_word(panel, rng, split=split)))


def _type(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    label, word = rng.choice(panel.of("field")).label, free_word(panel, rng, split=split)
    goal = Goal(key=f"field:{label}", wants="text", text=word)
    return PanelTask(kind="type", text=_phrase(rng, split, "type", b=label, o=word), goals=(goal,))


def _form(panel: Panel, rng: random.Random, split: str) -> PanelTask:
    first, second = rng.sample(panel.of("field"), 2)
    button = rng.choice(panel.of("button")).label
    one, other = free_word(panel, rng, split=split), free_word(panel, rng, split=split)
    goals = (
        Goal(key=f"field:{first.label}", wants="text", text=one),
        Goal(key=f"field:{second.label}", wants="text", text=other),
        Goal(key=f"button:{button}", wants="clicked"),
    )
    text = _phrase(rng, split, "form", o=one, b=first.label, p=other, q=second.label, r=button)
    return PanelTask(kind="form", text=text, goals=goals)


_MAKERS = {
    "press": _press, "tick": _tick, "choose": _choose, "open": _open, "link": _link, "already": _already,
    "infeasible": _infeasible, "type": _type, "tab": _tab, "form": _form,
}  # fmt: skip
