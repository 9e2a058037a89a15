"""Rotary embeddings: lengths are kept, only relative positions count, and each section reads its own axis."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inkwash.nn.attention import apply_rotary_half, image_rotary, inverse_frequencies, multi_axis_rotary

SECTIONS = (2, 3, 3)  # 16 of 24 channels rotate


Place = tuple[int, int, int]


def rotate(x: Tensor, position: Place) -> Tensor:
    cos, sin = multi_axis_rotary(torch.tensor(position).view(3, 1, 1), 16, SECTIONS)
    return apply_rotary_half(x, cos[0, 0], sin[0, 0])


def test_inverse_frequencies() -> None:
    assert inverse_frequencies(4, 100.0).tolist() == pytest.approx([1.0, 0.1])


def test_one_pair_turns_by_position_times_frequency() -> None:
    cos, sin = multi_axis_rotary(torch.full((3, 1, 1), 5), 4, (1, 1), theta=100.0)
    turned = apply_rotary_half(torch.tensor([1.0, 0.0, 0.0, 2.0, 7.0]), cos[0, 0], sin[0, 0])
    expected = [math.cos(5), -2 * math.sin(0.5), math.sin(5), 2 * math.cos(0.5), 7.0]
    assert turned.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_section_reads_the_axis_of_its_number(axis: int) -> None:
    positions = torch.zeros(3, 1, 1, dtype=torch.long)
    positions[axis] = 1
    _, sin = multi_axis_rotary(positions, 16, SECTIONS)
    begin = sum(SECTIONS[:axis])
    turning = list(range(begin, begin + SECTIONS[axis]))
    assert sin[0, 0].nonzero().flatten().tolist() == [*turning, *(8 + i for i in turning)]


def test_a_fourth_section_reads_the_first_axis_again() -> None:
    positions = torch.tensor([1, 0, 0]).view(3, 1, 1)
    _, sin = multi_axis_rotary(positions, 16, (2, 2, 2, 2))
    assert sin[0, 0, :8].nonzero().flatten().tolist() == [0, 1, 6, 7]


PLACES = st.tuples(*[st.integers(0, 40)] * 3)


@settings(max_examples=30, deadline=None)
@given(PLACES, PLACES, PLACES)
def test_scores_depend_on_differences_only(
    a: tuple[int, int, int], b: tuple[int, int, int], by: tuple[int, int, int]
) -> None:
    q, k = torch.randn(2, 24, generator=torch.Generator().manual_seed(0))
    moved = [tuple(p + d for p, d in zip(place, by, strict=True)) for place in (a, b)]
    score = rotate(q, a) @ rotate(k, b)
    torch.testing.assert_close(rotate(q, moved[0]) @ rotate(k, moved[1]), score, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(rotate(q, a).norm(), q.norm())
    assert torch.equal(rotate(q, a)[16:], q[16:])


@pytest.mark.parametrize("width", [16, 20])
def test_gradient_is_turned_back(width: int) -> None:
    cos, sin = image_rotary(2, 3, 16)
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(2, 6, width, generator=generator, requires_grad=True)
    direction = torch.randn(2, 6, width, generator=generator)
    turned = apply_rotary_half(x, cos, sin)
    swapped = torch.cat([-x[..., 8:16], x[..., :8]], -1)
    plain = torch.cat([x[..., :16] * cos + swapped * sin, x[..., 16:]], -1)
    torch.testing.assert_close(turned, plain)
    found, expected = (torch.autograd.grad((y * direction).sum(), x)[0] for y in (turned, plain))
    torch.testing.assert_close(found, expected)


def test_image_rotary_rows_then_columns() -> None:
    cos, sin = image_rotary(3, 2, 8)
    assert cos.shape == sin.shape == (6, 8)
    frequencies = inverse_frequencies(4, 10000.0)
    for row in range(3):
        for column in range(2):
            angles = torch.cat([row * frequencies, column * frequencies]).repeat(2)
            torch.testing.assert_close(cos[row * 2 + column], angles.cos())
            torch.testing.assert_close(sin[row * 2 + column], angles.sin())


def test_bf16_is_turned_in_the_dtype_of_the_tables() -> None:
    cos, sin = image_rotary(4, 4, 16)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    exact = apply_rotary_half(x.bfloat16().float(), cos, sin)
    found = apply_rotary_half(x.bfloat16(), cos, sin)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
