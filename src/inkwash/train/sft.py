"""What a GLM-V learns from a conversation: each answer, behind exactly what the model reads before it says one.

The prompt is the one that the engine makes, with a history that carries no thoughts. The answer is written in the
format of the checkpoint: 4.1V thinks always and answers between tags; 4.5V and later answer in plain text, and an
answer without thoughts is learnt with the thinking switch off. One data set so serves both. Only the answer counts,
with the token that ends it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from inkwash.core.errors import DataError
from inkwash.models.glm_v.answer import Style, history_text, split_answer
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tools import tool_call_text
from inkwash.models.glm_v.vision import PatchGrid
from inkwash.models.glm_v.vision_input import VisionPrompt
from inkwash.train.device import to_device

USER, OBSERVATION = "<|user|>", "<|observation|>"
CONTROL = (USER, OBSERVATION, "<|assistant|>", "<|system|>", "<|endoftext|>", "<|image|>", "<|video|>")
Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SftTarget:
    """The text to be said after a prompt, and how the thinking switch stands in that prompt."""

    text: str
    enable_thinking: bool | None


@dataclass(frozen=True, kw_only=True)
class SftExample:
    """One answer with its prompt; the last `n_target` tokens are what is learnt."""

    ids: Tensor  # (L,)
    modality: Tensor  # (L,)
    positions: Tensor  # (3, L)
    n_target: int
    patches: Tensor | None
    grids: tuple[PatchGrid, ...]


@dataclass(frozen=True, kw_only=True)
class SftBatch:
    """A batch for the network; `weight` is one where the next token is to be learnt."""

    ids: Tensor  # (B, L)
    modality: Tensor  # (B, L)
    positions: Tensor  # (3, B, L)
    weight: Tensor  # (B, L)
    patches: Tensor | None
    grids: tuple[PatchGrid, ...]


def target_of(message: Message, style: Style) -> SftTarget:
    """An assistant's turn in the format of a checkpoint. Raises DataError for one that is cut or badly tagged."""
    content, calls = message.get("content") or "", message.get("tool_calls") or []
    if content.count("<think>") > 1 or content.count("</think>") > 1 or content.count("<answer>") > 1:
        raise DataError("an answer holds a tag of thoughts or answer twice")
    if ("<think>" in content) != ("</think>" in content) or ("<answer>" in content) != ("</answer>" in content):
        raise DataError("an answer has a tag of thoughts or answer that is opened or closed alone")
    if controls := [token for token in CONTROL if token in content]:
        raise DataError(f"an answer holds the control token {controls[0]}")
    found = split_answer(content)
    thoughts = str(message.get("reasoning_content") or found.thoughts).strip()
    if not found.content.strip() and not calls:
        raise DataError("an answer says nothing")
    if style == "tagged":
        if calls:
            raise DataError("an answer calls a tool, which the template of this checkpoint does not know")
        ready = content.strip()
        if not (ready.startswith("<think>") and ready.endswith("</answer>")):
            ready = f"<think>{thoughts}</think><answer>{found.content}</answer>"
        return SftTarget(text=ready + USER, enable_thinking=None)
    answer = f"\n{found.content}" if found.content.strip() else ""
    answer += "".join("\n" + tool_call_text(call.get("function", call)) for call in _with_arguments(calls))
    answer += OBSERVATION if calls else USER
    if not thoughts:
        return SftTarget(text=answer, enable_thinking=False)
    return SftTarget(text=f"\n<think>{thoughts}</think>{answer}", enable_thinking=None)


def history(messages: Sequence[Message]) -> list[Message]:
    """What stands before an answer: earlier answers without thoughts, those since the last question as they are."""
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    found = []
    for place, message in enumerate(messages):
        if message["role"] == "assistant" and place < last:
            message = {**message, "content": history_text(message.get("content") or "")}
            message.pop("reasoning_content", None)
        found.append(message)
    return found


def make_example(processor: GlmVProcessor, prompt: VisionPrompt, text: str, *, pixels: bool = True) -> SftExample:
    """The answer behind its prompt; without `pixels` what is seen is measured only."""
    target = torch.tensor(processor.encode(text), dtype=torch.long)
    places = prompt.next_position + torch.arange(len(target))
    return SftExample(
        ids=torch.cat([prompt.ids, target]),
        modality=torch.cat([prompt.modality, torch.zeros_like(target)]),
        positions=torch.cat([prompt.positions, places.expand(3, -1)], dim=1),
        n_target=len(target),
        patches=prompt.patches if pixels else None,
        grids=prompt.grids,
    )


def collate(examples: Sequence[SftExample], pad_id: int) -> SftBatch:
    """Rows padded on the right, where causal attention never looks."""
    patches = [example.patches for example in examples if example.patches is not None]
    weights = [torch.zeros(len(example.ids)) for example in examples]
    for weight, example in zip(weights, examples, strict=True):
        weight[-example.n_target - 1 : -1] = 1.0
    positions = [example.positions.T for example in examples]
    return SftBatch(
        ids=pad_sequence([example.ids for example in examples], batch_first=True, padding_value=pad_id),
        modality=pad_sequence([example.modality for example in examples], batch_first=True),
        positions=pad_sequence(positions, batch_first=True).permute(2, 0, 1),
        weight=pad_sequence(weights, batch_first=True),
        patches=torch.cat(patches) if patches else None,
        grids=tuple(grid for example in examples for grid in example.grids),
    )


def sft_loss(model: GlmV, rows: SftBatch, device: torch.device, *, see: bool) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the tokens to be said, and the share that is right; `see`: gradients reach the ViT."""
    ids, weight = to_device(rows.ids, device), to_device(rows.weight, device)
    features = None
    if rows.patches is not None:
        with torch.set_grad_enabled(see and torch.is_grad_enabled()):
            features = model.see(to_device(rows.patches, device), rows.grids)
    hidden = model(ids, rows.positions.to(device), features=features, modality=rows.modality.to(device))
    counted = weight > 0
    logits = model.lm_head(hidden[counted]).float()
    targets = ids.roll(-1, dims=1)[counted]
    right = (logits.argmax(-1) == targets).float().mean()
    return F.cross_entropy(logits, targets), right.detach()


def _with_arguments(calls: Sequence[Message]) -> list[Message]:
    """Calls whose arguments are objects; the chat protocol writes them as JSON text."""
    found = []
    for call in calls:
        function = dict(call.get("function", call))
        if isinstance(function.get("arguments"), str):
            try:
                function["arguments"] = json.loads(function["arguments"] or "{}")
            except ValueError as error:
                raise DataError(f"the arguments of a tool call are not JSON ({error})") from error
        if not isinstance(function.get("name"), str) or not isinstance(function.get("arguments") or {}, dict):
            raise DataError("a tool call needs a name and an object of arguments")
        found.append(function)
    return found
