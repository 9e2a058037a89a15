"""What nano's second edition takes over from the first: rows of codes by the cells they share, and rows of text."""

from __future__ import annotations

import random

import torch

from inkwash.data.scenes import prompt_lines
from inkwash.models.glm_image.tokenizer_files import train_bpe
from inkwash.recipes.carry_over import carried_rows

CODES = 64


def test_a_new_code_starts_as_the_mean_of_the_old_ones_it_met() -> None:
    old = torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]])
    seen = torch.tensor([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    assert torch.allclose(carried_rows(old, seen), torch.tensor([[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]]))


def test_quoted_texts_are_spelled_and_the_rest_is_not() -> None:
    lines = prompt_lines(random.Random(1), 300, level="second", chinese=0.5)
    bpe = train_bpe(lines, vocab_size=2048, codes=CODES, spelled=True)
    plain = train_bpe(lines, vocab_size=2048, codes=CODES)

    def pieces(text: str) -> list[str]:
        return [bpe.decode([number]) for number in bpe.encode(text).ids]

    assert pieces('"Grand day"') == ['"', "G", "r", "a", "n", "d", " ", "d", "a", "y", '"']
    assert [len(piece) for piece in pieces("“春节”")[1:-1]] == [1, 1]
    assert len(bpe.encode("A red poster that says").ids) <= 7
    assert len(plain.encode('"grand opening"').ids) < len(bpe.encode('"grand opening"').ids) == 15
    for text in ('say "a “b” c" and "d"', '"unclosed', "no quotes at all", '“红" mixed”'):
        assert bpe.decode(bpe.encode(text).ids) == text
