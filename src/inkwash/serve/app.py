"""The application: routes, middleware and the life of the service behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from inkwash import __version__
from inkwash.serve import errors, files, images, system
from inkwash.serve.access import Access
from inkwash.serve.openapi import describe
from inkwash.serve.service import Service
from inkwash.serve.worker import JobWorker


def make_app(service: Service) -> FastAPI:
    """The application around one service; starting it loads the model, stopping it finishes what was accepted."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        service.worker = JobWorker(service)
        starting = asyncio.create_task(service.start())
        working = asyncio.create_task(service.worker.work())
        try:
            yield
        finally:
            service.drain()
            starting.cancel()
            working.cancel()
            await asyncio.gather(starting, working, return_exceptions=True)
            await service.stop()

    app = FastAPI(title="Inkwash", version=__version__, lifespan=life, redoc_url=None)
    app.state.service = service
    app.state.files = files.PictureFiles(service.settings.folder / "files", service.folder.secret())
    errors.install(app)
    app.include_router(images.router)
    app.include_router(files.router)
    app.include_router(system.router)
    app.add_middleware(Access, metrics=service.metrics, max_body_bytes=service.settings.max_body_bytes)
    app.openapi = lambda: app.openapi_schema or _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, object]:
    app.openapi_schema = describe(app)
    return app.openapi_schema
