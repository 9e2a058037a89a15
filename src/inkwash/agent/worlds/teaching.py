"""What a small agent is taught: pictures of panels on the way of someone who knows them, with the next step in words.

The question of a step is the prompt that the agent gets, and its answer is read as the act: what is learnt is what
runs (`recipes/nano_agent.py`).
"""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
from PIL import Image

from inkwash.agent.act import Act
from inkwash.agent.prompt import Past, Situation, make_prompt
from inkwash.agent.reply import StepReply, spell
from inkwash.agent.worlds.panels import FORM, PanelWorld, move_act
from inkwash.scenes.panel_tasks import KINDS, Move, PanelTask, State, after, fits, next_move, sample_task
from inkwash.scenes.panels import SIZES, Panel, sample_panel
from inkwash.scenes.world import CELL

STEPS_A_PAGE = 2  # states of one panel: most of the time goes into opening it
WEIGHTS = {"press": 5, "tick": 3, "choose": 3, "open": 2, "link": 2, "already": 2, "infeasible": 3, "type": 5, "tab": 3,
           "form": 6}  # fmt: skip
Boxes = dict[str, tuple[float, float, float, float]]


def chunk_size(number: int) -> tuple[int, int]:
    """The size of all pages of a chunk."""
    return SIZES[number % len(SIZES)]


def drawn(world: PanelWorld, rng: random.Random, size: tuple[int, int]) -> list[tuple[Any, dict[str, Any]]]:
    """One panel in some of the states on the way of a task or two."""
    panel = sample_panel(rng)
    while (panel.width, panel.height) != size:
        panel = sample_panel(rng)
    world.show(panel)
    start = dict(world.state)
    found = []
    for _ in range(STEPS_A_PAGE):
        kinds = [kind for kind in KINDS if fits(panel, kind)]
        kind = rng.choices(kinds, [WEIGHTS[each] for each in kinds])[0]
        task = sample_task(panel, rng, kinds=(kind,))
        ways = _ways(task, start)
        state, earlier = ways[rng.randrange(len(ways))]
        world.browser.page.evaluate("state => panel.set(state)", state)
        png = world.browser.observe().png
        with Image.open(io.BytesIO(png)) as image:
            picture = np.asarray(image.convert("RGB"))
        found.append((picture, step_facts(panel, task, state, earlier, world.boxes, png)))
    return found


def _ways(task: PanelTask, state: State) -> list[tuple[dict[str, Any], tuple[Move, ...]]]:
    """Every state from the start to the end, each with the moves that led to it."""
    now, moves = dict(state), ()
    found: list[tuple[dict[str, Any], tuple[Move, ...]]] = [(now, ())]
    while (move := next_move(task, now)).kind in ("click", "type"):
        now, moves = after(now, move), (*moves, move)  # type: ignore[assignment]
        found.append((now, moves))
    return found


def step_facts(
    panel: Panel, task: PanelTask, state: State, earlier: tuple[Move, ...], boxes: Boxes, png: bytes
) -> dict[str, Any]:
    """What is asked, thought and said in one step, and what the picture shows."""
    move = next_move(task, state)
    act = move_act(move, boxes, (panel.width, panel.height))
    past = tuple(Past(reply=StepReply(thought=each.words, act=Act(kind="wait"))) for each in earlier)
    prompt = make_prompt(Situation(task=task.text, screenshot=png, past=past), FORM, short=True)
    return {
        "kind": task.kind,
        "question": prompt.parts[1],
        "thought": _thought(move, boxes),
        "answer": f"{move.words}\n{spell(act, FORM.screen)}",
        "widgets": [_widget(key, box, state) for key, box in boxes.items()],
    }


def _thought(move: Move, boxes: Boxes) -> str:
    """Where the widget of the next act is, in rows and columns of cells, as nano-v thinks."""
    if move.kind == "click":
        left, top, right, bottom = boxes[move.key]
        name = move.key.partition(":")[2].rpartition("/")[2]
        rows = f"{int(top // CELL) + 1} to {int((bottom - 1) // CELL) + 1}"
        return f"{name} is in rows {rows}, columns {int(left // CELL) + 1} to {int((right - 1) // CELL) + 1}."
    return {"type": "The field has the focus.", "done": "All is as asked.", "fail": "I do not see it."}[move.kind]


def _widget(key: str, box: tuple[float, float, float, float], state: State) -> dict[str, Any]:
    kind, _, label = key.partition(":")
    on = key in state["on"] or key == state["tab"] or key == state["focus"]
    return {"kind": kind, "label": label.rpartition("/")[2], "box": [round(at, 1) for at in box], "on": on}
