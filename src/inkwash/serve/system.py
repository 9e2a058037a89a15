"""Everything but drawing: models, jobs, health and metrics."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from inkwash import __version__
from inkwash.core.errors import RequestError
from inkwash.engine.request import PLAN_FIELDS
from inkwash.serve.files import with_addresses
from inkwash.serve.images import client_of, service_of
from inkwash.serve.requests import same_model
from inkwash.serve.worker import JobAnswer, job_answer

if TYPE_CHECKING:
    from inkwash.serve.backend import ModelInfo

router = APIRouter()
STARTED = int(time.time())


class ModelAnswer(BaseModel):
    """One model as GET /v1/models lists it."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    natural_size: str | None = Field(None, description="Size of a picture when none is asked for.")
    default_steps: int | None = None
    default_guidance: float | None = None
    default_temperature: float | None = None
    default_plan_candidates: int | None = None
    default_top_p: float | None = None
    parent: str | None = None  # of an adapter: the model that it changes


class ModelList(BaseModel):
    """The served models."""

    object: str = "list"
    data: list[ModelAnswer]


class Health(BaseModel):
    """`ready` comes after a real picture was drawn; `restarting` while a process of a model on several devices is."""

    status: str
    model: str
    version: str
    self_test: dict[str, float] | None = None
    queued: int | None = None
    running: int | None = None
    jobs: str | None = Field(
        None, description="Why jobs stand still, where they do; requests are answered all the same."
    )


def _models(request: Request) -> list[ModelAnswer]:
    """What draws: one model while it loads, then all of them."""
    service = service_of(request)
    return [
        _model(service.settings.served_name if index == 0 else backend.info.name, backend.info)
        for index, backend in enumerate(service.backends)
    ] or [_model(service.settings.served_name, None)]


def _model(name: str, info: ModelInfo | None) -> ModelAnswer:
    names = ("steps", "guidance", *PLAN_FIELDS)
    return ModelAnswer(
        id=name,
        created=STARTED,
        owned_by="inkwash",
        natural_size=None if info is None else "x".join(map(str, info.natural_size)),
        **({} if info is None else {f"default_{name}": getattr(info.defaults, name) for name in names}),
    )


def _adapters(request: Request) -> list[ModelAnswer]:
    """LoRAs that a request may name, in `lora` or as its model."""
    service = service_of(request)
    common = {"created": STARTED, "owned_by": "inkwash"}
    parents = [service.settings.served_name, *(backend.info.name for backend in service.backends[1:])]
    return [
        ModelAnswer.model_validate({"id": name, "parent": parent, **common})
        for parent, backend in zip(parents, service.backends, strict=False)
        for name in backend.info.adapters
    ]


def _seeing(request: Request) -> list[ModelAnswer]:
    """The model behind /v1/chat/completions, if one is served."""
    name = service_of(request).seeing
    return [] if name is None else [ModelAnswer(id=name, created=STARTED, owned_by="inkwash", natural_size=None)]


def _served(request: Request) -> list[ModelAnswer]:
    """What draws and what sees; a server that only sees has one of them."""
    seen = _seeing(request)
    drawn = [] if seen and seen[0].id == service_of(request).settings.served_name else _models(request)
    return [*drawn, *seen]


@router.get("/v1/models", tags=["models"], response_model=ModelList, response_model_exclude_none=True)
async def models(request: Request) -> Any:
    """The served models: what draws and, where there is one, what sees."""
    client_of(request)
    return ModelList(data=[*_served(request), *_adapters(request)])


@router.get("/v1/models/{model:path}", tags=["models"], response_model=ModelAnswer, response_model_exclude_none=True)
async def model(request: Request, model: str) -> Any:
    """One model; 404 for any that is not served."""
    client_of(request)
    for adapter in _adapters(request):
        if model == adapter.id:
            return adapter
    served = _served(request)
    for known in served:
        if same_model(model, known.id):
            return known
    names = " and ".join(repr(known.id) for known in served)
    raise RequestError(
        f"The model {model[:80]!r} is not served here, only {names}.", status=404, code="model_not_found", param="model"
    )


@router.get("/v1/jobs/{job_id}", tags=["jobs"], response_model=JobAnswer, response_model_exclude_none=True)
async def job(request: Request, job_id: str) -> Any:
    """A job: its state, how far it is, and its answer once it is there."""
    client = client_of(request)
    found = await asyncio.to_thread(service_of(request).jobs.find, job_id, client)
    if found is None:
        raise _no_job(job_id)
    answer = job_answer(found)
    if found.body.get("response_format") == "url" and found.result is not None:
        answer["result"] = await asyncio.to_thread(with_addresses, request, found.result)
    return JSONResponse(answer)


@router.delete("/v1/jobs/{job_id}", tags=["jobs"], response_model=JobAnswer, response_model_exclude_none=True)
async def cancel_job(request: Request, job_id: str) -> Any:
    """Stop a job; one that has ended stays as it is."""
    service, client = service_of(request), client_of(request)
    if await asyncio.to_thread(service.jobs.find, job_id, client) is None:
        raise _no_job(job_id)
    await service.worker.cancel(job_id)
    return await job(request, job_id)


def _no_job(job_id: str) -> RequestError:
    return RequestError(f"There is no job {job_id[:80]!r}.", status=404, code="job_not_found", param="job_id")


@router.get(
    "/health",
    tags=["server"],
    response_model=Health,
    response_model_exclude_none=True,
    responses={503: {"model": Health}},
)
async def health(request: Request) -> Any:
    """200 when the server has proved that it draws and takes requests, else 503 with the state."""
    service = service_of(request)
    stats, restarting = service.stats(), service.state == "ready" and service.restarting_s() is not None
    state = Health(
        status="restarting" if restarting else service.state,
        model=service.settings.served_name,
        version=__version__,
        self_test=service.self_test or None,
        queued=None if stats is None else stats.queued,
        running=None if stats is None else stats.running,
        jobs=service.worker.trouble,
    )
    return JSONResponse(state.model_dump(exclude_none=True), status_code=200 if state.status == "ready" else 503)


@router.get("/metrics", tags=["server"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    client_of(request)
    content = await asyncio.to_thread(service_of(request).metrics.text)
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")
