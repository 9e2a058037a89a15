"""Asking a vision model over HTTP: one picture or two, one prompt, one answer, from any OpenAI-compatible server.

Only the standard library is used, so a judge costs no dependency. What can pass by itself is asked again with growing
pauses: no connection, a timeout, 408, 429 (its Retry-After is honoured), 5xx, an answer that is no answer. What cannot
(a wrong key, an unknown model, a request the server refuses) fails at once with the server's words.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image

from inkwash.core.errors import Cancelled, ConfigError, InkwashError
from inkwash.media.images import encode_image

T = TypeVar("T")

_RETRIED = {408, 409, 425, 429}  # and everything from 500
_LONGEST_PAUSE = 60.0
_ANSWER_BYTES = 4 * 2**20
_SHOWN = 200  # characters of a server's message in an error


class JudgeError(InkwashError):
    """A judge refuses to work or stays silent; what it answered before is kept."""


class Malformed(Exception):
    """The answer does not have the form that was asked for; asking again may help."""


class _Busy(Exception):
    """The server cannot answer now."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the model is, and how patiently it is asked."""

    url: str  # the base, such as http://localhost:8000/v1
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0  # seconds without a sign of life
    tries: int = 8
    pause: float = 1.0  # seconds before the second try; doubled for every further one
    workers: int = 8  # questions asked at once
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"the judge's address is {self.url!r}; write it like http://localhost:8000/v1.")
        if not self.model.strip():
            raise ConfigError("the judge's model has no name; give the name that its server knows.")
        if self.timeout <= 0 or self.pause < 0 or self.tries < 1 or self.workers < 1 or self.temperature < 0:
            raise ConfigError(
                f"the judge has timeout {self.timeout}, pause {self.pause}, tries {self.tries}, workers "
                f"{self.workers} and temperature {self.temperature}; timeout, tries and workers must be above 0, "
                f"the others not below."
            )


class VisionClient:
    """Asks one model; safe to use from many threads. Setting `stop` ends every pause at once."""

    def __init__(self, endpoint: Endpoint, stop: threading.Event | None = None) -> None:
        self.endpoint = endpoint
        self.stop = stop or threading.Event()

    def ask(
        self,
        prompt: str,
        images: Sequence[Image.Image],
        accept: Callable[[str], T],
        *,
        max_tokens: int,
        system: str = "",
        images_first: bool = True,
    ) -> T:
        """What `accept` makes of the model's answer; it raises Malformed for an answer it cannot use."""
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images]
        text = [{"type": "text", "text": prompt}]
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": pictures + text if images_first else text + pictures})
        body = {
            "model": self.endpoint.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": self.endpoint.temperature,
        }
        return self._insist(json.dumps(body).encode(), accept)

    def _insist(self, body: bytes, accept: Callable[[str], T]) -> T:
        reason = ""
        for attempt in range(self.endpoint.tries):
            if self.stop.is_set():
                raise Cancelled("Interrupted while asking the judge; the answers so far are kept.")
            try:
                return accept(_content(self._post(body)))
            except (_Busy, Malformed) as problem:
                reason = str(problem)
                if attempt + 1 < self.endpoint.tries:
                    self.stop.wait(self._pause(attempt, getattr(problem, "pause", 0.0)))
        raise JudgeError(
            f"the judge {self.endpoint.model} at {self.endpoint.url} gave no usable answer in {self.endpoint.tries} "
            f"tries; the last one: {reason}."
        )

    def _pause(self, attempt: int, asked: float) -> float:
        """Doubling pauses with jitter, so that many workers do not come back together."""
        return min(_LONGEST_PAUSE, max(asked, self.endpoint.pause * 2**attempt * random.uniform(0.5, 1.0)))

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        url = self.endpoint.url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.endpoint.timeout) as answer:
                content: bytes = answer.read(_ANSWER_BYTES)
                return content
        except urllib.error.HTTPError as problem:
            with problem:
                self._refused(problem)
                raise _Busy(f"status {problem.code}", _retry_after(problem.headers.get("Retry-After"))) from None
        except TimeoutError:
            raise _Busy(f"no sign of life for {self.endpoint.timeout:g} seconds") from None
        except (OSError, http.client.HTTPException) as problem:  # URLError is an OSError
            reason = getattr(problem, "reason", problem)
            raise _Busy(str(reason) or type(problem).__name__) from None

    def _refused(self, problem: urllib.error.HTTPError) -> None:
        if problem.code in _RETRIED or problem.code >= 500:
            return
        try:
            said = _message(problem.read(_ANSWER_BYTES))
        except (OSError, http.client.HTTPException):
            said = problem.reason
        raise JudgeError(
            f"the judge {self.endpoint.model} at {self.endpoint.url} refuses with status {problem.code}: {said}"
        ) from None


def _data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_image(image.convert("RGB"), "PNG")).decode()


def _content(answer: bytes) -> str:
    """The text of a chat completion."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise Malformed(f"an answer that is no chat completion ({answer[:60]!r})") from None
    if not isinstance(content, str):
        raise Malformed("a chat completion without text")
    return content


def _message(body: bytes) -> str:
    """The server's own words, where it has any."""
    try:
        said = json.loads(body)
        said = said.get("error", said)
        text = said["message"] if isinstance(said, dict) else str(said)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = body.decode(errors="replace")
    return " ".join(str(text).split())[:_SHOWN] or "no reason given"


def _retry_after(value: str | None) -> float:
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0  # a date; the pauses of our own do
