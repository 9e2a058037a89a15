"""What a client has heard of its request, so that a second attempt goes on from there without repeating itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inkwash.engine import events

if TYPE_CHECKING:
    from inkwash.engine.events import Event
    from inkwash.serve.backend import OnEvent


class EventDeduplicator:
    """Hands events on; after `again` those that were said in an earlier attempt are left out."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self._queued = False
        self._progress: dict[str, int] = {}
        self._partials: dict[int, int] = {}
        self._pictures: set[int] = set()
        self._attempt: dict[int, int] = {}

    def again(self) -> None:
        """The request starts from its beginning."""
        self._attempt = {}

    def __call__(self, event: Event) -> None:
        """Hand an event on, if it is news."""
        if self._on_event is not None and self._is_news(event):
            self._on_event(event)

    def _is_news(self, event: Event) -> bool:
        match event:
            case events.Queued():
                known, self._queued = self._queued, True
                return not known
            case events.Progress():
                known_done = self._progress.get(event.stage, -1)
                self._progress[event.stage] = max(known_done, event.done)
                return event.done > known_done
            case events.Partial():
                number = self._attempt.get(event.index, 0)
                self._attempt[event.index] = number + 1
                known_partials = self._partials.get(event.index, 0)
                self._partials[event.index] = max(known_partials, number + 1)
                return number >= known_partials
            case events.PictureDone():
                known = event.index in self._pictures
                self._pictures.add(event.index)
                return not known
            case _:
                return True
