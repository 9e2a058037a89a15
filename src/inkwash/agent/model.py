"""What answers prompts: an endpoint of the chat protocol, a checkpoint in this process, or a script.

All are asked as the released models are: one user turn, nearly greedy, control tokens kept.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from inkwash.agent.act import AgentError
from inkwash.agent.prompt import Prompt

if TYPE_CHECKING:
    from inkwash.engine.request import CancelToken
    from inkwash.engine.see.pipeline import GlmVisionPipeline

MAX_TOKENS = 8192
TEMPERATURE = 0.001
TIMEOUT_S = 300.0
LARGEST = 8 * 1024 * 1024  # bytes of an answer


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """What was said, with the tokens that it took."""

    text: str
    prompt_tokens: int = 0
    tokens: int = 0


class Model(Protocol):
    """Anything that answers a prompt; `cancel` ends an answer that is being made, from another thread."""

    name: str

    def reply(self, prompt: Prompt) -> ModelReply: ...

    def cancel(self) -> None: ...


@dataclass
class ChatEndpoint:
    """A server of POST {url}/chat/completions: this package's own, vLLM, SGLang, or a hosted one."""

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    max_tokens: int = MAX_TOKENS
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise AgentError(f"The endpoint {self.url!r} is no address: write it like http://127.0.0.1:30000/v1.")

    def reply(self, prompt: Prompt) -> ModelReply:
        body = {
            "model": self.name,
            "messages": prompt.messages(),
            "max_tokens": self.max_tokens,
            "temperature": TEMPERATURE,
            "skip_special_tokens": False,
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                found: Any = json.loads(answer.read(LARGEST))
            message, usage = found["choices"][0]["message"], found.get("usage") or {}
        except urllib.error.HTTPError as error:
            with error:
                reason = " ".join(error.read(2000).decode("utf-8", "replace").split())[:300]
            raise AgentError(f"{address} answered {error.code}: {reason}") from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise AgentError(f"{address} gave no answer that can be read: {error}") from None
        thoughts = message.get("reasoning_content")
        text = (f"<think>{thoughts}</think>\n" if thoughts else "") + (message.get("content") or "")
        return ModelReply(
            text=text, prompt_tokens=usage.get("prompt_tokens") or 0, tokens=usage.get("completion_tokens") or 0
        )

    def cancel(self) -> None:
        """The connection is left to itself."""


class Local:
    """A checkpoint in this process."""

    def __init__(self, pipe: GlmVisionPipeline, name: str, *, max_tokens: int = MAX_TOKENS) -> None:
        self.pipe, self.name, self.max_tokens = pipe, name, max_tokens
        self._cancel: CancelToken | None = None

    def reply(self, prompt: Prompt) -> ModelReply:
        from inkwash.engine.request import CancelToken

        self._cancel = CancelToken()
        left = self.max_tokens
        output = self.pipe(
            prompt.messages(), max_new_tokens=left, temperature=0, cancel=self._cancel, parse_tools=False
        )
        return ModelReply(
            text=output.text, prompt_tokens=output.usage.prompt_tokens, tokens=output.usage.completion_tokens
        )

    def cancel(self) -> None:
        if self._cancel is not None:
            self._cancel.cancel()


class Scripted:
    """Replies from a list, or made from the prompt by a function; for rehearsals and tests."""

    name = "script"

    def __init__(self, replies: Iterable[str] | Callable[[Prompt], str]) -> None:
        self._make = replies if callable(replies) else None
        self._texts: Iterator[str] = iter(()) if callable(replies) else iter(replies)

    def reply(self, prompt: Prompt) -> ModelReply:
        if self._make is not None:
            return ModelReply(text=self._make(prompt))
        return ModelReply(text=next(self._texts, ""))

    def cancel(self) -> None:
        """Nothing runs."""
