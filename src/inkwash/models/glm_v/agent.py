"""Replies of a model that operates a screen, read into one form: what it thought, what it does, what it remembers.

Three ways of writing are in use, one for each kind of screen: phones (`Memory: .. Reason: .. Action: {json}`, boxes),
computers (text around one call such as ``left_click(start_box='[10,20]')``, then ``Memory:``), and web pages with
numbered marks (`Thought: .. Action: Click [3] .. Memory_Updated: ..`). Answer tags, box marks and Python's spelling of
JSON are accepted everywhere, and so is a reply without any of them. Places are in thousandths of the screen.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from inkwash.models.glm_v.answer import BOX, END_BOX, split_answer

Screen = Literal["phone", "computer", "web"]
_CALL = re.compile(r"\b([A-Za-z_]\w*)\(")
_WEB = re.compile(
    r"(?P<name>Click|Type|Scroll|Wait|GoBack|Bing|Google|Key|ANSWER)\b\s*;?\s*"
    r"(?:\[(?P<mark>[^\]]*)\])?\s*;?\s*(?:<content>(?P<content>.*?)</content>|\[(?P<text>.*)\]|(?P<bare>[^\n]*))",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Action:
    """What is to be done: the action's own name and its arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def point(self, width: int, height: int, *, grid: int = 1000, of: str | None = None) -> tuple[int, int] | None:
        """The middle of its box, or its point, in pixels of the screen; None where it names no place."""
        for name in (of,) if of else ("box_2d", "start_box", "box", "point"):
            numbers = _numbers(self.arguments.get(name))
            if len(numbers) >= 4:
                numbers = [(numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2]
            if len(numbers) >= 2:
                x, y = (round(n / grid * side) for n, side in zip(numbers, (width, height), strict=False))
                return min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        return None


@dataclass(frozen=True, kw_only=True)
class AgentReply:
    """One step of an agent; ``action`` is None where the reply names none."""

    thought: str
    action: Action | None
    memory: Any = None


def parse_agent(text: str, screen: Screen) -> AgentReply:
    """The reply of a model, with or without its thoughts and answer tags."""
    content = split_answer(text).content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd backslash in a foreign text is no warning of ours
        return {"phone": _phone, "computer": _computer, "web": _web}[screen](content)


def _phone(content: str) -> AgentReply:
    parts = _sections(content, ("Memory", "Reason", "Action"))
    said = _unboxed(parts.get("Action", content))
    found = _object(said)
    action = None
    if isinstance(found, dict) and isinstance(found.get("action_type"), str):
        action = Action(name=found["action_type"], arguments={k: v for k, v in found.items() if k != "action_type"})
    return AgentReply(thought=parts.get("Reason", ""), action=action, memory=parts.get("Memory"))


def _computer(content: str) -> AgentReply:
    said, label, memory = content.partition("Memory:")
    boxed = re.search(f"{re.escape(BOX)}(.*?){re.escape(END_BOX)}", said, re.DOTALL)
    action, call = _call(boxed[1] if boxed else said)
    thought = said.replace(boxed[0] if boxed else call, "") if action else said
    found = _object(memory) if label else None
    return AgentReply(
        thought=thought.replace(BOX, "").replace(END_BOX, "").strip(),
        action=action,
        memory=[] if found is None else found,
    )


def _web(content: str) -> AgentReply:
    parts = _sections(content, ("Thought", "Action", "Memory_Updated", "Memory"))
    match = _WEB.search(_unboxed(parts.get("Action", "")))
    action = None
    if match is not None:
        text = next((match[name] for name in ("content", "text", "bare") if match[name]), None)
        found = {"mark": match["mark"], "text": text.strip() if text else None}
        if text is None and match["name"] in ("Key", "ANSWER"):  # their one argument is no mark
            found = {"mark": None, "text": match["mark"]}
        action = Action(name=match["name"], arguments={k: v for k, v in found.items() if v is not None})
    memory = _object(parts.get("Memory_Updated", parts.get("Memory", "")))
    return AgentReply(thought=parts.get("Thought", ""), action=action, memory=memory)


def _sections(content: str, labels: Sequence[str]) -> dict[str, str]:
    """What stands after each label, up to the next one."""
    pieces = re.split(rf"(?:^|(?<=\s))({'|'.join(labels)})\s*[::]", content)
    return {label: said.strip() for label, said in zip(pieces[1::2], pieces[2::2], strict=True)}


def _unboxed(text: str) -> str:
    """From the first mark of a box to the last, or all of it."""
    begin, end = text.find(BOX), text.rfind(END_BOX)
    return text[begin + len(BOX) : end].strip() if 0 <= begin < end else text.strip()


def _object(text: str) -> Any:
    """The first JSON value or Python literal in a text; None where there is none."""
    start = re.search(r"[\[{]", text)
    if start is None:
        return None
    closing = {"[": "]", "{": "}"}[start[0]]
    ends = [place for place in range(len(text), start.start(), -1) if text[place - 1] == closing]
    for end in ends:
        for read in (json.loads, ast.literal_eval):
            try:
                return read(text[start.start() : end])
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return None


def _call(text: str) -> tuple[Action | None, str]:
    """The first function call in a text that can be read, and its words."""
    for start in _CALL.finditer(text):
        for end in (place + 1 for place in range(start.end() - 1, len(text)) if text[place] == ")"):
            words = text[start.start() : end]
            try:
                tree = ast.parse(words.strip(), mode="eval").body
                if not isinstance(tree, ast.Call) or tree.args:
                    continue
                found = {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg}
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            return Action(name=start[1], arguments=found), words
    return None, ""


def _numbers(value: Any) -> list[float]:
    """The numbers of a box or point, however it is nested or written."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", str(value))] if value is not None else []
