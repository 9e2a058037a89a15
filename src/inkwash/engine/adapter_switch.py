"""Which adapters act while requests are drawn: those that a request names, or the engine's usual ones.

Adapters are part of the weights, so they change only while nothing else is under way; the engine says when that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import DrawRequest


class AdapterSwitch:
    """The adapters of one pipeline; `check` may be called from any thread."""

    def __init__(self, pipe: GlmImagePipeline) -> None:
        self._pipe = pipe
        self._usual: dict[str, float] | None = None  # to go back to, while a request's own ones act

    def check(self, request: DrawRequest) -> None:
        """Raise RequestError for an adapter that is not loaded."""
        known = self._pipe.adapter_names
        for name, _ in request.adapters or ():
            if name not in known:
                listed = ", ".join(known) or "none"
                raise RequestError(f"There is no adapter {name[:80]!r}: loaded are {listed}.", param="lora")

    def acts_for(self, request: DrawRequest) -> bool:
        """Whether the adapters that act now are the request's."""
        return self._wanted(request) == self._pipe.adapter_weights

    def apply(self, request: DrawRequest) -> None:
        """Let the request's adapters act."""
        wanted, acting = self._wanted(request), self._pipe.adapter_weights
        if wanted == acting:
            return
        self._pipe.set_adapters(list(wanted), list(wanted.values()))
        if request.adapters is None:
            self._usual = None
        elif self._usual is None:
            self._usual = acting

    def _wanted(self, request: DrawRequest) -> dict[str, float]:
        if request.adapters is not None:
            return {name: weight for name, weight in request.adapters if weight != 0.0}
        return self._pipe.adapter_weights if self._usual is None else self._usual
