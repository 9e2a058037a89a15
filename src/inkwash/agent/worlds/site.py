"""A small server of made pages on this machine, for browsers that are held to one origin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from inkwash.media.fonts import FONTS, font_path

Answer = tuple[str, bytes]  # a media type and a body
Page = Callable[[str], Answer | None]


class Site:
    """Serves what `page` makes of a path, and the bundled faces at /font/NAME; every request is kept in `asked`."""

    def __init__(self, page: Page) -> None:
        self.requests: list[tuple[str, str]] = []  # method and path
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer()

            def _answer(self) -> None:
                site.requests.append((self.command, self.path))
                found = site.answer(page, self.path)
                self.send_response(200 if found else 404)
                kind, body = found or ("text/plain", b"nothing here")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are kept, not printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @staticmethod
    def answer(page: Page, path: str) -> Answer | None:
        """A face, or what the page's maker says."""
        name = path.removeprefix("/font/")
        if path.startswith("/font/") and name in FONTS:
            return "font/ttf", font_path(name).read_bytes()
        return page(path)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Answer nothing more."""
        try:
            self._server.shutdown()
        finally:
            self._server.server_close()
            self._thread.join(2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
