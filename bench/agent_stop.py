"""How fast the stop switch works: a browser, this screen and a phone, stopped in the midst of acts and screenshots.

    python -m bench.agent_stop --trials 50                 # the screen needs a display, such as xvfb-run
    python -m bench.agent_stop --on web --trials 50

For each executor: milliseconds from the throw to the last event that arrived, and to the end of the run; and what was
still pressed afterwards, by the page's own account, by the X server, or by the phone's commands (the fake adb server of
the tests, 20 ms a command).
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from inkwash.agent.act import Act, Place
from inkwash.agent.executors.executor import Executor
from inkwash.agent.executors.threaded import ThreadedExecutor
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.stop import StopSwitch
from inkwash.agent.vault import Vault
from inkwash.agent.worker import WorkerThread
from inkwash.agent.worlds.site import Site

LIMIT_S = 0.2
PAGE = b"""<body><div style='width:600px;height:400px;background:#eee'></div><script>
window.last = 0; window.down = {};
const sent = ["mousemove", "mousedown", "keydown", "wheel"];
for (const name of sent) addEventListener(name, () => last = Date.now() / 1000);
addEventListener("keydown", (e) => { down[e.code] = 1; });
addEventListener("keyup", (e) => { delete down[e.code]; });
addEventListener("mousedown", (e) => { down.mouse = 1; });
addEventListener("mouseup", (e) => { delete down.mouse; });
</script>"""
ACTS = (
    Act(kind="drag", target=Place.at(100, 300), end=Place.at(800, 600)),
    Act(kind="key", keys=("shift", "a")),
    Act(kind="scroll", direction="down", amount=2),
    Act(kind="click", target=Place.at(300, 300)),
)
COMPUTER, PHONE = Format(model="4.5V", screen="computer"), Format(model="4.5V", screen="phone")
TAPS = (ACTS[3], Act(kind="scroll", direction="down"), Act(kind="type", text="hello", submits=True), Act(kind="back"))


def busy_policy(place: str) -> Policy:
    """As many acts as it takes."""
    return Policy(mode="auto", allow=(place,), acts_per_minute=6000, max_steps=1000)


class Stage(Protocol):
    """An executor that can be asked what arrived."""

    policy: Policy
    form: Format
    acts: Sequence[Act]

    def executor(self, stop: StopSwitch) -> Executor: ...

    def last_event(self) -> float:
        """When the last event arrived, of `time.time()`."""
        ...

    def pressed(self) -> list[str]: ...


@dataclass
class WebStage:
    """A page that notes its events; the browser stays open."""

    site: Site
    worker: WorkerThread
    browser: Any
    policy: Policy
    form: Format = COMPUTER
    acts: Sequence[Act] = ACTS

    def executor(self, stop: StopSwitch) -> Executor:
        return ThreadedExecutor(lambda: self.browser, stop, worker=self.worker)

    def _page(self, expression: str) -> Any:
        return self.worker.submit(lambda: self.browser.page.evaluate(expression)).result(30)

    def last_event(self) -> float:
        return float(self._page("last"))

    def pressed(self) -> list[str]:
        return list(self._page("Object.keys(down)"))


@contextmanager
def web_stage() -> Iterator[Stage]:
    from inkwash.agent.executors.browser import BrowserExecutor

    worker = WorkerThread("bench-browser")
    with Site(lambda path: ("text/html", PAGE)) as site:
        policy = busy_policy(site.origin)
        browser = worker.submit(lambda: BrowserExecutor(f"{site.origin}/", policy)).result(60)
        try:
            yield WebStage(site, worker, browser, policy)
        finally:
            worker.submit(browser.close).result(30)
            worker.close(5)


class _Noted:
    """Events of the real keyboard and mouse, and when they were sent."""

    def __init__(self, events: Any) -> None:
        self._events, self.last = events, 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._events, name)

        def noted(*given: Any) -> Any:
            if name != "can_type" and not (name in ("key", "button") and given[1] is False):
                self.last = time.time()
            return method(*given)

        return noted


@dataclass
class ScreenStage:
    """This screen, which should be one that nobody uses."""

    policy: Policy = field(default_factory=lambda: busy_policy("bench"))
    form: Format = COMPUTER
    acts: Sequence[Act] = ACTS
    events: Any = None

    def executor(self, stop: StopSwitch) -> Executor:
        from inkwash.agent.executors.computer import ComputerExecutor, X11Input

        def make() -> Executor:
            self.events = _Noted(X11Input())
            return ComputerExecutor(events=self.events, window=lambda: "bench")

        return ThreadedExecutor(make, stop)

    def last_event(self) -> float:
        return float(self.events.last)

    def pressed(self) -> list[str]:
        from Xlib import X, display

        server = display.Display()
        try:
            codes = [
                str(8 * at + bit)
                for at, byte in enumerate(server.query_keymap())
                for bit in range(8)
                if byte >> bit & 1
            ]
            mask = server.screen().root.query_pointer().mask
            return codes + (["mouse"] if mask & (X.Button1Mask | X.Button2Mask | X.Button3Mask) else [])
        finally:
            server.close()


@dataclass
class PhoneStage:
    """The tests' adb server; each command takes 20 ms and releases what it presses by itself."""

    phone: Any
    policy: Policy = field(default_factory=lambda: busy_policy("com.android.settings"))
    form: Format = PHONE
    acts: Sequence[Act] = TAPS

    def executor(self, stop: StopSwitch) -> Executor:
        from inkwash.agent.executors.phone import PhoneExecutor

        return ThreadedExecutor(lambda: PhoneExecutor(port=self.phone.port), stop)

    def last_event(self) -> float:
        return float(self.phone.last)

    def pressed(self) -> list[str]:
        return []


@contextmanager
def phone_stage() -> Iterator[Stage]:
    from tests.unit.agent.fake_adb import FakePhone

    class SlowPhone(FakePhone):
        last = 0.0

        def answer(self, command: str) -> bytes:
            if "input " in command:
                self.last = time.time()
            time.sleep(0.02)
            return super().answer(command)

    with SlowPhone() as phone:
        yield PhoneStage(phone)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Seconds after the throw."""

    last_event_s: float
    ended_s: float
    pressed: list[str]
    acted: bool  # whether it had begun to act


def try_once(stage: Stage, after_s: float) -> Trial:
    """Stop a run `after_s` seconds after its beginning."""
    stop, thrown = StopSwitch(), [0.0]
    replies = [write_reply(StepReply(act=stage.acts[n % len(stage.acts)]), stage.form) for n in range(1000)]
    executor = stage.executor(stop)

    def throw() -> None:
        thrown[0] = time.time()
        stop.throw()

    timer = threading.Timer(after_s, throw)
    guard = ActGuard(stage.policy, Vault())
    agent = Agent(
        model=Scripted(replies), executor=executor, form=stage.form, guard=guard, stop=stop,
        confirm=lambda act: True, settle_s=0.2,
    )  # fmt: skip
    timer.start()
    outcome = agent.run("Play.")
    ended = time.time()
    timer.join()
    pressed = stage.pressed()
    last = stage.last_event()
    if outcome.status != "stopped":
        raise SystemExit(f"The run ended as {outcome.status}: {outcome.reason}")
    if not isinstance(stage, WebStage):
        executor.close()
    acted = last > thrown[0] - after_s
    return Trial(last_event_s=last - thrown[0], ended_s=ended - thrown[0], pressed=pressed, acted=acted)


def report(name: str, trials: list[Trial]) -> bool:
    """Print a line; whether every trial kept the limit."""
    ends = [trial.ended_s for trial in trials]
    last = max(trial.last_event_s for trial in trials)
    pressed = sum(bool(trial.pressed) for trial in trials)
    acted = sum(trial.acted for trial in trials)
    print(f"{name}: {len(trials)} trials, {acted} of them while acting; left pressed: {pressed}")
    print(f"  last event at most {1000 * max(last, 0.0):.0f} ms after the throw")
    print(
        f"  run ended after {1000 * statistics.median(ends):.0f} ms (median), {1000 * max(ends):.0f} ms at most",
        flush=True,
    )
    return max(ends) <= LIMIT_S and last <= LIMIT_S and not pressed and 2 * acted > len(trials)


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the stop switch of agents works.")
    parser.add_argument("--on", default="web,screen,phone", help="which executors")
    parser.add_argument("--trials", type=int, default=50)
    given = parser.parse_args()
    rng, kept = random.Random(0), True
    stages: dict[str, Callable[[], Any]] = {"web": web_stage, "screen": _screen_stage, "phone": phone_stage}
    for name in given.on.split(","):
        with stages[name]() as stage:
            kept = report(name, [try_once(stage, rng.uniform(0.3, 1.2)) for _ in range(given.trials)]) and kept
    raise SystemExit(0 if kept else 1)


@contextmanager
def _screen_stage() -> Iterator[Stage]:
    yield ScreenStage()


if __name__ == "__main__":
    main()
