"""The body of POST /v1/chat/completions and its answer: the OpenAI fields, those of vLLM and z.ai, then ours."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.serve.chat.fields import (
    ANY_OBJECT,
    EFFORTS,
    LABELS,
    MAX_STOPS,
    NEUTRAL,
    NO_LIMIT,
    Effort,
    JsonFormat,
    LenientModel,
    ResponseFormat,
    SchemaFormat,
    StrictModel,
    Thinking,
    Tool,
    ToolChoice,
    callable_tools,
    make_rule,
    plain_tool,
    without_neutral,
)
from inkwash.serve.chat.model import AnswerRequest

MAX_ANSWERS = 16
_PART = {
    "type": "object",
    "properties": {"type": {"type": "string", "description": "text, image_url, video_url, file and their like"}},
}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [{"type": "string"}, _PART]}},
                _PART,
                {"type": "null"},
            ]
        },
        "reasoning_content": {"type": ["string", "null"], "description": "Thoughts of an assistant's turn."},
        "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
        "tool_call_id": {"type": ["string", "null"]},
    },
    "required": ["role"],
}
Messages = Annotated[
    list[dict[str, Any]],
    Field(min_length=1),
    WithJsonSchema({"type": "array", "minItems": 1, "items": _MESSAGE}),
]
Stops = str | list[str]


class StreamOptions(StrictModel):
    """What a stream says beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    continuous_usage_stats: Literal[False] | None = None


class TemplateSettings(StrictModel):
    """What the chat template is told; `thinking` is another name of `enable_thinking`."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class Structured(StrictModel):
    """vLLM's form of structured output; one of them."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    json_: dict[str, Any] | None = Field(None, alias="json")
    choice: list[str] | None = Field(None, min_length=1)
    regex: str | None = None


_NOT_STRUCTURED = Structured.model_validate({})


class SampledBody(BaseModel):
    """A body that says how tokens are sampled; None is the checkpoint's own."""

    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)

    def sampling(self) -> dict[str, float | None]:
        """The same for the engine, whose nucleus is never empty."""
        return {"temperature": self.temperature, "top_p": None if self.top_p is None else max(self.top_p, 1e-6)}


class ChatBody(SampledBody):
    """The request; null means absent, and a field that would be ignored is refused."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        json_schema_extra={
            "description": "Also accepted: labels without effect (" + ", ".join(LABELS) + "), and with the value that "
            "changes nothing: " + ", ".join(NEUTRAL) + ".",
            "additionalProperties": True,
        },
    )
    model: str | None = None
    messages: Messages
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=-1, description="Of the answer with its thoughts; -1 is the model's own.")
    max_completion_tokens: int | None = Field(None, ge=-1)
    n: int = Field(1, ge=1, le=MAX_ANSWERS, description="Answers; number k has seed + k.")
    do_sample: bool | None = Field(None, description="false: the likeliest token each time.")
    top_k: int | None = Field(None, ge=-1, description="-1 and 0: no limit.")
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=limits.MIN_REPETITION_PENALTY, le=limits.MAX_REPETITION_PENALTY)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, float] = Field(default_factory=dict, max_length=1024)
    seed: int | None = Field(None, ge=-1, le=limits.MAX_SEED, description="-1: any.")
    stop: Stops = Field(default_factory=list)
    stop_token_ids: list[int] = Field(default_factory=list, max_length=64)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    tools: list[Tool] = Field(default_factory=list, max_length=256)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None
    structured_outputs: Structured | None = None
    guided_json: dict[str, Any] | None = None
    guided_choice: list[str] | None = Field(None, min_length=1)
    guided_regex: str | None = None
    chat_template_kwargs: TemplateSettings = Field(default_factory=TemplateSettings)
    thinking: Thinking | None = None
    reasoning_effort: Effort | None = None
    thinking_budget: int | None = Field(None, ge=0, description="Tokens of thought after which the answer is forced.")
    skip_special_tokens: bool = Field(True, description="false: the marks of boxes stay in the content.")
    fence_html: bool = Field(False, description="Raw HTML of the answer between Markdown fences.")
    deadline_s: float | None = Field(None, ge=0.001, le=1e6, description="Seconds; later the request fails with 408.")

    @model_validator(mode="before")
    @classmethod
    def _neutral(cls, values: Any) -> Any:
        return without_neutral(values)

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: Stops) -> Stops:
        texts = [value] if isinstance(value, str) else value
        if len(texts) > MAX_STOPS or any(len(text) > 1000 for text in texts):
            raise ValueError(f"at most {MAX_STOPS} texts of up to 1000 characters end an answer")
        return [text for text in texts if text]

    @field_validator("logit_bias")
    @classmethod
    def _tokens(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(name.isascii() and name.isdigit() and len(name) < 10 and -100 <= bias <= 100
                   for name, bias in value.items()):  # fmt: skip
            raise ValueError("must map token numbers to values from -100 to 100")
        return value

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def request(self) -> AnswerRequest:
        """What the pipeline is asked for; raises for fields that contradict each other."""
        tools, choice = callable_tools([plain_tool(tool) for tool in self.tools], self.tool_choice)
        thinks, budget = self._thoughts()
        return AnswerRequest(
            model=self.model,
            messages=self.messages,
            tools=tools,
            chooses=choice == "auto",
            parallel=self.parallel_tool_calls,
            thinks=thinks,
            n=self.n,
            seed=None if self.seed == -1 else self.seed,
            deadline_s=self.deadline_s,
            options={
                "max_new_tokens": self._most_tokens("max_completion_tokens") or self._most_tokens("max_tokens"),
                **self.sampling(),
                **({"temperature": 0.0} if self.do_sample is False else {}),
                "top_k": NO_LIMIT if self.top_k in (-1, 0) else self.top_k,
                "min_p": self.min_p,
                "repetition_penalty": self.repetition_penalty,
                "frequency_penalty": self.frequency_penalty,
                "presence_penalty": self.presence_penalty,
                "logit_bias": {int(token): bias for token, bias in self.logit_bias.items()},
                "stop": self.stop,
                "stop_token_ids": self.stop_token_ids,
                "logprobs": self.top_logprobs if self._wants_logprobs() else None,
                "rule": self._rule(tools, choice),
                "thinking_budget": budget,
                "fence_html": self.fence_html,
                "keep_marks": not self.skip_special_tokens,
                "call_pieces": self.stream,
            },
        )

    def _most_tokens(self, name: str) -> int | None:
        value: int | None = getattr(self, name)
        if value == 0:
            raise RequestError(f"{name} is 0, but must be at least 1.", code="invalid_value", param=name)
        return value if value is not None and value > 0 else None

    def _wants_logprobs(self) -> bool:
        if self.top_logprobs and not self.logprobs:
            raise RequestError(
                f"top_logprobs is {self.top_logprobs}, but logprobs is not true.",
                code="invalid_value",
                param="top_logprobs",
            )
        return self.logprobs

    def _thoughts(self) -> tuple[bool | None, int | None]:
        """Whether the model thinks, and for how long: the template's switch, then z.ai's, then the effort."""
        budget, template = self.thinking_budget, self.chat_template_kwargs
        switch = template.thinking if template.enable_thinking is None else template.enable_thinking
        if self.thinking is not None and self.thinking.type != "auto":
            switch = self.thinking.type == "enabled" if switch is None else switch
            budget = self.thinking.budget_tokens if budget is None else budget
        if self.reasoning_effort is not None:
            effort = EFFORTS[self.reasoning_effort]
            if effort == 0:
                switch = False if switch is None else switch
            elif budget is None:
                budget = effort
        return switch, budget

    def _rule(self, tools: list[dict[str, Any]], choice: Any) -> Any:
        form, structured = self.response_format, self.structured_outputs or _NOT_STRUCTURED
        schemas = [schema for schema in (structured.json_, self.guided_json) if schema is not None]
        if isinstance(form, JsonFormat):
            schemas.append(ANY_OBJECT)
        if isinstance(form, SchemaFormat):
            schema = form.json_schema.schema_
            schemas.append(ANY_OBJECT if schema is None else schema)  # type: ignore[arg-type]
        choices = structured.choice or self.guided_choice or []
        pattern = structured.regex or self.guided_regex
        if len(schemas) + bool(choices) + bool(pattern) > 1:
            raise RequestError(
                "The answer can follow one form only: send one of response_format, structured_outputs and guided_*.",
                code="invalid_value",
                param="response_format",
            )
        schema = schemas[0] if schemas else None
        return make_rule(schema, tools, choice, self.parallel_tool_calls, choices=tuple(choices), pattern=pattern)


class FunctionText(BaseModel):
    """A tool's name and the JSON text of its arguments."""

    name: str
    arguments: str


class CallAnswer(BaseModel):
    """One call."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionText


class MessageAnswer(LenientModel):
    """What the model said; `content` is null where it only called tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[CallAnswer] | None = None
    refusal: None = None


class TopToken(BaseModel):
    """A token, how likely it was, and its bytes."""

    token: str
    logprob: float
    bytes: list[int]


class TokenAnswer(TopToken):
    """A token of the answer beside the likeliest ones."""

    top_logprobs: list[TopToken]


class LogprobsAnswer(BaseModel):
    """The tokens of the content, thoughts left out."""

    content: list[TokenAnswer]
    refusal: None = None


class Choice(BaseModel):
    """One answer and why it ended."""

    index: int
    message: MessageAnswer
    finish_reason: Literal["stop", "length", "tool_calls"]
    stop_reason: str | int | None = None
    logprobs: LogprobsAnswer | None = None


class UsageAnswer(LenientModel):
    """Tokens that were read and said, over all answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatAnswer(BaseModel):
    """The answer to a request that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: UsageAnswer
    system_fingerprint: str | None = None
