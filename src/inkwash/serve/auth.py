"""API keys: read from a file or the environment, compared in constant time.

A key is a secret with a name; the name appears in logs and limits, the secret nowhere. A line of the file, or an
entry of the comma-separated INKWASH_API_KEYS, is `name:secret` or just `secret`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inkwash.core.errors import ConfigError, RequestError

VARIABLE = "INKWASH_API_KEYS"
ANONYMOUS = "anonymous"
MIN_LENGTH = 8


@dataclass(frozen=True)
class ApiKey:
    """A client's name and the digest of its secret."""

    name: str
    digest: bytes = field(repr=False)


def read_keys(file: Path | None, environment: str) -> tuple[ApiKey, ...]:
    """The keys of a file and of the environment variable; raises ConfigError for what is no key."""
    lines: list[str] = []
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The key file {str(file)!r} cannot be read ({type(error).__name__}).") from None
    lines += environment.split(",")
    keys = tuple(_key(line.strip(), index) for index, line in enumerate(lines) if _is_key(line))
    if file is not None and not keys:
        raise ConfigError(f"The key file {str(file)!r} holds no key: write one on each line, as name:secret.")
    names = [key.name for key in keys]
    if len(set(names)) != len(names):
        raise ConfigError("Two API keys have the same name: names tell clients apart in limits, jobs and logs.")
    return keys


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _key(line: str, index: int) -> ApiKey:
    name, colon, secret = line.partition(":")
    if not colon:
        name, secret = f"key-{index + 1}", line
    if len(secret.strip()) < MIN_LENGTH:
        raise ConfigError(f"API key number {index + 1} is shorter than {MIN_LENGTH} characters: take a longer secret.")
    return ApiKey(name.strip() or f"key-{index + 1}", _digest(secret.strip()))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def identify(keys: Sequence[ApiKey], header: str | None) -> str:
    """The name of the client that sent this Authorization header; raises RequestError 401 for none or a wrong one."""
    if not keys:
        return ANONYMOUS
    scheme, _, secret = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise RequestError(
            "This server needs an API key: send it in the header Authorization: Bearer KEY.",
            status=401,
            code="missing_api_key",
        )
    found = _matching(keys, _digest(secret.strip()))
    if not found:
        raise RequestError("The API key is not known to this server.", status=401, code="invalid_api_key")
    return found[0]


def _matching(keys: Iterable[ApiKey], digest: bytes) -> list[str]:
    """Names of equal keys; every key is compared, whatever the outcome."""
    return [key.name for key in keys if hmac.compare_digest(key.digest, digest)]
