"""A model that sees, and under which settings it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.engine.see.budget import MediaBudget
from inkwash.engine.see.media import MediaRules
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.media.reader import InProcess, MediaReader
from inkwash.serve.settings import MEBI, ChatSettings
from inkwash.serve.urls import read_url

MAX_TOKENS = 8192  # of an answer, where neither the request nor the checkpoint says more


@dataclass(frozen=True, kw_only=True)
class AnswerRequest:
    """What one request asks of the pipeline, whichever route it came by."""

    model: str | None
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    chooses: bool = False  # the model itself decides whether it calls a tool
    parallel: bool = True  # more than one call
    thinks: bool | None = None  # None is the model's own way
    n: int = 1
    seed: int | None = None
    deadline_s: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of `GlmVisionPipeline.stream`


@dataclass(frozen=True)
class Chat:
    """A model that sees, and under which settings it is served."""

    pipe: GlmVisionPipeline
    settings: ChatSettings
    url_hosts: tuple[str, ...] = ()  # whose addresses are read
    max_url_bytes: int = 50 * MEBI
    reader: MediaReader = field(default_factory=InProcess)  # decodes what clients send
    budget: MediaBudget = field(default_factory=MediaBudget)  # of decoded bytes, for all of them

    @property
    def rules(self) -> MediaRules:
        """What clients may send: nothing of this machine's files unless a folder is named, no address unless its host
        is."""
        settings = self.settings
        return MediaRules(
            fetch=self._fetch if self.url_hosts else None,
            roots=() if settings.folder is None else (settings.folder,),
            max_images=settings.max_images,
            max_videos=settings.max_videos,
            fps=settings.fps,
            max_frames=settings.max_frames,
            reader=self.reader,
            budget=self.budget,
        )

    def _fetch(self, url: str) -> bytes:
        """What lies at an address, for a thread that makes an answer."""
        return asyncio.run(read_url(url, hosts=self.url_hosts, max_bytes=self.max_url_bytes, param="messages"))

    def check(self, request: AnswerRequest) -> None:
        """Raise for what this server does not do."""
        settings = self.settings
        if request.model not in (None, "", settings.served_name, settings.model):
            raise RequestError(
                f"The model {request.model!r} is not served here, only {settings.served_name!r}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        if request.tools and request.chooses and not settings.auto_tools:
            raise RequestError(
                "This server lets no model choose tools (--no-auto-tool-choice): send tool_choice none.", param="tools"
            )
        rule = request.options.get("rule")
        if rule is not None and rule.calls and not settings.tools:
            raise RequestError(
                "This server reads no tool calls (--tool-call-parser none), so none can be required.",
                param="tool_choice",
            )

    def stream_options(self, request: AnswerRequest) -> dict[str, Any]:
        """All that the pipeline is asked for beside the messages and the seed."""
        found = {"tools": list(request.tools), "parse_tools": self.settings.tools, **request.options}
        if found.get("max_new_tokens") is None:
            found["max_new_tokens"] = self.pipe.parts.generation.get("max_new_tokens") or MAX_TOKENS
        if request.thinks is False and not self.pipe.can_switch_thinking:
            found["thinking_budget"] = 0  # a checkpoint without a switch is stopped before its first thought
        elif request.thinks is not None:
            found["enable_thinking"] = request.thinks if self.pipe.can_switch_thinking else None
        return found
