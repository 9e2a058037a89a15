"""Libraries for answers that follow a JSON schema: time to compile, time of a mask, which schemas hold.

    python examples/token_masks.py [--vocabulary 151552] [llguidance xgrammar outlines_core]

The vocabulary has the size of the released models' tokenizer and is made up: bytes, English and Chinese words, numbers,
JSON punctuation. Libraries that are not installed are left out (only llguidance is a dependency of ours).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import string
import time
from collections.abc import Callable
from typing import Any, Protocol

EOS = "<|endoftext|>"
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": False}


def one(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of an object with one property."""
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}


TREE = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"l": {"$ref": "#/$defs/T"}},
        "additionalProperties": False}}}  # fmt: skip
CASES: dict[str, tuple[Any, str, str]] = {  # schema, an answer that holds, one that does not
    "string": (one({"type": "string"}), '{"a": "x y"}', '{"a": 1}'),
    "integer": (one({"type": "integer"}), '{"a": 12}', '{"a": 1.5}'),
    "boolean, null": (one({"type": ["boolean", "null"]}), '{"a": null}', '{"a": "n"}'),
    "enum": (one({"enum": ["red", 5]}), '{"a": 5}', '{"a": 6}'),
    "const": (one({"const": "x"}), '{"a": "x"}', '{"a": "y"}'),
    "any of": (one({"anyOf": [{"type": "string"}, POINT]}), '{"a": {"x": 1}}', '{"a": {"y": 1}}'),
    "all of": (one({"allOf": [{"type": "integer"}, {"minimum": 3}]}), '{"a": 3}', '{"a": 2}'),
    "array bounds": (one({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}),
                     '{"a": [1, 2]}', '{"a": [1]}'),
    "tuple": (one({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}),
              '{"a": [1, "b"]}', '{"a": ["b", 1]}'),
    "number bounds": (one({"type": "number", "minimum": 1.5, "maximum": 9}), '{"a": 8.25}', '{"a": 9.5}'),
    "length": (one({"type": "string", "minLength": 2, "maxLength": 3}), '{"a": "abc"}', '{"a": "abcd"}'),
    "pattern": (one({"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}), '{"a": "AB12"}', '{"a": "ab12"}'),
    "date": (one({"type": "string", "format": "date"}), '{"a": "2026-11-29"}', '{"a": "2026-13-29"}'),
    "recursion": (TREE, '{"l": {"l": {}}}', '{"l": {"r": {}}}'),
    "free keys": ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"k": 1}', '{"k": "1"}'),
    "pattern keys": ({"type": "object", "patternProperties": {"^x_": {"type": "integer"}},
                      "additionalProperties": False},
                     '{"x_1": 1}', '{"y_1": 1}'),
    "optional keys": ({**POINT, "properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
                      '{"x": 1, "y": 2}', '{"y": 2}'),
    "any JSON": ({"type": "object"}, '{"k": [1, {"b": null}]}', '{"k": [1,, 2]}'),
}  # fmt: skip
LINE = {"type": "object", "additionalProperties": False, "required": ["name", "price", "kind", "tags"],
        "properties": {"name": {"type": "string"}, "price": {"type": "number"}, "kind": {"enum": ["food", "drink"]},
                       "tags": {"type": "array", "items": {"type": "string"}}}}  # fmt: skip
BILL = {"type": "object", "additionalProperties": False, "required": ["shop", "lines", "total"],
        "properties": {"shop": {"type": "string"}, "lines": {"type": "array", "items": LINE},
                       "total": {"type": "number"}}}  # fmt: skip
ANSWER = json.dumps(
    {"shop": "Tea & \"more\" 茶馆", "lines": [{"name": f"green tea {n}", "price": 3.5 * n, "kind": "drink",
     "tags": ["hot", "leaf", "a longer remark about how it was served"]} for n in range(8)], "total": 98.0},
    ensure_ascii=False,
)  # fmt: skip


def vocabulary(size: int) -> list[bytes]:
    """Distinct pieces; the last one is the end of the text."""
    rng = random.Random(0)
    pieces = [bytes([number]) for number in range(256)]
    pieces += [
        text.encode() for text in ('{"', '":', '": ', '", "', '"}', "}]", "[{", "},", '":"', '": {"', " {", ", ")
    ]
    pieces += [str(number).encode() for number in range(1000)]
    known = set(pieces)
    while len(pieces) < size - 1:
        if rng.random() < 0.6:
            word = "".join(rng.choices(string.ascii_lowercase, weights=range(40, 14, -1), k=rng.randint(2, 9)))
            text = (" " if rng.random() < 0.6 else "") + (word.title() if rng.random() < 0.2 else word)
        else:
            text = "".join(chr(rng.randint(0x4E00, 0x8FFF)) for _ in range(rng.randint(1, 4)))
        if (piece := text.encode()) not in known:
            known.add(piece)
            pieces.append(piece)
    return [*pieces, EOS.encode()]


class Masks(Protocol):
    """A library: `compile` a schema, then for each token `mask` and `take`."""

    def compile(self, schema: Any) -> Any: ...
    def mask(self, state: Any) -> Any: ...
    def allows(self, _: Any, mask: Any, token: int) -> bool: ...
    def take(self, state: Any, token: int) -> bool: ...
    def may_end(self, state: Any) -> bool: ...


class LLGuidance:
    """https://github.com/guidance-ai/llguidance"""

    def __init__(self, pieces: list[bytes]) -> None:
        import numpy as np
        from llguidance import LLTokenizer, TokenizerWrapper

        class Wrapped:
            eos_token_id = len(pieces) - 1
            bos_token_id = None
            tokens = (*pieces[:-1], b"\xff" + pieces[-1])
            special_token_ids = (len(pieces) - 1,)

            def __call__(self, text: bytes | str) -> list[int]:
                return list(text.encode() if isinstance(text, str) else text)

        self.tokenizer = LLTokenizer(TokenizerWrapper(Wrapped()))
        self.buffer = np.zeros((len(pieces) + 31) // 32, dtype=np.int32)

    def compile(self, schema: Any) -> Any:
        from llguidance import LLMatcher

        matcher = LLMatcher(self.tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def mask(self, state: Any) -> Any:
        state.unsafe_compute_mask_ptr(self.buffer.ctypes.data, self.buffer.nbytes)
        return self.buffer

    def allows(self, _: Any, mask: Any, token: int) -> bool:
        return bool(int(mask[token // 32]) >> (token % 32) & 1)

    def take(self, state: Any, token: int) -> bool:
        return bool(state.consume_token(token))

    def may_end(self, state: Any) -> bool:
        return bool(state.is_accepting())


class XGrammar:
    """https://github.com/mlc-ai/xgrammar"""

    def __init__(self, pieces: list[bytes]) -> None:
        import xgrammar

        info = xgrammar.TokenizerInfo(pieces, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[len(pieces) - 1])
        self.module, self.compiler = xgrammar, xgrammar.GrammarCompiler(info, max_threads=2, cache_enabled=False)
        self.buffer = xgrammar.allocate_token_bitmask(1, len(pieces))

    def compile(self, schema: Any) -> Any:
        return self.module.GrammarMatcher(self.compiler.compile_json_schema(json.dumps(schema), strict_mode=False))

    def mask(self, state: Any) -> Any:
        if not state.fill_next_token_bitmask(self.buffer):
            self.buffer.fill_(-1)
        return self.buffer[0]

    def allows(self, _: Any, mask: Any, token: int) -> bool:
        return bool(int(mask[token // 32]) >> (token % 32) & 1)

    def take(self, state: Any, token: int) -> bool:
        return bool(state.accept_token(token))

    def may_end(self, state: Any) -> bool:
        return bool(self.allows(state, self.mask(state), self.buffer.shape[1] * 32 - 1) or state.is_completed())


class OutlinesCore:
    """https://github.com/dottxt-ai/outlines-core"""

    def __init__(self, pieces: list[bytes]) -> None:
        from outlines_core import Vocabulary

        self.vocabulary = Vocabulary(len(pieces) - 1, {piece: [place] for place, piece in enumerate(pieces[:-1])})

    def compile(self, schema: Any) -> Any:
        from outlines_core import Guide, Index
        from outlines_core.json_schema import build_regex_from_schema

        return Guide(Index(build_regex_from_schema(json.dumps(schema)), self.vocabulary))

    def mask(self, state: Any) -> Any:
        return set(state.get_tokens())

    def allows(self, _: Any, mask: Any, token: int) -> bool:
        return token in mask

    def take(self, state: Any, token: int) -> bool:
        try:
            state.advance(token, return_tokens=False)
        except ValueError:
            return False
        return True

    def may_end(self, state: Any) -> bool:
        return bool(state.is_finished())


LIBRARIES: dict[str, Callable[[list[bytes]], Masks]] = {
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
    "outlines_core": OutlinesCore,
}


class Walk:
    """An answer token by token: at each place the longest piece that the mask allows."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.places = {piece: number for number, piece in enumerate(pieces[:-1])}
        self.longest = max(map(len, pieces))

    def run(self, library: Masks, state: Any, answer: str, times: list[float] | None = None) -> bool:
        text, at = answer.encode(), 0
        while at < len(text):
            begun = time.perf_counter()
            mask = library.mask(state)
            if times is not None:
                times.append(time.perf_counter() - begun)
            for size in range(min(self.longest, len(text) - at), 0, -1):
                token = self.places.get(text[at : at + size])
                if token is not None and library.allows(state, mask, token):
                    break
            else:
                return False
            if not library.take(state, token):
                return False
            at += size
        return library.may_end(state)


def measure(name: str, pieces: list[bytes]) -> None:
    """Print one library's figures."""
    begun = time.perf_counter()
    library, walk = LIBRARIES[name](pieces), Walk(pieces)
    print(f"{name}: tokenizer {time.perf_counter() - begun:.2f} s")
    begun = time.perf_counter()
    try:
        state = library.compile(BILL)
        compiled, times = time.perf_counter() - begun, []
        held = walk.run(library, state, ANSWER, times)
        middle, high = statistics.median(times) * 1e3, sorted(times)[int(len(times) * 0.99)] * 1e3
        figures = f"mask {middle:.3f} ms (99 %: {high:.2f}, most: {max(times) * 1e3:.2f}, {len(times)} tokens)"
        print(f"  bill: compile {compiled * 1e3:.0f} ms, {figures}, answer held: {held}")
    except Exception as error:
        print(f"  bill: {type(error).__name__}: {str(error)[:90]}")
    wrong = []
    begun = time.perf_counter()
    for case, (schema, good, bad) in CASES.items():
        try:
            said = "" if walk.run(library, library.compile(schema), good) else "a right answer is refused"
            said = said or ("a wrong one passes" if walk.run(library, library.compile(schema), bad) else "")
        except Exception as error:
            said = f"{type(error).__name__}: {str(error)[:60]}"
        if said:
            wrong.append(f"{case} ({said})")
    print(f"  schemas: {len(CASES) - len(wrong)} of {len(CASES)} hold in {time.perf_counter() - begun:.1f} s; {wrong}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES))
    parser.add_argument("--vocabulary", type=int, default=151_552)
    settings = parser.parse_args()
    pieces = vocabulary(settings.vocabulary)
    for name in settings.libraries:
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed")
            continue
        measure(name, pieces)


if __name__ == "__main__":
    main()
