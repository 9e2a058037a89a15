"""What a small agent is taught: pictures of panels on the way of someone who knows them, with the next step in words.

Before that it is taught to read and to find: a page full of words has five times the letters of a panel
(`reading_pages`), and each of its words can be asked for (`WordTeacher`).

A browser draws each page once (`drawn`); what is asked about it is made anew whenever it is shown (`PanelTeacher`): the
step of the task that led there, steps of other tasks, and what the page shows. The question of a step is the prompt
that the agent gets, and its answer is read as the act: what is learnt is what runs (`recipes/nano_agent.py`).
"""

from __future__ import annotations

import io
import random
import string
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from inkwash.agent.act import Act
from inkwash.agent.prompt import Past, short_text
from inkwash.agent.reply import StepReply, spell
from inkwash.agent.worlds.panels import FORM, PanelWorld, move_act
from inkwash.media.enlarge import is_small
from inkwash.scenes.glyph_words import page_words
from inkwash.scenes.panel_tasks import (
    KINDS,
    PARTS,
    Move,
    PanelTask,
    State,
    TaskKind,
    after,
    fits,
    key_name,
    next_move,
    sample_task,
)
from inkwash.scenes.panels import MADE_UP, SIZES, Panel, panel_facts, panel_of, sample_panel
from inkwash.scenes.words import random_word, words
from inkwash.scenes.world import CELL

STEPS_A_PAGE = 2  # states of one panel: most of the time goes into opening it
WEIGHTS = {"press": 5, "tick": 3, "choose": 3, "open": 2, "link": 2, "already": 2, "infeasible": 3, "type": 5, "tab": 3,
           "form": 6}  # fmt: skip
TRIES = 20  # of finding a task that can be begun in a state
LISTS = 0.25  # share of the pictures that are also asked what they show
NAMES = ("What is on this page?", "Name the parts of the page.", "What does the page show?", "List what is here.")
Boxes = dict[str, tuple[float, float, float, float]]
LINE, LETTER = 24, 8  # pixels that a line of a page full of words takes, and a letter about
FILLED = 6  # times that an opened page is filled with words
NEAR = 0.2  # share of the absent words that are one letter away from one that is there
MARKED = {"button": 0.15, "a": 0.1}  # share of the words that look like a button or a link
# Lines, each with its place from the left and from the line before and with [tag, word], instead of all that is shown
_FILL = """lines => {
  document.body.replaceChildren(...lines.map(([left, top, parts]) => {
    const row = document.createElement("div");
    row.style.cssText = `white-space:nowrap;height:24px;line-height:24px;margin:${top}px 0 0 ${left}px`;
    for (const [tag, word] of parts) {
      const part = row.appendChild(document.createElement(tag));
      part.textContent = word;
      part.style.cssText = "height:22px;line-height:22px;margin-right:7px";
    }
    return row;
  }));
}"""


def chunk_size(number: int) -> tuple[int, int]:
    """The size of all pages of a chunk."""
    return SIZES[number % len(SIZES)]


def drawn(world: PanelWorld, rng: random.Random, size: tuple[int, int]) -> list[tuple[Any, dict[str, Any]]]:
    """One panel in some of the states on the way of a task or two."""
    panel = _panel_of(rng, size)
    world.show(panel)
    start = dict(world.state)
    found = []
    for _ in range(STEPS_A_PAGE):
        task = sample_task(panel, rng, kinds=(_kind(panel, rng),))
        ways = _ways(task, start)
        state, earlier = ways[rng.randrange(len(ways))]
        world.browser.page.evaluate("state => panel.set(state)", state)
        glyphs = {"glyphs": _glyphs(world)}
        found.append((_picture(world), page_facts(panel, task, state, earlier, world.boxes) | glyphs))
    return found


def reading_pages(world: PanelWorld, rng: random.Random, size: tuple[int, int]) -> list[tuple[Any, dict[str, Any]]]:
    """Pages in the style of one panel, full of words of the training side: pictures, and facts with their glyphs."""
    world.show(_panel_of(rng, size))
    found = []
    for _ in range(FILLED):
        lines = [_line(rng, size[0] // LETTER) for _ in range(size[1] // (LINE + 1))]
        world.browser.page.evaluate(_FILL, lines)
        found.append((_picture(world), {"glyphs": _glyphs(world)}))
    return found


def _panel_of(rng: random.Random, size: tuple[int, int]) -> Panel:
    """The next panel of that size."""
    panel = sample_panel(rng)
    while (panel.width, panel.height) != size:
        panel = sample_panel(rng)
    return panel


def _line(rng: random.Random, letters: int) -> tuple[int, int, list[tuple[str, str]]]:
    """Where a line is and its words with their tags, in one style of case, about as long as a line."""
    case = rng.choice((str.upper, str.capitalize, str.capitalize, str.lower))
    found: list[tuple[str, str]] = []
    while letters > 0:
        word = random_word(rng, 7) if rng.random() < MADE_UP else rng.choice(words("train", 3, 7))
        tag = rng.choices((*MARKED, "span"), (*MARKED.values(), 1 - sum(MARKED.values())))[0]
        found.append((tag, case(word)))
        letters -= len(word) + 1
    return rng.randint(-8, 8), rng.randint(0, 3), found


def _picture(world: PanelWorld) -> Any:
    with Image.open(io.BytesIO(world.browser.picture())) as image:
        return np.asarray(image.convert("RGB"))


def _glyphs(world: PanelWorld) -> list[list[Any]]:
    return [[glyph[0], *(round(at, 1) for at in glyph[1:])] for glyph in world.glyphs]


def _kind(panel: Panel, rng: random.Random) -> TaskKind:
    kinds = [kind for kind in KINDS if fits(panel, kind)]
    return rng.choices(kinds, [WEIGHTS[each] for each in kinds])[0]


def _ways(task: PanelTask, state: State) -> list[tuple[dict[str, Any], tuple[Move, ...]]]:
    """Every state from the start to the end, each with the moves that led to it."""
    now, moves = dict(state), ()
    found: list[tuple[dict[str, Any], tuple[Move, ...]]] = [(now, ())]
    while (move := next_move(task, now)).kind in ("click", "type"):
        now, moves = after(now, move), (*moves, move)  # type: ignore[assignment]
        found.append((now, moves))
    return found


def page_facts(panel: Panel, task: PanelTask, state: State, earlier: tuple[Move, ...], boxes: Boxes) -> dict[str, Any]:
    """What a page shows, and the step of the task on whose way it is."""
    return {
        "panel": panel_facts(panel),
        "state": dict(state),
        "boxes": {key: [round(at, 1) for at in box] for key, box in boxes.items()},
        "widgets": [_widget(key, box, state) for key, box in boxes.items()],
        "step": step_facts(panel, task, state, earlier, boxes),
    }


def step_facts(panel: Panel, task: PanelTask, state: State, earlier: tuple[Move, ...], boxes: Boxes) -> dict[str, str]:
    """What is asked, thought and said in one step."""
    move = next_move(task, state)
    size = (panel.width, panel.height)
    past = tuple(Past(reply=StepReply(thought=each.words, act=Act(kind="wait"))) for each in earlier)
    return {
        "kind": task.kind,
        "question": short_text(task.text, past, FORM),
        "thought": _thought(move, boxes, _scale(size)),
        "answer": f"{move.words}\n{_call(move, boxes, size)}",
    }


def _call(move: Move, boxes: Boxes, size: tuple[int, int]) -> str:
    """The act as a call; a text in double quotation marks, where a small model's tokenizer spells it."""
    if move.kind == "type":
        return f'type(content="{move.text}")'
    return spell(move_act(move, boxes, size), FORM.screen)


def _thought(move: Move, boxes: Boxes, scale: int) -> str:
    """Where the widget of the next act is, in rows and columns of cells of the picture shown, as nano-v thinks."""
    if move.kind == "click":
        return _where(key_name(move.key), boxes[move.key], scale)
    return {"type": "The field has the focus.", "done": "All is as asked.", "fail": "I do not see it."}[move.kind]


def _widget(key: str, box: tuple[float, float, float, float], state: State) -> dict[str, Any]:
    on = key in state["on"] or key == state["tab"] or key == state["focus"]
    return {"kind": key.partition(":")[0], "label": key_name(key), "box": [round(at, 1) for at in box], "on": on}


@dataclass(frozen=True, kw_only=True)
class PanelTeacher:
    """Questions about one page of `page_facts`, with thought and answer: its own step, `tasks` other ones, and
    sometimes what it shows, without a thought.
    """

    tasks: int = 3

    def __call__(self, facts: dict[str, Any], rng: random.Random) -> list[dict[str, str]]:
        panel, boxes = panel_of(facts["panel"]), {key: tuple(box) for key, box in facts["boxes"].items()}
        found = [facts["step"]]
        found += [_other(panel, facts["state"], boxes, rng) for _ in range(self.tasks)]
        if rng.random() < LISTS:
            found.append({"kind": "parts", "question": rng.choice(NAMES), "thought": "", "answer": parts_text(facts)})
        return found


def _other(panel: Panel, state: State, boxes: Boxes, rng: random.Random) -> dict[str, str]:
    """A task that someone is given in this state: nothing was pressed for it yet."""
    fresh = {**state, "clicked": []}
    for _ in range(TRIES):
        task = sample_task(panel, rng, kinds=(_kind(panel, rng),))
        filled = any(goal.wants == "text" and state["fields"].get(goal.key) for goal in task.goals)
        if not filled and (next_move(task, fresh).kind != "click" or next_move(task, fresh).key in boxes):
            return step_facts(panel, task, fresh, (), boxes)
    task = sample_task(panel, rng, kinds=("infeasible",))
    return step_facts(panel, task, fresh, (), boxes)


@dataclass(frozen=True, kw_only=True)
class WordTeacher:
    """Questions about one page by its `glyphs` alone: where words are, with the thought of an act, or the act itself
    where nothing but words is to be clicked; words that are not there; and what stands in a place. `kinds` says how
    many of each.

    To find a quoted word is the hard part of every act. A window of ten words asks for it five times, where a whole
    panel does so twice.
    """

    kinds: tuple[tuple[str, int], ...] = (("find", 4), ("hit", 1), ("absent", 1), ("spell", 0))

    def __call__(self, facts: dict[str, Any], rng: random.Random) -> list[dict[str, str]]:
        size = (facts["width"], facts["height"])
        found = [each for each in _words_with_boxes(facts["glyphs"]) if each[1][2] <= size[0] and each[1][3] <= size[1]]
        texts = {text.lower() for text, _ in found}
        once = [each for each in found if sum(text.lower() == each[0].lower() for text, _ in found) == 1]
        rng.shuffle(once)
        kinds = [kind for kind, count in self.kinds for _ in range(count) if kind != "hit" or "widgets" not in facts]
        rng.shuffle(kinds)  # where words are few, every kind has its turn
        turns: list[dict[str, str]] = []
        for kind in kinds:
            if kind == "absent":
                turns.append(_absent(texts, rng))
            elif once:
                turns.append(_ASKED[kind](*once.pop(), size, rng))
        return turns


def _words_with_boxes(glyphs: list[list[Any]]) -> list[tuple[str, tuple[float, float, float, float]]]:
    return [
        (word, (letters[0][0], min(each[1] for each in letters), letters[-1][2], max(each[3] for each in letters)))
        for word, letters in page_words(glyphs)
    ]


def _scale(size: tuple[int, int]) -> int:
    """How much a page of that size is enlarged."""
    return 2 if is_small(*size) else 1


def _place(box: tuple[float, float, float, float], scale: int) -> str:
    """Rows and columns of cells of the picture shown, which is `scale` times as large as the page."""
    left, top, right, bottom = (scale * at for at in box)
    rows = f"{max(0, int(top // CELL)) + 1} to {int((bottom - 1) // CELL) + 1}"
    return f"rows {rows}, columns {max(0, int(left // CELL)) + 1} to {int((right - 1) // CELL) + 1}"


def _where(word: str, box: tuple[float, float, float, float], scale: int) -> str:
    """The thought of an act: where what it is on can be seen."""
    return f'"{word}" is in {_place(box, scale)}.'


def _find(word: str, box: Any, size: tuple[int, int], rng: random.Random) -> dict[str, str]:
    question = rng.choice(('Where is "{}"?', 'Find "{}".', 'Where is the word "{}"?', 'Show me "{}".')).format(word)
    return {
        "kind": "find",
        "question": question,
        "thought": _where(word, box, _scale(size)),
        "answer": "Here.",
    }


def _hit(word: str, box: Any, size: tuple[int, int], rng: random.Random) -> dict[str, str]:
    act = Act(kind="click", target=FORM.grid.point((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, size), label=None)
    return {
        "kind": "hit",
        "question": "Task: " + rng.choice(('Click "{}".', 'Press "{}".', 'Hit the word "{}".')).format(word),
        "thought": _where(word, box, _scale(size)),
        "answer": f'I click the word "{word}".\n{spell(act, FORM.screen)}',
    }


def _spell(word: str, box: Any, size: tuple[int, int], rng: random.Random) -> dict[str, str]:
    question = f"What stands in {_place(box, _scale(size))}?"
    return {"kind": "spell", "question": question, "thought": "", "answer": f'"{word}"'}


def _absent(texts: set[str], rng: random.Random) -> dict[str, str]:
    """A word that is not there, sometimes one letter away from one that is."""
    word = rng.choice(words("train", 3, 7)).capitalize()
    if texts and rng.random() < NEAR:
        near = rng.choice(sorted(texts))
        at = rng.randrange(len(near))
        word = near[:at] + rng.choice(string.ascii_lowercase) + near[at + 1 :]
        word = rng.choice((word.upper(), word.capitalize()))
    if word.lower() in texts:
        return _absent(texts, rng)
    question = rng.choice(('Where is "{}"?', 'Find "{}".', 'Task: Click "{}".', 'Task: Press "{}".')).format(word)
    done = question.startswith("Task")
    answer = "There is no such thing.\nFAIL()" if done else "There is no such thing."
    return {"kind": "absent", "question": question, "thought": "I do not see it.", "answer": answer}


_ASKED = {"find": _find, "hit": _hit, "spell": _spell}


def parts_text(facts: dict[str, Any]) -> str:
    """The widgets of a page by kind and label, one a line; ticked boxes, open tabs and filled fields say so."""
    lines = []
    for key in facts["boxes"]:
        kind, fields = key.partition(":")[0], facts["state"]["fields"]
        more = f': "{fields[key]}"' if fields.get(key) else ""
        more += ", on" if key in facts["state"]["on"] or key == facts["state"]["tab"] else ""
        lines.append(f'{PARTS[kind]} "{key_name(key)}"{more}')
    return "\n".join(lines)
