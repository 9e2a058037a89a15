"""Where answers come from: any server of the OpenAI chat API, told by a name, an address and a model.

Names and addresses are in a file of settings. Keys are in the system's keyring only: they are in no file, no log and no
answer of the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inkwash.core.errors import Cancelled, ConfigError, InkwashError, MissingExtraError, RequestError
from inkwash.core.files import write_json
from inkwash.core.text import split_url

SERVICE = "inkwash"  # under which the keyring keeps keys
READ_S = 300.0


class EndpointError(InkwashError):
    """The server of an endpoint did not answer as it should."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One server and model."""

    name: str
    url: str  # up to and without /chat/completions
    model: str
    video: bool = False  # takes videos; others get frames

    def __post_init__(self) -> None:
        parts = split_url(self.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The address {self.url!r} is none of a server: write it like https://host/v1.")
        if parts.username or parts.password or parts.query:
            raise ConfigError("The address of an endpoint holds no key: give the key apart, the keyring keeps it.")
        if not self.name.strip() or not self.model.strip():
            raise ConfigError("An endpoint needs a name and a model.")


class KeyStore(Protocol):
    """Where keys are kept."""

    def get(self, name: str) -> str | None:
        """The key of an endpoint, if it has one."""

    def set(self, name: str, key: str) -> None:
        """Keep the key of an endpoint; an empty one forgets it."""


class Keyring:
    """The system's: Keychain, Credential Manager, Secret Service."""

    def get(self, name: str) -> str | None:
        keyring = self._library()
        try:
            found: str | None = keyring.get_password(SERVICE, name)
        except keyring.errors.KeyringError:
            return None  # an endpoint without a key, as far as this session can tell
        return found

    def set(self, name: str, key: str) -> None:
        keyring = self._library()
        try:
            if key:
                keyring.set_password(SERVICE, name, key)
            elif keyring.get_password(SERVICE, name) is not None:
                keyring.delete_password(SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise ConfigError(
                f"This session has no keyring that keeps the key ({type(error).__name__}): unlock or install one "
                "(Linux: gnome-keyring or KeePassXC); keys are written nowhere else."
            ) from None

    def _library(self) -> Any:
        try:
            import keyring
            import keyring.errors
        except ImportError as missing:
            raise MissingExtraError("Keeping keys", extra="desk") from missing
        return keyring


@dataclass
class Endpoints:
    """The known endpoints, in a file; `local` is the model that the assistant itself serves."""

    file: Path
    keys: KeyStore
    local: Endpoint | None = None
    _known: dict[str, Endpoint] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file.exists():
            try:
                entries = json.loads(self.file.read_text(encoding="utf-8"))
                self._known = {each["name"]: Endpoint(**each) for each in entries}
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigError(f"{self.file} cannot be read ({type(error).__name__}): fix or delete it.") from None

    def all(self) -> list[Endpoint]:
        """The local one first."""
        return [*([self.local] if self.local else []), *self._known.values()]

    def find(self, name: str) -> Endpoint:
        """By name; RequestError for an unknown one."""
        for endpoint in self.all():
            if endpoint.name == name:
                return endpoint
        raise RequestError(f"There is no endpoint {name!r}: add it first.", status=404, param="endpoint")

    def put(self, endpoint: Endpoint, key: str | None = None) -> None:
        """Add or change one; `key` None leaves its key as it is."""
        if self.local is not None and endpoint.name == self.local.name:
            raise RequestError(f"{endpoint.name!r} is the local model: take another name.", param="name")
        if key is not None:
            self.keys.set(endpoint.name, key)
        self._known[endpoint.name] = endpoint
        self._save()

    def remove(self, name: str) -> None:
        """Forget one, and its key."""
        if self._known.pop(name, None) is not None:
            self.keys.set(name, "")
            self._save()

    def _save(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, [asdict(each) for each in self._known.values()], indent=1)


@dataclass(frozen=True)
class Piece:
    """A piece of an answer: of the thoughts, or of what is said."""

    kind: str
    text: str


def ask(
    endpoint: Endpoint, messages: Sequence[dict[str, Any]], key: str | None, *, cancelled: Any, client: Any = None
) -> Iterator[Piece]:
    """The answer in pieces; raises EndpointError in one sentence, and Cancelled when `cancelled()` says so."""
    import httpx2

    made = client or httpx2.Client(timeout=httpx2.Timeout(READ_S, connect=10.0))
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"model": endpoint.model, "messages": list(messages), "stream": True}
    try:
        with made.stream("POST", f"{endpoint.url.rstrip('/')}/chat/completions", json=body, headers=headers) as answer:
            if answer.status_code != 200:
                raise EndpointError(_refused(endpoint, answer.status_code, answer.read()))
            for line in answer.iter_lines():
                if cancelled():
                    raise Cancelled("Stopped.")
                if line.startswith("data:") and line[5:].strip() != "[DONE]":
                    yield from _pieces(endpoint, line[5:])
    except httpx2.HTTPError as error:
        raise EndpointError(f"{endpoint.name} at {endpoint.url} does not answer ({type(error).__name__}).") from None
    finally:
        if client is None:
            made.close()


def _pieces(endpoint: Endpoint, line: str) -> Iterator[Piece]:
    try:
        event = json.loads(line)
        if "error" in event:
            raise EndpointError(f"{endpoint.name} stopped: {_error_text(event)}")
        delta = event["choices"][0]["delta"] if event.get("choices") else {}
    except (ValueError, KeyError, IndexError, TypeError):
        raise EndpointError(f"{endpoint.name} sent what is no piece of a chat answer.") from None
    if delta.get("reasoning_content"):
        yield Piece("thought", delta["reasoning_content"])
    if delta.get("content"):
        yield Piece("answer", delta["content"])


def _refused(endpoint: Endpoint, status: int, body: bytes) -> str:
    try:
        reason = _error_text(json.loads(body))
    except ValueError:
        reason = ""
    hint = ": check its key" if status in (401, 403) else f": {reason}" if reason else ""
    return f"{endpoint.name} answered {status}{hint.rstrip('.')}."


def _error_text(event: Any) -> str:
    error = event.get("error") if isinstance(event, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message or "").split())[:300]
