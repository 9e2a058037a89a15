"""The application: routes, middleware and the life of the service behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from inkwash import __version__
from inkwash.serve import errors, files, images, system
from inkwash.serve.access import Access
from inkwash.serve.guard import EXPOSED, Guard, KeyGuard
from inkwash.serve.head import HeadAsGet
from inkwash.serve.openapi import describe
from inkwash.serve.service import END_S, Service
from inkwash.serve.worker import JobWorker


def make_app(service: Service) -> FastAPI:
    """The application around one service; starting it loads the model, stopping it finishes what was accepted."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.worker = JobWorker(service)
        starting = asyncio.create_task(service.start())
        working = asyncio.create_task(service.worker.work())
        try:
            yield
        finally:
            service.drain()
            starting.cancel()
            working.cancel()
            await asyncio.wait({starting, working}, timeout=2 * END_S)
            await service.stop()

    app = FastAPI(title="Inkwash", version=__version__, lifespan=life, redoc_url=None)
    app.state.service = service
    app.state.files = files.PictureFiles(service.settings.folder / "files", service.folder.secret())
    errors.install(app)
    app.include_router(images.router)
    app.include_router(files.router)
    app.include_router(system.router)
    _protect(app, service)
    app.openapi = lambda: app.openapi_schema or _described(app)  # type: ignore[method-assign]
    return app


def _protect(app: FastAPI, service: Service) -> None:
    """What stands before the routes, the innermost first: HEAD, the key, answers to pages, names and pages, the log."""
    settings, metrics = service.settings, service.metrics
    app.add_middleware(HeadAsGet)
    app.add_middleware(KeyGuard, settings=settings, metrics=metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=list(EXPOSED),
            allow_private_network=True,
        )
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_middleware(
        Access,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=settings.max_bodies_bytes,
        body_timeout_s=settings.body_timeout_s,
        stopping=service.stopping,
    )


def _described(app: FastAPI) -> dict[str, object]:
    app.openapi_schema = describe(app)
    return app.openapi_schema
