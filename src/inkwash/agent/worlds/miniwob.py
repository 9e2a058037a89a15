"""MiniWoB++ as an outside test: its pages in a real browser, their own reward as the mark. Nothing is trained on them.

    with MiniWobWorld(find_pages()) as world:
        episode = world.episode("click-button", 7); world.agent(model).run(episode.task); world.success

The pages come with the wheel of `miniwob` (MIT), whose other parts are not used. They are 160x210 pixels and are shown
twice as large. The clock of the pages is stopped: a step on a slow machine is no failure.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from inkwash.agent.act import AgentError
from inkwash.agent.executors.browser import BrowserExecutor
from inkwash.agent.guard import ActGuard, Judgement, Wanted
from inkwash.agent.loop import Agent
from inkwash.agent.model import Model
from inkwash.agent.policy import Policy
from inkwash.agent.shot import PixelAct
from inkwash.agent.stop import StopSwitch
from inkwash.agent.vault import Vault
from inkwash.agent.worlds.evaluate import MarkedEpisode
from inkwash.agent.worlds.panels import FORM, LOAD_MS, FirstWidget, RandomClicker
from inkwash.agent.worlds.site import Answer, Site

TASKS = (
    "click-button", "click-checkboxes", "click-option", "click-tab", "click-link", "click-test-2", "enter-text",
    "enter-password", "focus-text-2", "login-user",
)  # fmt: skip
WHEEL = "miniwob==1.1.0"
ZOOM = 2
SIZE = (160 * ZOOM, 210 * ZOOM)
MAX_STEPS = 8
_START = """([seed, zoom]) => {
  document.documentElement.style.zoom = zoom;
  Math.seedrandom(seed);
  core.EPISODE_MAX_TIME = 1e9;
  core.startEpisodeReal();
  return core.getUtterance();
}"""


@dataclass(frozen=True, kw_only=True)
class MiniWobEpisode:
    """A task with its seed, and what the page asks for."""

    kind: str
    seed: int
    task: str


def find_pages(folder: Path | None = None) -> Path:
    """The folder of the pages: the one that is given, or that of the installed wheel."""
    if folder is None:
        found = find_spec("miniwob")
        folder = Path(found.origin).parent / "html" if found is not None and found.origin is not None else None
    if folder is None or not (folder / "core" / "core.js").is_file():
        where = "are not installed" if folder is None else f"are not in {str(folder)!r}"
        raise AgentError(
            f"The pages of MiniWoB++ {where}: pip install --no-deps miniwob==1.1.0, or give --miniwob DIR."
        )
    return folder


def check_tasks(pages: Path, names: str) -> tuple[str, ...]:
    """Tasks by their names, with commas between; raises AgentError for one that has no page."""
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in found:
        if not re.fullmatch(r"[a-z0-9-]+", name) or not (pages / "miniwob" / f"{name}.html").is_file():
            raise AgentError(f"MiniWoB++ has no task {name!r}: those measured are {', '.join(TASKS)}.")
    return found


class _Page(BrowserExecutor):
    """Ends the run as soon as the page has marked the episode."""

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        outcome = super().do(wanted, stop)
        if self.page.evaluate("WOB_DONE_GLOBAL"):
            stop.throw("ended by the page")
        return outcome


class _NoGuard(ActGuard):
    """Made pages on this machine, which ask for passwords that they tell: nothing there does harm."""

    def judge(self, wanted: Wanted) -> Judgement:
        return Judgement(decision="allow")


class MiniWobWorld:
    """One browser for many episodes."""

    def __init__(self, pages: Path) -> None:
        self._pages = pages.resolve()
        self.site = Site(self._file)
        self.policy = Policy(mode="auto", allow=(self.site.origin,), max_steps=MAX_STEPS, acts_per_minute=6000)
        try:
            self.browser = _Page(f"{self.site.origin}/", self.policy, size=SIZE)
        except BaseException:
            self.site.close()
            raise

    def _file(self, path: str) -> Answer | None:
        if path == "/":
            return "text/html", b"<p>ready</p>"
        file = (self._pages / path.lstrip("/").partition("?")[0]).resolve()
        if not file.is_relative_to(self._pages) or not file.is_file():
            return None
        return mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()

    def episode(self, kind: str, seed: int) -> MiniWobEpisode:
        """Open a task's page and begin its episode number `seed`."""
        self.browser.open(f"{self.site.origin}/miniwob/{kind}.html", LOAD_MS)
        task = self.browser.page.evaluate(_START, [f"{kind} {seed}", ZOOM])
        return MiniWobEpisode(kind=kind, seed=seed, task=str(task))

    def agent(self, model: Model) -> Agent:
        """An agent on the page that is shown, with the short prompt."""
        return Agent(
            model=model, executor=self.browser, form=FORM, guard=_NoGuard(self.policy, Vault()), short=True,
            settle_s=0.0,
        )  # fmt: skip

    @property
    def success(self) -> bool:
        """Whether the page gave its reward, leaving aside how long it took."""
        return bool(self.browser.page.evaluate("WOB_DONE_GLOBAL && WOB_RAW_REWARD_GLOBAL > 0"))

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


MakeModel = Callable[[MiniWobWorld, MiniWobEpisode], Model]


def evaluate_miniwob(
    world: MiniWobWorld,
    make: MakeModel,
    *,
    count: int,
    tasks: Sequence[str] = TASKS,
    seed: int = 0,
    tell: Callable[[int], None] | None = None,
) -> list[MarkedEpisode]:
    """Episodes seed, seed + 1, ... of each task, `count` of them."""
    found: list[MarkedEpisode] = []
    for kind in tasks:
        for number in range(seed, seed + count):
            found.append(_played(world, make, world.episode(kind, number)))
            if tell is not None:
                tell(len(found))
    return found


def _played(world: MiniWobWorld, make: MakeModel, episode: MiniWobEpisode) -> MarkedEpisode:
    acts: list[str] = []
    agent = world.agent(make(world, episode))
    agent.tell = lambda event: acts.append(str(event.get("said"))) if event["type"] == "step" else None
    outcome = agent.run(episode.task)
    return MarkedEpisode(
        seed=episode.seed, kind=episode.kind, task=episode.task, success=world.success, status=outcome.status,
        acts=tuple(acts),
    )  # fmt: skip


def miniwob_baseline(name: str) -> MakeModel:
    """`random` or `first widget`."""
    makers: dict[str, MakeModel] = {
        "random": lambda world, episode: RandomClicker(episode.seed),
        "first widget": lambda world, episode: FirstWidget(world.browser),
    }
    if name not in makers:
        raise AgentError(f"{name!r} knows panels only: compare with {' or '.join(makers)}.")
    return makers[name]
