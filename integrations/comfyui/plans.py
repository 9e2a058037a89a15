"""Plans: the prior tokens of pictures, which redraw them with other noise, steps or guidance without the AR stage."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inkwash import Plan, RequestError

from .load import CATEGORY

_PREFIX = "inkwash-plan:"
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class PlanHandle:
    """What the type INKWASH_PLAN carries: the size, and tokens (pictures, cells of 16 x 16 pixels)."""

    width: int
    height: int
    tokens: Tensor

    def plan(self, start: int, count: int) -> Plan:
        """The plan of `count` pictures from `start` on; a plan of one picture serves all."""
        rows = self.tokens if len(self.tokens) == 1 else self.tokens[start : start + count]
        return Plan(rows)

    def check(self, count: int) -> None:
        """RequestError unless the plan is for so many pictures."""
        if len(self.tokens) not in (1, count):
            raise RequestError(
                f"The plan is of {len(self.tokens)} pictures, but {count} are to be drawn: draw as many.", param="plan"
            )


class InkwashPlanToText:
    """A plan as text, to be kept in a workflow or a file."""

    CATEGORY = CATEGORY
    DESCRIPTION = "A plan as text; `plan from text` makes it a plan again, in any session."
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    FUNCTION = "write"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"plan": ("INKWASH_PLAN",)}}

    def write(self, plan: PlanHandle) -> tuple[str]:
        content = {"width": plan.width, "height": plan.height, "tokens": plan.tokens.tolist()}
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)
        return (_PREFIX + base64.urlsafe_b64encode(packed).decode(),)


class InkwashPlanFromText:
    """The plan that a text holds; the networks check its tokens when they draw."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("INKWASH_PLAN",)
    RETURN_NAMES = ("plan",)
    FUNCTION = "read"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {"default": "", "multiline": True})}}

    def read(self, text: str) -> tuple[PlanHandle]:
        try:
            packed = base64.b64decode(text.strip().removeprefix(_PREFIX), altchars=b"-_", validate=True)
            inflater = zlib.decompressobj()
            content = json.loads(inflater.decompress(packed, _MAX_BYTES))
            width, height = int(content["width"]), int(content["height"])
            tokens = torch.tensor(content["tokens"], dtype=torch.long)
            if tokens.ndim != 2:
                raise ValueError("the tokens are no table")
        except (binascii.Error, zlib.error, ValueError, KeyError, TypeError) as error:
            raise RequestError(
                f"The text is no plan ({error or 'it is empty'}): take the whole text of `plan to text`.", param="plan"
            ) from error
        return (PlanHandle(width=width, height=height, tokens=tokens),)
