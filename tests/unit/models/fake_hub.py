"""A small real HTTP server on loopback that speaks as much of the Hugging Face hub's API as a download needs.

Repositories are folders on disk. It serves the model's information, the tree of a revision, and files with their
entity tags and byte ranges; it knows gated and unknown repositories, and can break off a file half-way.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """What the server offers and what it was asked for."""

    repositories: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # files that are cut off half-way
    served: list[str] = field(default_factory=list)  # files whose bytes were sent
    url: str = ""


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Run the server on a free port until the block ends."""

    class Handler(_Handler):
        content = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


class _Handler(BaseHTTPRequestHandler):
    content: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the terminal."""

    def _answer(self, *, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        if is_api:
            parts = parts[2:]
        repo, rest = "/".join(parts[:2]), parts[2:] or ["revision", "main"]
        folder = self.content.repositories.get(repo)
        if folder is None:
            self._refuse(404, "RepoNotFound")
        elif rest[1] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif is_api:
            self._json(self._information(repo, folder) if rest[0] == "revision" else self._tree(folder))
        elif repo in self.content.gated:
            self._refuse(403, "GatedRepo")
        elif not (path := folder / "/".join(rest[2:])).is_file():
            self._refuse(404, "EntryNotFound")
        else:
            self._file(path, path.relative_to(folder).as_posix(), body=body)

    def _information(self, repo: str, folder: Path) -> object:
        siblings = [{"rfilename": name} for name in _names(folder)]
        return {"id": repo, "modelId": repo, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}

    def _tree(self, folder: Path) -> object:
        return [
            {"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": _tag(folder / name)}
            for name in _names(folder)
        ]

    def _file(self, path: Path, name: str, *, body: bool) -> None:
        data = path.read_bytes()
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{_tag(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        self.content.served.append(name)
        if name in self.content.broken:
            self.wfile.write(data[start : start + (len(data) - start) // 2])
            self.close_connection = True
            return
        self.wfile.write(data[start:])

    def _json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _tag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
