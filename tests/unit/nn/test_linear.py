"""The inference linear layer against torch's plain one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inkwash.nn.linear import apply_linear, linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
def test_equals_the_plain_product(dtype: torch.dtype, bias: bool, gelu: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias).to(dtype)
    for shape in ((2, 7, 48), (1, 48), (0, 48)):
        x = torch.randn(shape).to(dtype)
        with torch.no_grad():
            wide = F.linear(x.float(), layer.weight.float(), None if layer.bias is None else layer.bias.float())
            expected = F.gelu(wide, approximate="tanh") if gelu else wide
            got = apply_linear(layer, x, gelu=gelu)
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), expected, rtol=2e-2, atol=2e-2 if dtype != torch.float32 else 1e-5)


def test_gradients_take_the_plain_way() -> None:
    weight = torch.randn(5, 4, requires_grad=True)
    linear(torch.randn(3, 4), weight, None, gelu=True).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_adapted_layers_run_their_own_forward() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    layer, x = Doubled(4, 4), torch.randn(3, 4)
    with torch.no_grad():
        torch.testing.assert_close(apply_linear(layer, x), 2 * F.linear(x, layer.weight, layer.bias))
