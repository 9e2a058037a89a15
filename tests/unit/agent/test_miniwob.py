"""The world of MiniWoB++: played in a browser, on a page made here and, where the wheel is installed, on its own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from inkwash.agent.act import Act, AgentError
from inkwash.agent.model import Scripted
from inkwash.agent.reply import StepReply, write_reply
from inkwash.agent.worlds.evaluate import MarkedEpisode, shares
from inkwash.agent.worlds.miniwob import (
    TASKS,
    MiniWobEpisode,
    MiniWobWorld,
    check_tasks,
    evaluate_miniwob,
    find_pages,
    miniwob_baseline,
)
from inkwash.agent.worlds.panels import FORM

# What the pages share, as far as it is used: a seeded random, an episode's begin and end, and its marks.
CORE = """
var core = {EPISODE_MAX_TIME: 10000}, WOB_DONE_GLOBAL = false, WOB_RAW_REWARD_GLOBAL = 0;
Math.seedrandom = (seed) => {
  let state = [...seed].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  Math.random = () => { state = (state * 1103515245 + 12345) >>> 0; return (state >>> 8) / 16777216; };
};
core.startEpisodeReal = () => { WOB_DONE_GLOBAL = false; genProblem(); };
core.endEpisode = (reward) => { WOB_RAW_REWARD_GLOBAL = reward; WOB_DONE_GLOBAL = true; };
core.getUtterance = () => document.getElementById('query').textContent;
"""
PAGE = """<!doctype html><script src="../core/core.js"></script><div id=query></div><div id=area></div><script>
function genProblem() {
  const right = Math.random() < 0.5 ? 'yes' : 'no';
  query.textContent = 'Click ' + right;
  area.replaceChildren(...['yes', 'no'].map((word) => {
    const button = document.createElement('button');
    button.textContent = word;
    button.onclick = () => core.endEpisode(word === right ? 1 : -1);
    return button;
  }));
}</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in {"core/core.js": CORE, "miniwob/click-button.html": PAGE}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder.parent / "outside.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def opened(chromium: str, pages: Path) -> Iterator[MiniWobWorld]:
    with MiniWobWorld(pages) as world:
        yield world


def clicks(world: MiniWobWorld, episode: MiniWobEpisode, *, right: bool = True) -> Scripted:
    """Whoever reads the task and the page; it goes on clicking until it is ended."""
    word = episode.task.split()[-1]
    boxes = {each.name: each.box for each in world.browser.observe().elements}
    left, top, r, bottom = boxes[word if right else {"yes": "no", "no": "yes"}[word]]
    place = FORM.grid.point((left + r) / 2, (top + bottom) / 2, world.browser.size)
    return Scripted([write_reply(StepReply(act=Act(kind="click", target=place)), FORM)] * 5)


@pytest.mark.slow  # a browser
def test_the_page_marks_the_episode_and_ends_it(opened: MiniWobWorld) -> None:
    right = evaluate_miniwob(opened, clicks, count=4, tasks=("click-button",))
    assert [(each.success, each.status, len(each.acts)) for each in right] == [(True, "stopped", 1)] * 4
    assert {each.task for each in right} == {"Click yes", "Click no"}
    again = evaluate_miniwob(opened, clicks, count=4, tasks=("click-button",))
    assert again == right, "an episode is a function of its seed"
    wrong = evaluate_miniwob(
        opened, lambda world, episode: clicks(world, episode, right=False), count=2, tasks=("click-button",)
    )
    assert [each.success for each in wrong] == [False, False]
    lazy = evaluate_miniwob(opened, lambda world, episode: Scripted(["DONE()"]), count=1, tasks=("click-button",))
    assert (lazy[0].success, lazy[0].status) == (False, "done")
    chance = evaluate_miniwob(opened, miniwob_baseline("first widget"), count=4, tasks=("click-button",))
    assert [each.success for each in chance] == [each.task == "Click yes" for each in right]


@pytest.mark.slow  # a browser
def test_files_beside_the_pages_are_not_served(opened: MiniWobWorld) -> None:
    assert opened._file("/miniwob/click-button.html") is not None and opened._file("/core/core.js") is not None
    for path in ("/../outside.txt", "/miniwob/../../outside.txt", "/miniwob", "/none.html"):
        assert opened._file(path) is None, path


@pytest.mark.slow  # a browser
@pytest.mark.skipif(find_spec("miniwob") is None, reason="the pages of MiniWoB++ are not installed")
def test_the_ten_tasks_are_there(chromium: str) -> None:
    with MiniWobWorld(find_pages()) as world:
        for kind in TASKS:
            first, second = (world.episode(kind, 3).task for _ in range(2))
            assert first == second and len(first) > 8 and world.browser.observe().elements and not world.success


def test_what_is_not_there_is_one_sentence(pages: Path, tmp_path: Path) -> None:
    assert find_pages(pages) == pages and check_tasks(pages, "click-button") == ("click-button",)
    with pytest.raises(AgentError, match="pip install --no-deps miniwob"):
        find_pages(tmp_path)
    for name in ("none", "../core/core", "click-button,"[:-1] + ",x"):
        with pytest.raises(AgentError, match="no task"):
            check_tasks(pages, name)
    with pytest.raises(AgentError, match="knows panels only"):
        miniwob_baseline("expert")


def marked(*successes: bool, kind: str = "press") -> list[MarkedEpisode]:
    return [
        MarkedEpisode(seed=seed, kind=kind, task="x", success=success, status="done", acts=())
        for seed, success in enumerate(successes)
    ]


def test_shares_are_by_kind_with_the_groups_that_there_are() -> None:
    found = shares([*marked(True, False, kind="form"), *marked(True, kind="press"), *marked(False, kind="click-tab")])
    assert {name: (share.right, share.count) for name, share in found.items()} == {
        "press": (1, 1), "form": (1, 2), "click-tab": (0, 1), "single": (1, 1), "multi": (1, 2), "all": (2, 4),
    }  # fmt: skip
