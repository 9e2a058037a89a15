"""Device, number type and threads are picked by request, then environment, then what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inkwash.core import device
from inkwash.core.errors import ConfigError


def test_cpu_features_are_read_from_the_flags(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags\t\t: fpu sse2 avx512_bf16 amx_bf16 amx_tile\n")
    assert device.cpu_features(info) == device.CpuFeatures(avx512_bf16=True, amx_bf16=True)
    info.write_text("flags : fpu sse2 amx_bf16\n")
    assert not device.cpu_features(info).bf16
    assert not device.cpu_features(tmp_path / "none").bf16


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_a_container_quota_limits_the_cores(tmp_path: Path, quota: str, most: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    free = device.usable_cores(tmp_path / "none")
    assert free >= 1 and device.usable_cores(path) == (most or free)


def test_threads_follow_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("INKWASH_THREADS", "1")
        assert device.set_threads() == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_device_by_name_and_by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.pick_device("cpu") == device.pick_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setenv("INKWASH_DEVICE", "cpu")
    assert device.pick_device() == torch.device("cpu")
    for wrong in ("gpux", "cuda:-3", ":"):
        with pytest.raises(ConfigError, match="this machine has cpu"):
            device.pick_device(wrong)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
def test_without_an_accelerator() -> None:
    assert device.pick_device() == torch.device("cpu")
    with pytest.raises(ConfigError, match="is not there"):
        device.pick_device("cuda")


def test_number_types() -> None:
    cpu = torch.device("cpu")
    assert device.pick_dtype(None, cpu) == device.pick_dtype("auto", cpu) == torch.float32
    assert device.pick_dtype(None, torch.device("cuda")) == torch.bfloat16
    assert device.pick_dtype("bfloat16", cpu) == device.pick_dtype(torch.bfloat16, cpu) == torch.bfloat16
    with pytest.raises(ConfigError, match="'int8'"):
        device.pick_dtype("int8", cpu)
