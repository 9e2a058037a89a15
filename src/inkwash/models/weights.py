"""Networks from and to safetensors folders, strictly and without a second copy in memory.

`load_module` builds the network with parameters that occupy nothing (meta device), checks every name, shape and
kind against the headers of the files, and only then streams tensor after tensor into place. `save_module` writes
the same layout back, sharded with an index where it is large. Either the whole network is read or written, or one
sentence says which file is wrong and the first keys that do not fit.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from inkwash.core.errors import NoMeaning, WeightsError
from inkwash.core.files import write_json
from inkwash.models.quantized_files import NARROW, dequantize, matrix_of, pair_quantized, pair_scales, quantized_kinds
from inkwash.models.tensor_files import StoredTensor, count, read_headers, reason, some, split_experts
from inkwash.nn.linear import QuantizedMatrix
from inkwash.nn.linear import dequantize as dequantize_matrix

MAX_SHARD_BYTES = 5 * 10**9
WINDOW_BYTES = 32 * 2**20  # a file is mapped anew after this much, so that pages already copied leave memory
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
INTEGERS = {"I64", "I32", "I16", "I8", "U8", "BOOL"}
# Tables and statistics that older or trained files store and that are computed or not needed.
HARMLESS = ("*inv_freq", "*position_ids", "loss.*", "*num_batches_tracked", "*logvar")
M = TypeVar("M", bound=nn.Module)
_BUILDING = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class KeyTable:
    """How names in a checkpoint correspond to names in our module, read in both directions.

    `renames` maps a checkpoint's name, or the beginning of names (ending in a dot), to the module's. `tied` maps
    a second name under which a checkpoint may hold a tensor to its first name: either will do, one is read.
    `dropped` are patterns of names that a checkpoint may hold and our network has no use for. `kept` are patterns
    of module names that stay in the dtype they have, whatever dtype is asked for.
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    tied: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.renames.values())) != len(self.renames):
            raise ValueError("two checkpoint names are renamed to the same module name; the table must be one to one")

    def to_module(self, name: str) -> str:
        return _rename(name, self.renames)

    def to_checkpoint(self, name: str) -> str:
        return _rename(name, {module: checkpoint for checkpoint, module in self.renames.items()})

    def is_dropped(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.dropped)

    def is_kept(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.kept)


def load_module(
    build: Callable[[], M],
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    keys: KeyTable | None = None,
    prefix: str = "",
    fill: bool = True,
    variant: str | None = None,
) -> M:
    """Build a network and fill it from the safetensors files of `folder`.

    `dtype` is that of the floating tensors (`None` keeps each as stored, and reads 8-bit ones as bf16). With
    `prefix` only the checkpoint names that begin with it are read, and the prefix is cut off. The module comes back
    in `eval` mode. Without `fill` the files are checked alike, but parameters stay on the meta device
    (`StoredTensors` brings them later).
    Raises `WeightsError` for a missing, damaged or foreign checkpoint; no module is returned then.
    """
    table = keys or KeyTable()
    stored = read_stored(folder, variant)
    stored = {name.removeprefix(prefix): entry for name, entry in stored.items() if name.startswith(prefix)}
    with parameters_on_meta():
        module = build()
    plan = _match(module, stored, table, folder)
    if fill:
        _fill(module, plan, table, dtype, torch.device(device))
    for owner in module.modules():
        for name, buffer in owner._buffers.items():
            owner._buffers[name] = None if buffer is None else buffer.to(device)
    return module.eval()


class StoredTensors:
    """The tensors of a checkpoint folder, read by their stored names whenever they are needed."""

    def __init__(self, folder: Path, variant: str | None = None) -> None:
        self._stored = read_stored(folder, variant)
        self._opened: dict[Path, Any] = {}

    @property
    def names(self) -> list[str]:
        """Every tensor by its stored name, a quantised matrix as one."""
        return list(self._stored)

    @property
    def quantized(self) -> list[str]:
        """Names of the matrices that are stored in 8 or 4 bits."""
        return [name for name, entry in self._stored.items() if entry.aside is not None]

    @property
    def kinds(self) -> set[str]:
        """The kinds of quantised matrices; empty where all are plain."""
        return quantized_kinds(self._stored)

    def matrix(self, name: str) -> QuantizedMatrix:
        """A quantised matrix as a view of the mapped file."""
        entry = self._stored[name]
        assert entry.aside is not None
        return matrix_of(entry, self._view(entry), self._view(entry.aside))

    def view(self, name: str, dtype: torch.dtype | None) -> Tensor:
        """A tensor as a view of the mapped file, which takes no memory of this process; read where it is converted."""
        entry = self._stored[name]
        if entry.aside is None and entry.scale is None and entry.part is None:
            raw = self._view(entry)
            return raw if dtype is None or not raw.is_floating_point() else raw.to(dtype)
        return next(self.read([name], dtype=dtype))[1]

    def _view(self, entry: StoredTensor) -> Tensor:
        try:
            if entry.file not in self._opened:
                self._opened[entry.file] = safe_open(entry.file, framework="pt")
            found: Tensor = self._opened[entry.file].get_tensor(entry.name)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{entry.file} could not be read to its end ({reason(error)}).") from error
        return found

    def read(
        self, names: Sequence[str], *, dtype: torch.dtype | None, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[str, Tensor]]:
        """Each as memory of its own, in the order of the files."""
        return _stream({name: self._stored[name] for name in names}, dict.fromkeys(names, dtype), torch.device(device))


def read_stored(folder: Path, variant: str | None = None) -> dict[str, StoredTensor]:
    """Every tensor of a folder, from the headers alone: scales beside their matrices, experts one by one."""
    stored = read_headers(folder, variant)
    if any(entry.dtype in NARROW for entry in stored.values()):
        stored = pair_quantized(pair_scales(stored, folder))
    return split_experts(stored)


def save_module(
    module: nn.Module,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    base_name: str = "model",
    keys: KeyTable | None = None,
    variant: str | None = None,
) -> None:
    """Write a network's tensors as `base_name.safetensors`, or as shards with an index where that is too large.

    Files appear under their names only when all of them are complete; a failure leaves what was there before.
    """
    table = keys or KeyTable()
    state = _unique_state(module)
    assert all(table.to_module(table.to_checkpoint(name)) == name for name in state), "the key table is ambiguous"
    tensors = {table.to_checkpoint(name): tensor for name, tensor in state.items()}
    dtypes = {table.to_checkpoint(name): None if table.is_kept(name) else dtype for name in state}
    sizes = {name: _bytes(tensor, dtypes[name]) for name, tensor in tensors.items()}
    shards = _shards(sizes, max_shard_bytes)
    base = base_name if variant is None else f"{base_name}.{variant}"
    names = _shard_names(base, len(shards))
    partial = {name: folder / f".{name}.{os.getpid()}.partial" for name in names}
    index = folder / f"{base_name}.safetensors.index.{'' if variant is None else variant + '.'}json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(folder, sum(sizes.values()))
        for name, shard in zip(names, shards, strict=True):
            content = {key: _stored(tensors[key], dtypes[key]) for key in shard}
            save_file(content, partial[name], metadata={"format": "pt"})
            del content
            partial[name].chmod(0o644)  # the library makes files that only their owner may read
        old = set(folder.glob(f"{base}.safetensors")) | set(folder.glob(f"{base}-*-of-*.safetensors"))
        for name in names:
            os.replace(partial[name], folder / name)
        if len(names) > 1:
            weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
            write_json(index, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map})
        else:
            index.unlink(missing_ok=True)
        for path in old - {folder / name for name in names}:
            path.unlink()
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"The weights could not be written to {folder} ({reason(error)}): "
            "check free space and permissions, or choose another folder."
        ) from error
    finally:
        for path in partial.values():
            with suppress(OSError):
                path.unlink()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Inside, parameters that this thread creates take no memory; buffers are computed as usual.

    Buffers are left alone on purpose: those outside the checkpoint (tables, ranges) would be lost on meta.
    """
    thread = threading.get_ident()

    def to_meta(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or threading.get_ident() != thread:
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    with _BUILDING:  # the library's table of hooks must not change while another thread walks through it
        handle = register_module_parameter_registration_hook(to_meta)  # type: ignore[arg-type]  # may return one
        try:
            with _NoRandomValues():
                yield
        finally:
            handle.remove()


class _NoRandomValues(TorchFunctionMode):
    """Random values for parameters on meta are not drawn: that alone makes torch import its compiler, for a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        tensor = args[0] if args else (kwargs or {}).get("tensor")
        if getattr(func, "__module__", None) == nn.init.__name__ and isinstance(tensor, Tensor) and tensor.is_meta:
            return tensor
        return func(*args, **(kwargs or {}))


def _rename(name: str, table: Mapping[str, str]) -> str:
    if name in table:
        return table[name]
    prefixes = [prefix for prefix in table if prefix.endswith(".") and name.startswith(prefix)]
    if not prefixes:
        return name
    longest = max(prefixes, key=len)
    return table[longest] + name.removeprefix(longest)


def _match(
    module: nn.Module, stored: Mapping[str, StoredTensor], table: KeyTable, folder: Path
) -> dict[str, StoredTensor]:
    """Which stored tensor fills which name of the module; raises one sentence when anything is left over."""
    expected = module.state_dict(keep_vars=True)
    tied = {table.to_module(second): table.to_module(first) for second, first in table.tied.items()}
    first_name: dict[int, str] = {}
    for name, tensor in expected.items():
        first = first_name.setdefault(id(tensor), name)
        if first != name:
            tied[name] = first
    plan: dict[str, StoredTensor] = {}
    unexpected: list[str] = []
    for key, entry in stored.items():
        name = table.to_module(key)
        name = tied.get(name, name)
        if name in expected:
            plan.setdefault(name, entry)
        elif not table.is_dropped(key):
            unexpected.append(key)
    missing = [table.to_checkpoint(name) for name in expected if name not in plan and name not in tied]
    shapes, kinds = [], []
    for name, entry in plan.items():
        want = expected[name]
        allowed = FLOATS if want.is_floating_point() else INTEGERS
        if tuple(want.shape) != entry.shape:
            shapes.append(f"{entry.name} is {list(entry.shape)}, the network's is {list(want.shape)}")
        elif entry.dtype not in allowed and entry.scale is entry.aside is None:
            kinds.append(f"{entry.name} is {entry.dtype}, the network's is {str(want.dtype).removeprefix('torch.')}")
    wrong = {"missing": missing, "unexpected": unexpected, "of the wrong shape": shapes, "of the wrong kind": kinds}
    parts = [f"{count(found, 'tensor', 'tensors')} {what} ({some(found)})" for what, found in wrong.items() if found]
    if parts:
        files = sorted({entry.file for entry in stored.values()})
        place = files[0] if len(files) == 1 else folder
        raise WeightsError(f"{place} does not fit this network: {'; '.join(parts)}.")
    return plan


def _fill(
    module: nn.Module,
    plan: Mapping[str, StoredTensor],
    table: KeyTable,
    dtype: torch.dtype | None,
    device: torch.device,
) -> None:
    expected = module.state_dict(keep_vars=True)
    places: dict[int, list[str]] = {}
    for name, tensor in expected.items():
        places.setdefault(id(tensor), []).append(name)
    dtypes = {name: None if table.is_kept(name) else dtype for name in plan}
    for name, value in _stream(plan, dtypes, device):
        old = expected[name]
        new = nn.Parameter(value, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else value
        for place in places[id(old)]:
            owner, _, leaf = place.rpartition(".")
            holder = module.get_submodule(owner)
            if isinstance(new, nn.Parameter):
                holder._parameters[leaf] = new
            else:
                holder._buffers[leaf] = new


def _stream(
    plan: Mapping[str, StoredTensor], dtypes: Mapping[str, torch.dtype | None], device: torch.device
) -> Iterator[tuple[str, Tensor]]:
    """Tensors one by one as memory of their own; the mapped file is let go after every window."""
    windows: list[list[str]] = []
    held = 0
    for name, entry in sorted(plan.items(), key=lambda item: item[1].file):
        if not windows or plan[windows[-1][0]].file != entry.file or held > WINDOW_BYTES:
            windows.append([])
            held = 0
        windows[-1].append(name)
        held += torch.Size(entry.shape).numel() * 4
    for window in windows:
        file = plan[window[0]].file
        try:
            with safe_open(file, framework="pt") as opened:
                for name in window:
                    dtype, part = dtypes[name], plan[name].part
                    if part is None:
                        raw: Tensor = opened.get_tensor(plan[name].name)
                    else:  # one matrix of a stack
                        number, first, last = part
                        raw = opened.get_slice(plan[name].name)[number, first:last]
                    if (aside := plan[name].aside) is not None:
                        matrix = matrix_of(plan[name], raw, _beside(opened, file, aside)).to(device)
                        yield name, dequantize_matrix(matrix, dtype or torch.bfloat16)
                    elif (scale := plan[name].scale) is not None:
                        yield name, _dequantized(raw.to(device), scale, plan[name].block, opened, file, dtype)
                    else:
                        target = dtype if dtype is not None and raw.is_floating_point() else raw.dtype
                        yield name, raw.to(device=device, dtype=target, copy=True)
                    del raw
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file} could not be read to its end ({reason(error)}).") from error


def _dequantized(
    raw: Tensor, scale: StoredTensor, block: tuple[int, int], opened: Any, file: Path, dtype: torch.dtype | None
) -> Tensor:
    """An 8-bit float matrix in `dtype` or bf16."""
    scales = _beside(opened, file, scale)
    return dequantize(raw, scales.to(raw.device), block).to(dtype or torch.bfloat16)


def _beside(opened: Any, file: Path, entry: StoredTensor) -> Tensor:
    """A tensor that usually lies in the file that is open already."""
    if entry.file == file:
        found: Tensor = opened.get_tensor(entry.name)
        return found
    with safe_open(entry.file, framework="pt") as other:
        found = other.get_tensor(entry.name)
        return found.clone()


def _unique_state(module: nn.Module) -> dict[str, Tensor]:
    """The state without second names of a tied tensor, which safetensors must not store twice."""
    seen: set[int] = set()
    unique = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_meta:
            raise WeightsError(f"The tensor {name} has no values (it is on the meta device), so it cannot be saved.")
        if id(tensor) not in seen:
            seen.add(id(tensor))
            unique[name] = tensor
    return unique


def _bytes(tensor: Tensor, dtype: torch.dtype | None) -> int:
    size = dtype.itemsize if dtype is not None and tensor.is_floating_point() else tensor.element_size()
    return tensor.numel() * size


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device="cpu", dtype=target).contiguous()


def _shards(sizes: Mapping[str, int], max_shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    held = 0
    for name, size in sizes.items():
        if shards[-1] and held + size > max_shard_bytes:
            shards.append([])
            held = 0
        shards[-1].append(name)
        held += size
    return shards


def _shard_names(base: str, count: int) -> list[str]:
    if count == 1:
        return [f"{base}.safetensors"]
    return [f"{base}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")


_KERNELS = "attention always runs in torch's fused kernels: leave it out"
_ADAPTERS = "adapters are loaded by the pipeline's load_lora_weights"
NO_MEANING = {
    "enable_layerwise_casting": "weights are rounded while they are read: use from_pretrained(..., quantize='fp8')",
    "enable_group_offload": "weights travel by stage or by block: use from_pretrained(..., offload='block')",
    "enable_cache": "use quality='high', 'medium' or 'low' in the call",
    "enable_gradient_checkpointing": "it is a setting of training: use inkwash train",
    "enable_xformers_memory_efficient_attention": _KERNELS,
    "set_attention_backend": _KERNELS,
    "set_attn_processor": _KERNELS,
    "fuse_qkv_projections": "query, key and value are fused when weights are loaded: leave it out",
    "unfuse_qkv_projections": "query, key and value are stored apart and stay so: leave it out",
    "add_adapter": _ADAPTERS,
    "load_lora_adapter": _ADAPTERS,
    "save_pretrained": "the pipeline's save_pretrained writes all parts",
}


class ReferencePart(nn.Module):
    """A network with the reference's `dtype` and `device`; a name of `NO_MEANING` is an error that says what to use."""

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are; "meta" while they wait elsewhere."""
        return next(self.parameters()).device

    def __getattr__(self, name: str) -> Any:
        if name in NO_MEANING:
            raise NoMeaning(f"{name} has no meaning here: {NO_MEANING[name]}.")
        return super().__getattr__(name)
