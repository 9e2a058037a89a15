"""One drawing as the page follows it: submitted to the backend, its events turned into pictures and two bars.

Knows nothing of Gradio: `follow` yields views, whoever shows them.
"""

from __future__ import annotations

import html
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from inkwash.core.errors import InkwashError
from inkwash.engine import events
from inkwash.engine.request import DrawRequest
from inkwash.serve.ui.words import Language, say

if TYPE_CHECKING:
    from inkwash.engine.ticket import GenerationResult
    from inkwash.serve.backend import Backend

PARTIALS = 2
SHOWN_EVERY_S = 0.15
WOKEN_EVERY_S = 0.5


@dataclass
class View:
    """What is to be shown now; `pictures` holds unfinished and finished ones by their place."""

    status: str = ""
    pictures: dict[int, tuple[Image.Image, bool]] = field(default_factory=dict)  # picture, whether it is finished
    result: GenerationResult | None = None
    error: str | None = None
    cancelled: bool = False

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None or self.cancelled


class Runs:
    """What each browser tab is waiting for, so that its cancel button stops it."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Backend, str]] = {}

    def start(self, tab: str, backend: Backend, ticket_id: str) -> None:
        self._running[tab] = backend, ticket_id

    def end(self, tab: str, ticket_id: str) -> None:
        if self._running.get(tab, (None, None))[1] == ticket_id:
            del self._running[tab]

    def cancel(self, tab: str) -> None:
        if tab in self._running:
            backend, ticket_id = self._running[tab]
            backend.abort(ticket_id)


def follow(backend: Backend, request: DrawRequest, runs: Runs, tab: str, lang: Language) -> Iterator[View]:
    """Views of one request until it has ended; leaving early aborts it.

    Raises what `submit` raises (a full queue, a request that the model cannot take).
    """
    heard: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
    begun, view = time.perf_counter(), View()
    ticket = backend.submit(request, on_event=heard.put, partial_images=PARTIALS)
    runs.start(tab, backend, ticket.id)
    try:
        while not view.ended:
            try:
                news = [heard.get(timeout=WOKEN_EVERY_S)]
            except queue.Empty:
                continue
            time.sleep(SHOWN_EVERY_S)  # gather what comes close together into one view
            while not heard.empty():
                news.append(heard.get())
            for event in news:
                _apply(view, event, lang)
            if view.result is not None:
                view.status = _done(view.result, time.perf_counter() - begun, lang)
            yield view
    finally:
        if not ticket.done():
            backend.abort(ticket.id)
        runs.end(tab, ticket.id)


def _apply(view: View, event: events.Event, lang: Language) -> None:
    if isinstance(event, events.Queued):
        waiting = say("waiting", lang, position=event.position, eta=max(1, round(event.eta_s)))
        view.status = _text(waiting) if event.position else bars("prior", 0, 1, lang)
    elif isinstance(event, events.Progress):
        view.status = bars(event.stage, event.done, event.total, lang)
    elif isinstance(event, events.Partial):
        view.pictures[event.index] = event.image, False
    elif isinstance(event, events.PictureDone):
        view.pictures[event.index] = event.image, True
    elif isinstance(event, events.Finished):
        view.result = event.result
    elif isinstance(event, events.Failed):
        view.error = _sentence(event.error)
        view.status = _text(view.error)
    else:
        view.cancelled = True
        view.status = _text(say("cancelled", lang))


def bars(stage: str, done: int, total: int, lang: Language) -> str:
    """Both stages as bars: what is behind is full, what is to come is empty."""
    planned = done / max(1, total) if stage == "prior" else 1.0
    drawn = done / max(1, total) if stage == "denoise" else 0.0
    unit = say("tokens", lang) if stage == "prior" else say("steps", lang)
    count = f"{done}/{total} {html.escape(unit)}"
    first = _bar(say("planning", lang), planned, count if stage == "prior" else "")
    return f'<div class="iw-bars">{first}{_bar(say("drawing", lang), drawn, count if stage == "denoise" else "")}</div>'


def _bar(name: str, share: float, count: str) -> str:
    percent = round(100 * min(1.0, max(0.0, share)))
    return (
        f'<div class="iw-bar" role="progressbar" aria-label="{html.escape(name)}" aria-valuenow="{percent}">'
        f'<span class="iw-name">{html.escape(name)}</span><span class="iw-track"><span style="width:{percent}%"></span>'
        f'</span><span class="iw-count">{count}</span></div>'
    )


def _done(result: GenerationResult, seconds: float, lang: Language) -> str:
    seed = result.seeds[0] if result.seeds else None
    return _text(say("done", lang, count=len(result.images), seconds=f"{seconds:.1f}", seed=seed))


def _text(words: str) -> str:
    return f'<div class="iw-said">{html.escape(words)}</div>'


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, InkwashError) else "The picture could not be drawn."
