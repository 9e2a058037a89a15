"""RMS norm: its value, its hand-written gradient, and where it rounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inkwash.nn.norm import RMSNorm, rms_norm


def plain(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x / (x.square().mean(-1, keepdim=True) + eps).sqrt())


@pytest.mark.parametrize("eps", [1e-6, 0.3])
@pytest.mark.parametrize("shape", [(5, 12), (2, 3, 12), (12,)])
def test_value_and_gradient(shape: tuple[int, ...], eps: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, requires_grad=True)
    weight = torch.randn(12, generator=generator, requires_grad=True)
    direction = torch.randn(shape, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(rms_norm(x, weight, eps), plain(x, weight, eps))
    found = rms_norm(x, weight, eps)
    torch.testing.assert_close(found, plain(x, weight, eps))
    expected = torch.autograd.grad((plain(x, weight, eps) * direction).sum(), (x, weight))
    for mine, theirs in zip(torch.autograd.grad((found * direction).sum(), (x, weight)), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_backward_inside_autocast_stays_in_fp32() -> None:
    x = torch.randn(40, 64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = torch.linspace(0.2, 2.0, 64).requires_grad_()
    expected = torch.autograd.grad(plain(x, weight, 1e-5).square().sum(), (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(rms_norm(x, weight, 1e-5).square().sum(), (x, weight))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("grad", [False, True])
def test_statistics_are_fp32_in_a_bf16_module(grad: bool) -> None:
    """The normalised value is rounded to bf16 once, then multiplied by the weight in bf16: the released order."""
    norm = RMSNorm(256, 1e-5).bfloat16()
    x = (torch.randn(4, 256, generator=torch.Generator().manual_seed(2)) * 1e3).bfloat16()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, 256))
    with torch.set_grad_enabled(grad):
        out = norm(x)
    wide = x.float()
    expected = norm.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)).bfloat16()
    assert out.dtype == torch.bfloat16
    assert (out != expected).float().mean() < 0.01  # the last bit of an fp32 sum may tip a rounding
    torch.testing.assert_close(out, expected, rtol=0.01, atol=0.0)


def test_large_values_do_not_overflow_in_half_precision() -> None:
    out = rms_norm(torch.full((1, 8), 6e4, dtype=torch.float16), torch.ones(8, dtype=torch.float16), 1e-6)
    torch.testing.assert_close(out, torch.ones(1, 8, dtype=torch.float16))


def test_the_same_with_and_without_gradient_when_activations_are_bf16() -> None:
    x = torch.randn(7, 32, generator=torch.Generator().manual_seed(5)).bfloat16()
    weight = torch.linspace(0.5, 1.5, 32)
    with torch.no_grad():
        sampled = rms_norm(x, weight, 1e-5)
    assert sampled.dtype == torch.float32
    assert torch.equal(sampled, rms_norm(x, weight.requires_grad_(), 1e-5))
