"""What draws behind the server: submit, abort, stats, close. One engine in this process, or replicas elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inkwash.engine.defaults import ModelDefaults
from inkwash.engine.events import Event
from inkwash.engine.request import DrawRequest
from inkwash.serve.settings import name_of

if TYPE_CHECKING:
    from inkwash.engine.handle import RequestHandle
    from inkwash.engine.notes import Abilities
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.output import Plan
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.ranks.group import RankGroup
    from inkwash.engine.scheduler import Engine, EngineStats

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What the server says and must know about the model that it serves."""

    name: str
    natural_size: tuple[int, int]  # width, height without an asked size
    defaults: ModelDefaults
    device: str = "cpu"
    limits: Abilities | None = None  # what the checkpoint says it can draw
    canonical_quotes: bool = False  # whether it reads every style of quotes
    adapters: tuple[str, ...] = ()  # LoRAs that a request may name
    adapted: bool = False  # whether some act on all requests


class Backend(Protocol):
    """What the server needs; `Engine` is the model of it."""

    @property
    def info(self) -> ModelInfo: ...

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle: ...

    def abort(self, request_id: str) -> bool: ...

    def stats(self) -> EngineStats: ...

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None: ...


class LocalBackend:
    """An engine in this process."""

    def __init__(self, engine: Engine, info: ModelInfo) -> None:
        self.engine, self.info = engine, info

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle:
        """Hand a request to the engine."""
        return self.engine.submit(
            request, on_event=on_event, deadline_s=deadline_s, partial_images=partial_images, plan=plan
        )

    def abort(self, request_id: str) -> bool:
        """Stop a request."""
        return self.engine.abort(request_id)

    def stats(self) -> EngineStats:
        """The engine's figures."""
        return self.engine.stats()

    def ranks(self) -> RankGroup | None:
        """The processes that share the model, where there are several."""
        shared = self.engine.pipe.stages.shared
        return None if shared is None else shared.group

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        """Stop the engine."""
        try:
            self.engine.close(drain=drain, timeout_s=timeout_s)
        finally:
            self.engine.pipe.close()


def load_backend(options: LoadOptions, *, max_queue: int) -> LocalBackend:
    """Load a checkpoint and start an engine over it."""
    from inkwash.engine.open import open_pipeline
    from inkwash.engine.scheduler import Engine

    pipe = open_pipeline(options)
    return LocalBackend(Engine(pipe, max_queue=max_queue), model_info(pipe, options.model))


def load_planner(options: LoadOptions, *, max_queue: int) -> LocalBackend:
    """The same with the AR generator alone."""
    from inkwash.engine.open import open_planner
    from inkwash.engine.scheduler import Engine

    pipe = open_planner(options)
    return LocalBackend(
        Engine(pipe, max_queue=max_queue, decode_workers=1, plans_only=True), model_info(pipe, options.model)
    )


def model_info(pipe: GlmImagePipeline, name: str) -> ModelInfo:
    """The facts about a loaded model."""
    height, width = pipe.stages.natural_size([])
    drawing = pipe.parts.drawing
    return ModelInfo(
        name=name_of(name),
        natural_size=(width, height),
        defaults=pipe.parts.defaults,
        device=str(pipe.device),
        limits=drawing.limits,
        canonical_quotes=drawing.canonical_quotes,
        adapters=tuple(pipe.adapter_names),
        adapted=bool(pipe.adapter_weights),
    )
