"""An executor on a thread of its own: a stop waits for nothing, and what is pressed is released."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from inkwash.agent.act import Act, AgentError, Place
from inkwash.agent.executors.threaded import ThreadedExecutor
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.shot import PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.agent.vault import Vault
from inkwash.agent.worker import WorkerThread
from inkwash.core.errors import Cancelled
from tests.unit.agent.screens import FORM, MemoryScreen, element, said

CLICK = Act(kind="click", target=Place.at(100, 100))
WANTED = PixelAct(act=CLICK, at=(5, 5))
ALLOWED = Policy(mode="auto", allow=("shop.example",))


class Hangs(MemoryScreen):
    """Its screenshots take until `go`; it presses a key in every act and releases it at the end."""

    def __init__(self) -> None:
        super().__init__(element("Open"))
        self.go, self.entered = threading.Event(), threading.Event()
        self.log: list[str] = []
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def observe(self, *, texts: bool = False) -> Screenshot:
        self.threads.add(threading.get_ident())
        self.entered.set()
        assert self.go.wait(20)
        return super().observe(texts=texts)

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        self.threads.add(threading.get_ident())
        self.log.append("down")
        try:
            while True:
                stop.wait(0.01)
        finally:
            self.log.append("up")

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed.set()


def stopped(screen: Hangs, entered: Any) -> tuple[Any, float]:
    """Run an agent, throw the switch once `entered` says so: how it ended, and how long after the throw."""
    stop, ended = StopSwitch(), list[Any]()
    executor = ThreadedExecutor(lambda: screen, stop)
    agent = Agent(
        model=Scripted(said(*[CLICK] * 9)), executor=executor, form=FORM, guard=ActGuard(ALLOWED, Vault()),
        stop=stop, settle_s=0.0,
    )  # fmt: skip
    runner = threading.Thread(target=lambda: ended.append(agent.run("x")))
    runner.start()
    entered()
    thrown = time.monotonic()
    stop.throw()
    runner.join(10)
    late = time.monotonic() - thrown
    screen.go.set()
    executor.close()
    return ended[0], late


def test_a_stop_does_not_wait_for_a_screenshot() -> None:
    late = []
    for _ in range(5):
        screen = Hangs()
        outcome, seconds = stopped(screen, lambda screen=screen: screen.entered.wait(10))
        late.append(seconds)
        assert outcome.status == "stopped" and screen.log == [] and screen.closed.is_set()
        assert len(screen.threads) == 1 and threading.get_ident() not in screen.threads
    assert sorted(late)[2] <= 0.2


def test_a_stop_within_an_act_releases_what_is_pressed_before_the_run_ends() -> None:
    for _ in range(5):
        screen = Hangs()
        screen.go.set()

        def pressed(screen: Hangs = screen) -> None:
            while not screen.log:
                time.sleep(0.005)

        outcome, _ = stopped(screen, pressed)
        assert outcome.status == "stopped" and screen.log == ["down", "up"]


def test_after_a_stop_the_last_picture_is_the_one_before() -> None:
    stop = StopSwitch()
    executor = ThreadedExecutor(lambda: MemoryScreen(element("Open")), stop)
    first = executor.observe()
    assert executor.target((5, 5)) is not None and executor.focused() is None and executor.screen == "web"
    stop.throw()
    for call in (
        executor.observe,
        executor.focused,
        lambda: executor.target((5, 5)),
        lambda: executor.do(WANTED, stop),
    ):
        with pytest.raises(Cancelled):
            call()
    assert executor.last_seen() is first
    executor.close()


def test_what_goes_wrong_in_the_thread_is_raised_here() -> None:
    def broken() -> MemoryScreen:
        raise AgentError("There is no Chromium here.")

    with pytest.raises(AgentError, match="no Chromium"):
        ThreadedExecutor(broken, StopSwitch())


def test_what_opens_after_a_stop_is_closed() -> None:
    screen, stop, go = Hangs(), StopSwitch(), threading.Event()

    def slow() -> Hangs:
        go.wait(10)
        return screen

    threading.Timer(0.05, stop.throw).start()
    with pytest.raises(Cancelled):
        ThreadedExecutor(slow, stop)
    assert not screen.closed.is_set()
    go.set()
    assert screen.closed.wait(5)


def test_a_thread_that_hangs_keeps_no_program() -> None:
    worker, begun, go = WorkerThread("test"), threading.Event(), threading.Event()
    first, second = worker.submit(lambda: begun.set() or go.wait(10)), worker.submit(lambda: 7)
    assert begun.wait(5) and second.cancel() and not first.cancel()
    third = worker.submit(lambda: 8)
    worker.close()
    assert not third.done() and worker._thread.daemon
    go.set()
    assert third.result(5) == 8
