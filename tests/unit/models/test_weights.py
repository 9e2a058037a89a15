"""Loading is strict, streamed and all-or-nothing; saving is atomic; every damage gets one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from inkwash.core.errors import WeightsError
from inkwash.models import weights
from inkwash.models.tensor_files import read_headers
from inkwash.models.weights import KeyTable, load_module, parameters_on_meta, save_module


class Net(nn.Module):
    """A bit of everything: a tied table, buffers inside and outside the checkpoint, a frozen parameter."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.table = nn.Embedding(5, 3)
        self.again = nn.Embedding(5, 3)
        self.again.weight = self.table.weight
        self.norm = nn.BatchNorm1d(3)
        self.scale = nn.Parameter(torch.rand(2), requires_grad=False)
        self.register_buffer("steps", torch.arange(4.0) ** 2, persistent=False)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Net, Path]:
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean += torch.rand(3)
    save_module(net, tmp_path / "net")
    return net, tmp_path / "net"


def same(left: nn.Module, right: nn.Module) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def sentence(build: Callable[[], nn.Module], folder: Path, **options: object) -> str:
    """The message of the error that loading must raise, checked to be one line."""
    with pytest.raises(WeightsError) as caught:
        load_module(build, folder, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_round_trip_keeps_values_ties_buffers_and_flags(saved: tuple[Net, Path]) -> None:
    net, folder = saved
    loaded = load_module(Net, folder)
    assert same(net, loaded)
    assert loaded.again.weight is loaded.table.weight
    assert torch.equal(loaded.steps, net.steps) and loaded.norm.num_batches_tracked.dtype == torch.int64
    assert not loaded.scale.requires_grad and loaded.first.weight.requires_grad and not loaded.training
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])


def test_loaded_tensors_do_not_depend_on_the_file(saved: tuple[Net, Path]) -> None:
    net, folder = saved
    loaded = load_module(Net, folder)
    file = folder / "model.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    assert same(net, loaded)


def test_a_tied_tensor_is_stored_once(saved: tuple[Net, Path]) -> None:
    assert "again.weight" not in load_file(saved[1] / "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtype_is_that_of_floating_tensors_only(saved: tuple[Net, Path], dtype: torch.dtype, tmp_path: Path) -> None:
    net, folder = saved
    loaded = load_module(Net, folder, dtype=dtype)
    assert loaded.first.weight.dtype == dtype and loaded.norm.num_batches_tracked.dtype == torch.int64
    assert torch.equal(loaded.first.weight, net.first.weight.to(dtype))
    save_module(net, tmp_path / "cast", dtype=dtype)
    assert load_file(tmp_path / "cast" / "model.safetensors")["first.weight"].dtype == dtype


def test_shards_have_an_index_and_load_the_same(saved: tuple[Net, Path]) -> None:
    net, folder = saved
    save_module(net, folder, max_shard_bytes=64, base_name="model")
    names = {path.name for path in folder.iterdir()}
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert "model.safetensors" not in names and names == set(index["weight_map"].values()) | {
        "model.safetensors.index.json"
    }
    assert all(load_file(folder / name).keys() == {k for k, v in index["weight_map"].items() if v == name}
               for name in set(index["weight_map"].values()))  # fmt: skip
    assert same(net, load_module(Net, folder))
    save_module(net, folder)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


def test_diffusers_names_are_found(saved: tuple[Net, Path], tmp_path: Path) -> None:
    save_module(saved[0], tmp_path / "d", base_name="diffusion_pytorch_model")
    assert same(saved[0], load_module(Net, tmp_path / "d"))
    (tmp_path / "d" / "diffusion_pytorch_model.safetensors").rename(tmp_path / "d" / "anything.safetensors")
    assert same(saved[0], load_module(Net, tmp_path / "d"))


def test_prefix_reads_one_branch(saved: tuple[Net, Path]) -> None:
    first = load_module(lambda: nn.Linear(3, 4), saved[1], prefix="first.")
    assert torch.equal(first.weight, saved[0].first.weight)


def test_key_table_works_both_ways(saved: tuple[Net, Path], tmp_path: Path) -> None:
    net = saved[0]
    table = KeyTable(
        renames={"body.": "first.", "body.norm.": "norm.", "embed": "table.weight"},
        tied={"embed_again": "embed"},
        dropped=("old.*",),
    )
    save_module(net, tmp_path / "k", keys=table)
    tensors = load_file(tmp_path / "k" / "model.safetensors")
    assert {"body.weight", "body.norm.weight", "embed"} <= tensors.keys()
    assert same(net, load_module(Net, tmp_path / "k", keys=table))
    tensors["embed_again"], tensors["old.thing"] = tensors.pop("embed"), torch.zeros(1)
    save_file(tensors, tmp_path / "k" / "model.safetensors")
    assert same(net, load_module(Net, tmp_path / "k", keys=table))


def test_a_table_that_is_not_one_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="one to one"):
        KeyTable(renames={"a": "x", "b": "x"})


def test_missing_unexpected_and_misshaped_are_one_sentence(saved: tuple[Net, Path]) -> None:
    class Other(Net):
        def __init__(self) -> None:
            super().__init__(width=6)
            self.extra = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
            del self.norm

    message = sentence(Other, saved[1])
    assert "model.safetensors" in message
    assert "8 tensors missing (extra.0.weight, extra.0.bias, extra.1.weight and 5 more)" in message
    assert "5 tensors unexpected (norm.bias" in message
    assert "first.weight is [4, 3], the network's is [6, 3]" in message


def test_wrong_kind_of_numbers_is_refused(saved: tuple[Net, Path]) -> None:
    file = saved[1] / "model.safetensors"
    tensors = load_file(file)
    tensors["first.weight"] = tensors["first.weight"].to(torch.int8)
    save_file(tensors, file)
    assert "first.weight is I8, the network's is float32" in sentence(Net, saved[1])


@pytest.mark.parametrize("keep", [0, 4, 40, 0.5, -1])
def test_a_file_cut_short_names_itself(saved: tuple[Net, Path], keep: float) -> None:
    file = saved[1] / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert str(file) in sentence(Net, saved[1])


def test_garbage_names_itself(saved: tuple[Net, Path]) -> None:
    file = saved[1] / "model.safetensors"
    file.write_bytes(b"<html>not found</html>" * 20)
    assert str(file) in sentence(Net, saved[1])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "readable JSON"),
        ("[]", "JSON object"),
        ("{}", "weight_map"),
        ('{"weight_map": {}}', "weight_map"),
        ('{"weight_map": {"a": 3}}', "weight_map"),
        ('{"weight_map": {"a": "../a.safetensors"}}', "outside"),
        ('{"weight_map": {"a": "gone.safetensors", "b": "away.safetensors"}}', "2 are missing (away.safetensors"),
    ],
)
def test_a_damaged_index_names_itself(saved: tuple[Net, Path], content: str, expected: str) -> None:
    save_module(saved[0], saved[1], max_shard_bytes=64)
    index = saved[1] / "model.safetensors.index.json"
    index.write_text(content)
    message = sentence(Net, saved[1])
    assert str(index) in message and expected in message


def test_index_and_shards_must_agree(saved: tuple[Net, Path]) -> None:
    save_module(saved[0], saved[1], max_shard_bytes=100)
    index = saved[1] / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["ghost"] = content["weight_map"]["first.weight"]
    index.write_text(json.dumps(content))
    assert "1 tensor that the index promises there (ghost)" in sentence(Net, saved[1])
    del content["weight_map"]["ghost"], content["weight_map"]["first.bias"]
    index.write_text(json.dumps(content))
    assert "1 tensor that the index does not list (first.bias)" in sentence(Net, saved[1])


def test_folders_without_weights_say_so(tmp_path: Path) -> None:
    assert "is not a folder" in sentence(Net, tmp_path / "no")
    assert "there is none" in sentence(Net, tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert "only pytorch_model.bin" in sentence(Net, tmp_path)
    for name in ("a", "b"):
        save_file({"x": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    assert "2 safetensors files" in sentence(Net, tmp_path)


def test_a_failed_save_leaves_the_old_file(saved: tuple[Net, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    net, folder = saved
    before = (folder / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(WeightsError, match="No space left on device"):
        save_module(net, folder)
    assert (folder / "model.safetensors").read_bytes() == before and len(list(folder.iterdir())) == 1


def test_too_little_space_is_seen_before_writing(saved: tuple[Net, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = weights.shutil.disk_usage(saved[1])
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(WeightsError, match="0 MB are free"):
        save_module(saved[0], saved[1])


def test_an_unwritable_place_is_one_sentence(saved: tuple[Net, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match="could not be written"):
        save_module(saved[0], tmp_path / "file" / "inside")


@pytest.mark.slow
def test_a_size_limit_of_the_system_leaves_nothing_behind(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from torch import nn
        from inkwash.core.errors import WeightsError
        from inkwash.models.weights import save_module
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_module(nn.Linear(300, 300), Path(sys.argv[1]))
        except WeightsError as error:
            print(error)
    """
    out = run(script, str(tmp_path / "net"))
    assert "could not be written" in out and list((tmp_path / "net").iterdir()) == []


def test_parameters_of_other_threads_stay_real() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with parameters_on_meta(), ThreadPoolExecutor(1) as pool:
        other = pool.submit(nn.Linear, 2, 2).result()
        assert nn.Linear(2, 2).weight.is_meta and not other.weight.is_meta
    assert not nn.Linear(2, 2).weight.is_meta


def test_several_threads_may_load_at_once(saved: tuple[Net, Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_module(Net, saved[1]), range(40)))
    assert all(same(saved[0], net) for net in loaded)


def test_what_has_no_values_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no values"):
        save_module(nn.Linear(2, 2, device="meta"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [10**9, 30 * 10**6])
def test_memory_peaks_at_the_size_of_the_network(tmp_path: Path, shard: int) -> None:
    """200 MB of weights may cost 200 MB and one window of the file, in fp32 and when cast to half the size."""
    build = "nn.Sequential(*(nn.Linear(1250, 2500, bias=False) for _ in range(16)))"
    run(f"""
        import sys; from pathlib import Path; from torch import nn
        from inkwash.models.weights import save_module
        save_module({build}, Path(sys.argv[1]), max_shard_bytes={shard})
    """, str(tmp_path))  # fmt: skip
    measure = f"""
        import sys, torch; from pathlib import Path; from torch import nn
        from inkwash.models.weights import load_module
        def peak(what):
            return int(next(l for l in open("/proc/self/status") if l.startswith(what)).split()[1]) / 1e3
        nn.Linear(2, 2); load_module(lambda: nn.Linear(2, 2), Path(sys.argv[2]))
        before = peak("VmRSS")
        model = load_module(lambda: {build}, Path(sys.argv[1]), dtype=getattr(torch, sys.argv[3]))
        print(peak("VmHWM") - before)
    """
    save_module(nn.Linear(2, 2), tmp_path / "small")
    assert sum(torch.Size(entry.shape).numel() for entry in read_headers(tmp_path).values()) == 50_000_000
    for dtype, megabytes in (("float32", 200), ("bfloat16", 100)):
        peak = float(run(measure, str(tmp_path), str(tmp_path / "small"), dtype))
        assert megabytes < peak < megabytes + 60


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Experts(nn.Module):
    """Three experts under the released names."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"gate_proj": (4, 6), "up_proj": (4, 6), "down_proj": (6, 4)}
        made = [nn.ModuleDict({n: nn.Linear(i, o, bias=False) for n, (o, i) in sizes.items()}) for _ in range(3)]
        self.mlp = nn.ModuleDict({"experts": nn.ModuleList(made)})


def test_stacked_experts_are_read_one_by_one(tmp_path: Path) -> None:
    """As transformers saves a mixture of experts: all gates above all ups in one tensor of each layer."""
    gate_up, down = torch.randn(3, 8, 6), torch.randn(3, 6, 4)
    save_file({"mlp.experts.gate_up_proj": gate_up, "mlp.experts.down_proj": down}, tmp_path / "model.safetensors")
    loaded: Any = load_module(Experts, tmp_path)
    for number, expert in enumerate(loaded.mlp["experts"]):
        assert torch.equal(expert["gate_proj"].weight, gate_up[number, :4])
        assert torch.equal(expert["up_proj"].weight, gate_up[number, 4:])
        assert torch.equal(expert["down_proj"].weight, down[number])
    save_file({"mlp.experts.gate_up_proj": gate_up, "mlp.experts.down_proj": down[:2]}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensor missing \(mlp.experts.2.down_proj.weight\)"):
        load_module(Experts, tmp_path)


def test_an_index_of_a_variant_is_read_and_two_variants_are_not_guessed(tmp_path: Path) -> None:
    tensors = {"mlp.experts.gate_up_proj": torch.randn(3, 8, 6), "mlp.experts.down_proj": torch.randn(3, 6, 4)}
    names = {name: f"model.fp16-0000{i}-of-00002.safetensors" for i, name in enumerate(tensors, 1)}
    for name, file in names.items():
        save_file({name: tensors[name]}, tmp_path / file)
    (tmp_path / "model.safetensors.index.fp16.json").write_text(json.dumps({"weight_map": names}))
    for variant in (None, "fp16"):
        loaded = load_module(Experts, tmp_path, variant=variant)
        assert torch.equal(loaded.mlp["experts"][0]["down_proj"].weight, tensors["mlp.experts.down_proj"][0])
    save_file(tensors, tmp_path / "model.bf16.safetensors")
    with pytest.raises(WeightsError, match=r"several variants \(bf16, fp16\) and none without: choose one"):
        load_module(Experts, tmp_path)
