"""Plan handles: the prior tokens of a picture as a signed text that the client keeps and the server does not.

A handle holds the tokens themselves (two bytes each, about 2.7 kB of text at 1024x1024), so it works after a restart
and on every replica that shares the secret. It is signed, because tokens from elsewhere would be a request that no
field describes, and it expires.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inkwash.core.errors import RequestError
from inkwash.core.limits import SIZE_STEP
from inkwash.core.types import Size

if TYPE_CHECKING:
    from inkwash.engine.output import Plan

_PREFIX = "plan1."
_MAX_INFLATED = 200_000


@dataclass(frozen=True, kw_only=True)
class PlanHandle:
    """What a handle says: tokens on the grid of 32 px cells, the asked size, and the references it was planned with."""

    tokens: tuple[int, ...]
    final_size: Size
    drawn: Size
    references: tuple[str, ...]

    def plan(self) -> Plan:
        """The engine's plan of one picture."""
        import torch

        from inkwash.engine.output import Plan, upsample

        grid = self.drawn.height // SIZE_STEP, self.drawn.width // SIZE_STEP
        return Plan(upsample(torch.tensor(self.tokens, dtype=torch.long), grid)[None])


def of_plan(plan: Plan, index: int, *, final_size: Size, drawn: Size, references: list[str]) -> PlanHandle:
    """The handle's content for picture `index` of a result."""
    rows, columns = drawn.height // SIZE_STEP, drawn.width // SIZE_STEP
    ids = plan.prior_token_ids
    row = ids[index if len(ids) > 1 else 0]
    square = row.reshape(2 * rows, 2 * columns)[::2, ::2]
    return PlanHandle(
        tokens=tuple(square.flatten().tolist()), final_size=final_size, drawn=drawn, references=tuple(references)
    )


class PlanSigner:
    """Writes and reads handles under one secret."""

    def __init__(self, secret: bytes, ttl_s: float) -> None:
        self._key = hashlib.sha256(b"inkwash plan handle\0" + secret).digest()
        self.ttl_s = ttl_s

    def write(self, handle: PlanHandle, *, now: float | None = None) -> str:
        """The signed text of a handle."""
        head = {
            "until": int((time.time() if now is None else now) + self.ttl_s),
            "asked": list(handle.final_size),
            "drawn": list(handle.drawn),
            "references": list(handle.references),
        }
        tokens = b"".join(token.to_bytes(2, "little") for token in handle.tokens)
        content = zlib.compress(json.dumps(head).encode() + b"\0" + tokens)
        return _PREFIX + _text(content) + "." + _text(self._sign(content))

    def read(self, text: str, *, now: float | None = None) -> PlanHandle:
        """What a handle says; raises RequestError for one that is damaged, foreign or too old."""
        body, dot, signature = text.removeprefix(_PREFIX).partition(".")
        try:
            content, signed = _bytes(body), _bytes(signature)
        except (binascii.Error, ValueError):
            content, signed = b"", b""
        if not text.startswith(_PREFIX) or not dot or not hmac.compare_digest(self._sign(content), signed):
            raise RequestError(
                "plan is no handle of this server: take it from data[].plan of an earlier answer, whole.",
                code="invalid_plan",
                param="plan",
            )
        inflated = zlib.decompressobj().decompress(content, _MAX_INFLATED)
        head_text, _, tokens = inflated.partition(b"\0")
        head = json.loads(head_text)
        if head["until"] < (time.time() if now is None else now):
            raise RequestError(
                f"The plan handle is older than {self.ttl_s / 3600:g} hours: draw the picture again to get a new one.",
                code="plan_expired",
                param="plan",
            )
        return PlanHandle(
            tokens=tuple(int.from_bytes(tokens[at : at + 2], "little") for at in range(0, len(tokens), 2)),
            final_size=Size(*head["asked"]),
            drawn=Size(*head["drawn"]),
            references=tuple(head["references"]),
        )

    def _sign(self, content: bytes) -> bytes:
        return hmac.new(self._key, content, hashlib.sha256).digest()[:16]


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
