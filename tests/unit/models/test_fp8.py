"""8-bit checkpoints: block, row and whole scales, strictness, and the error that the format allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from inkwash.core.errors import WeightsError
from inkwash.models.quantized_files import dequantize
from inkwash.models.weights import KeyTable, load_module, save_module

ROWS, COLUMNS = 20, 12


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(COLUMNS, ROWS)
        self.norm = nn.LayerNorm(ROWS)
        self.register_buffer("correction", torch.zeros(3))


def quantise(weight: Tensor, block: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One scale per block, the straightforward way."""
    rows, columns = (-(-size // step) for size, step in zip(weight.shape, block, strict=True))
    scales = torch.zeros(rows, columns)
    small = torch.zeros(weight.shape)
    for i in range(rows):
        for j in range(columns):
            part = (slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1]))
            scales[i, j] = weight[part].abs().max() / 448
            small[part] = weight[part] / scales[i, j]
    return small.to(torch.float8_e4m3fn), scales


def write(folder: Path, tensors: dict[str, Tensor], settings: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings} if settings else {}))
    return folder


def tensors(weight: Tensor, scale: Tensor, ending: str) -> dict[str, Tensor]:
    net = Net()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    return {**state, "first.weight": weight, f"first.weight{ending}": scale, "first.input_scale": torch.ones(1)}


FP8 = {"quant_method": "fp8", "weight_block_size": [8, 5]}
COMPRESSED = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"strategy": "channel"}}}}


@pytest.mark.parametrize(
    ("block", "ending", "settings"),
    [
        ((8, 5), "_scale_inv", FP8),
        ((8, 5), "_scale", {"config_groups": {"g": {"weights": {"block_structure": [8, 5]}}}}),
        ((1, COLUMNS), "_scale", COMPRESSED),
        ((ROWS, COLUMNS), "_scale", COMPRESSED),
        ((10, 4), "_scale_inv", None),
    ],
)
def test_every_layout_comes_back_within_the_error_of_the_format(
    block: tuple[int, int], ending: str, settings: dict[str, Any] | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    weight = torch.randn(ROWS, COLUMNS) * torch.logspace(-2, 2, ROWS)[:, None]
    small, scale = quantise(weight, block)
    folder = write(tmp_path, tensors(small, scale, ending), settings)
    net = load_module(Net, folder, dtype=torch.float32)
    wide = scale.repeat_interleave(block[0], 0)[:ROWS].repeat_interleave(block[1], 1)[:, :COLUMNS]
    assert torch.equal(net.first.weight, small.float() * wide)
    error = (net.first.weight - weight).abs()
    assert (error <= weight.abs() / 16 + wide * 2**-10).all(), "three bits of mantissa, and the smallest step"
    assert load_module(Net, folder).first.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(), (1,), (ROWS,), (ROWS, 1)])
def test_scales_of_few_axes(shape: tuple[int, ...], tmp_path: Path) -> None:
    scale = torch.rand(shape) + 0.5
    folder = write(tmp_path, tensors(torch.ones(ROWS, COLUMNS).to(torch.float8_e4m3fn), scale, "_scale"))
    found = load_module(Net, folder, dtype=torch.float32).first.weight
    assert torch.equal(
        found, scale.reshape(-1, 1).expand(ROWS, COLUMNS) if scale.numel() > 1 else found[:1, :1] * 1 + 0 * found
    )
    assert torch.equal(found[:, 0], scale.reshape(-1).expand(ROWS))


def test_a_scale_in_another_file_is_found(tmp_path: Path) -> None:
    small, scale = quantise(torch.randn(ROWS, COLUMNS), (8, 5))
    whole = tensors(small, scale, "_scale_inv")
    files = {"a.safetensors": {"first.weight_scale_inv": whole.pop("first.weight_scale_inv")}, "b.safetensors": whole}
    for name, content in files.items():
        save_file(content, tmp_path / name)
    index = {"weight_map": {key: name for name, content in files.items() for key in content}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": FP8}))
    assert torch.equal(load_module(Net, tmp_path, dtype=torch.float32).first.weight, dequantize(small, scale, (8, 5)))


@pytest.mark.parametrize(
    ("scale", "ending", "settings", "words"),
    [
        (torch.ones(2, 3), "_other", FP8, "1 8-bit matrix without a scale beside it"),
        (torch.ones(2, 3), "_scale_inv", FP8, r"no scale for \[20, 12\] numbers in blocks of \[8, 5\]"),
        (torch.ones(3, 5), "_scale_inv", None, "no scale for"),
        (torch.ones(3, 3, dtype=torch.int32), "_scale_inv", FP8, "of kind I32"),
        (torch.ones(3, 3), "_scale_inv", {"weight_block_size": [0, 4]}, "states blocks of"),
    ],
)
def test_scales_that_do_not_fit_are_refused(
    scale: Tensor, ending: str, settings: dict[str, Any] | None, words: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, tensors(torch.ones(ROWS, COLUMNS).to(torch.float8_e4m3fn), scale, ending), settings)
    with pytest.raises(WeightsError, match=words):
        load_module(Net, folder)


def test_kept_tensors_keep_their_dtype_both_ways(tmp_path: Path) -> None:
    keys = KeyTable(kept=("correction",))
    net = Net()
    net.correction += 0.1
    save_module(net, tmp_path, dtype=torch.bfloat16, keys=keys)
    again = load_module(Net, tmp_path, dtype=torch.bfloat16, keys=keys)
    assert again.first.weight.dtype == torch.bfloat16
    assert again.correction.dtype == torch.float32 and torch.equal(again.correction, net.correction)
