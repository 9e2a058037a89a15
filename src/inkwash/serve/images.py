"""POST /v1/images/generations and /v1/images/edits: at once, as a stream, or in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from inkwash.core.errors import Cancelled, RequestError
from inkwash.serve.answers import rounded
from inkwash.serve.auth import identify
from inkwash.serve.errors import CLIENT_CLOSED
from inkwash.serve.event_stream import SseResponse
from inkwash.serve.files import with_addresses
from inkwash.serve.json_body import read_body
from inkwash.serve.requests import PreparedRequest, with_seed
from inkwash.serve.runs import ImageRun, disconnected
from inkwash.serve.schemas import GenerationBody, ImageBody
from inkwash.serve.service import Service
from inkwash.serve.sse import ImageStream
from inkwash.serve.uploads import Uploads, read_edit
from inkwash.serve.worker import job_answer

router = APIRouter(tags=["images"])
Background = Query(False, description="Answer with a job at once; ask GET /v1/jobs/{id} for it.")


def service_of(request: Request) -> Service:
    """The server's state."""
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


def client_of(request: Request) -> str:
    """The name of the client; raises 401 for an unknown one."""
    name = identify(service_of(request).settings.api_keys, request.headers.get("authorization"))
    request.state.log_fields["client"] = name
    return name


@router.post("/v1/images/generations")
async def generations(request: Request, background: bool = Background) -> Response:
    """Draw pictures from a prompt."""
    client = client_of(request)
    service = service_of(request)
    service.rates.spend(client)
    body = await read_body(request, GenerationBody, max_bytes=service.settings.max_json_bytes)
    return await _handle(request, client, body, Uploads(), background)


@router.post("/v1/images/edits")
async def edits(request: Request, background: bool = Background) -> Response:
    """Draw from a prompt and up to 16 pictures, inside a mask if there is one."""
    client = client_of(request)
    service = service_of(request)
    service.rates.spend(client)
    body, uploads = await read_edit(request, service.settings)
    return await _handle(request, client, body, uploads, background)


async def _handle(request: Request, client: str, body: ImageBody, uploads: Uploads, background: bool) -> Response:
    service = service_of(request)
    body = with_seed(body)
    _log_request(request, body)
    if body.stream and body.response_format == "url":
        raise RequestError(
            "response_format is 'url', but the events of a stream carry the pictures themselves: use b64_json.",
            code="invalid_value",
            param="response_format",
        )
    service.ready()
    if background:
        return await _keep(request, client, body, uploads)
    leave = service.rates.enter(client)
    streaming = False
    try:
        order = await _attended(request, service.order(body, uploads, await service.rewrite(body)))
        run = ImageRun(service.drawing(order), order, service.deadline(body))
        run.start()
        if run.eta_s is not None:
            leave.expect(run.eta_s)
        if not body.stream:
            return await _wait(request, client, uploads, run)
        streaming = True
        return _stream(request, client, uploads, run, leave)
    finally:
        if not streaming:
            leave()


async def _attended(request: Request, making: Coroutine[Any, Any, PreparedRequest]) -> PreparedRequest:
    """An order; its making ends when the client leaves before it, unless drawings are kept for clients that left."""
    if not service_of(request).settings.cancel_on_disconnect:
        return await making
    working, leaving = asyncio.ensure_future(making), asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Cancelled
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()


async def _keep(request: Request, client: str, body: ImageBody, uploads: Uploads) -> Response:
    """A job for later; everything is checked now, so that a bad request fails at once."""
    service = service_of(request)
    if body.stream:
        raise RequestError(
            "stream and background cannot be combined: ask the job for its progress.",
            code="invalid_value",
            param="stream",
        )
    order = await service.order(body, uploads)
    fields = body.model_dump(exclude_none=True, exclude={"images", "mask", "markup"})
    job = await asyncio.to_thread(service.jobs.add, client, order.kind, fields, uploads, retry_after=service.wait_s())
    service.worker.wake()
    request.state.log_fields["job"] = job.id
    return JSONResponse(job_answer(job), status_code=202, headers={"Location": f"/v1/jobs/{job.id}"})


async def _wait(request: Request, client: str, uploads: Uploads, run: ImageRun) -> Response:
    """The whole answer; a client that goes first stops the drawing, or leaves it to the jobs."""
    service, answer_id = service_of(request), request.state.request_id
    drawing = asyncio.ensure_future(run.result())
    leaving = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({drawing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not drawing.done():
            _left(request, client, uploads, run)
            raise Cancelled
        result = drawing.result()
    finally:
        leaving.cancel()
        drawing.cancel()
        if not run.ended and service.settings.cancel_on_disconnect:
            run.cancel()
    request.state.log_fields["timings"] = rounded(result.timings)
    answer = await service.answer(run.order, result, answer_id)
    if run.order.body.response_format == "url":
        answer = await asyncio.to_thread(with_addresses, request, answer)
    return JSONResponse(answer)


def _stream(request: Request, client: str, uploads: Uploads, run: ImageRun, leave: Callable[[], None]) -> Response:
    service = service_of(request)
    stream = ImageStream(service, run.backend, run.order, run, request.state.request_id)

    def ended(_: bool) -> None:
        leave()
        request.state.log_fields.update(stream.log_fields)
        if not run.ended:
            request.state.log_fields["status"] = CLIENT_CLOSED
            service.metrics.turned_away(CLIENT_CLOSED, "cancelled")
            _left(request, client, uploads, run)

    return SseResponse(stream.sent(), on_end=ended, last_events=lambda error: [stream.failed(error)])


def _left(request: Request, client: str, uploads: Uploads, run: ImageRun) -> None:
    """The client has gone before the end: stop, or keep the pictures as a job that it can ask for."""
    service = service_of(request)
    if service.settings.cancel_on_disconnect:
        run.cancel()
        return
    service.worker.adopt(run, uploads, client, f"job_{request.state.request_id}")


def _log_request(request: Request, body: ImageBody) -> None:
    """What the log line says about a drawing."""
    settings = service_of(request).settings
    fields = {
        "model": body.model,
        "size": body.size,
        "n": body.n,
        "steps": body.steps,
        "quality": body.quality,
        "seed": body.seed,
        "stream": body.stream,
        "safety_identifier": body.effective_identifier,
        "prompt": body.prompt if settings.log_prompts else None,
    }
    request.state.log_fields.update({name: value for name, value in fields.items() if value is not None})
