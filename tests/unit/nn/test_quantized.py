"""Matrices in 8 and 4 bits: their layout, their error, and fast products against the widened matrix."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inkwash.nn.linear import (
    QuantizedLinear,
    QuantizedMatrix,
    Stacked,
    can_pack_int4,
    dequantize,
    group_of,
    many,
    pack_int4,
    product,
    quantize_int4,
    quantize_int8,
    reads_int4,
    unpack_int4,
)


def weight(rows: int = 192, columns: int = 256) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)) * 0.02


def matrix(kind: str) -> QuantizedMatrix:
    return quantize_int8(weight()) if kind == "int8" else quantize_int4(weight())


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("rows", [48, 64, 80, 192])
def test_int4_has_the_layout_of_torchs_own_packing(rows: int) -> None:
    q = torch.randint(0, 16, (rows, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    packed = pack_int4(q)
    assert packed.shape == (rows, 32)
    assert torch.equal(unpack_int4(packed), q)
    if reads_int4():
        assert torch.equal(torch.ops.aten._convert_weight_to_int4pack_for_cpu(q.int(), 1), packed)


def test_a_block_lies_as_it_is_documented() -> None:
    q = torch.zeros(64, 32, dtype=torch.uint8)
    q[5, 3], q[37, 3] = 9, 14
    data = pack_int4(q).flatten()
    assert data[3 * 32 + 5] == 9 | 14 << 4
    assert int((data != 0).sum()) == 1


def test_rounding_is_to_the_nearest_step() -> None:
    rows = weight()
    eight, four = quantize_int8(rows), quantize_int4(rows)
    steps = eight.scale.float()[:, None]
    assert bool(((dequantize(eight) - rows).abs() <= steps * 0.75).all())  # 0.5, and the scale's own rounding
    step = four.steps[..., 0].float().t().repeat_interleave(four.group, dim=1)
    assert bool(((dequantize(four) - rows).abs() <= step * 0.75).all())
    assert error(dequantize(eight), rows) < 0.01
    assert error(dequantize(four), rows) < 0.12
    assert torch.equal(rows, weight())  # the input is left as it was


def test_a_group_far_from_zero_keeps_its_middle() -> None:
    rows = weight() + 3.0
    assert float((dequantize(quantize_int4(rows)) - rows).abs().max()) < 0.02


def test_zeros_stay_zeros() -> None:
    rows = torch.zeros(64, 128)
    assert not dequantize(quantize_int8(rows)).any()
    assert not dequantize(quantize_int4(rows)).any()


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("count", [1, 3, 16, 17, 70])
@torch.no_grad()
def test_products_are_those_of_the_widened_matrix(kind: str, count: int) -> None:
    made, bias = matrix(kind), torch.randn(192).to(torch.bfloat16)
    x = torch.randn(2, count, 256, generator=torch.Generator().manual_seed(3)).to(torch.bfloat16)
    expected = x.float() @ dequantize(made).t() + bias.float()
    assert error(product(x, made, bias), expected) < 0.006
    assert error(many(x, made, bias), expected) < 0.006


@pytest.mark.parametrize("kind", ["int8", "int4"])
@torch.no_grad()
def test_a_row_of_few_is_the_row_alone(kind: str) -> None:
    made = matrix(kind)
    x = torch.randn(16, 256, generator=torch.Generator().manual_seed(4)).to(torch.bfloat16)
    alone = torch.cat([made.few(row[None]) for row in x])
    for count in (2, 3, 4, 5, 7, 12, 16):
        assert torch.equal(made.few(x[:count]), alone[:count])


@torch.no_grad()
def test_stacked_matrices_are_one_below_the_other() -> None:
    parts = (quantize_int4(weight()), quantize_int4(weight(64)))
    stacked = Stacked(parts)
    both = torch.cat([dequantize(part) for part in parts])
    assert stacked.shape == (256, 256)
    assert stacked.nbytes == sum(part.nbytes for part in parts)
    assert torch.equal(dequantize(stacked), both)
    some = torch.empty(128, 256)
    stacked.widen(128, 256, some)
    assert torch.equal(some, both[128:])
    x = torch.randn(2, 256).to(torch.bfloat16)
    assert torch.equal(stacked.few(x), torch.cat([part.few(x) for part in parts], dim=-1))


def test_a_gradient_passes_to_the_input() -> None:
    layer = QuantizedLinear(quantize_int8(weight()), torch.zeros(192))
    x = torch.randn(3, 256, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    plain = nn.Linear(256, 192)
    with torch.no_grad():
        plain.weight.copy_(dequantize(layer.matrix))
    y = x.detach().clone().requires_grad_()
    plain(y).sum().backward()
    assert y.grad is not None
    assert error(x.grad, y.grad) < 1e-5
    assert not any(each.requires_grad for each in layer.parameters())


def test_shapes_without_the_layout_are_known() -> None:
    assert can_pack_int4(64, 256) and not can_pack_int4(60, 256) and not can_pack_int4(64, 200)
    assert group_of(13696) == 128 and group_of(192) == 64 and group_of(48) is None
