"""The loop: look, ask, read, judge, act, let the screen settle, write down; until it ends by one of its reasons.

    outcome = Agent(model=model, executor=page, form=Format(model="4.5V", screen="web"), guard=guard).run("Find ...")

It ends by the model (an answer, done, fail), the budget, the stop switch, three replies in a row that cannot be read,
three refusals in a row, or where nothing moves: three times the same act in pixels on a screen that stays the same. One
hint comes before that end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from inkwash.agent.act import ENDS, POINTED, Act
from inkwash.agent.executors.executor import Executor
from inkwash.agent.guard import ActGuard, Judgement, Wanted
from inkwash.agent.model import Model, ModelReply
from inkwash.agent.prompt import Past, Situation, make_prompt
from inkwash.agent.reply import Format, StepReply, read_reply, spell
from inkwash.agent.shot import PixelAct, Screenshot, black_out, distance, draw_act, draw_marks, to_pixels
from inkwash.agent.stop import StopSwitch
from inkwash.agent.trajectory import Trajectory, act_data
from inkwash.core.errors import Cancelled, InkwashError
from inkwash.models.glm_v.agent import Unreadable

Status = Literal["done", "answer", "fail", "budget", "stopped", "unreadable", "refused", "stuck", "dry", "error"]
IN_A_ROW = 3  # unreadable replies, refusals, acts without any effect
SAME = 0.001  # share of the screen; a blinking caret is less, a counter that goes up is more
SETTLE_S = 2.0
SETTLE_STEP_S = 0.1
STUCK = "The last acts changed nothing on the screen. Try another element, scroll, or end with what is known."
Confirm = Callable[[dict[str, Any]], bool]
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended."""

    status: Status
    reason: str
    answer: str | None = None
    steps: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "seconds": round(self.seconds, 2)}


@dataclass(kw_only=True)
class Agent:
    """One model at one executor; `run` may be called once.

    `confirm` is shown a risky act and says yes or no; without it the answer is no. `tell` is told of every picture
    (`look`), every step and the end.
    """

    model: Model
    executor: Executor
    form: Format
    guard: ActGuard
    trajectory: Trajectory | None = None
    stop: StopSwitch = field(default_factory=StopSwitch)
    confirm: Confirm | None = None
    tell: Tell = lambda event: None
    apps: tuple[str, ...] = ()
    platform: str = "Ubuntu"
    short: bool = False  # the prompt of small models
    settle_s: float = SETTLE_S
    clock: Callable[[], datetime] | None = None

    def run(self, task: str) -> RunOutcome:
        """Work on a task until it ends. Whatever goes wrong is an outcome, and everything pressed is released."""
        began = time.monotonic()
        self._log = self.trajectory or Trajectory(None, self.guard.vault)
        self._past: list[Past] = []
        self._recent: list[tuple[tuple[object, ...], bytes]] = []
        self._sent: list[float] = []
        self._row, self._hint, self._tokens = 0, "", 0
        policy = self.guard.policy
        self._log.begin(
            {
                "task": task,
                "model": self.model.name,
                "format": f"{self.form.model} {self.form.screen}",
                "mode": policy.mode,
                "allow": list(policy.allow),
                "deny": list(policy.deny),
            }
        )
        status, reason, answer = self._until_it_ends(task, began)
        outcome = RunOutcome(
            status=status, reason=reason, answer=answer, steps=len(self._log.steps), seconds=time.monotonic() - began
        )
        self._log.end(outcome.to_dict())
        self.tell({"type": "end", **self.guard.vault.scrubbed(outcome.to_dict())})
        return outcome

    def _until_it_ends(self, task: str, began: float) -> tuple[Status, str, str | None]:
        policy = self.guard.policy
        try:
            while True:
                if len(self._log.steps) >= policy.max_steps:
                    return "budget", f"The budget of {policy.max_steps} steps is used up.", None
                if time.monotonic() - began >= policy.max_seconds:
                    return "budget", f"The budget of {policy.max_seconds:g} seconds is used up.", None
                if policy.max_tokens is not None and self._tokens >= policy.max_tokens:
                    return "budget", f"The budget of {policy.max_tokens} tokens is used up.", None
                ended = self._step(task, began + policy.max_seconds)
                if ended is not None:
                    return ended
        except (Cancelled, KeyboardInterrupt) as stopped:
            self.model.cancel()
            how: Status = "stopped" if self.stop.thrown or isinstance(stopped, KeyboardInterrupt) else "budget"
            return how, str(stopped) or "The run was interrupted.", None
        except InkwashError as error:
            return "error", error.message, None

    # -- one step -----------------------------------------------------------------------------------------------------

    def _step(self, task: str, until: float) -> tuple[Status, str, str | None] | None:
        began = time.monotonic()
        shot = self._look()
        self.tell({"type": "look", "step": self._log.show(shot.png)})
        prompt = self.stop.during(lambda: make_prompt(self._situation(task, shot), self.form, short=self.short))
        output: ModelReply = self.stop.during(lambda: self.model.reply(prompt), until=until)
        self._tokens += output.prompt_tokens + output.tokens
        reply = read_reply(output.text, self.form)
        answered = time.monotonic()
        facts: dict[str, Any] = {
            "prompt": prompt.digest,
            "raw": output.text,
            "thought": reply.thought,
            "tokens": [output.prompt_tokens, output.tokens],
            "place": shot.place,
        }
        wanted = reply.act and to_pixels(reply.act, self.form.grid, shot)
        if not isinstance(wanted, PixelAct):
            why = (
                wanted.reason if isinstance(wanted, Unreadable) else reply.unreadable.reason if reply.unreadable else ""
            )
            return self._unread(reply, shot, facts, why)
        facts |= {
            "act": act_data(wanted.act),
            "said": spell(wanted.act, self.form.screen),
            "at": wanted.at,
            "to": wanted.to,
        }
        if wanted.act.kind in ENDS:
            self._write(facts, shot, wanted, Judgement(decision="allow"), "")
            return self._ended(wanted)
        if self.stop.during(lambda: self._is_stuck(wanted, shot)):
            return "stuck", "The same act was tried three times and changed nothing.", None
        verdict = self._judge(wanted, shot, reply)
        if self.guard.policy.mode == "dry":
            self._write(facts, shot, wanted, verdict, "not carried out")
            return "dry", "The act is shown and not carried out; --mode ask or auto acts.", None
        allowed, why = self._permitted(verdict, facts, wanted, shot)
        if allowed:
            verdict, allowed, why = self._approached(verdict, facts, wanted, shot, reply)
        result = self._carry_out(wanted, shot) if allowed else f"Not carried out: {why}"
        facts["seconds"] = {"model": round(answered - began, 3), "act": round(time.monotonic() - answered, 3)}
        self._write(facts, shot, wanted, verdict, result)
        self._past.append(Past(reply=reply, screenshot=shot.png, result=result))
        self._row = 0 if allowed else self._row + 1
        if self._row >= IN_A_ROW:
            return "refused", f"{IN_A_ROW} acts in a row were not permitted; the last: {why}", None
        return None

    def _look(self) -> Screenshot:
        """The screen once it stands still, secrets blacked out; for everyone: the model, the log, the user."""
        hides = bool(self.guard.vault.secrets)
        shot = self.executor.observe(texts=hides)
        end = time.monotonic() + self.settle_s
        while time.monotonic() < end:
            self.stop.wait(min(SETTLE_STEP_S, self.settle_s))
            following = self.executor.observe(texts=hides)
            still, shot = following.png == shot.png, following
            if still:
                break
        self.stop.check()
        hidden = self.guard.vault.boxes(shot)
        return Screenshot(**{**vars(shot), "png": self.stop.during(lambda: black_out(shot.png, hidden))})

    def _situation(self, task: str, shot: Screenshot) -> Situation:
        marked = self.form.screen == "web"
        return Situation(
            task=task,
            screenshot=draw_marks(shot.png, shot.elements) if marked else shot.png,
            past=tuple(self._past),
            elements=self.guard.vault.scrub(shot.listed()) if marked else "",
            apps=self.apps,
            secrets=self.guard.vault.names,
            platform=self.platform,
            hint=self._hint,
            now=self.clock() if self.clock is not None else None,
        )

    def _unread(
        self, reply: StepReply, shot: Screenshot, facts: dict[str, Any], why: str
    ) -> tuple[Status, str, str | None] | None:
        self._row += 1
        self._log.add({**facts, "decision": "refuse", "reasons": [why], "result": "not read"}, shot.png)
        self.tell({"type": "step", **self._log.steps[-1]})
        self._past.append(Past(reply=reply, screenshot=shot.png, result=f"Not read: {why}"))
        if self._row >= IN_A_ROW:
            return "unreadable", f"{IN_A_ROW} replies in a row could not be carried out; the last: {why}", None
        return None

    def _ended(self, wanted: PixelAct) -> tuple[Status, str, str | None]:
        if wanted.act.kind == "answer":
            return "answer", "The model gave its answer.", self.guard.vault.scrub(wanted.act.text or "")
        if wanted.act.kind == "done":
            return "done", "The model says that the task is done.", None
        return "fail", "The model says that the task cannot be done.", None

    def _is_stuck(self, wanted: PixelAct, shot: Screenshot) -> bool:
        """Whether this act, on this screen, was tried as often as is allowed; a hint is given once before."""
        if wanted.act.kind == "wait":
            return False
        same = [1 for key, png in self._recent[-IN_A_ROW:] if key == wanted.key and distance(png, shot.png) < SAME]
        self._recent.append((wanted.key, shot.png))
        if len(same) < IN_A_ROW - 1:
            self._hint = "" if not same else self._hint
            return False
        stuck, self._hint = bool(self._hint), STUCK
        return stuck

    # -- judging and doing --------------------------------------------------------------------------------------------

    def _judge(self, wanted: PixelAct, shot: Screenshot, reply: StepReply) -> Judgement:
        return self.guard.judge(
            Wanted(
                done=wanted,
                shot=shot,
                screen=self.executor.screen,
                target=self.executor.target(wanted.at) if wanted.at is not None else None,
                focused=self.executor.focused() if wanted.act.kind in ("key", "type") else None,
                thought=reply.thought,
                known=self.executor.known,
            )
        )

    def _permitted(
        self, verdict: Judgement, facts: dict[str, Any], wanted: PixelAct, shot: Screenshot
    ) -> tuple[bool, str]:
        if verdict.decision == "allow":
            return True, ""
        why = " ".join(verdict.reasons)
        if verdict.decision == "refuse":
            return False, why
        if self.confirm is None:
            return False, f"{why} Nobody is there to confirm it."
        step = self._log.show(shot.png, self.stop.during(lambda: draw_act(shot.png, wanted)))
        question = self.guard.vault.scrubbed({**facts, "step": step, "reasons": list(verdict.reasons)})
        agreed = self.stop.during(lambda: bool(self.confirm and self.confirm(question)))
        self.stop.check()  # a question that ends because the run was stopped is no answer
        return agreed, "" if agreed else "The user said no."

    def _approached(
        self, verdict: Judgement, facts: dict[str, Any], wanted: PixelAct, shot: Screenshot, reply: StepReply
    ) -> tuple[Judgement, bool, str]:
        """Bring the pointer there first and judge again: a page may change what lies under it."""
        if (
            not self.executor.hovers
            or wanted.at is None
            or wanted.act.kind not in POINTED
            or wanted.act.kind == "hover"
        ):
            return verdict, True, ""
        self.executor.do(PixelAct(act=Act(kind="hover", target=wanted.act.target), at=wanted.at), self.stop)
        again = self._judge(wanted, shot, reply)
        if set(again.reasons) <= set(verdict.reasons):
            return verdict, True, ""
        return again, *self._permitted(again, facts, wanted, shot)

    def _carry_out(self, wanted: PixelAct, shot: Screenshot) -> str:
        if wanted.act.kind not in self.executor.supports:
            return f"This {self.executor.screen} cannot {wanted.act.kind.replace('_', ' ')}."
        now = time.monotonic()
        self._sent = [at for at in self._sent if now - at < 60.0]
        if len(self._sent) >= self.guard.policy.acts_per_minute:
            self.stop.wait(60.0 - (now - self._sent[0]))
        self._sent.append(time.monotonic())
        text = None if wanted.text is None else self.guard.vault.fill(wanted.text)
        ready = PixelAct(act=wanted.act, at=wanted.at, to=wanted.to, text=text)
        return self.guard.vault.scrub(self.executor.do(ready, self.stop))

    def _write(
        self, facts: dict[str, Any], shot: Screenshot, wanted: PixelAct, verdict: Judgement, result: str
    ) -> None:
        line = {**facts, "decision": verdict.decision, "reasons": list(verdict.reasons), "result": result}
        marked = None  # what was done is written in any case, its picture only while nobody has stopped the run
        try:
            marked = self.stop.during(lambda: draw_act(shot.png, wanted))
        finally:
            self._log.add(line, shot.png, marked)
            self.tell({"type": "step", **self._log.steps[-1]})
