"""The packed product: an fp32 product of the same weights, each row as alone, and None where it would round."""

from __future__ import annotations

import pytest
import torch

from inkwash.nn.linear import can_pack, exact_scale, pack

needs_product = pytest.mark.skipif(not can_pack(), reason="this processor has no packed product")


def stored(rows: int, columns: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Weights of many magnitudes as a checkpoint stores them."""
    torch.manual_seed(rows)
    return (torch.randn(rows, columns) * torch.logspace(-3, 0, columns)).to(dtype)


@needs_product
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("bias", [True, False])
def test_is_the_product_in_fp32(dtype: torch.dtype, bias: bool) -> None:
    weight, x = stored(48, 130).to(dtype), torch.randn(5, 130)
    added = torch.randn(48) if bias else None
    product = pack(weight, added)
    assert product is not None
    got = product(x / product.scale)
    expected = x.double() @ weight.double().T + (0.0 if added is None else added.double())
    torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=1e-6)


@needs_product
def test_a_row_is_the_row_alone_whatever_the_rows_and_threads() -> None:
    before, x = torch.get_num_threads(), torch.randn(33, 704)
    product = pack(stored(1408, 704))
    assert product is not None
    try:
        torch.set_num_threads(1)
        alone = torch.cat([product(row[None]) for row in x])
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for rows in (*range(1, 17), 33):
                assert torch.equal(product(x[:rows]), alone[:rows])
    finally:
        torch.set_num_threads(before)


def test_no_weight_is_rounded() -> None:
    fine = stored(8, 16).float()
    scale = exact_scale(fine)
    assert scale is not None
    assert torch.equal((fine * scale).half().float() / scale, fine)
    fine[3, 3] += 2.0**-14 * fine[3, 3]  # one bit more than float16 has
    assert exact_scale(fine) is None and pack(fine) is None
    assert pack(torch.tensor([[1.0, 2.0**-40]])) is None  # too far apart
    assert pack(torch.zeros(2, 2)) is None and pack(torch.full((2, 2), torch.inf)) is None
