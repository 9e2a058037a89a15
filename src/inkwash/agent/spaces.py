"""What an agent may do on each kind of screen, as its prompt tells it: the names are those that `reply.py` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inkwash.models.glm_v.agent import Screen

_POINT = {"type": "string", "description": "A point '[x,y]' on the screenshot."}
_INFO = {"type": "string", "description": "What the element is, in a few words; may be empty."}
_BOX = {
    "type": "array",
    "description": "One box [[left, top, right, bottom]] around the element.",
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
}


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """One action: its name, how it is called, what it does, and its arguments as a JSON schema."""

    name: str
    rule: str
    does: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """The arguments."""
        required = [name for name in self.fields if name not in self.optional]
        found: dict[str, Any] = {"type": "object", "properties": dict(self.fields), "required": required}
        return {"name": self.name, "description": self.does, "parameters": found}


def _pointed(name: str, does: str) -> ActionSpec:
    return ActionSpec(
        name=name,
        rule=f"{name}(start_box='[x,y]', element_info='')",
        does=does,
        fields={"start_box": _POINT, "element_info": _INFO},
        optional=("element_info",),
    )


_DIRECTION = {"type": "string", "enum": ["up", "down", "left", "right"]}
PHONE = (
    ActionSpec(
        name="status",
        rule='{"action_type": "status", "goal_status": "complete"}',
        does="End: the task is complete, or infeasible.",
        fields={"goal_status": {"type": "string", "enum": ["complete", "infeasible"]}},
    ),
    ActionSpec(
        name="answer",
        rule='{"action_type": "answer", "text": "<text>"}',
        does="Answer the user's question.",
        fields={"text": {"type": "string"}},
    ),
    ActionSpec(
        name="click",
        rule='{"action_type": "click", "box_2d": [[left, top, right, bottom]]}',
        does="Tap the middle of a box.",
        fields={"box_2d": _BOX},
    ),
    ActionSpec(
        name="long_press",
        rule='{"action_type": "long_press", "box_2d": [[left, top, right, bottom]]}',
        does="Press the middle of a box for a second.",
        fields={"box_2d": _BOX},
    ),
    ActionSpec(
        name="input_text",
        rule=(
            '{"action_type": "input_text", "text": "<text>", "box_2d": [[left, top, right, bottom]], "override": true}'
        ),
        does="Tap a field, clear it if override is true, type the text and press Enter.",
        fields={"text": {"type": "string"}, "box_2d": _BOX, "override": {"type": "boolean"}},
    ),
    ActionSpec(name="keyboard_enter", rule='{"action_type": "keyboard_enter"}', does="Press Enter."),
    ActionSpec(name="navigate_home", rule='{"action_type": "navigate_home"}', does="Go to the home screen."),
    ActionSpec(name="navigate_back", rule='{"action_type": "navigate_back"}', does="Go back."),
    ActionSpec(
        name="swipe",
        rule='{"action_type": "swipe", "direction": "up", "box_2d": [[left, top, right, bottom]]}',
        does="Move a finger in a direction, over the screen or within a box: up shows what is further below.",
        fields={"direction": _DIRECTION, "box_2d": _BOX},
        optional=("box_2d",),
    ),
    ActionSpec(
        name="open_app",
        rule='{"action_type": "open_app", "app_name": "<name>"}',
        does="Open an app by its name.",
        fields={"app_name": {"type": "string"}},
    ),
    ActionSpec(name="wait", rule='{"action_type": "wait"}', does="Wait until the screen has changed."),
)
COMPUTER = (
    _pointed("left_click", "Click the left button at a point."),
    _pointed("right_click", "Click the right button at a point."),
    _pointed("middle_click", "Click the middle button at a point."),
    _pointed("hover", "Move the pointer to a point."),
    _pointed("left_double_click", "Click the left button twice at a point."),
    ActionSpec(
        name="left_drag",
        rule="left_drag(start_box='[x1,y1]', end_box='[x2,y2]', element_info='')",
        does="Press the left button at a point, move to another and release it there.",
        fields={"start_box": _POINT, "end_box": _POINT, "element_info": _INFO},
        optional=("element_info",),
    ),
    ActionSpec(
        name="key",
        rule="key(keys='ctrl+c')",
        does="Press one key, or several together.",
        fields={"keys": {"type": "string", "description": "Names of keys with + between them."}},
    ),
    ActionSpec(
        name="type",
        rule="type(content='')",
        does="Type a text where the focus is. It neither sets the focus nor clears the field.",
        fields={"content": {"type": "string"}},
    ),
    ActionSpec(
        name="scroll",
        rule="scroll(start_box='[x,y]', direction='down', step=5, element_info='')",
        does="Turn the wheel at a point.",
        fields={
            "start_box": _POINT,
            "direction": {"type": "string", "enum": ["up", "down"]},
            "step": {"type": "integer", "description": "Clicks of the wheel, 5 if left out."},
            "element_info": _INFO,
        },
        optional=("step", "element_info"),
    ),
    ActionSpec(name="WAIT", rule="WAIT()", does="Wait for 5 seconds."),
    ActionSpec(name="DONE", rule="DONE()", does="End: the task is done."),
    ActionSpec(name="FAIL", rule="FAIL()", does="End: the task cannot be done."),
)
_LABEL = {"type": "integer", "description": "The number drawn beside the element."}
WEB = (
    ActionSpec(name="Click", rule="Click [n]", does="Click the element with the number n.", fields={"n": _LABEL}),
    ActionSpec(
        name="Type",
        rule="Type [n]; [text]",
        does="Clear the field with the number n, type the text and press Enter.",
        fields={"n": _LABEL, "text": {"type": "string"}},
    ),
    ActionSpec(
        name="Scroll",
        rule="Scroll [n or WINDOW]; [up or down]",
        does="Scroll the page, or within the element with the number n.",
        fields={
            "n": {"type": ["integer", "string"], "description": "A number, or WINDOW."},
            "direction": {"type": "string", "enum": ["up", "down"]},
        },
    ),
    ActionSpec(name="Wait", rule="Wait", does="Wait for 5 seconds."),
    ActionSpec(name="GoBack", rule="GoBack", does="Go back to the page before."),
    ActionSpec(name="Bing", rule="Bing", does="Go to the search page and start again there."),
    ActionSpec(
        name="ANSWER",
        rule="ANSWER; <content>text</content>",
        does="End with the answer to the task.",
        fields={"text": {"type": "string"}},
    ),
    ActionSpec(name="Key", rule="Key; [Return]", does="Press Return.", fields={"key": {"enum": ["Return"]}}),
)
SPACES: dict[Screen, tuple[ActionSpec, ...]] = {"phone": PHONE, "computer": COMPUTER, "web": WEB}
