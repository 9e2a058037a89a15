"""What a run may do: its mode, the places it may act in, its budgets. Nothing is allowed that is not named here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from inkwash.agent.act import AgentError
from inkwash.core.text import split_url

Mode = Literal["dry", "ask", "auto"]
MODES: tuple[Mode, ...] = ("dry", "ask", "auto")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`dry` draws acts and sends none; `ask` has each one confirmed, or the risky ones only; `auto` sends all that are
    allowed, and risky ones where they are confirmed.

    `allow` and `deny` name origins of pages (`example.org`, `https://host:8000`, `file:///folder/`), words of window
    titles, or packages of apps. `deny` wins.
    """

    mode: Mode = "dry"
    confirm: Literal["all", "risky"] = "all"  # in mode `ask`
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    paste: bool = True
    files: Path | None = None  # whose files may be handed to pages
    downloads: Path | None = None
    max_steps: int = 30
    max_seconds: float = 600.0
    max_tokens: int | None = None
    acts_per_minute: int = 60

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise AgentError(f"The mode is {self.mode!r}, but must be one of {', '.join(MODES)}.")
        for name, low, high in (("max_steps", 1, 1000), ("max_seconds", 0.1, 86_400), ("acts_per_minute", 1, 6000)):
            if not low <= getattr(self, name) <= high:
                raise AgentError(f"{name} is {getattr(self, name)}, but must be from {low} to {high}.")
        if any(not entry.strip() for entry in (*self.allow, *self.deny)):
            raise AgentError("An entry of the places allowed or denied is empty.")

    def allows_url(self, url: str) -> bool:
        """Whether a page may be there, and be sent to."""
        if url in ("about:blank", "about:srcdoc"):
            return True
        return any(url_matches(url, entry) for entry in self.allow) and not any(
            url_matches(url, entry) for entry in self.deny
        )

    def allows_window(self, title: str) -> bool:
        """Whether a window or app may be acted in."""
        lowered = title.casefold()
        inside = any(entry.casefold() in lowered for entry in self.allow)
        return inside and not any(entry.casefold() in lowered for entry in self.deny)


def origin_of(url: str) -> str:
    """Scheme, host and port; for a file its folder."""
    parts = split_url(url)
    if parts is None:
        return ""
    if parts.scheme == "file":
        return f"file://{parts.path.rpartition('/')[0]}/"
    if not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != _PORTS.get(parts.scheme) else "")


def url_matches(url: str, entry: str) -> bool:
    """Whether an address lies at an entry: an origin exactly, a host and all below it, a folder of files."""
    parts, entry = split_url(url), entry.strip().lower()
    if parts is None:
        return False
    if parts.scheme == "file":
        folder = entry.removeprefix("file://")
        path = unquote(parts.path)
        return entry.startswith("file:///") and ".." not in path.split("/") and _below(path.lower(), unquote(folder))
    if parts.scheme not in _PORTS or not parts.hostname:
        return False
    wanted = split_url(entry if "://" in entry else f"any://{entry}")
    if wanted is None or not wanted.hostname:
        return False
    if wanted.scheme != "any" and wanted.scheme != parts.scheme:
        return False
    port = parts.port or _PORTS[parts.scheme]
    expected = wanted.port or (_PORTS.get(wanted.scheme) if wanted.scheme != "any" else _PORTS[parts.scheme])
    if port != expected:
        return False
    exact = wanted.scheme != "any" or _is_address(wanted.hostname)
    return parts.hostname == wanted.hostname or (not exact and parts.hostname.endswith(f".{wanted.hostname}"))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
