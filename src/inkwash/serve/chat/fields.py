"""Fields that clients of other servers send: which mean something here, and which only where they ask for nothing.

A field that would be accepted and ignored misleads, so it is refused, unless its value is the one that changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from inkwash.core.errors import RequestError
from inkwash.engine.see.grammar import AnswerRule

MAX_STOPS = 16
NO_LIMIT = 2**31 - 1  # of top_k, in place of the checkpoint's own
EFFORTS: dict[str, int | None] = {  # tokens of thought; None is no bound
    "none": 0, "minimal": 0, "low": 1024, "medium": 4096, "high": None, "xhigh": None, "max": None,
}  # fmt: skip
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
    "allowed_token_ids": ([],),
    "audio": (),
    "bad_words": ([],),
    "best_of": (1,),
    "cache_salt": (),
    "chat_template": (),
    "continue_final_message": (False,),
    "documents": ([],),
    "early_stopping": (False,),
    "ebnf": (),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "guided_grammar": (),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1, 1.0),
    "lora_path": (),
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "modalities": (["text"], []),
    "no_stop_trim": (False,),
    "prediction": (),
    "priority": (0,),
    "prompt_logprobs": (0, False),
    "return_tokens_as_token_ids": (False,),
    "separate_reasoning": (True,),
    "spaces_between_special_tokens": (True, False),
    "stream_reasoning": (True,),
    "tool_stream": (True, False),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
    "web_search_options": (),
}
LABELS = (  # say who asks or where it is kept; no answer depends on them
    "user", "user_id", "safety_identifier", "metadata", "store", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "request_id", "rid", "verbosity",
)  # fmt: skip


def without_neutral(values: Any) -> Any:
    """A body without nulls, labels, and fields whose value asks for nothing; raises for one that asks for more."""
    if not isinstance(values, dict):
        return values
    found = {}
    for name, value in values.items():
        if value is None:
            continue
        if name in LABELS:
            _check_label(name, value)
        elif name in NEUTRAL:
            if not any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in NEUTRAL[name]):
                hint = "use tools" if name in ("functions", "function_call") else "leave it out"
                raise RequestError(f"{name} is not supported here: {hint}.", code="unsupported_parameter", param=name)
        else:
            found[name] = value
    return found


def _check_label(name: str, value: Any) -> None:
    kinds: tuple[type, ...] = {"metadata": (dict,), "store": (bool,)}.get(name, (str,))
    if not isinstance(value, kinds):
        raise RequestError(
            f"{name} must be a {' or '.join(kind.__name__ for kind in kinds)}, got {type(value).__name__}.",
            code="invalid_value",
            param=name,
        )


class LenientModel(BaseModel):
    """A part of a body in which fields that mean nothing here do no harm."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class StrictModel(BaseModel):
    """A part of a body in which every field counts."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Function(LenientModel):
    """A tool's name, what it is for, and the JSON schema of its arguments."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\s<>{}\x00-\x1f]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(LenientModel):
    """One offered tool."""

    type: Literal["function"]
    function: Function


class NamedFunction(LenientModel):
    """The name of an offered tool."""

    name: str


class NamedTool(LenientModel):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(LenientModel):
    """Offered tools of which one may, or must, be called."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] = Field(min_length=1, max_length=256)


class AllowedChoice(LenientModel):
    """A choice among some of the offered tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoice = Literal["auto", "none", "required"] | Annotated[NamedTool | AllowedChoice, Field(discriminator="type")]


class TextFormat(LenientModel):
    """Any text."""

    type: Literal["text"]


class JsonFormat(LenientModel):
    """A JSON object."""

    type: Literal["json_object"]


class JsonSchema(BaseModel):
    """A schema and its name."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), populate_by_name=True)
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | bool | None = Field(None, alias="schema")
    strict: bool | None = None


class SchemaFormat(LenientModel):
    """JSON that follows a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[TextFormat | JsonFormat | SchemaFormat, Field(discriminator="type")]
ANY_OBJECT = {"type": "object"}


class Thinking(LenientModel):
    """z.ai's switch of thoughts."""

    type: Literal["enabled", "disabled", "auto"] = "enabled"
    budget_tokens: int | None = Field(None, ge=0)


def plain_tool(tool: Tool) -> dict[str, Any]:
    """A tool as the chat template shows it."""
    return {"type": "function", "function": tool.function.model_dump(exclude_none=True)}


def callable_tools(
    tools: list[dict[str, Any]], choice: ToolChoice
) -> tuple[list[dict[str, Any]], Literal["auto", "none", "required"] | NamedTool]:
    """The tools that may be called, and how one of them is chosen; raises for a name that is not offered."""
    if choice == "none":
        return [], choice
    if not isinstance(choice, AllowedChoice):
        return tools, choice
    names = [tool.function.name for tool in choice.allowed_tools.tools]
    for name in names:
        _find_tool(tools, name)
    return [tool for tool in tools if tool["function"]["name"] in names], choice.allowed_tools.mode


def _find_tool(tools: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((tool for tool in tools if tool["function"]["name"] == name), None)
    if found is None:
        raise RequestError(
            f"tool_choice names {name[:80]!r}, which is no offered tool.", code="invalid_value", param="tool_choice"
        )
    return found


def make_rule(
    schema: Any, tools: list[dict[str, Any]], choice: ToolChoice, parallel: bool, **more: Any
) -> AnswerRule | None:
    """What the answer must be: calls where they are required, JSON of a schema, or whatever the model says."""
    if isinstance(choice, NamedTool):
        return AnswerRule(calls=(_find_tool(tools, choice.function.name),), parallel=False)
    if choice == "required":
        if not tools:
            raise RequestError(
                "tool_choice is 'required', but no tools are offered.", code="invalid_value", param="tool_choice"
            )
        return AnswerRule(calls=tuple(tools), parallel=parallel)
    if schema is None and not any(more.values()):
        return None
    return AnswerRule(schema=schema, calls=tuple(tools) if choice == "auto" else (), parallel=parallel, **more)
