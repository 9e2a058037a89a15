"""One attention entry, three ways of computing it: all agree with a loop over heads that anyone can check."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.nn.attention import FEWEST, MOST, _products_take, additive_mask, attention, causal_mask
from inkwash.nn.linear import ONE_DNN_DTYPES


def plain(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Attention head by head in fp64; `seen` (L, S) or (B, 1, L, S)."""
    out = torch.empty(*q.shape[:3], v.shape[-1])
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            keys, values = k[b, h // group].double(), v[b, h // group].double()
            scores = q[b, h].double() @ keys.T * (q.shape[-1] ** -0.5 if scale is None else scale)
            if seen is not None:
                scores = scores.masked_fill(~seen.expand(q.shape[0], 1, *seen.shape[-2:])[b, 0], -torch.inf)
            out[b, h] = (scores.softmax(-1) @ values).float()
    return out


def inputs(heads: int, kv_heads: int, length: int, keys: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(heads * 100 + length)
    q = torch.randn(batch, length, heads, 16, generator=generator).transpose(1, 2)
    k, v = (torch.randn(batch, keys, kv_heads, 16, generator=generator).transpose(1, 2) for _ in range(2))
    return q, k, v


GRAD = pytest.mark.parametrize("grad", [False, True])
SHAPES = pytest.mark.parametrize(
    ("heads", "kv_heads", "length", "keys"), [(4, 4, 7, 7), (4, 2, 7, 7), (6, 2, 3, 9), (4, 2, 1, 9), (3, 3, 1, 5)]
)


@GRAD
@SHAPES
def test_everything_seen(heads: int, kv_heads: int, length: int, keys: int, grad: bool) -> None:
    q, k, v = inputs(heads, kv_heads, length, keys)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(attention(q, k, v), plain(q, k, v), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(attention(q, k, v, scale=1.7), plain(q, k, v, scale=1.7), rtol=1e-4, atol=1e-5)


@GRAD
@SHAPES
def test_causal_ends_in_the_lower_right_corner(heads: int, kv_heads: int, length: int, keys: int, grad: bool) -> None:
    q, k, v = inputs(heads, kv_heads, length, keys)
    seen = torch.tensor([[s <= row + keys - length for s in range(keys)] for row in range(length)])
    assert torch.equal(causal_mask(length, keys, q.device), seen)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(attention(q, k, v, causal=True), plain(q, k, v, seen), rtol=1e-4, atol=1e-5)


@GRAD
@SHAPES
@pytest.mark.parametrize("additive", [False, True])
def test_masks_per_sample(heads: int, kv_heads: int, length: int, keys: int, grad: bool, additive: bool) -> None:
    q, k, v = inputs(heads, kv_heads, length, keys)
    seen = torch.rand(2, 1, length, keys, generator=torch.Generator().manual_seed(1)) < 0.6
    seen[..., 0] = True
    mask = additive_mask(seen, torch.float32) if additive else seen
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(attention(q, k, v, mask=mask), plain(q, k, v, seen), rtol=1e-4, atol=1e-5)
        both = seen & causal_mask(length, keys, q.device)
        found = attention(q, k, v, mask=mask, causal=True)
        torch.testing.assert_close(found, plain(q, k, v, both), rtol=1e-4, atol=1e-5)


@GRAD
def test_a_query_that_sees_nothing_gets_numbers(grad: bool) -> None:
    q, k, v = inputs(4, 2, 5, 5)
    seen = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    seen[1, :, 2] = False
    with torch.set_grad_enabled(grad):
        out = attention(q, k, v, mask=seen)
    assert out.isfinite().all()
    torch.testing.assert_close(out[1, 0, 2], v[1, 0].mean(0), rtol=1e-4, atol=1e-5)


def test_gradients_equal_those_of_the_fused_kernel() -> None:
    q, k, v = (t.clone().requires_grad_() for t in inputs(4, 2, 8, 8))
    seen = torch.ones(2, 1, 8, 8, dtype=torch.bool).tril()
    seen[0, :, 3:, 1] = False
    direction = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(3))
    ours = torch.autograd.grad((attention(q, k, v, mask=seen) * direction).sum(), (q, k, v))
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)
    theirs = torch.autograd.grad((fused * direction).sum(), (q, k, v))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_bf16_keeps_its_dtype_and_stays_close() -> None:
    q, k, v = inputs(4, 2, 6, 6)
    exact = plain(q, k, v, causal_mask(6, 6, q.device))
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            rounded = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), causal=True)
        assert rounded.dtype == torch.bfloat16
        assert (rounded.float() - exact).abs().max() < 0.03


def test_additive_mask_of_booleans_is_zero_or_lowest() -> None:
    mask = additive_mask(torch.tensor([True, False]), torch.bfloat16)
    assert mask.tolist() == [0.0, torch.finfo(torch.bfloat16).min]
    numbers = torch.tensor([-1.5, 0.0])
    assert torch.equal(additive_mask(numbers, torch.float32), numbers)


@pytest.mark.parametrize(("length", "keys"), [(FEWEST, FEWEST), (130, 301), (MOST + 9, MOST + 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_queries_of_inference(length: int, keys: int, dtype: torch.dtype) -> None:
    """Head by head through other products than the fused kernel's; in bfloat16 it is the nearer one."""
    q, k, v = (each.to(dtype) for each in inputs(3, 3, length, keys))
    assert _products_take(q, k) == (torch.float32 in ONE_DNN_DTYPES)
    with torch.no_grad():
        got = attention(q, k, v)
        expected = plain(q, k, v)
        fused = F.scaled_dot_product_attention(q, k, v).float()
        side_by_side = attention(q, k, v.contiguous())
    assert got.dtype == dtype and torch.equal(got, side_by_side)
    near = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(got.float(), expected, rtol=near, atol=near)
    if dtype == torch.bfloat16:
        assert (got.float() - expected).norm() <= 1.1 * (fused - expected).norm()


def test_a_row_is_attended_as_alone_on_any_number_of_threads() -> None:
    q, k, v = inputs(4, 4, 266, 266)
    before = torch.get_num_threads()
    with torch.no_grad():
        try:
            torch.set_num_threads(1)
            alone = torch.cat([attention(*(each[row : row + 1] for each in (q, k, v))) for row in range(2)])
            for threads in (1, 2, 4):
                torch.set_num_threads(threads)
                assert torch.equal(attention(q, k, v), alone)
        finally:
            torch.set_num_threads(before)
