"""Products in whole numbers against exact integer arithmetic, and who gets them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.nn import int8, scratch
from inkwash.nn.int8 import Int8Linear, faster_layer, int8_product, quantize_rows, rounds_activations
from inkwash.nn.linear import Int8Matrix, QuantizedLinear, dequantize, many, quantize_int4, quantize_int8

SHAPES = [(1, 32, 5), (16, 33, 8), (17, 40, 17), (18, 97, 130), (65, 64, 33), (70, 100, 8)]
needs_exact_sums = pytest.mark.skipif(not int8.sums_are_exact(), reason="this processor's int8 sums are not exact")


def rows(count: int, width: int, seed: int = 3) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def matrix(count: int, width: int) -> Int8Matrix:
    return quantize_int8(torch.randn(count, width, generator=torch.Generator().manual_seed(1)) * 0.02)


def twin(x: Tensor, made: Int8Matrix, bias: Tensor | None) -> Tensor:
    """One row after the other, in Python's whole numbers and fp64."""
    found = []
    for row in x.tolist():
        scale = max(map(abs, row)) / 127
        q = [0 if scale == 0 else round(number / scale) for number in row]
        sums = [sum(a * b for a, b in zip(q, column, strict=True)) for column in made.values.tolist()]
        found.append([number * scale for number in sums])
    y = torch.tensor(found, dtype=torch.float64) * made.scale.double()
    return y if bias is None else y + bias.double()


@pytest.fixture
def empty_scratch(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    free: list[Tensor] = []
    monkeypatch.setattr(scratch, "_free", free)
    return free


@needs_exact_sums
@pytest.mark.parametrize(("count", "width", "columns"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_equals_whole_numbers_in_python(count: int, width: int, columns: int, bias: bool) -> None:
    x, made = rows(count, width), matrix(columns, width)
    shift = torch.randn(columns).to(torch.bfloat16) if bias else None
    expected = twin(x, made, shift)
    got = int8_product(x, made, shift)
    assert got.dtype == torch.bfloat16
    # a half is rounded the other way now and then; after that bfloat16 rounds once
    torch.testing.assert_close(got.double(), expected, rtol=2**-8, atol=2e-3 * float(expected.abs().max()))
    activated = int8_product(x, made, shift, gelu=True)
    gelu = F.gelu(expected, approximate="tanh")
    torch.testing.assert_close(activated.double(), gelu, rtol=2**-8, atol=2e-3 * float(expected.abs().max()))


@needs_exact_sums
@torch.no_grad()
def test_many_rows_and_columns_are_cut_into_parts_that_the_forecast_counts(
    monkeypatch: pytest.MonkeyPatch, empty_scratch: list[Tensor]
) -> None:
    x, made, bias = rows(150, 96), matrix(80, 96), torch.randn(80).to(torch.bfloat16)
    whole = int8_product(x, made, bias)
    empty_scratch.clear()
    monkeypatch.setattr(int8, "ROUNDED", 96 * 40)
    monkeypatch.setattr(int8, "SUMS", 40 * 7)
    monkeypatch.setattr(int8, "WIDENED", 0)
    assert torch.equal(int8_product(x, made, bias), whole)
    assert 96 * 30 < scratch.held() <= int8.scratch_bytes(torch.bfloat16)


@needs_exact_sums
@torch.no_grad()
def test_a_row_is_the_row_alone_and_the_same_again() -> None:
    x, made = rows(90, 128), matrix(48, 128)
    alone = torch.cat([int8_product(row[None], made) for row in x])
    assert torch.equal(int8_product(x, made), alone)
    assert torch.equal(int8_product(x.flip(0), made).flip(0), alone)


@needs_exact_sums
@torch.no_grad()
def test_zeros_and_what_is_not_finite_stay_in_their_rows() -> None:
    x, made, bias = rows(24, 64), matrix(16, 64), torch.ones(16, dtype=torch.bfloat16)
    sound = int8_product(x, made, bias)
    x[3], x[5, 7], x[6, 8], x[7, 9] = 0.0, math.inf, -math.inf, math.nan
    x[8], x[9] = 1e-40, 3e38  # the smallest and the largest numbers
    got = int8_product(x, made, bias)
    assert torch.equal(got[3], bias)
    assert bool(got[5:8].isnan().all())
    torch.testing.assert_close(got[8], bias)
    assert bool(got[9].isfinite().all())
    rest = [row for row in range(24) if row not in (3, 5, 6, 7, 8, 9)]
    assert torch.equal(got[rest], sound[rest])


def test_rounding_is_to_the_nearest_and_keeps_the_largest() -> None:
    x = rows(70, 50)
    q = torch.empty(70, 50, dtype=torch.int8)
    scales = quantize_rows(x, q)
    assert bool((q.abs().amax(1) == 127).all())
    assert float(((q * scales - x.float()) / scales).abs().max()) <= 0.5 + 1e-4


def layer(
    kind: type[Int8Linear | QuantizedLinear] = Int8Linear, dtype: torch.dtype = torch.bfloat16
) -> QuantizedLinear:
    return kind(matrix(64, 96), torch.randn(64, generator=torch.Generator().manual_seed(2)).to(dtype))


@needs_exact_sums
@torch.no_grad()
def test_a_layer_rounds_many_rows_of_bfloat16_only() -> None:
    made, plain = layer(), layer(QuantizedLinear)
    x = rows(40, 96).view(2, 20, 96)
    assert isinstance(made.matrix, Int8Matrix)
    assert torch.equal(made(x).flatten(0, 1), int8_product(x.flatten(0, 1), made.matrix, made.bias))
    assert torch.equal(made(x[:, :5]), plain(x[:, :5]))  # few rows
    wide, plain = layer(Int8Linear, torch.float32), layer(QuantizedLinear, torch.float32)
    assert torch.equal(wide(x.float()), plain(x.float()))  # arithmetic of 32 bits was asked for


def test_a_gradient_takes_the_widened_way() -> None:
    x = rows(40, 96).requires_grad_()
    layer()(x).sum().backward()
    assert x.grad is not None and bool(x.grad.any())


@pytest.mark.parametrize(("seconds", "chosen"), [((1.0, 2.0), True), ((0.95, 1.0), False), ((2.0, 1.0), False)])
def test_the_faster_way_is_chosen_once(
    seconds: tuple[float, float], chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(seconds * 10)

    def measured(work: Callable[[], Tensor]) -> float:
        work()
        return next(times)

    monkeypatch.delenv("INKWASH_INT8_ACTIVATIONS", raising=False)
    monkeypatch.setattr(int8, "sums_are_exact", lambda: True)
    monkeypatch.setattr(int8, "_seconds", measured)
    monkeypatch.setattr(int8, "LARGE", 64 * 96)
    int8._is_faster.cache_clear()
    try:
        made = faster_layer(matrix(64, 96), None)
        assert isinstance(made, Int8Linear) is chosen
        left = len(list(times))
        assert left > 0  # a second measurement would find no times
        assert type(faster_layer(matrix(64, 96), None)) is type(made)
        assert type(faster_layer(matrix(63, 96), None)) is QuantizedLinear  # too small to gain
        assert type(faster_layer(quantize_int4(dequantize(matrix(64, 96)), group=32), None)) is QuantizedLinear
    finally:
        int8._is_faster.cache_clear()


def test_the_environment_decides_and_inexact_sums_never_count(monkeypatch: pytest.MonkeyPatch) -> None:
    made = matrix(16, 32)
    monkeypatch.setattr(int8, "is_faster", lambda: pytest.fail("measured"))
    monkeypatch.setattr(int8, "sums_are_exact", lambda: True)
    monkeypatch.setenv("INKWASH_INT8_ACTIVATIONS", "1")
    assert rounds_activations(made)
    monkeypatch.setattr(int8, "sums_are_exact", lambda: False)
    assert not rounds_activations(made)
    monkeypatch.setenv("INKWASH_INT8_ACTIVATIONS", "0")
    assert not rounds_activations(made)
    monkeypatch.setenv("INKWASH_INT8_ACTIVATIONS", "perhaps")
    with pytest.raises(ConfigError, match="must be 1 or 0"):
        rounds_activations(made)


@needs_exact_sums
def test_the_measurement_gives_an_answer() -> None:
    assert int8.is_faster() in (True, False)
    assert int8._is_faster.cache_info().currsize == 1


@torch.no_grad()
def test_products_borrow_the_same_memory_again(empty_scratch: list[Tensor]) -> None:
    x, made = rows(40, 96), matrix(64, 96)
    many(x, made)
    (memory,) = empty_scratch
    place = memory.data_ptr()
    assert scratch.held() == 64 * 96 * 2
    with torch.inference_mode():  # memory from before, and for after
        many(x, made)
    many(x, quantize_int4(dequantize(made), group=32))
    assert [each.data_ptr() for each in empty_scratch] == [place]


@torch.no_grad()
def test_memory_is_one_borrowers_alone_and_bounded(empty_scratch: list[Tensor]) -> None:
    made, start = [matrix(128, 64), quantize_int4(dequantize(matrix(128, 64)), group=64)], threading.Barrier(4)
    x = rows(40, 64)
    expected = [many(x, each) for each in made]
    wrong: list[int] = []

    def work(number: int) -> None:
        start.wait()
        wrong.extend(number for _ in range(30) if not torch.equal(many(x, made[number % 2]), expected[number % 2]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(empty_scratch) <= 4 and scratch.held() <= 4 * 128 * 64 * 2


def test_what_fails_gives_its_memory_back(empty_scratch: list[Tensor]) -> None:
    with pytest.raises(KeyError), scratch.borrowed(10):
        raise KeyError
    assert len(empty_scratch) == 1
