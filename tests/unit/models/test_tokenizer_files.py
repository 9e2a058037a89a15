"""The id space and the pieces of text: codes below, text above, and every letter to be copied on its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import (
    RESERVED,
    TEXT_SPECIALS,
    TokenLayout,
    image_processor_config,
    train_bpe,
    write_processor_files,
)

CODES = 64
LINES = ['A poster that says "HELLO" in red, and the cat sat on the mat.', "Recolour the circle blue; keep it."] * 30
TOKENIZER = train_bpe(LINES, vocab_size=CODES + 1000, codes=CODES)


def test_ids_are_codes_then_image_marks_then_text_then_specials() -> None:
    layout = TokenLayout(codes=CODES)
    assert (layout.image_start, layout.image_end, layout.vision_vocab_size) == (CODES, CODES + 1, CODES + RESERVED)
    vocabulary = TOKENIZER.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert [vocabulary[layout.token(i)] for i in range(layout.vision_vocab_size)] == list(
        range(layout.vision_vocab_size)
    )
    last = len(vocabulary) - len(TEXT_SPECIALS)
    assert [vocabulary[name] for name in TEXT_SPECIALS] == list(range(last, len(vocabulary)))


def test_the_released_offsets_follow_from_the_order() -> None:
    """The released ids: 16512 vision ids, 151329 plain ones of the language model, then the specials in this order."""
    end_of_text = TokenLayout(codes=16384).vision_vocab_size + 151329
    assert TEXT_SPECIALS.index("<|endoftext|>") == 0 and end_of_text == 167841
    assert end_of_text + TEXT_SPECIALS.index("<|image|>") == 167855
    assert end_of_text + TEXT_SPECIALS.index("<sop>") == 167845


@pytest.mark.parametrize("text", ["HELLO", "K2", "2026", "ÄÖ", '"', "“X”", " B", "ABC def"])
def test_capitals_digits_and_quotes_stand_alone(text: str) -> None:
    tokens = TOKENIZER.encode(text)
    pieces = [text[start:end] for start, end in tokens.offsets]
    for sign in text:
        if sign.isupper() or sign.isdigit() or sign in '"“”':
            assert sign in pieces


def test_small_words_merge_with_the_space_before_them() -> None:
    tokens = TOKENIZER.encode("A poster that").tokens
    assert [token.replace("Ġ", " ") for token in tokens] == ["A", " poster", " that"]


@given(st.text(max_size=60))
def test_any_text_survives(text: str) -> None:
    if not any(special in text for special in TEXT_SPECIALS):
        ids = TOKENIZER.encode(text).ids
        assert TOKENIZER.decode(ids, skip_special_tokens=False) == text
        assert all(i >= TokenLayout(codes=CODES).vision_vocab_size for i in ids)


def test_a_prompt_cannot_write_semantic_codes() -> None:
    ids = TOKENIZER.encode("<|dit_token_5|>").ids
    assert min(ids) >= TokenLayout(codes=CODES).vision_vocab_size


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 464"):
        train_bpe(LINES, vocab_size=400, codes=CODES)
    with pytest.raises(ValueError, match="codes must be"):
        TokenLayout(codes=0)
    with pytest.raises(ValueError, match="vision ids run from 0 to 191"):
        TokenLayout(codes=CODES).token(192)
    with pytest.raises(ValueError, match="0 < min <= max"):
        image_processor_config(min_pixels=10, max_pixels=5, patch_size=16)


def test_the_written_folder_is_read_by_the_processor(tmp_path: Path) -> None:
    write_processor_files(tmp_path, TOKENIZER, codes=CODES, min_pixels=128**2, max_pixels=512**2)
    processor = GlmImageProcessor.from_folder(tmp_path)
    layout = TokenLayout(codes=CODES)
    assert processor.token_id("bos_token") == layout.image_start
    assert processor.token_id("eos_token") == layout.image_end
    assert processor.render("a cat", 1) == f"{layout.token(CODES)}<|image|>{layout.token(CODES + 1)}a cat"
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.get_vocab() == TOKENIZER.get_vocab()
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["size"]["shortest_edge"] == 128**2


def test_training_is_deterministic() -> None:
    assert train_bpe(LINES, vocab_size=CODES + 1000, codes=CODES).to_str() == TOKENIZER.to_str()
