"""The loop: how it ends, what it writes, what it never sends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.agent.act import Act, AgentError, Place
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import STUCK, Agent, RunOutcome
from inkwash.agent.model import ModelReply, Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.prompt import Prompt
from inkwash.agent.stop import StopSwitch
from inkwash.agent.trajectory import Trajectory, act_data, read_steps
from inkwash.agent.vault import Secret, Vault
from tests.unit.agent.acts import EXAMPLES
from tests.unit.agent.screens import FORM, SIZE, MemoryScreen, element, said

ALLOWED = Policy(mode="auto", allow=("shop.example",))
CLICK, DONE = Act(kind="click", target=Place.at(100, 100)), Act(kind="done")
NO_VAULT = Vault()


def work(
    replies: list[str], screen: MemoryScreen, *, policy: Policy = ALLOWED, vault: Vault = NO_VAULT, **more: Any
) -> RunOutcome:
    agent = Agent(
        model=Scripted(replies), executor=screen, form=FORM, guard=ActGuard(policy, vault), settle_s=0.0, **more
    )
    return agent.run("Buy nothing.")


def test_acts_are_carried_out_until_the_model_says_done() -> None:
    screen = MemoryScreen(element("Open"))
    outcome = work(said(CLICK, Act(kind="type", text="hi"), DONE), screen)
    assert (outcome.status, outcome.steps) == ("done", 3)
    assert [(each.act.kind, each.at, each.text) for each in screen.done] == [
        ("click", (40, 20), None),
        ("type", None, "hi"),
    ]


def test_dry_sends_nothing_and_shows_the_act(tmp_path: Path) -> None:
    screen = MemoryScreen(element("Open"))
    log = Trajectory(tmp_path / "run", NO_VAULT)
    outcome = work(said(CLICK, DONE), screen, policy=Policy(allow=("shop.example",)), trajectory=log)
    assert outcome.status == "dry" and screen.done == []
    before, after = (Image.open(tmp_path / "run" / name) for name in ("000.png", "000-act.png"))
    assert before.getpixel((40, 20)) != after.getpixel((40, 20))


@pytest.mark.parametrize(
    ("policy", "status"),
    [(Policy(mode="auto", allow=("shop.example",), max_steps=2), "budget"),
     (Policy(mode="auto", allow=("shop.example",), max_tokens=3), "budget")],
)  # fmt: skip
def test_budgets_end_a_run(policy: Policy, status: str) -> None:
    class Costly(Scripted):
        def reply(self, prompt: Prompt) -> ModelReply:
            return ModelReply(text=super().reply(prompt).text, tokens=2)

    screen = MemoryScreen(element("Open"))
    agent = Agent(
        model=Costly(said(*[CLICK] * 9)), executor=screen, form=FORM, guard=ActGuard(policy, NO_VAULT), settle_s=0.0
    )
    outcome = agent.run("x")
    assert outcome.status == status and len(screen.done) == 2


def test_the_time_of_a_run_ends_a_model_that_does_not_answer() -> None:
    policy = Policy(mode="auto", allow=("shop.example",), max_seconds=0.2)
    release = threading.Event()
    agent = Agent(
        model=Scripted(lambda prompt: str(release.wait(20))),
        executor=MemoryScreen(element("Open")),
        form=FORM,
        guard=ActGuard(policy, NO_VAULT),
        settle_s=0.0,
    )
    began = time.monotonic()
    outcome = agent.run("x")
    release.set()
    assert outcome.status == "budget" and time.monotonic() - began < 5


def test_three_replies_that_cannot_be_read_end_a_run() -> None:
    screen = MemoryScreen(element("Open"))
    outcome = work(["hm", "I would click.", "left_click(start_box='there')"], screen)
    assert outcome.status == "unreadable" and "two or four numbers" in outcome.reason and screen.done == []
    screen = MemoryScreen(element("Open"))
    assert work(["hm", "hm", *said(CLICK, DONE)], screen).status == "done"


def test_an_act_that_changes_nothing_is_tried_three_times_at_most_with_a_hint() -> None:
    seen: list[str] = []
    replies = iter(said(*[CLICK] * 9))

    def reply(prompt: Prompt) -> str:
        seen.append(prompt.text)
        return next(replies)

    screen = MemoryScreen(element("Open"), moves=False)
    agent = Agent(model=Scripted(reply), executor=screen, form=FORM, guard=ActGuard(ALLOWED, NO_VAULT), settle_s=0.0)
    outcome = agent.run("x")
    assert outcome.status == "stuck" and len(screen.done) == 3
    assert [STUCK in text for text in seen] == [False, False, False, True]
    moving = MemoryScreen(element("Open"))
    assert work(said(*[CLICK] * 6, DONE), moving).status == "done"


def test_three_refusals_end_a_run_and_are_told_to_the_model() -> None:
    seen: list[str] = []
    replies = iter(said(*[Act(kind="key", keys=("ctrl", "w"))] * 5))

    def reply(prompt: Prompt) -> str:
        seen.append(prompt.text)
        return next(replies)

    screen = MemoryScreen(element("Open"))
    agent = Agent(model=Scripted(reply), executor=screen, form=FORM, guard=ActGuard(ALLOWED, NO_VAULT), settle_s=0.0)
    assert agent.run("x").status == "refused" and screen.done == []
    assert "Not carried out: The keys ctrl+w may do more than edit." in seen[1]


def test_a_person_confirms_risky_acts() -> None:
    asked: list[dict[str, Any]] = []

    def confirm(event: dict[str, Any]) -> bool:
        asked.append(event)
        return len(asked) == 1

    screen = MemoryScreen(element("Delete account"))
    outcome = work(said(CLICK, CLICK, DONE), screen, confirm=confirm)
    assert outcome.status == "done" and len(screen.done) == 1
    assert [event["reasons"] for event in asked] == [["The target speaks of 'delete'."]] * 2
    nobody = MemoryScreen(element("Delete account"))
    work(said(CLICK, DONE), nobody)
    assert nobody.done == []


@pytest.mark.parametrize("agreed", [False, True])
def test_a_question_open_when_the_run_is_stopped_is_neither_yes_nor_no(agreed: bool) -> None:
    stop = StopSwitch()

    def confirm(event: dict[str, Any]) -> bool:
        stop.throw()
        return agreed

    def confirm_at_once(work: Callable[[], Any], *, until: float | None = None) -> Any:
        return work()  # the answer is there before the switch is looked at

    stop.during = confirm_at_once  # type: ignore[method-assign]
    screen, told = MemoryScreen(element("Delete account")), []
    outcome = work(said(CLICK, DONE), screen, confirm=confirm, stop=stop, tell=lambda event: told.append(event["type"]))
    assert (outcome.status, outcome.steps, screen.done, told) == ("stopped", 0, [], ["look", "end"])


def test_every_act_is_confirmed_in_mode_ask() -> None:
    screen = MemoryScreen(element("Open"))
    policy = Policy(mode="ask", allow=("shop.example",))
    work(said(CLICK, DONE), screen, policy=policy, confirm=lambda event: False)
    assert screen.done == []
    risky = Policy(mode="ask", confirm="risky", allow=("shop.example",))
    work(said(CLICK, DONE), screen, policy=risky, confirm=lambda event: False)
    assert len(screen.done) == 1


SECRET = "corréct h0rse"
VAULT = Vault({"login": Secret(value=SECRET, origins=("https://shop.example",))})


def test_a_secret_is_typed_and_never_written(tmp_path: Path) -> None:
    field = element("Password", secret=True, editable=True)
    screen = MemoryScreen(field, element("Echo", box=(200, 100, 300, 140), value=SECRET))
    screen.focus = field
    screen.texts = ((f"You typed {SECRET}.", (0, 150, 400, 190)),)
    told: list[str] = []
    outcome = work(
        said(Act(kind="type", text="{{secret:login}}"), Act(kind="type", text=f"{SECRET}"), DONE),
        screen,
        vault=VAULT,
        trajectory=Trajectory(tmp_path / "run", VAULT),
        tell=lambda event: told.append(json.dumps(event)),
    )
    assert outcome.status == "done" and [each.text for each in screen.done] == [SECRET]
    files = list((tmp_path / "run").iterdir())
    assert len(files) >= 6
    for file in files:
        for form in (SECRET, json.dumps(SECRET)[1:-1]):
            assert form.encode() not in file.read_bytes()
    assert not any("h0rse" in line for line in told)
    with Image.open(tmp_path / "run" / "000.png") as image:
        assert {image.getpixel(at) for at in ((50, 20), (250, 120), (200, 170))} == {(0, 0, 0)}
        assert image.getpixel((350, 50)) != (0, 0, 0)


def test_an_answer_is_scrubbed() -> None:
    answer = 'x\nMemory: \nReason: r\nAction: {"action_type": "answer", "text": "it is ' + SECRET + '"}'
    from inkwash.agent.reply import Format

    agent = Agent(
        model=Scripted([answer]),
        executor=MemoryScreen(),
        form=Format(model="4.5V", screen="phone"),
        guard=ActGuard(ALLOWED, VAULT),
        settle_s=0.0,
    )
    outcome = agent.run("x")
    assert outcome.status == "answer" and outcome.answer == "it is [secret]"


def test_the_folder_of_a_run_can_be_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    work(said(CLICK, DONE), MemoryScreen(element("Open")), trajectory=Trajectory(folder, NO_VAULT))
    run, steps = read_steps(folder)
    assert run["task"] == "Buy nothing." and run["outcome"]["status"] == "done"
    assert steps[0]["act"] == act_data(CLICK) and steps[0]["at"] == [40, 20]
    page = (folder / "replay.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 2 and "http" not in page.replace("data:image", "")
    with pytest.raises(AgentError, match="not empty"):
        Trajectory(folder, NO_VAULT)
    with pytest.raises(AgentError, match="holds no run"):
        read_steps(tmp_path)


def test_a_run_is_rehearsed_on_its_own_screenshots(tmp_path: Path) -> None:
    """The screenshots come in their order, nothing is sent, and the same replies are the same run."""
    from inkwash.agent.executors.rehearsal import Pictures

    acts = (CLICK, Act(kind="type", text="hi"), DONE)
    first = Trajectory(tmp_path / "one", NO_VAULT)
    work(said(*acts), MemoryScreen(element("Open")), trajectory=first)
    pictures: Any = Pictures.of_run(tmp_path / "one", "web")
    again = Trajectory(tmp_path / "two", NO_VAULT)
    outcome = work(said(*acts), pictures, trajectory=again, confirm=lambda event: True)
    assert outcome.status == "done" and [each.act for each in pictures.done] == list(acts[:2])
    kept = ("act", "at", "place", "prompt", "raw")
    assert [[line[name] for name in kept] for line in again.steps] == [
        [line[name] for name in kept] for line in first.steps
    ]
    with pytest.raises(AgentError, match="no picture"):
        Pictures([], "web")


def test_acts_as_data_are_json_and_tell_acts_apart() -> None:
    acts = {act for group in EXAMPLES.values() for act in group}
    assert len({json.dumps(act_data(act)) for act in acts}) == len(acts) > 10
    assert act_data(DONE) == {"kind": "done"}


class Slow(MemoryScreen):
    """Sends many events, and remembers when the last one was sent."""

    def do(self, wanted: Any, stop: StopSwitch) -> str:
        for _ in range(10_000):
            stop.check()
            self.last = time.monotonic()
            stop.wait(0.005)
        return ""


def test_the_switch_stops_within_a_fifth_of_a_second() -> None:
    """Twenty times each: while events are sent, and while the model thinks. No event comes afterwards."""
    late = []
    for number in range(20):
        stop = StopSwitch()
        screen = Slow(element("Open"))
        thinking = number % 2 == 0
        release = threading.Event()
        replies = said(CLICK)
        model = Scripted(lambda prompt, release=release, thinking=thinking, replies=replies: (
            release.wait(10) and "" if thinking else replies[0]))  # fmt: skip
        agent = Agent(
            model=model, executor=screen, form=FORM, guard=ActGuard(ALLOWED, NO_VAULT), stop=stop, settle_s=0.0
        )
        ended: list[RunOutcome] = []
        thread = threading.Thread(target=lambda agent=agent, ended=ended: ended.append(agent.run("x")))
        thread.start()
        time.sleep(0.1)
        thrown = time.monotonic()
        stop.throw()
        thread.join(5)
        late.append(time.monotonic() - thrown)
        release.set()
        assert ended[0].status == "stopped"
        assert getattr(screen, "last", 0.0) <= thrown + 0.05
    assert sorted(late)[len(late) // 2] <= 0.2  # the machine of a test may be busy; the median is ours


def test_another_process_stops_all_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path))
    from inkwash.agent.running import running, stop_all

    with running() as stop:
        assert not stop.thrown
        (tmp_path / "agent" / "999999999.run").touch()
        assert stop_all() == 1
        assert stop.thrown
    assert stop_all() == 0 and list((tmp_path / "agent").iterdir()) == []


def test_a_mark_that_is_not_there_is_a_sentence() -> None:
    from inkwash.agent.reply import Format

    agent = Agent(
        model=Scripted(["Action: Click [7]"] * 3),
        executor=MemoryScreen(element("Open")),
        form=Format(model="4.5V", screen="web"),
        guard=ActGuard(ALLOWED, NO_VAULT),
        settle_s=0.0,
    )
    assert "no element [7]" in agent.run("x").reason
    assert SIZE == (400, 200)
