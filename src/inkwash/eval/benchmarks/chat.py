"""Asking a vision model: one picture or two, one prompt, one answer, from any OpenAI-compatible server.

The `openai` package (extra `eval`) sends the requests. Temporary faults are tried again with growing pauses: no
connection, a timeout, 408, 429 (its Retry-After is honoured), 5xx, an answer of the wrong form. Others (a wrong key,
an unknown model, a request the server refuses) fail at once with the server's words. The retries are ours and not the
package's, because wrong answers need them too and because Ctrl-C must end a pause.
"""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from PIL import Image

from inkwash.core.errors import Cancelled, ConfigError, InkwashError, MissingExtraError
from inkwash.core.text import one_line
from inkwash.media.images import encode_image

T = TypeVar("T")

_TEMPORARY = {408, 409, 425, 429}  # and everything from 500
_LONGEST_PAUSE = 60.0
_SHOWN = 200  # characters of a server's message in an error


class JudgeError(InkwashError):
    """A judge refuses to work or stays silent; its earlier answers are kept."""


class MalformedAnswer(Exception):
    """The answer does not have the form that was asked for; asking again may help."""


class _TemporaryFault(Exception):
    """The server cannot answer now."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True, kw_only=True)
class JudgeEndpoint:
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

    def __init__(self, endpoint: JudgeEndpoint, stop: threading.Event | None = None) -> None:
        self.endpoint = endpoint
        self.stop = stop or threading.Event()
        self._openai = _openai()
        self._headers = {} if endpoint.key else {"Authorization": self._openai.Omit()}  # no key, no header
        self._client = self._openai.OpenAI(
            base_url=endpoint.url,
            api_key=endpoint.key or "none",
            timeout=endpoint.timeout,
            max_retries=0,
        )

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
        """What `accept` makes of the model's answer; it raises MalformedAnswer for an answer it cannot use."""
        pictures = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images]
        text = [{"type": "text", "text": prompt}]
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": pictures + text if images_first else text + pictures})
        request = {
            "model": self.endpoint.model,
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": self.endpoint.temperature,
        }
        return self._ask_until_usable(request, accept)

    def _ask_until_usable(self, request: dict[str, Any], accept: Callable[[str], T]) -> T:
        reason = ""
        for attempt in range(self.endpoint.tries):
            if self.stop.is_set():
                raise Cancelled("Interrupted while asking the judge; the answers so far are kept.")
            try:
                return accept(_content(self._post(request)))
            except (_TemporaryFault, MalformedAnswer) as problem:
                reason = str(problem)
                if attempt + 1 < self.endpoint.tries:
                    self.stop.wait(self._pause(attempt, getattr(problem, "pause", 0.0)))
        raise JudgeError(
            f"the judge {self.endpoint.model} at {self.endpoint.url} gave no usable answer in {self.endpoint.tries} "
            f"tries; the last one: {reason}."
        )

    def _pause(self, attempt: int, requested: float) -> float:
        """Doubling pauses with jitter, so that many workers do not come back together."""
        return min(_LONGEST_PAUSE, max(requested, self.endpoint.pause * 2**attempt * random.uniform(0.5, 1.0)))

    def _post(self, request: dict[str, Any]) -> str:
        """The body of the server's answer."""
        try:
            answer = self._client.chat.completions.with_raw_response.create(**request, extra_headers=self._headers)
            return str(answer.http_response.text)
        except self._openai.APIStatusError as problem:
            response = problem.response
            if problem.status_code in _TEMPORARY or problem.status_code >= 500:
                pause = _retry_after(response.headers.get("Retry-After"))
                raise _TemporaryFault(f"status {problem.status_code}", pause) from None
            raise JudgeError(
                f"the judge {self.endpoint.model} at {self.endpoint.url} refuses with status {problem.status_code}: "
                f"{_message(response.text)}"
            ) from None
        except self._openai.APITimeoutError:
            raise _TemporaryFault(f"no sign of life for {self.endpoint.timeout:g} seconds") from None
        except self._openai.APIConnectionError as problem:
            reason = problem.__cause__ or problem
            raise _TemporaryFault(str(reason) or type(reason).__name__) from None


def _openai() -> Any:
    try:
        import openai
    except ImportError as missing:
        raise MissingExtraError("A vision model as judge (package openai)", extra="eval") from missing
    return openai


def _data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_image(image.convert("RGB"), "PNG")).decode()


def _content(answer: str) -> str:
    """The text of a chat completion."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise MalformedAnswer(f"an answer that is no chat completion ({answer[:60]!r})") from None
    if not isinstance(content, str):
        raise MalformedAnswer("a chat completion without text")
    return content


def _message(body: str) -> str:
    """The server's own words, where it has any."""
    text: object = body
    try:
        content = json.loads(body)
        content = content.get("error", content)
        text = content["message"] if isinstance(content, dict) else content
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return one_line(text, _SHOWN) or "no reason given"


def _retry_after(value: str | None) -> float:
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0  # a date; the pauses of our own do
