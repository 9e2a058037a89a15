"""Runs of agents in this server: each in a thread of its own with a browser, its events kept for whoever watches.

A question is an event with a number; it is answered once, by yes or no, and no is the answer of silence.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inkwash.agent.act import AgentError
from inkwash.agent.executors.browser import BrowserExecutor
from inkwash.agent.executors.threaded import ThreadedExecutor
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Model
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, version_of
from inkwash.agent.stop import StopSwitch
from inkwash.agent.trajectory import Trajectory
from inkwash.agent.vault import Vault
from inkwash.core.errors import InkwashError, RequestError
from inkwash.serve.agent.schema import AgentRunAnswer, AgentRunBody

SILENCE_S = 300.0  # until a question that nobody answers is answered by no
KEPT = 32  # runs that have ended, whose events can still be read
POLL_S = 0.05


@dataclass
class AgentRun:
    """One run; its thread writes, requests read."""

    id: str
    owner: str
    body: AgentRunBody
    folder: Path
    stop: StopSwitch = field(default_factory=StopSwitch)
    events: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _question: int | None = None
    _answer: bool | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, model: Model, policy: Policy) -> None:
        """The whole run, in a thread of its own; whatever goes wrong is its last event."""
        try:
            screen = ThreadedExecutor(lambda: BrowserExecutor(self.body.url, policy), self.stop)
            try:
                self._agent(model, policy, screen).run(self.body.task)
            finally:
                screen.close()
        except InkwashError as error:
            status = "stopped" if self.stop.thrown else "error"
            self._tell({"type": "end", "status": status, "reason": error.message})
        except Exception as error:
            self._tell({"type": "end", "status": "error", "reason": f"The run failed: {type(error).__name__}."})
        finally:
            self.ended.set()

    def _agent(self, model: Model, policy: Policy, screen: ThreadedExecutor) -> Agent:
        vault = Vault()
        name = model.name
        return Agent(
            model=model,
            executor=screen,
            form=Format(model=version_of(name), screen=self.body.screen),
            guard=ActGuard(policy, vault),
            trajectory=Trajectory(self.folder, vault),
            stop=self.stop,
            confirm=self._confirm,
            tell=self._tell,
            short=self.body.short if self.body.short is not None else name.startswith("nano"),
        )

    def _tell(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.events.append({"number": len(self.events), **event})

    def _confirm(self, act: dict[str, Any]) -> bool:
        with self._lock:
            self._question, self._answer = len(self.events), None
            number = self._question
        fields = {name: act.get(name) for name in ("step", "thought", "said", "at", "reasons")}
        self._tell({"type": "confirm", **fields})
        end = time.monotonic() + SILENCE_S
        while time.monotonic() < end and not self.stop.thrown:
            answer = self._answered()
            if answer is not None:
                return answer
            time.sleep(POLL_S)
        with self._lock:
            self._question = None
        if not self.stop.thrown:
            self._tell({"type": "unanswered", "question": number})
        return False

    def _answered(self) -> bool | None:
        """The answer to the open question, which is closed by it; None while there is none."""
        with self._lock:
            if self._answer is not None:
                self._question = None
            return self._answer

    def answer(self, question: int, allow: bool) -> None:
        """Answer the question that is open; raises RequestError (409) for any other."""
        with self._lock:
            if self._question != question or self._answer is not None:
                raise RequestError(
                    f"The run has no open question {question}.", status=409, code="no_open_question", param="question"
                )
            self._answer = allow

    async def watch(self, first: int = 0) -> AsyncIterator[dict[str, Any]]:
        """All events from a number on, until the run has ended."""
        at = first
        while True:
            done = self.ended.is_set()
            with self._lock:
                new = self.events[at:]
            for event in new:
                yield event
            at += len(new)
            if done:
                return
            await asyncio.sleep(POLL_S)

    @property
    def answered(self) -> AgentRunAnswer:
        """The run as plain data."""
        with self._lock:
            events = list(self.events)
        end = next((event for event in reversed(events) if event["type"] == "end"), None)
        status = "running" if not self.ended.is_set() else str(end["status"]) if end else "error"
        steps = sum(event["type"] == "step" for event in events)
        return AgentRunAnswer(id=self.id, task=self.body.task, status=status, steps=steps, outcome=end)


class AgentRuns:
    """All runs of a server."""

    def __init__(self, folder: Path, allow: tuple[str, ...], *, at_once: int = 1) -> None:
        self.folder, self.allow, self.at_once = folder, allow, at_once
        self._runs: dict[str, AgentRun] = {}
        self._lock = threading.Lock()

    def begin(self, owner: str, body: AgentRunBody, model: Model) -> AgentRun:
        """Start a run; raises RequestError where the place is not allowed (403) or too many go on (429)."""
        policy = self._policy(body)
        with self._lock:
            going = [run for run in self._runs.values() if not run.ended.is_set()]
            if len(going) >= self.at_once:
                raise RequestError(
                    f"{len(going)} agents are at work, as many as this server lets: try again later.",
                    status=429,
                    code="too_many_agents",
                )
            for old in [run.id for run in self._runs.values() if run.ended.is_set()][: -KEPT or None]:
                del self._runs[old]
            run_id = f"run_{secrets.token_hex(8)}"
            run = AgentRun(run_id, owner, body, self.folder / run_id)
            self._runs[run_id] = run
        threading.Thread(target=run.work, args=(model, policy), name="inkwash-agent", daemon=True).start()
        return run

    def _policy(self, body: AgentRunBody) -> Policy:
        if not self.allow:
            raise RequestError(
                "This server lets no agent act: it was started without --agent-allow.", status=403, code="agents_off"
            )
        try:
            policy = Policy(
                mode=body.mode,
                confirm=body.confirm,
                allow=self.allow,
                max_steps=body.steps,
                max_seconds=body.seconds,
            )
        except AgentError as error:
            raise RequestError(error.message) from None
        if not policy.allows_url(body.url):
            raise RequestError(
                f"The page {body.url[:200]!r} is not among the places that this server allows.",
                status=403,
                code="place_not_allowed",
                param="url",
            )
        return policy

    def find(self, run_id: str, owner: str) -> AgentRun:
        """A run of its owner; raises RequestError (404)."""
        run = self._runs.get(run_id)
        if run is None or run.owner != owner:
            raise RequestError(f"There is no run {run_id[:64]!r}.", status=404, code="run_not_found")
        return run
