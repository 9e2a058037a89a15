"""What a folder of safetensors files says it holds, read from headers and index without reading a number.

Every way in which such a folder can be wrong (missing, cut short, garbage, an index that promises other things than
the files hold) is found here and told in one sentence that names the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from inkwash.core.errors import WeightsError

BASE_NAMES = ("model", "diffusion_pytorch_model")
NAMES_SHOWN = 3
METHOD = "inkwash"  # of matrices that `inkwash convert` rounded, in config.json


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Where one tensor lies and what its header says, before a single number is read."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: StoredTensor | None = None  # of an 8-bit matrix: the numbers it is multiplied by
    block: tuple[int, int] = (1, 1)  # rows and columns that one of them serves
    aside: StoredTensor | None = None  # of a matrix in 8 or 4 bits (`models.quantized_files`): its scales
    part: tuple[int, int, int] | None = None  # of a stack of matrices: which, and from which row to which


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a checkpoint's file; one sentence when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; the checkpoint is incomplete, download or write it again.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is damaged: it does not hold readable JSON ({reason(error)}); download or write it again."
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is damaged: it should hold a JSON object, not {type(content).__name__}.")
    return content


def stated_kind(folder: Path) -> str | None:
    """The kind of rounding that `config.json` of a part states (`models.quantized_files`); None for plain weights."""
    file = folder / "config.json"
    settings = read_json(file).get("quantization_config") if file.is_file() else None
    if not isinstance(settings, dict) or settings.get("quant_method") != METHOD:
        return None
    kind = settings.get("kind")
    return kind if isinstance(kind, str) else None


def read_headers(folder: Path, variant: str | None = None) -> dict[str, StoredTensor]:
    """Every tensor of the safetensors files of a folder, by name, from the headers alone.

    A `variant` is a word in the files' names, such as fp16. Where a folder has files of one variant and no others they
    are taken unasked; where it has no files of the variant that is asked for, those without one are.
    """
    files, listed = _files(folder, variant)
    stored: dict[str, StoredTensor] = {}
    for file in files:
        for name, entry in _header(file).items():
            if name in stored:
                raise WeightsError(f"{file} holds the tensor {name}, and so does {stored[name].file.name}.")
            stored[name] = entry
    if listed is not None:
        _check_index(folder, stored, listed)
    return stored


def require_variant(folders: Sequence[Path], variant: str | None) -> None:
    """Raise one sentence where a variant is asked for and no part of the checkpoint, of these folders, has it."""
    if variant is None:
        return
    found = {name for folder in folders for name in _variants(folder)}
    if variant not in found:
        there = f"only {some(sorted(found))}" if found else "none"
        place = folders[0] if len(folders) == 1 else folders[0].parent
        raise WeightsError(f"{place} has no weights of the variant {variant!r}, {there}: leave variant out.")


def split_experts(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Stacks of experts, as newer libraries save them, under the released names of one expert after another.

    `experts.gate_up_proj` (E, 2 I, D) is the gates above the ups of every expert, `experts.down_proj` (E, D, I).
    """
    found: dict[str, StoredTensor] = {}
    for name, entry in stored.items():
        head, mark, leaf = name.rpartition(".experts.")
        if not mark or leaf not in ("gate_up_proj", "down_proj") or len(entry.shape) != 3 or entry.scale is not None:
            found[name] = entry
            continue
        count, rows, columns = entry.shape
        halves = {"down_proj": (0, rows)}
        if leaf == "gate_up_proj":
            halves = {"gate_proj": (0, rows // 2), "up_proj": (rows // 2, rows)}
        for expert in range(count):
            for half, (first, last) in halves.items():
                part = replace(entry, shape=(last - first, columns), part=(expert, first, last))
                found[f"{head}.experts.{expert}.{half}.weight"] = part
    return found


def _files(folder: Path, variant: str | None) -> tuple[list[Path], dict[str, str] | None]:
    """The weight files of a folder, and the index that lists their tensors where there is one."""
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not a folder; a checkpoint folder with *.safetensors files is expected.")
    if variant is not None and variant in (named := _variants(folder)):
        return named[variant]
    for base in BASE_NAMES:
        if (single := folder / f"{base}.safetensors").is_file():
            return [single], None
        if (index := folder / f"{base}.safetensors.index.json").is_file():
            return _indexed_files(index)
    variants = _variants(folder)
    if len(variants) == 1:
        return next(iter(variants.values()))
    if variants:
        raise WeightsError(
            f"{folder} holds weights in several variants ({some(sorted(variants))}) and none without: choose one."
        )
    singles = sorted(folder.glob("*.safetensors"))
    if len(singles) == 1:
        return singles, None
    if singles:
        raise WeightsError(
            f"{folder} holds {len(singles)} safetensors files ({some([s.name for s in singles])}) and no index; "
            f"expected one file or {BASE_NAMES[0]}.safetensors.index.json beside them."
        )
    other = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.ckpt"), *folder.glob("*.pth")])
    found = f"only {some([o.name for o in other])}, which can run code when opened" if other else "none"
    raise WeightsError(f"{folder} must hold its weights as *.safetensors, and there is {found}.")


def _variants(folder: Path) -> dict[str, tuple[list[Path], dict[str, str] | None]]:
    """Files, and index where there is one, of each variant: `model.fp16.safetensors`, or `model.fp16-00001-of-00002`
    and so on with `model.safetensors.index.fp16.json` beside them."""
    found: dict[str, tuple[list[Path], dict[str, str] | None]] = {}
    for base in BASE_NAMES:
        for index in sorted(folder.glob(f"{base}.safetensors.index.*.json")):
            found[index.name.removeprefix(f"{base}.safetensors.index.").removesuffix(".json")] = _indexed_files(index)
        for file in sorted(folder.glob(f"{base}.*.safetensors")):
            name = file.name.removeprefix(f"{base}.").removesuffix(".safetensors")
            if "-of-" not in name:
                found.setdefault(name, ([file], None))
    return found


def _indexed_files(index: Path) -> tuple[list[Path], dict[str, str]]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(v, str) for v in weight_map.values()):
        raise WeightsError(f"{index} is damaged: it has no 'weight_map' from tensor names to file names.")
    names = sorted(set(weight_map.values()))
    if outside := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{index} points outside its folder ({some(outside)}); only plain file names are allowed.")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise WeightsError(
            f"{index} lists {len(names)} files and {count(missing, 'is', 'are')} missing ({some(missing)}); "
            "download them again."
        )
    return [index.parent / name for name in names], weight_map


def _check_index(folder: Path, stored: Mapping[str, StoredTensor], listed: Mapping[str, str]) -> None:
    wrong = [name for name, file in listed.items() if name not in stored or stored[name].file.name != file]
    if wrong:
        raise WeightsError(
            f"{folder / listed[wrong[0]]} does not hold {count(wrong, 'tensor', 'tensors')} that the index promises "
            f"there ({some(wrong)})."
        )
    if extra := [name for name in stored if name not in listed]:
        raise WeightsError(
            f"{stored[extra[0]].file} holds {count(extra, 'tensor', 'tensors')} that the index does not list "
            f"({some(extra)})."
        )


def _header(file: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(file=file, name=name, shape=tuple(part.get_shape()), dtype=part.get_dtype())
                for name, part in slices.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{file} is damaged or cut short ({file.stat().st_size} bytes; {reason(error)}); download it again."
        ) from error


def reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")


def count(items: list[str], one: str, many: str) -> str:
    return f"{len(items)} {one if len(items) == 1 else many}"


def some(items: list[str]) -> str:
    more = len(items) - NAMES_SHOWN
    return ", ".join(items[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
