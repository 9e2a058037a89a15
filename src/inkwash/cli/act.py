"""`inkwash act`: a model that sees works on a task in a browser, on this screen, or on a phone.

Nothing is carried out unless a mode says so, and nothing outside of the places that are allowed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli.options import command
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.agent.executors.executor import Executor
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.loop import RunOutcome
    from inkwash.agent.model import Model
    from inkwash.agent.policy import Policy
    from inkwash.agent.reply import Format
    from inkwash.agent.stop import StopSwitch

KEY = "INKWASH_AGENT_KEY"
CLOSE_S = 10.0  # for a browser to end
WHERE = ("web", "screen", "phone")
DEMO = "demo"

Task = Annotated[str, typer.Argument(help="What to do; or stop (all agents of this user), or replay FOLDER.")]
Folder = Annotated[Path | None, typer.Argument(help="With replay: the folder of a run.", show_default=False)]
On = Annotated[str, typer.Option("--on", metavar="web|screen|phone", help="Where to act.")]
Url = Annotated[str | None, typer.Option("--url", help="With --on web: the page to begin at, or demo.")]
ModelName = Annotated[
    str,
    typer.Option(
        "--model", help="A model that sees: a name or folder, or what --endpoint calls it; expert on the demo."
    ),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="URL", help=f"Ask a server of chat completions, such as http://host/v1 (key: {KEY})."
    ),
]
ModeName = Annotated[
    str, typer.Option("--mode", metavar="dry|ask|auto", help="Show acts, ask before each, or do what is allowed.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="PLACE", help="A host, a word of window titles, an app's package; again for more."),
]
Deny = Annotated[list[str] | None, typer.Option("--deny", metavar="PLACE", help="A place that is never acted in.")]
Risky = Annotated[bool, typer.Option("--ask-risky", help="With --mode ask: ask before risky acts only.")]
Steps = Annotated[int, typer.Option("--steps", help="Most steps.")]
Seconds = Annotated[float, typer.Option("--seconds", help="Longest time.")]
Record = Annotated[Path | None, typer.Option("--record", metavar="DIR", help="Keep the run there, with replay.html.")]
Secrets = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="FILE", help="JSON of names, values and origins; for its owner only."),
]
ImageFile = Annotated[
    Path | None, typer.Option("--image", metavar="FILE", help="One step on a screenshot; nothing is done.")
]
ScreenKind = Annotated[
    str | None,
    typer.Option("--screen", metavar="phone|computer|web", help="The format of acts [default: that of --on]."),
]
Headed = Annotated[bool, typer.Option("--headed", help="Show the browser's window.")]
Size = Annotated[str, typer.Option("--size", metavar="WxH", help="The browser's view.")]
Monitor = Annotated[int, typer.Option("--monitor", help="With --on screen: which one, from 0.")]
Serial = Annotated[str | None, typer.Option("--serial", help="With --on phone: which one, as adb lists it.")]
Short = Annotated[
    bool | None, typer.Option("--short/--full", help="The prompt of small models [default: by the model].")
]
Json = Annotated[bool, typer.Option("--json", help="Print every step as a line of JSON.")]


@dataclass(frozen=True, kw_only=True)
class ActOptions:
    """What is wanted: the task, where it is done and with which model, what is allowed, and what is kept of it."""

    task: Task
    folder: Folder = None
    on: On = "web"
    url: Url = None
    model: ModelName = "nano-v"
    endpoint: EndpointUrl = None
    mode: ModeName = "dry"
    allow: Allow = None
    deny: Deny = None
    ask_risky: Risky = False
    steps: Steps = 30
    seconds: Seconds = 600.0
    record: Record = None
    secrets: Secrets = None
    image: ImageFile = None
    screen: ScreenKind = None
    headed: Headed = False
    size: Size = "1280x720"
    monitor: Monitor = 0
    serial: Serial = None
    short: Short = None
    json: Json = False

    @property
    def kind(self) -> str:
        """The format of acts."""
        return self.screen or {"web": "web", "screen": "computer", "phone": "phone"}[self.on]

    @property
    def demo(self) -> bool:
        """Whether the bundled page is worked on."""
        return self.url == DEMO and self.on == "web" and self.image is None

    @property
    def view(self) -> tuple[int, int]:
        """Width and height of the browser's view."""
        from inkwash.core.types import Size as Sides

        sides = Sides.parse(self.size)
        return sides.width, sides.height

    @property
    def brief(self) -> bool:
        """Whether the model gets the short prompt."""
        return self.short if self.short is not None else self.model.startswith("nano")

    def check(self) -> None:
        """Refuse what cannot be begun."""
        from inkwash.agent.reply import SCREENS

        if self.folder is not None:
            raise ConfigError(
                f"There is one task, but {str(self.folder)!r} follows it: put the task in quotation marks."
            )
        if not self.task.strip():
            raise ConfigError("The task is empty.")
        if self.on not in WHERE:
            raise ConfigError(f"--on is {self.on!r}, but must be one of {', '.join(WHERE)}.")
        if self.kind not in SCREENS:
            raise ConfigError(f"--screen is {self.screen!r}, but must be one of {', '.join(SCREENS)}.")
        _ = self.view
        if self.model == "expert" and not self.demo:
            raise ConfigError("The expert knows the demo page only: add --url demo.")

    def policy(self) -> Policy:
        """What is allowed; the page to begin at is."""
        from inkwash.agent.policy import Policy, origin_of

        allowed = tuple(self.allow or ())
        if self.on == "web" and self.url is not None and not self.demo:
            allowed = (origin_of(self.url) or self.url, *allowed)
        return Policy(
            mode=self.mode,  # type: ignore[arg-type]
            confirm="risky" if self.ask_risky else "all",
            allow=allowed,
            deny=tuple(self.deny or ()),
            max_steps=self.steps,
            max_seconds=self.seconds,
        )


def _act(options: ActOptions) -> None:
    """Let a model that sees work on a task: in a browser, on this screen, on a phone.

    Example: inkwash act "Find the opening hours" --url https://example.org --mode ask
    """
    from inkwash.agent.running import running, stop_all

    if options.task == "stop" and options.folder is None:
        print(f"inkwash: stopped {stop_all()} agents.")
        return
    if options.task == "replay":
        _replay(options)
        return
    options.check()
    begin = _begin(options)
    with running() as stop, _interrupts(stop):
        outcome = begin(stop)
    _show(outcome, options)


act = command(_act, ActOptions)


def _begin(options: ActOptions) -> Callable[[StopSwitch], RunOutcome]:
    """Check what the run needs; returns what runs it."""
    from inkwash.agent.act import AgentError
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.reply import Format, version_of
    from inkwash.agent.vault import Vault

    policy = options.policy()
    vault = Vault.from_file(options.secrets) if options.secrets is not None else Vault()
    form = Format(model=version_of(options.model), screen=options.kind)  # type: ignore[arg-type]
    if options.record is not None and options.record.exists() and any(options.record.iterdir()):
        raise AgentError(f"The folder {str(options.record)!r} is not empty: give a new one for the run.")
    if options.endpoint is None and options.model != "expert":
        from inkwash.cli.seeing import check_model

        check_model(options.model)
    remote = None if options.endpoint is None else _model(options)
    if options.demo:
        return lambda stop: _demo(options, remote, policy, stop)
    return lambda stop: _work(options, remote, ActGuard(policy, vault), form, stop)


def _work(options: ActOptions, remote: Model | None, guard: ActGuard, form: Format, stop: StopSwitch) -> RunOutcome:
    from inkwash.agent.executors.threaded import ThreadedExecutor

    opened = ThreadedExecutor(lambda: _executor(options, guard.policy, form), stop)
    try:
        return _run(options, remote or _model(options), opened, form, guard, stop)
    finally:
        opened.close()


def _executor(options: ActOptions, policy: Policy, form: Format) -> Executor:
    if options.image is not None:
        from inkwash.agent.executors.rehearsal import Pictures
        from inkwash.agent.shot import png_of
        from inkwash.cli.media import media_reader

        return Pictures([png_of(media_reader().picture(options.image))], form.screen)
    if options.on == "screen":
        from inkwash.agent.executors.computer import ComputerExecutor

        return ComputerExecutor(options.monitor)
    if options.on == "phone":
        from inkwash.agent.executors.phone import PhoneExecutor

        return PhoneExecutor(options.serial)
    if options.url is None:
        raise ConfigError("--on web needs --url: name the page to begin at, or demo.")
    from inkwash.agent.executors.browser import BrowserExecutor

    return BrowserExecutor(options.url, policy, size=options.view, headless=not options.headed)


def _model(options: ActOptions) -> Model:
    from inkwash.agent.model import ChatEndpoint, Local

    if options.endpoint is not None:
        return ChatEndpoint(options.endpoint, options.model, os.environ.get(KEY) or None)
    from inkwash.cli.seeing import SeeingOptions, open_pipeline

    return Local(open_pipeline(SeeingOptions(model=options.model)), options.model)


def _run(
    options: ActOptions,
    model: Model,
    executor: Executor,
    form: Format,
    guard: ActGuard,
    stop: StopSwitch,
    settle_s: float = 2.0,
) -> RunOutcome:
    from datetime import UTC, datetime

    from inkwash.agent.loop import Agent
    from inkwash.agent.stop import hotkey
    from inkwash.agent.trajectory import Trajectory

    def tell(event: dict[str, Any]) -> None:
        if event["type"] == "look":
            return
        if options.json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        elif event["type"] == "step":
            act_text = event.get("said") or "(no act)"
            why = "; ".join(event.get("reasons") or ())
            print(
                f"{event['step'] + 1}. {act_text}  [{event['decision']}] {why} {event.get('result') or ''}".rstrip(),
                flush=True,
            )

    def confirm(act: dict[str, Any]) -> bool:
        if not sys.stdin.isatty():
            return False
        print(f"   {act['said']}\n   {' '.join(act['reasons'])}", file=sys.stderr)
        return input("   Carry it out? [y/N] ").strip().lower() in ("y", "yes")

    with hotkey(stop):
        agent = Agent(
            model=model,
            executor=executor,
            form=form,
            guard=guard,
            trajectory=Trajectory(options.record, guard.vault),
            stop=stop,
            confirm=confirm,
            tell=tell,
            short=options.brief,
            settle_s=settle_s,
            clock=lambda: datetime.now(UTC),
        )
        return agent.run(options.task)


def _demo(options: ActOptions, remote: Model | None, policy: Policy, stop: StopSwitch) -> RunOutcome:
    """The bundled page; the expert works on the task that the page has, others on the one that is given."""
    from inkwash.agent.executors.threaded import ThreadedExecutor
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.vault import Vault
    from inkwash.agent.worker import WorkerThread
    from inkwash.agent.worlds.panels import DEMO_SEED, FORM, Expert, PanelWorld

    worker = WorkerThread("inkwash-demo")
    world = worker.submit(PanelWorld).result()
    try:
        episode = worker.submit(lambda: world.episode(DEMO_SEED)).result()
        expert = worker.submit(lambda: Expert(world, episode)).result() if options.model == "expert" else None
        guard = ActGuard(replace(policy, allow=world.policy.allow), Vault())
        page = ThreadedExecutor(lambda: world.browser, stop, worker=worker)
        task = options.task if expert is None else episode.task.text
        chosen = expert or remote or _model(options)
        return _run(replace(options, task=task), chosen, page, FORM, guard, stop, settle_s=0.2)
    finally:
        worker.submit(world.close).result(CLOSE_S)
        worker.close()


def _replay(options: ActOptions) -> None:
    """Print a run, or have a model work on its screenshots again, one after another; nothing is sent anywhere."""
    from inkwash.agent.trajectory import PAGE, read_steps

    folder = options.folder
    if folder is None:
        raise ConfigError("replay needs the folder of a run: inkwash act replay FOLDER.")
    run, steps = read_steps(folder)
    if options.endpoint is not None:
        _show(_again(folder, run, len(steps), options), options)
        return
    print(f"{run.get('task')}  ({run.get('model')}, {run.get('format')})")
    for step in steps:
        act_text, result = step.get("said") or "(no act)", step.get("result") or ""
        print(f"{step['step'] + 1}. {act_text}  [{step['decision']}] {result}".rstrip())
    outcome = run.get("outcome") or {"status": "cut off", "reason": "the run did not end"}
    print(f"{outcome['status']}: {outcome['reason']}  page: {folder / PAGE}")


def _again(folder: Path, run: dict[str, Any], steps: int, options: ActOptions) -> RunOutcome:
    from inkwash.agent.executors.rehearsal import Pictures
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.policy import Policy
    from inkwash.agent.reply import Format, version_of
    from inkwash.agent.running import running
    from inkwash.agent.vault import Vault

    model = _model(options)
    screen = str(run.get("format", "")).rpartition(" ")[2]
    form = Format(model=version_of(model.name), screen=screen)  # type: ignore[arg-type]
    policy = Policy(mode="auto", allow=tuple(run.get("allow") or ()), max_steps=max(1, steps))
    guard = ActGuard(policy, Vault())
    pictures = Pictures.of_run(folder, form.screen)
    with running() as stop, _interrupts(stop):
        options = replace(options, task=str(run.get("task")), short=False)
        return _run(options, model, pictures, form, guard, stop, settle_s=0.0)


def _show(outcome: RunOutcome, options: ActOptions) -> None:
    if not options.json:
        print(f"{outcome.status}: {outcome.reason}")
        if outcome.answer is not None:
            print(outcome.answer)
        if options.record is not None:
            print(f"The run is kept in {options.record}: open {options.record / 'replay.html'}.")
    if outcome.status not in ("done", "answer", "dry"):
        raise typer.Exit(130 if outcome.status == "stopped" else 1)


@contextmanager
def _interrupts(stop: StopSwitch) -> Iterator[None]:
    """Ctrl-C throws the switch; a second one ends the program."""

    def thrown(*_: Any) -> None:
        if stop.thrown:
            raise KeyboardInterrupt
        stop.throw("stopped by Ctrl-C")

    try:
        before = signal.signal(signal.SIGINT, thrown)
    except ValueError:  # not the main thread, which has no signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
