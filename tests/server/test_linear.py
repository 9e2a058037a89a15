"""Everything that reads clients' text: one pass over it, so that no short text takes seconds, and none stops others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.types import Size
from inkwash.engine.notes import find_notes
from inkwash.engine.readback import quoted_texts
from inkwash.models.glm_image.folder import drawing_defaults
from inkwash.models.glm_image.processor import GlmImageProcessor, SpelledTokenizer
from inkwash.models.glm_image.quotes import glyph_texts
from inkwash.models.glm_v.boxes import find_boxes
from inkwash.models.glm_v.html import fence_html

ASSETS = Path(__file__).parents[2] / "src" / "inkwash" / "assets"
LENGTH = 32_000  # of a prompt at most
PIECES = (
    "“",
    '"',
    "'a ",
    "“\n",
    "[1 ",
    "[1" + " " * 400,
    "1 ",
    "says ",
    "with ",
    "the\t",
    '"a" ',
    "‘『",
    "[",
    "```",
    "~~~~ ",
)


LIMITS = drawing_defaults(ASSETS / "nano").limits


def noted(prompt: str) -> object:
    """Against nano's limits, as the page and the server do."""
    return find_notes(prompt, Size(384, 384), (), LIMITS, canonical=True)


@pytest.mark.parametrize("read", [quoted_texts, glyph_texts, find_boxes, noted])
@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_are_read_in_one_pass(read: Callable[[str], Any], piece: str) -> None:
    begun = time.process_time()
    read((piece * LENGTH)[:LENGTH] + "x")
    assert time.process_time() - begun < 3.0


def test_a_long_row_of_backticks_is_one_line() -> None:
    """Whether it is a fence is known at its end, and it is not looked for from every place in between."""
    begun = time.process_time()
    assert fence_html("`" * LENGTH) == "`" * LENGTH
    assert time.process_time() - begun < 3.0


PROCESSOR = GlmImageProcessor.from_folder(ASSETS / "nano" / "processor")


def test_long_prompts_are_tokenized_in_one_pass() -> None:
    for piece in ('"a" ', "a ", "“a” ", '" \n'):
        begun = time.process_time()
        PROCESSOR.encode((piece * LENGTH)[:LENGTH])
        assert time.process_time() - begun < 3.0


SPELLED = SpelledTokenizer(PROCESSOR.tokenizer, short=0)


@given(st.text(alphabet="ab A1\"“”'「」\n\t!é", max_size=40), st.integers(0, 3))
def test_ids_are_those_of_the_tokenizer(text: str, repeats: int) -> None:
    """The tokenizer's own pattern, which is quadratic, is the twin; special tokens stay whole between marks."""
    for prompt in (text, f'{text}"<|user|>{text}<sop>', text * repeats):
        assert SPELLED.encode(prompt, add_special_tokens=False) == PROCESSOR.tokenizer.encode(prompt).ids


def test_a_long_text_is_tokenized_beside_other_work() -> None:
    """Other threads need not wait for a tokenizer, whatever its pattern is."""
    processor = replace(PROCESSOR, files={})  # nothing is known about its pattern
    working = threading.Thread(target=processor.encode, args=('"a" ' * 2000,))
    working.start()
    longest, last = 0.0, time.perf_counter()
    while working.is_alive():
        time.sleep(0.005)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 0.2
