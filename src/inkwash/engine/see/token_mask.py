"""Which tokens may be said next, so that an answer keeps a rule whatever the model would like to say.

    mask = TokenMasks(processor, vocabulary, stop_ids).start(AnswerRule(schema={"type": "object"}))
    logits = mask.apply(logits); mask.take(token)

Masks come from llguidance (of the extra `serve`), which needs nothing else; `docs/log.md` has the comparison. Tags of
the format and control tokens are never part of a text, so no schema's string can open a tool call.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.core.errors import MissingExtraError, RequestError
from inkwash.engine.see.grammar import AnswerRule


def byte_of_character() -> dict[str, int]:
    """The characters in which byte-level vocabularies write bytes (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def token_bytes(tokenizer: Tokenizer, size: int) -> list[bytes]:
    """Every token's bytes; tokens that were added, and places without a token, are told apart by a first byte 0xFF."""
    table, added = byte_of_character(), tokenizer.get_added_tokens_decoder()
    found = []
    for token in range(size):
        text = tokenizer.id_to_token(token)
        if text is None:
            found.append(f"\0<{token}>".encode())
        elif token in added or any(character not in table for character in text):
            found.append(text.encode())
        else:
            found.append(bytes(table[character] for character in text))
            continue
        found[-1] = b"\xff" + found[-1]
    return found


class _Wrapped:
    """A tokenizer as llguidance wants it."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, pieces: list[bytes], stop_ids: Sequence[int]) -> None:
        self.tokenizer, self.tokens = tokenizer, pieces
        self.eos_token_id = stop_ids[0]
        self.special_token_ids = [token for token, piece in enumerate(pieces) if piece.startswith(b"\xff")]

    def __call__(self, text: bytes | str) -> list[int]:
        words = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return list(self.tokenizer.encode(words, add_special_tokens=False).ids)


def refusal_reason(complaint: str) -> str:
    """What the library says of a rule, on one line; its other lines show our grammar."""
    lines = complaint.splitlines() or [complaint]
    first = re.sub(r"^at \d+\(\d+\): ", "", lines[0]).removeprefix("failed to compile JSON schema: ")
    detail = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), "")
    return " ".join(f"{first} {detail}".split())[:300].rstrip(".")


class TokenMasks:
    """A tokenizer's masks; the table of its tokens is made once."""

    def __init__(self, tokenizer: Tokenizer, size: int, stop_ids: Sequence[int]) -> None:
        """`size`: of the logits, which may be larger than the vocabulary."""
        self.tokenizer, self.size, self.stop_ids = tokenizer, size, tuple(stop_ids)
        self._lock = threading.Lock()

    @cached_property
    def pieces(self) -> list[bytes]:
        """Every token's bytes."""
        return token_bytes(self.tokenizer, self.size)

    @cached_property
    def _table(self) -> Any:
        try:
            from llguidance import LLTokenizer, TokenizerWrapper
        except ModuleNotFoundError:
            raise MissingExtraError("Structured output", extra="serve") from None
        wrapped = TokenizerWrapper(_Wrapped(self.tokenizer, self.pieces, self.stop_ids))
        return LLTokenizer(wrapped, eos_token=list(self.stop_ids))

    def start(self, rule: AnswerRule) -> TokenMask:
        """The mask of one answer; raises `RequestError` for a rule that cannot be kept."""
        with self._lock:
            table = self._table
        from llguidance import LLMatcher

        added = self.tokenizer.get_added_tokens_decoder()
        grammar = rule.grammar({token.content: number for number, token in added.items()})
        matcher = LLMatcher(table, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if matcher.is_error():
            raise RequestError(
                f"The answer cannot be held to this schema: {refusal_reason(matcher.get_error())}.",
                code="invalid_schema",
                param="tools" if rule.calls else "response_format",
            )
        mask = TokenMask(matcher, self.size)
        mask.allowed()  # what is too large or leads nowhere shows at the first token
        return mask


class TokenMask:
    """How far an answer has come in its rule."""

    def __init__(self, matcher: Any, size: int) -> None:
        self._matcher, self._size = matcher, size
        self._words = np.zeros((size + 31) // 32, dtype=np.int32)

    def allowed(self) -> Tensor:
        """Which tokens may come next, as truth values (V,)."""
        self._matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        self._check()
        bits = np.unpackbits(self._words.view(np.uint8), bitorder="little")[: self._size]
        return torch.from_numpy(bits.astype(bool))

    def apply(self, logits: Tensor) -> Tensor:
        """Logits (1, V) with everything else at minus infinity."""
        return logits.masked_fill(~self.allowed().to(logits.device), float("-inf"))

    def take(self, token: int) -> None:
        """Go on behind a token that was allowed."""
        self._matcher.consume_token(token)
        self._check()

    @property
    def complete(self) -> bool:
        """Whether the answer is whole and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = str(self._matcher.get_error()).partition("<state>")[0].partition("\n")[0].strip().rstrip(".")
            if " " not in reason:  # a word of the library's own, not a reason
                reason = "nothing that the model can write satisfies it"
            raise RequestError(
                f"The schema of the answer cannot be followed: {reason[:200]}.",
                code="invalid_schema",
                param="response_format",
            )
