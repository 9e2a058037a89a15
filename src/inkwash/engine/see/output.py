"""What an answer is for the caller: its pieces while it is made, and the whole with boxes, calls and counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from inkwash.engine.see.answer_state import TokenLogprob
from inkwash.models.glm_v.answer import Answer
from inkwash.models.glm_v.boxes import Box
from inkwash.models.glm_v.tools import CallPiece, ToolCall

__all__ = ["CallPiece", "Cost", "Delta", "ToolCall", "Usage", "VisionOutput"]

DeltaKind = Literal["thought", "answer", "call"]


@dataclass(frozen=True)
class Delta:
    """A piece of an answer, tags of the format removed; `call` where it is one of a tool call."""

    kind: DeltaKind
    text: str
    call: CallPiece | None = None
    logprobs: tuple[TokenLogprob, ...] = ()  # of the tokens since the last piece, where they were asked for


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Tokens of a conversation before it is run: all of the prompt, and those of each picture and video in order."""

    prompt_tokens: int
    images: tuple[int, ...] = ()
    videos: tuple[int, ...] = ()

    @property
    def media_tokens(self) -> int:
        """Tokens of all pictures and videos."""
        return sum(self.images) + sum(self.videos)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that were read and generated; `cached_tokens` of the prompt were known from an earlier turn."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    thinking_tokens: int
    images: tuple[int, ...] = ()
    videos: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VisionOutput:
    """A finished answer. `text` is as the model wrote it; `message` continues the conversation."""

    text: str
    answer: Answer
    content: str  # the answer without marks and tool calls
    boxes: tuple[Box, ...]
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str  # stop, length, repetition, cancelled or tool_calls
    usage: Usage
    token_ids: tuple[int, ...] = field(repr=False, default=())
    thinking_cut: bool = False  # the budget ended the thoughts
    stopped_by: str | int | None = None  # the stop text or token that ended it
    logprobs: tuple[TokenLogprob, ...] = field(repr=False, default=())
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def thoughts(self) -> str:
        """What the model wrote before its answer; empty where it did not think."""
        return self.answer.thoughts

    @property
    def message(self) -> dict[str, Any]:
        """The assistant's turn for the next request: no thoughts, and nothing else lost."""
        message: dict[str, Any] = {"role": "assistant", "content": self.answer.content}
        if self.tool_calls:
            message["content"] = self.content
            message["tool_calls"] = [
                {"type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
                for call in self.tool_calls
            ]
        return message

    def pixel_boxes(self, width: int, height: int, *, grid: int = 1000) -> list[tuple[int, int, int, int]]:
        """The boxes of the answer in a picture of that size."""
        return [box.pixels(width, height, grid=grid) for box in self.boxes]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "answer": self.content,
            "thoughts": self.thoughts,
            "boxes": [[box.left, box.top, box.right, box.bottom] for box in self.boxes],
            "tool_calls": [{"name": c.name, "arguments": json.loads(c.arguments_json)} for c in self.tool_calls],
            "finish_reason": self.finish_reason,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "cached_tokens": self.usage.cached_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "thinking_tokens": self.usage.thinking_tokens,
                "image_tokens": list(self.usage.images),
                "video_tokens": list(self.usage.videos),
            },
        }
