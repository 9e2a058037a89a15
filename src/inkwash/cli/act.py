"""``inkwash act``: a model that sees works on a task in a browser, on this screen, or on a phone.

Nothing is carried out unless a mode says so, and nothing outside of the places that are allowed.
"""

from __future__ import annotations

import json as jsons
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.agent.executors.executor import Executor
    from inkwash.agent.loop import RunOutcome
    from inkwash.agent.model import Model
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
class ActPlace:
    """Where to act, as it was given."""

    on: str
    url: str | None
    size: tuple[int, int]
    headed: bool
    monitor: int
    serial: str | None


def act(  # noqa: PLR0913 (each parameter is a setting)
    task: Task,
    folder: Folder = None,
    on: On = "web",
    url: Url = None,
    model: ModelName = "nano-v",
    endpoint: EndpointUrl = None,
    mode: ModeName = "dry",
    allow: Allow = None,
    deny: Deny = None,
    ask_risky: Risky = False,
    steps: Steps = 30,
    seconds: Seconds = 600.0,
    record: Record = None,
    secrets: Secrets = None,
    image: ImageFile = None,
    screen: ScreenKind = None,
    headed: Headed = False,
    size: Size = "1280x720",
    monitor: Monitor = 0,
    serial: Serial = None,
    short: Short = None,
    json: Json = False,
) -> None:
    """Let a model that sees work on a task: in a browser, on this screen, on a phone.

    Example: inkwash act "Find the opening hours" --url https://example.org --mode ask
    """
    from inkwash.agent.act import AgentError
    from inkwash.agent.executors.threaded import ThreadedExecutor
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.policy import Policy, origin_of
    from inkwash.agent.reply import SCREENS, Format, version_of
    from inkwash.agent.running import running, stop_all
    from inkwash.agent.vault import Vault

    if task == "stop" and folder is None:
        print(f"inkwash: stopped {stop_all()} agents.")
        return
    if task == "replay":
        _replay(folder, None if endpoint is None else _model(model, endpoint), record, json)
        return
    if folder is not None:
        raise ConfigError(f"There is one task, but {str(folder)!r} follows it: put the task in quotation marks.")
    if not task.strip():
        raise ConfigError("The task is empty.")
    if on not in WHERE:
        raise ConfigError(f"--on is {on!r}, but must be one of {', '.join(WHERE)}.")
    kind = screen or {"web": "web", "screen": "computer", "phone": "phone"}[on]
    if kind not in SCREENS:
        raise ConfigError(f"--screen is {screen!r}, but must be one of {', '.join(SCREENS)}.")
    place = ActPlace(on=on, url=url, size=_size(size), headed=headed, monitor=monitor, serial=serial)
    demo = url == DEMO and on == "web" and image is None
    if model == "expert" and not demo:
        raise ConfigError("The expert knows the demo page only: add --url demo.")
    allowed = tuple(allow or ())
    if on == "web" and url is not None and not demo:
        allowed = (origin_of(url) or url, *allowed)
    policy = Policy(
        mode=mode,  # type: ignore[arg-type]
        confirm="risky" if ask_risky else "all",
        allow=allowed,
        deny=tuple(deny or ()),
        max_steps=steps,
        max_seconds=seconds,
    )
    vault = Vault.from_file(secrets) if secrets is not None else Vault()
    form = Format(model=version_of(model), screen=kind)
    brief = short if short is not None else model.startswith("nano")
    if record is not None and record.exists() and any(record.iterdir()):
        raise AgentError(f"The folder {str(record)!r} is not empty: give a new one for the run.")
    if endpoint is None and model != "expert":
        from inkwash.cli.seeing import check_model

        check_model(model)
    remote = None if endpoint is None else _model(model, endpoint)
    with running() as stop, _interrupts(stop):
        if demo:
            outcome = _demo(task, model, remote, policy, record, json, stop, brief)
        else:
            opened = ThreadedExecutor(lambda: _executor(place, policy, image, form), stop)
            try:
                chosen = remote or _model(model, None)
                outcome = _run(task, chosen, opened, form, ActGuard(policy, vault), record, json, stop, brief)
            finally:
                opened.close()
    _show(outcome, json, record)


def _size(text: str) -> tuple[int, int]:
    from inkwash.core.types import Size as Sides

    sides = Sides.parse(text)
    return sides.width, sides.height


def _executor(place: ActPlace, policy: Any, image: Path | None, form: Format) -> Executor:
    if image is not None:
        from inkwash.agent.executors.rehearsal import Pictures
        from inkwash.agent.shot import png_of
        from inkwash.cli.media import media_reader

        return Pictures([png_of(media_reader().picture(image))], form.screen)
    if place.on == "screen":
        from inkwash.agent.executors.computer import ComputerExecutor

        return ComputerExecutor(place.monitor)
    if place.on == "phone":
        from inkwash.agent.executors.phone import PhoneExecutor

        return PhoneExecutor(place.serial)
    if place.url is None:
        raise ConfigError("--on web needs --url: name the page to begin at, or demo.")
    from inkwash.agent.executors.browser import BrowserExecutor

    return BrowserExecutor(place.url, policy, size=place.size, headless=not place.headed)


def _model(name: str, endpoint: str | None) -> Model:
    from inkwash.agent.model import ChatEndpoint, Local

    if endpoint is not None:
        return ChatEndpoint(endpoint, name, os.environ.get(KEY) or None)
    from inkwash.cli.seeing import SeeingOptions, open_pipeline

    return Local(open_pipeline(SeeingOptions(model=name)), name)


def _run(
    task: str,
    model: Model,
    executor: Executor,
    form: Format,
    guard: Any,
    record: Path | None,
    json: bool,
    stop: StopSwitch,
    short: bool,
    settle_s: float = 2.0,
) -> RunOutcome:
    from datetime import UTC, datetime

    from inkwash.agent.loop import Agent
    from inkwash.agent.stop import hotkey
    from inkwash.agent.trajectory import Trajectory

    def tell(event: dict[str, Any]) -> None:
        if event["type"] == "look":
            return
        if json:
            print(jsons.dumps(event, ensure_ascii=False), flush=True)
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
            trajectory=Trajectory(record, guard.vault),
            stop=stop,
            confirm=confirm,
            tell=tell,
            short=short,
            settle_s=settle_s,
            clock=lambda: datetime.now(UTC),
        )
        return agent.run(task)


def _demo(
    task: str,
    model: str,
    remote: Model | None,
    policy: Any,
    record: Path | None,
    json: bool,
    stop: StopSwitch,
    short: bool,
) -> RunOutcome:
    """The bundled page; the expert works on the task that the page has, others on the one that is given."""
    from dataclasses import replace

    from inkwash.agent.executors.threaded import ThreadedExecutor
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.vault import Vault
    from inkwash.agent.worker import WorkerThread
    from inkwash.agent.worlds.panels import DEMO_SEED, FORM, Expert, PanelWorld

    worker = WorkerThread("inkwash-demo")
    world = worker.submit(PanelWorld).result()
    try:
        episode = worker.submit(lambda: world.episode(DEMO_SEED)).result()
        expert = worker.submit(lambda: Expert(world, episode)).result() if model == "expert" else None
        guard = ActGuard(replace(policy, allow=world.policy.allow), Vault())
        page = ThreadedExecutor(lambda: world.browser, stop, worker=worker)
        chosen = expert or remote or _model(model, None)
        done = task if expert is None else episode.task.text
        return _run(done, chosen, page, FORM, guard, record, json, stop, short, settle_s=0.2)
    finally:
        worker.submit(world.close).result(CLOSE_S)
        worker.close()


def _replay(folder: Path | None, model: Model | None, record: Path | None, json: bool) -> None:
    """Print a run, or have a model work on its screenshots again, one after another; nothing is sent anywhere."""
    from inkwash.agent.trajectory import PAGE, read_steps

    if folder is None:
        raise ConfigError("replay needs the folder of a run: inkwash act replay FOLDER.")
    run, steps = read_steps(folder)
    if model is not None:
        _show(_again(folder, run, len(steps), model, record, json), json, record)
        return
    print(f"{run.get('task')}  ({run.get('model')}, {run.get('format')})")
    for step in steps:
        act_text, result = step.get("said") or "(no act)", step.get("result") or ""
        print(f"{step['step'] + 1}. {act_text}  [{step['decision']}] {result}".rstrip())
    outcome = run.get("outcome") or {"status": "cut off", "reason": "the run did not end"}
    print(f"{outcome['status']}: {outcome['reason']}  page: {folder / PAGE}")


def _again(folder: Path, run: dict[str, Any], steps: int, model: Model, record: Path | None, json: bool) -> RunOutcome:
    from inkwash.agent.executors.rehearsal import Pictures
    from inkwash.agent.guard import ActGuard
    from inkwash.agent.policy import Policy
    from inkwash.agent.reply import Format, version_of
    from inkwash.agent.running import running
    from inkwash.agent.vault import Vault

    screen = str(run.get("format", "")).rpartition(" ")[2]
    form = Format(model=version_of(model.name), screen=screen)  # type: ignore[arg-type]
    policy = Policy(mode="auto", allow=tuple(run.get("allow") or ()), max_steps=max(1, steps))
    guard = ActGuard(policy, Vault())
    pictures = Pictures.of_run(folder, form.screen)
    with running() as stop, _interrupts(stop):
        return _run(str(run.get("task")), model, pictures, form, guard, record, json, stop, short=False, settle_s=0.0)


def _show(outcome: RunOutcome, json: bool, record: Path | None) -> None:
    if not json:
        print(f"{outcome.status}: {outcome.reason}")
        if outcome.answer is not None:
            print(outcome.answer)
        if record is not None:
            print(f"The run is kept in {record}: open {record / 'replay.html'}.")
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
