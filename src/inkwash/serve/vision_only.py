"""The server's state where nothing draws: a model that sees is served alone, and requests for pictures are told so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from inkwash.core.errors import RequestError
from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings

if TYPE_CHECKING:
    from inkwash.serve.backend import Backend


class VisionOnlyService(Service):
    """A service without a backend; it is ready at once, because its model was loaded before."""

    def __init__(self, settings: ServeSettings) -> None:
        super().__init__(settings, _nothing_draws)

    async def start(self) -> None:
        """There is nothing to load and no picture to prove it with."""
        self.media.warm()
        if self.state == "loading":
            self.state = "ready"
            if self.on_ready is not None:
                self.on_ready()

    def ready(self) -> Backend:
        """Raises: pictures are asked for where no model draws."""
        return super().ready() if self.state != "ready" else _nothing_draws()


def _nothing_draws() -> NoReturn:
    raise RequestError(
        "No model that draws is served here: start the server with one, such as nano, and --chat beside it.",
        status=404,
        code="model_not_found",
        param="model",
    )
