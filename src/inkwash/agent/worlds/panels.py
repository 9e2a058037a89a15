"""Episodes on panels in a real browser: the page is opened, an agent works on it, the page's state marks it.

with PanelWorld() as world:
    episode = world.episode(7, split="held_out")
    agent = world.agent(model, episode); outcome = agent.run(episode.task.text); world.success(episode, outcome)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from inkwash.agent.act import Act, Place
from inkwash.agent.executors.browser import BrowserExecutor
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent, RunOutcome
from inkwash.agent.model import Model, ModelReply
from inkwash.agent.policy import Policy
from inkwash.agent.prompt import Prompt
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.trajectory import Trajectory
from inkwash.agent.vault import Vault
from inkwash.agent.worlds.site import Answer, Site
from inkwash.scenes.panel_page import panel_html
from inkwash.scenes.panel_tasks import KINDS, Move, PanelTask, State, TaskKind, after, fits, next_move, sample_task
from inkwash.scenes.panels import Panel, sample_panel

FORM = Format(model="4.5V", screen="computer")
MAX_STEPS = 8
LOAD_MS = 120_000  # a page of this machine comes for certain, if late where the machine is busy
DEMO_SEED = 9  # a form: two fields and a button


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A panel with its task."""

    seed: int
    split: str
    panel: Panel
    task: PanelTask


def sample_episode(seed: int, *, split: str = "train", kinds: Sequence[TaskKind] = KINDS) -> Episode:
    """Episode number `seed`; panels without widgets for any of `kinds` are passed over."""
    rng = random.Random(f"panel {split} {seed}")
    kind = kinds[seed % len(kinds)]
    while True:
        panel = sample_panel(rng, split=split)
        if fits(panel, kind):
            task = sample_task(panel, rng, split=split, kinds=(kind,))
            return Episode(seed=seed, split=split, panel=panel, task=task)


class PanelWorld:
    """One browser for many episodes."""

    def __init__(self) -> None:
        self._panel: Panel | None = None
        self.site = Site(self._page)
        policy = Policy(mode="auto", allow=(self.site.origin,), max_steps=MAX_STEPS, acts_per_minute=6000)
        self.policy = policy
        try:
            self.browser = BrowserExecutor(f"{self.site.origin}/", policy, size=(256, 256))
        except BaseException:
            self.site.close()
            raise

    def _page(self, path: str) -> Answer:
        html = "<p>ready</p>" if self._panel is None else panel_html(self._panel)
        return "text/html; charset=utf-8", html.encode()

    def episode(self, seed: int, *, split: str = "train", kinds: Sequence[TaskKind] = KINDS) -> Episode:
        """Show an episode's panel, and return the episode."""
        episode = sample_episode(seed, split=split, kinds=kinds)
        self.show(episode.panel)
        return episode

    def show(self, panel: Panel) -> None:
        """Open a panel in its size."""
        self._panel = panel
        self.browser.resize((panel.width, panel.height))
        self.browser.open(f"{self.site.origin}/", LOAD_MS)
        self.browser.page.evaluate("document.fonts.ready.then(() => true)")

    @property
    def state(self) -> State:
        """The page's own account."""
        found: State = self.browser.page.evaluate("panel.state()")
        return found

    @property
    def boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """Where the widgets are, by their keys."""
        return {key: tuple(box) for key, box in self.browser.page.evaluate("panel.boxes()").items()}

    @property
    def glyphs(self) -> list[list[Any]]:
        """Every character that is shown, with its box."""
        return list(self.browser.page.evaluate("panel.glyphs()"))

    def boxes_in(self, state: State) -> dict[str, tuple[float, float, float, float]]:
        """Where the widgets are in another state; the page's own one is put back."""
        now = self.state
        self.browser.page.evaluate("state => panel.set(state)", state)
        found = self.boxes
        self.browser.page.evaluate("state => panel.set(state)", now)
        return found

    def agent(self, model: Model, *, trajectory: Trajectory | None = None, max_steps: int = MAX_STEPS) -> Agent:
        """An agent on the panel that is shown, with the short prompt."""
        policy = Policy(mode="auto", allow=self.policy.allow, max_steps=max_steps, acts_per_minute=6000)
        return Agent(
            model=model,
            executor=self.browser,
            form=FORM,
            guard=ActGuard(policy, Vault()),
            trajectory=trajectory,
            confirm=lambda act: True,  # a panel does nothing that could not be undone
            short=True,
            settle_s=0.0,
        )

    def success(self, episode: Episode, outcome: RunOutcome) -> bool:
        """The page is as asked and the agent has ended; what cannot be done was given up with the page untouched."""
        ends = "done" if episode.task.feasible else "fail"
        return outcome.status == ends and episode.task.reached(self.state)

    def close(self) -> None:
        """Close the browser and the server."""
        try:
            self.browser.close()
        finally:
            self.site.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def move_act(move: Move, boxes: dict[str, tuple[float, float, float, float]], size: tuple[int, int]) -> Act:
    """A step as an act: the middle of its widget's box."""
    if move.kind == "click":
        left, top, right, bottom = boxes[move.key]
        place = FORM.grid.point((left + right) / 2, (top + bottom) / 2, size)
        return Act(kind="click", target=place, label=None)
    if move.kind == "type":
        return Act(kind="type", text=move.text)
    return Act(kind=move.kind)


class Expert:
    """Solves the panel that is shown by asking the page; proves the loop, and shows what a run looks like."""

    name = "expert"

    def __init__(self, world: PanelWorld, episode: Episode) -> None:
        self.world, self.episode = world, episode
        self.replies = self._replies()

    def _replies(self) -> list[str]:
        """All replies, made before the run: a browser answers the thread that opened it only."""
        state, boxes, found = dict(self.world.state), self.world.boxes, []
        while True:
            move = next_move(self.episode.task, state)
            if move.kind == "click" and move.key not in boxes:
                boxes = self.world.boxes_in(state)
            act = move_act(move, boxes, (self.episode.panel.width, self.episode.panel.height))
            found.append(write_reply(StepReply(act=act, thought=move.words), FORM))
            if move.kind in ("done", "fail"):
                return found
            state = after(state, move)

    def reply(self, prompt: Prompt) -> ModelReply:
        return ModelReply(text=self.replies.pop(0) if self.replies else "")

    def cancel(self) -> None:
        """Nothing runs."""


class RandomClicker:
    """Clicks anywhere, and ends by chance: what a success rate must be compared with."""

    name = "random"

    def __init__(self, seed: int, *, ends: float = 0.4) -> None:
        self.rng, self.ends, self.begun = random.Random(f"random {seed}"), ends, False

    def reply(self, prompt: Prompt) -> ModelReply:
        act: Act
        if self.begun and self.rng.random() < self.ends:
            act = Act(kind="done")
        else:
            self.begun = True
            act = Act(kind="click", target=Place.at(self.rng.randint(0, 999), self.rng.randint(0, 999)))
        return ModelReply(text=write_reply(StepReply(act=act, thought="I try."), FORM))

    def cancel(self) -> None:
        """Nothing runs."""


class FirstWidget:
    """Clicks the first thing that can be clicked, then says that it is done."""

    name = "first widget"

    def __init__(self, page: BrowserExecutor) -> None:
        elements = page.observe().elements
        place = Place.at(500, 500)
        if elements:
            left, top, right, bottom = elements[0].box
            place = FORM.grid.point((left + right) / 2, (top + bottom) / 2, page.size)
        self.acts: list[Any] = [Act(kind="click", target=place), Act(kind="done")]

    def reply(self, prompt: Prompt) -> ModelReply:
        return ModelReply(text=write_reply(StepReply(act=self.acts.pop(0), thought="I click the first."), FORM))

    def cancel(self) -> None:
        """Nothing runs."""
