"""The body of POST /v1/responses: what this server can do of it, and a sentence for the rest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from inkwash.core.errors import RequestError
from inkwash.serve.chat.fields import (
    ANY_OBJECT,
    EFFORTS,
    AllowedChoice,
    AllowedTools,
    Effort,
    LenientModel,
    NamedFunction,
    NamedTool,
    ToolChoice,
    callable_tools,
    make_rule,
    without_neutral,
)
from inkwash.serve.chat.model import AnswerRequest
from inkwash.serve.chat.schema import SampledBody

UNSUPPORTED = {  # value that asks for nothing -> why nothing else works
    "previous_response_id": (None, "nothing is stored here: send the whole conversation as input"),
    "conversation": (None, "nothing is stored here: send the whole conversation as input"),
    "prompt": (None, "no prompts are stored here: send instructions and input"),
    "background": (False, "answers are not made in the background: leave it out"),
    "max_tool_calls": (None, "no built-in tools run here: leave it out"),
    "context_management": (None, "nothing is compacted here: leave it out"),
    "moderation": (None, "nothing is filtered here: leave it out"),
}
INCLUDES = ("message.output_text.logprobs", "reasoning.encrypted_content")
Input = Annotated[
    str | list[dict[str, Any]],
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "object"}}]}),
]


class FlatTool(LenientModel):
    """One offered function."""

    type: Literal["function"]
    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\s<>{}\x00-\x1f]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FlatNamedTool(LenientModel):
    """The function that must be called."""

    type: Literal["function"]
    name: str


class FlatAllowedTools(LenientModel):
    """Offered functions of which one may, or must, be called."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"] = "auto"
    tools: list[FlatNamedTool] = Field(min_length=1, max_length=256)


FlatChoice = (
    Literal["auto", "none", "required"] | Annotated[FlatNamedTool | FlatAllowedTools, Field(discriminator="type")]
)


class TextForm(LenientModel):
    """text, json_object or json_schema."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), populate_by_name=True)
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class TextSettings(LenientModel):
    """How the text of the answer looks."""

    format: TextForm | None = None


class Reasoning(LenientModel):
    """How long the model thinks."""

    effort: Effort | None = None


class ResponseBody(SampledBody):
    """The request; null means absent. Conversations are not stored: `store` and labels have no effect."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, protected_namespaces=(), json_schema_extra={"additionalProperties": True}
    )
    model: str | None = None
    input: Input
    instructions: str | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    top_logprobs: int = Field(0, ge=0, le=20)
    tools: list[FlatTool] = Field(default_factory=list, max_length=256)
    tool_choice: FlatChoice = "auto"
    parallel_tool_calls: bool = True
    text: TextSettings = Field(default_factory=TextSettings)
    reasoning: Reasoning | None = None
    truncation: Literal["disabled", "auto"] = "disabled"
    include: list[str] = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = Field(None, ge=-1, lt=2**63)
    deadline_s: float | None = Field(None, ge=0.001, le=1e6)

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, (neutral, why) in UNSUPPORTED.items():
            if values.get(name) not in (None, neutral):
                raise RequestError(f"{name}: {why}.", code="unsupported_parameter", param=name)
        for tool in values.get("tools") or [] if isinstance(values.get("tools"), list) else []:
            if isinstance(tool, dict) and tool.get("type") != "function":
                raise RequestError(
                    f"Tools of type {str(tool.get('type'))[:40]!r} do not run here: offer functions.",
                    code="unsupported_parameter",
                    param="tools",
                )
        metadata = values.get("metadata")
        kept = without_neutral({name: value for name, value in values.items() if name not in UNSUPPORTED})
        return kept if metadata is None else {**kept, "metadata": metadata}

    def request(self) -> AnswerRequest:
        """What the pipeline is asked for."""
        for name in self.include:
            if name not in INCLUDES:
                raise RequestError(
                    f"include holds {name[:60]!r}, but only {' and '.join(INCLUDES)} are known here.", param="include"
                )
        tools, choice = callable_tools([_nested(tool) for tool in self.tools], _nested_choice(self.tool_choice))
        form = self.text.format or TextForm.model_validate({})
        schema = None if form.type == "text" else ANY_OBJECT if form.schema_ is None else form.schema_
        effort = self.reasoning.effort if self.reasoning else None
        wants_logprobs = bool(self.top_logprobs) or INCLUDES[0] in self.include
        return AnswerRequest(
            model=self.model,
            messages=self.messages(),
            tools=tools,
            chooses=choice == "auto",
            parallel=self.parallel_tool_calls,
            thinks=False if effort is not None and EFFORTS[effort] == 0 else None,
            seed=None if self.seed == -1 else self.seed,
            deadline_s=self.deadline_s,
            options={
                "max_new_tokens": self.max_output_tokens,
                **self.sampling(),
                "logprobs": self.top_logprobs if wants_logprobs else None,
                "rule": make_rule(schema, tools, choice, self.parallel_tool_calls),
                "thinking_budget": None if effort is None else EFFORTS[effort] or None,
                "call_pieces": self.stream,
            },
        )

    def messages(self) -> list[dict[str, Any]]:
        """The input as chat messages; calls beside each other are one turn."""
        found: list[dict[str, Any]] = []
        if self.instructions:
            found.append({"role": "system", "content": self.instructions})
        if isinstance(self.input, str):
            return [*found, {"role": "user", "content": self.input}]
        for item in self.input:
            _add_item(found, item)
        if not any(message["role"] != "system" for message in found):
            raise RequestError("input holds no message.", code="invalid_value", param="input")
        return found


def _add_item(messages: list[dict[str, Any]], item: dict[str, Any]) -> None:
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "message":
        messages.append({"role": item.get("role"), "content": item.get("content")})
    elif kind == "function_call":
        call = {
            "id": item.get("call_id"),
            "type": "function",
            "function": {"name": item.get("name"), "arguments": item.get("arguments")},
        }
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        messages.append({"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")})
    elif kind == "reasoning":
        return  # thoughts of earlier turns are not read again
    else:
        raise RequestError(
            f"Items of type {str(kind)[:40]!r} are not read here: send message, function_call, function_call_output or "
            "reasoning.",
            code="unsupported_parameter",
            param="input",
        )


def _nested_choice(choice: FlatChoice) -> ToolChoice:
    """The choice in the form of chat completions."""
    if isinstance(choice, FlatNamedTool):
        return _named(choice)
    if isinstance(choice, FlatAllowedTools):
        allowed = AllowedTools(mode=choice.mode, tools=[_named(tool) for tool in choice.tools])
        return AllowedChoice(type="allowed_tools", allowed_tools=allowed)
    return choice


def _named(tool: FlatNamedTool) -> NamedTool:
    return NamedTool(type="function", function=NamedFunction(name=tool.name))


def _nested(tool: FlatTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude_none=True, exclude={"type"})}


class ResponseUsage(LenientModel):
    """Tokens that were read and said."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ResponseObject(LenientModel):
    """The answer: reasoning, a message and calls, in the order in which they were made."""

    id: str
    object: Literal["response"] = "response"
    created_at: float
    status: Literal["completed", "incomplete", "in_progress", "failed"]
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None = None
