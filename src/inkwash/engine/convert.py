"""A checkpoint folder rounded to 8 or 4 bits once, so that it loads by mapping and is never rounded again.

    convert("zai-org/GLM-Image", Path("small"), {"ar": "int4", "decoder": "int8"})

Matrix after matrix is read, rounded and written, so that a model of any size converts in the memory of one matrix. What
suffers most stays in 16 bits: embeddings, norms, modulations, the head, the first and the last block. `fp8` writes the
layout that other engines read: 8-bit floats with one scale for each row.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.core.errors import RequestError, WeightsError
from inkwash.core.files import write_json
from inkwash.models.glm_image.folder import INDEX_FILE, PARTS, inspect_folder
from inkwash.models.tensor_files import METHOD, StoredTensor, read_json, reason
from inkwash.models.tensor_writer import KINDS, TensorEntry, TensorWriter
from inkwash.models.weights import HARMLESS, KeyTable, StoredTensors, read_stored
from inkwash.nn.linear import Int4Matrix, Int8Matrix, can_pack_int4, group_of, quantize_int4, quantize_int8

LAYERS = r"model\.language_model\.layers\.(\d+)\."
STAGES = {
    "ar": re.compile(LAYERS + r"(self_attn\.[qkvo]_proj|mlp\.gate_up_proj|mlp\.down_proj)\.weight"),
    "see": re.compile(
        LAYERS + r"(self_attn\.[qkvo]_proj"
        r"|mlp\.((shared_experts|experts\.\d+)\.)?(gate_up_proj|gate_proj|up_proj|down_proj))\.weight"
    ),
    "decoder": re.compile(r"transformer_blocks\.(\d+)\.(attn1\.to_(q|k|v|out\.0)|ff\.net\.0\.proj|ff\.net\.2)\.weight"),
}
FOLDERS = {"ar": "vision_language_encoder", "decoder": "transformer"}
PLAIN = {"F32", "F16", "BF16", "F64", "F8_E4M3"}
FP8_MOST = 448.0
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a conversion made of one part."""

    part: str
    before: int  # bytes
    after: int
    matrices: int  # how many were rounded


def convert(source: Path, target: Path, kinds: Mapping[str, str], report: Report | None = None) -> list[Converted]:
    """Write `target` from the checkpoint folder `source`; `report(part, done, total)` is called as tensors are done.

    Raises RequestError for a stage that the checkpoint does not have, WeightsError for folders that cannot be read,
    written, or are rounded already.
    """
    sees = not (source / INDEX_FILE).is_file()
    stages = {"see": source} if sees else {stage: source / name for stage, name in FOLDERS.items()}
    if not sees:
        inspect_folder(source)
    if foreign := sorted(kinds.keys() - stages.keys()):
        allowed = " and ".join(sorted(stages))
        raise RequestError(
            f"quantize names the stage {foreign[0]!r}, but {source} has {allowed}: name only those.", param="quantize"
        )
    _refuse_target(source, target)
    staging = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        made = []
        for stage, kind in kinds.items():
            part = stages[stage]
            made.append(_convert_part(stage, kind, part, staging if sees else staging / part.name, report))
        _copy_others(source, staging, {stages[stage] for stage in kinds})
        staging.rename(target)
    except OSError as error:
        raise WeightsError(
            f"The checkpoint could not be written to {target} ({reason(error)}): "
            "check free space and permissions, or choose another folder."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return made


def _convert_part(stage: str, kind: str, source: Path, target: Path, report: Report | None) -> Converted:
    stored = read_stored(source)
    tensors = StoredTensors(source)
    if tensors.kinds:
        raise WeightsError(f"{source} is rounded to {', '.join(sorted(tensors.kinds))} already: convert the original.")
    table = KeyTable(dropped=HARMLESS)
    names = [name for name in stored if not table.is_dropped(name)]
    chosen = _chosen(stage, kind, {name: stored[name] for name in names})
    if not chosen:
        raise WeightsError(f"{source} has no matrix that can be rounded to {kind}.")
    entries: dict[str, TensorEntry] = {}
    for name in names:
        entries.update(_entries(name, stored[name], kind if name in chosen else None))
    base = "model" if stage != "decoder" else PARTS[FOLDERS[stage]].weights_name
    groups = {group_of(stored[name].shape[1]) for name in chosen}
    with TensorWriter(target, base, entries) as writer:
        for done, name in enumerate(names):
            _, value = next(tensors.read([name], dtype=None))
            for key, part in _rounded(name, value, kind if name in chosen else None).items():
                writer.write(key, part)
            if report is not None:
                report(source.name, done + 1, len(names))
    config = read_json(source / "config.json")
    config["quantization_config"] = _settings(kind, groups)
    write_json(target / "config.json", config)
    after = sum(entry.nbytes for entry in entries.values())
    before = sum(torch.Size(stored[name].shape).numel() * _dtype_of(stored[name]).itemsize for name in names)
    return Converted(part=source.name, before=before, after=after, matrices=len(chosen))


def _chosen(stage: str, kind: str, stored: Mapping[str, StoredTensor]) -> set[str]:
    """Matrices to round: those of all blocks between the first and the last, where their shape allows it."""
    found = {name: match for name in stored if (match := STAGES[stage].fullmatch(name))}
    numbers = {int(match[1]) for match in found.values()}
    ends = {min(numbers), max(numbers)} if len(numbers) > 2 else set()
    chosen = {name for name, match in found.items() if int(match[1]) not in ends}
    if kind == "int4":
        unfit = {name for name in chosen if not _takes_int4(stored[name].shape)}
        chosen -= unfit | {name for name in chosen if _together(name) & unfit}
    return chosen


def _takes_int4(shape: tuple[int, ...]) -> bool:
    group = group_of(shape[1])
    return group is not None and can_pack_int4(shape[0], shape[1], group)


def _together(name: str) -> set[str]:
    """Queries, keys and values are one product, so they are rounded together or not at all."""
    found = re.fullmatch(r"(.*self_attn\.)[qkv](_proj\.weight)", name)
    return set() if found is None else {f"{found[1]}{letter}{found[2]}" for letter in "qkv"}


def _entries(name: str, stored: StoredTensor, kind: str | None) -> dict[str, TensorEntry]:
    """What is written for one tensor."""
    if kind is None:
        return {name: TensorEntry(dtype=_dtype_of(stored), shape=stored.shape)}
    rows, columns = stored.shape
    if kind == "int8":
        return {
            name: TensorEntry(dtype=torch.int8, shape=(rows, columns)),
            f"{name}_scale": TensorEntry(dtype=torch.bfloat16, shape=(rows,)),
        }
    if kind == "fp8":
        return {
            name: TensorEntry(dtype=torch.float8_e4m3fn, shape=(rows, columns)),
            f"{name}_scale": TensorEntry(dtype=torch.float32, shape=(rows, 1)),
        }
    group = group_of(columns)
    assert group is not None
    return {
        name: TensorEntry(dtype=torch.uint8, shape=(rows, columns // 2)),
        f"{name}_steps": TensorEntry(dtype=torch.bfloat16, shape=(columns // group, rows, 2)),
    }


def _rounded(name: str, value: Tensor, kind: str | None) -> dict[str, Tensor]:
    if kind is None:
        return {name: value}
    if not bool(value.isfinite().all()):
        raise WeightsError(f"{name} holds numbers that are not finite, so it cannot be rounded to {kind}.")
    if kind == "int4":
        group = group_of(value.shape[1])
        assert group is not None
        four: Int4Matrix = quantize_int4(value, group)
        return {name: four.packed, f"{name}_steps": four.steps}
    if kind == "int8":
        eight: Int8Matrix = quantize_int8(value)
        return {name: eight.values, f"{name}_scale": eight.scale}
    wide = value.float()
    scale = wide.abs().amax(dim=1, keepdim=True).div_(FP8_MOST).clamp_(min=1e-12)
    return {name: (wide / scale).to(torch.float8_e4m3fn), f"{name}_scale": scale}


def _dtype_of(stored: StoredTensor) -> torch.dtype:
    """The number type that a tensor is written in: its own, 8-bit floats as bf16."""
    if stored.scale is not None:
        return torch.bfloat16
    return next(dtype for dtype, kind in KINDS.items() if kind == stored.dtype)


def _settings(kind: str, groups: set[int | None]) -> dict[str, Any]:
    if kind == "fp8":
        return {"quant_method": "fp8", "activation_scheme": "dynamic"}
    sizes = sorted(group for group in groups if group is not None)
    if kind == "int8":
        return {"quant_method": METHOD, "kind": kind, "group_size": "row"}
    return {"quant_method": METHOD, "kind": kind, "group_size": sizes, "block_rows": 64}


def _refuse_target(source: Path, target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WeightsError(f"{target} exists and is not empty: choose a new folder.")
    if target.is_dir():
        target.rmdir()
    if source.resolve() == target.resolve() or source.resolve() in target.resolve().parents:
        raise WeightsError(f"{target} lies inside the checkpoint {source}: choose a folder outside it.")


def _copy_others(source: Path, target: Path, converted: set[Path]) -> None:
    """Every other file as it is; hard links would let a later edit of one change the other."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir() or ".cache" in path.parts or place.exists():
            continue
        if path.parent in converted and _is_weights(path):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _is_weights(path: Path) -> bool:
    return path.suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt") or ".safetensors.index." in path.name
