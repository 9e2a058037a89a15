"""A task handed over to the agent: by the desktop's assistant, which asks before each act, or over MCP, inside a list.

The guard, its modes and its places are those of `inkwash act`; nothing here widens them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import InkwashError, RequestError

if TYPE_CHECKING:
    from inkwash.agent.executors.executor import Executor
    from inkwash.agent.loop import RunOutcome
    from inkwash.agent.model import Model
    from inkwash.agent.policy import Policy
    from inkwash.agent.stop import StopSwitch

POLL_S = 0.1
Tell = Callable[[dict[str, Any]], None]
Confirm = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, kw_only=True)
class Errand:
    """A task, where it is done, and what is allowed there."""

    task: str
    policy: Policy
    url: str | None = None  # a page; None is this screen

    def __post_init__(self) -> None:
        if not self.task.strip():
            raise RequestError("The task is empty: say what is to be done.", param="task")

    def run(
        self, model: Model, stop: StopSwitch, tell: Tell, confirm: Confirm | None = None
    ) -> tuple[RunOutcome, bytes]:
        """Work on it; how it ended, and the last picture (PNG; empty where it was stopped before any)."""
        from datetime import UTC, datetime

        from inkwash.agent.executors.threaded import ThreadedExecutor
        from inkwash.agent.guard import ActGuard
        from inkwash.agent.loop import Agent
        from inkwash.agent.reply import Format, version_of
        from inkwash.agent.stop import hotkey
        from inkwash.agent.vault import Vault

        executor = ThreadedExecutor(self.open, stop)
        try:
            with hotkey(stop):
                agent = Agent(
                    model=model,
                    executor=executor,
                    form=Format(model=version_of(model.name), screen="computer" if self.url is None else "web"),
                    guard=ActGuard(self.policy, Vault()),
                    stop=stop,
                    confirm=confirm,
                    tell=tell,
                    short=model.name.startswith("nano"),
                    clock=lambda: datetime.now(UTC),
                )
                outcome = agent.run(self.task)
            seen = executor.last_seen()
            return outcome, b"" if seen is None else seen.png
        finally:
            executor.close()

    def open(self) -> Executor:
        """The page, or this screen."""
        if self.url is None:
            from inkwash.agent.executors.computer import ComputerExecutor

            return ComputerExecutor(0)
        from inkwash.agent.executors.browser import BrowserExecutor

        return BrowserExecutor(self.url, self.policy)


@contextmanager
def stopped_by(stop: StopSwitch, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Throw the switch as soon as the caller has cancelled."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            if cancelled():
                stop.throw("stopped by the caller")
                return

    watcher = threading.Thread(target=watch, name="inkwash-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class Deputy:
    """The agent behind the page of the assistant: one errand at a time, and every act is confirmed there."""

    def __init__(self, open_model: Callable[[str], Model]) -> None:
        """open_model: the model of an endpoint, by the endpoint's name."""
        self._open_model = open_model
        self._busy = threading.Lock()
        self._answers: queue.Queue[bool] = queue.Queue()
        self._stop: StopSwitch | None = None

    def act(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Events of an errand: step, confirm (then `answer` is waited for), end or failed."""
        from inkwash.agent.policy import Policy, origin_of

        url = str(request.get("url") or "") or None
        places = tuple(part.strip() for part in str(request.get("places") or "").split(",") if part.strip())
        origin = (origin_of(url) or url,) if url is not None else ()
        policy = Policy(mode="ask" if request.get("ask") else "dry", confirm="all", allow=(*origin, *places))
        errand = Errand(task=str(request.get("task") or ""), policy=policy, url=url)
        if not self._busy.acquire(blocking=False):
            raise RequestError("The agent is at work already: stop it first.", status=409, param="task")
        try:
            yield from self._events(errand, str(request.get("endpoint") or ""))
        finally:
            self.stop()
            self._busy.release()

    def answer(self, yes: bool) -> None:
        """What the person says about the act that waits."""
        self._answers.put(yes)

    def stop(self) -> None:
        """End the errand before its next event."""
        if self._stop is not None:
            self._stop.throw("stopped on the page")
            self._answers.put(False)

    def _events(self, errand: Errand, endpoint: str) -> Iterator[dict[str, Any]]:
        from inkwash.agent.running import running

        queued: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._answers = queue.Queue()

        def confirm(act: dict[str, Any]) -> bool:
            queued.put({"kind": "confirm", "text": f"{act.get('said')} ({' '.join(act.get('reasons', ()))})"})
            return self._answers.get()

        def tell(event: dict[str, Any]) -> None:
            if event["type"] != "look":  # this page shows no pictures of the work
                queued.put(_event(event))

        def work() -> None:
            try:
                with running() as stop:
                    self._stop = stop
                    errand.run(self._open_model(endpoint), stop, tell, confirm)
            except InkwashError as error:
                queued.put({"kind": "failed", "error": error.message})
            except Exception as error:  # a fault of a library below: the page must not wait for ever
                queued.put({"kind": "failed", "error": f"The agent failed unexpectedly ({type(error).__name__})."})
            finally:
                self._stop = None
                queued.put(None)

        thread = threading.Thread(target=work, name="inkwash-errand", daemon=True)
        thread.start()
        while (event := queued.get()) is not None:
            yield event
        thread.join()


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """A step or the end, for the page."""
    if event["type"] == "end":
        return {"kind": "end", "status": event["status"], "text": event.get("answer") or event["reason"]}
    return {"kind": "step", "text": step_line(event)}


def step_line(event: dict[str, Any]) -> str:
    """A step in one line."""
    act_text, why = event.get("said") or "(no act)", "; ".join(event.get("reasons") or ())
    return f"{event['step'] + 1}. {act_text}  [{event['decision']}] {why} {event.get('result') or ''}".rstrip()
