"""The bodies of the agent routes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TASK = 8000
MAX_STEPS = 100
MAX_URL = 64 * 1024 * 1024


class PastStep(BaseModel):
    """An earlier step: the model's whole reply, the screenshot that it saw, and what came of it."""

    model_config = ConfigDict(extra="forbid")

    reply: str = Field(max_length=100_000)
    screenshot: str | None = Field(None, max_length=MAX_URL, description="A data URL.")
    result: str = Field("", max_length=4000)


class AgentStepBody(BaseModel):
    """A screenshot, a task and what was done so far; nothing is kept and nothing is carried out."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=MAX_TASK)
    screenshot: str = Field(max_length=MAX_URL, description="A data URL of a picture.")
    screen: Literal["phone", "computer", "web"] = "computer"
    model: str | None = Field(None, max_length=256)
    history: list[PastStep] = Field(default_factory=list, max_length=MAX_STEPS)
    elements: str = Field("", max_length=50_000, description="Of pages: one line for each numbered element.")
    apps: list[str] = Field(default_factory=list, max_length=200)
    platform: str = Field("Ubuntu", max_length=100)
    short: bool | None = Field(None, description="The prompt of small models; by default by the model's name.")
    max_tokens: int = Field(8192, ge=1, le=32768)


class AgentRunBody(BaseModel):
    """A task in a browser of the server, at a place that the server allows."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=MAX_TASK)
    url: str = Field(min_length=1, max_length=4000)
    mode: Literal["dry", "ask", "auto"] = "ask"
    confirm: Literal["all", "risky"] = "risky"
    screen: Literal["web", "computer"] = "web"
    short: bool | None = None
    steps: int = Field(30, ge=1, le=MAX_STEPS)
    seconds: float = Field(600.0, gt=0, le=3600)


class AgentConfirmBody(BaseModel):
    """The answer to a question of a run: the step that it is about, and yes or no."""

    model_config = ConfigDict(extra="forbid")

    question: int = Field(ge=0, description="The number that the event `confirm` has.")
    allow: bool


class AgentAnswer(BaseModel):
    """One step as an act; `act` is null where the reply cannot be read, and `unreadable` says why."""

    object: Literal["agent.step"] = "agent.step"
    model: str
    reply: str
    thought: str
    act: dict[str, Any] | None
    said: str | None = Field(description="The act in the words of its format.")
    at: list[int] | None = Field(description="Pixels of the screenshot.")
    to: list[int] | None
    memory: Any = None
    extra: bool = False
    unreadable: str | None = None
    usage: dict[str, int]


class AgentRunAnswer(BaseModel):
    """A run: its id, how far it is, and how it ended."""

    object: Literal["agent.run"] = "agent.run"
    id: str
    task: str
    status: str
    steps: int
    outcome: dict[str, Any] | None = None
