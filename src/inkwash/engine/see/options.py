"""What an answer may be asked for, beside its conversation: how it is sampled, when it ends, how it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inkwash.engine.request import SAMPLING_FIELDS, SamplingOverrides
from inkwash.engine.sampling import PLAIN, Sampling
from inkwash.engine.see.grammar import AnswerRule


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(SamplingOverrides):
    """Settings of one answer; None is the checkpoint's own, and a temperature of 0 is greedy.

    thinking_budget: tokens of thought after which the answer is forced; 0 forbids thoughts on any checkpoint.
    frequency_penalty, presence_penalty, logit_bias: as in the OpenAI API.
    stop, stop_token_ids: texts and tokens at which the answer ends, left out of it; thoughts are not searched.
    rule: what the answer behind the thoughts must be: JSON of a schema, tool calls, one of several texts.
    logprobs: note how likely each token of the answer was, and that many of the likeliest beside it.
    stop_loops: end an answer that has begun to repeat itself; its finish reason is then "repetition".
    parse_tools: False leaves tool calls in the text.
    call_pieces: tell of tool calls while they are written, as deltas of kind "call".
    keep_marks: leave the marks of boxes in the content.
    fence_html: put raw HTML of the answer between Markdown fences; the turn that is kept has it as it was generated.
    """

    thinking_budget: int | None = None
    max_new_tokens: int = 1024
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = field(default=None)
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    rule: AnswerRule | None = None
    logprobs: int | None = None
    stop_loops: bool = True
    fence_html: bool = False
    parse_tools: bool = True
    call_pieces: bool = False
    keep_marks: bool = False

    def sampling(self, defaults: Mapping[str, Any]) -> Sampling:
        """Over the settings of the checkpoint's generation_config.json."""
        names = (*SAMPLING_FIELDS, "top_k", "min_p")
        stored = {name: defaults[name] for name in names if defaults.get(name)}
        overrides = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if not defaults.get("do_sample", False):
            stored["temperature"] = 0.0
        return replace(PLAIN, **{**stored, **overrides})
