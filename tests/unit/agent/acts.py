"""Every act of every screen, as hypothesis strategies and as examples; shared by the tests of formats."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from inkwash.agent.act import NAMED_KEYS, Act, Mark, Place
from inkwash.agent.reply import SCREENS, VERSIONS, Format

FORMATS = [Format(model=model, screen=screen) for model in VERSIONS for screen in SCREENS]
unit = st.integers(0, 999)
points = st.builds(Place.at, unit, unit)


def _box(corners: tuple[int, int, int, int]) -> Place:
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    return Place(left=left, top=top, right=right, bottom=bottom)


boxes = st.tuples(unit, unit, unit, unit).map(_box)
places = st.one_of(points, boxes)
marks = st.builds(Mark, number=st.integers(0, 9999))
anything = st.text(max_size=40)
keys = st.lists(st.sampled_from([*NAMED_KEYS, *"abc019/+-"]), min_size=1, max_size=3, unique=True).map(
    lambda found: tuple(sorted(found, key=lambda key: key == "+"))
)


def phone(texts: st.SearchStrategy[str]) -> dict[str, st.SearchStrategy[Act]]:
    """By the names of the actions; `texts` are those to be typed and answered."""
    names = texts.map(str.strip).filter(bool)
    return {
        "status": st.builds(Act, kind=st.sampled_from(["done", "fail"])),
        "answer": st.builds(Act, kind=st.just("answer"), text=texts),
        "click": st.builds(Act, kind=st.just("click"), target=boxes),
        "long_press": st.builds(Act, kind=st.just("long_press"), target=boxes),
        "input_text": st.builds(
            Act, kind=st.just("type"), text=texts, target=boxes, replaces=st.booleans(), submits=st.just(True)
        ),
        "keyboard_enter": st.just(Act(kind="key", keys=("enter",))),
        "navigate_home": st.just(Act(kind="home")),
        "navigate_back": st.just(Act(kind="back")),
        "swipe": st.builds(
            Act,
            kind=st.just("scroll"),
            direction=st.sampled_from(["up", "down", "left", "right"]),
            target=st.one_of(st.none(), boxes),
        ),
        "open_app": st.builds(Act, kind=st.just("open_app"), app=names),
        "wait": st.just(Act(kind="wait")),
    }


def computer(texts: st.SearchStrategy[str]) -> dict[str, st.SearchStrategy[Act]]:
    labels = st.one_of(st.none(), texts.filter(bool))

    def pointed(kind: str, button: str = "left", **more: Any) -> st.SearchStrategy[Act]:
        return st.builds(Act, kind=st.just(kind), button=st.just(button), target=places, label=labels, **more)

    return {
        "left_click": pointed("click"),
        "right_click": pointed("click", "right"),
        "middle_click": pointed("click", "middle"),
        "hover": pointed("hover"),
        "left_double_click": pointed("double_click"),
        "left_drag": pointed("drag", end=places),
        "key": st.builds(Act, kind=st.just("key"), keys=keys),
        "type": st.builds(Act, kind=st.just("type"), text=texts),
        "scroll": st.builds(
            Act,
            kind=st.just("scroll"),
            target=st.one_of(st.none(), places),
            direction=st.sampled_from(["up", "down"]),
            amount=st.integers(1, 50),
            label=labels,
        ),
        "WAIT": st.just(Act(kind="wait")),
        "DONE": st.just(Act(kind="done")),
        "FAIL": st.just(Act(kind="fail")),
    }


def web(texts: st.SearchStrategy[str]) -> dict[str, st.SearchStrategy[Act]]:
    return {
        "Click": st.builds(Act, kind=st.just("click"), target=marks),
        "Type": st.builds(
            Act, kind=st.just("type"), target=marks, text=texts, replaces=st.just(True), submits=st.just(True)
        ),
        "Scroll": st.builds(
            Act,
            kind=st.just("scroll"),
            target=st.one_of(st.none(), marks),
            direction=st.sampled_from(["up", "down"]),
        ),
        "Wait": st.just(Act(kind="wait")),
        "GoBack": st.just(Act(kind="back")),
        "Bing": st.just(Act(kind="search", text="bing")),
        "ANSWER": st.builds(Act, kind=st.just("answer"), text=texts),
        "Key": st.just(Act(kind="key", keys=("enter",))),
    }


BY_SCREEN = {"phone": phone, "computer": computer, "web": web}
EXAMPLES: dict[str, list[Act]] = {
    "phone": [
        Act(kind="click", target=Place(left=100, top=20, right=300, bottom=40)),
        Act(kind="type", text='It\'s "fine"', target=Place(left=1, top=2, right=3, bottom=4), submits=True),
        Act(kind="scroll", direction="down"),
        Act(kind="open_app", app="Files"),
        Act(kind="answer", text="42 {km}"),
    ],
    "computer": [
        Act(kind="click", target=Place.at(10, 20), label="the 'OK' button"),
        Act(kind="type", text="It's fine\nMemory: [] \\n"),
        Act(kind="drag", target=Place.at(1, 2), end=Place.at(3, 4)),
        Act(kind="key", keys=("ctrl", "+")),
        Act(kind="scroll", target=Place.at(500, 500), direction="up", amount=3),
    ],
    "web": [
        Act(kind="click", target=Mark(number=12)),
        Act(kind="type", target=Mark(number=3), text="hello [world]", replaces=True, submits=True),
        Act(kind="scroll", direction="up"),
        Act(kind="answer", text="42 km"),
        Act(kind="search", text="google"),
    ],
}
