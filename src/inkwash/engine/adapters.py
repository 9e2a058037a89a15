"""LoRA at inference: adapters are merged into the weights of a loaded checkpoint, several at once, and taken out again.

Merging costs nothing per step and works with every fast path. The touched matrices are kept as they were, on the CPU,
so that taking an adapter out gives back the same bits. Not while a picture is being drawn: weights are shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from inkwash.core.errors import RequestError, WeightsError
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.models.lora import WEIGHTS_FILE, AdapterConfig, check_weight, find_adapters

PREFIX = "base_model.model."
FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
Place = tuple[str, str]  # network, name of the matrix


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to one matrix: scale * b @ a."""

    a: Tensor  # (rank, in)
    b: Tensor  # (out, rank)
    scale: float
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        out, inner = self.b.shape[0], self.a.shape[1]
        return (inner, out) if self.transposed else (out, inner)

    def full(self, device: torch.device) -> Tensor:
        """The whole matrix, fp32."""
        product = self.scale * (self.b.to(device, torch.float32) @ self.a.to(device, torch.float32))
        return product.T if self.transposed else product


class Adapters:
    """The adapters of one checkpoint in memory: loaded by name, active with a weight each."""

    def __init__(self, parts: GlmImageParts | Mapping[str, nn.Module]) -> None:
        """``parts``: a checkpoint that draws, or networks by the names that adapter folders may have."""
        self._networks: dict[str, nn.Module] = (
            dict(parts)
            if isinstance(parts, Mapping)
            else {"vision_language_encoder": parts.ar, "transformer": parts.decoder, "text_encoder": parts.glyph}
        )
        self._loaded: dict[str, dict[Place, Delta]] = {}
        self._active: dict[str, float] = {}
        self._originals: dict[Place, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """All loaded adapters."""
        return list(self._loaded)

    @property
    def active(self) -> dict[str, float]:
        """Weights of the adapters that act now."""
        return dict(self._active)

    def load(self, path: str | Path, name: str | None = None) -> str:
        """Read an adapter folder and let it act with weight 1 beside those that act already; returns its name."""
        folder = Path(path)
        name = name or self._free_name(folder)
        if name in self._loaded:
            raise RequestError(f"There is an adapter {name!r} already: choose another name.", param="lora")
        deltas: dict[Place, Delta] = {}
        for network, config in find_adapters(folder).items():
            deltas |= self._read(network, config)
        self._loaded[name] = deltas
        self.set({**self._active, name: 1.0})
        return name

    def set(self, weights: Mapping[str, float]) -> None:
        """Exactly these adapters act, each with its weight; an empty mapping gives the plain checkpoint back."""
        for name, weight in weights.items():
            if name not in self._loaded:
                known = ", ".join(self._loaded) or "none"
                raise RequestError(f"There is no adapter {name!r}: loaded are {known}.", param="lora")
            check_weight(weight)
        wanted = {name: float(weight) for name, weight in weights.items() if weight != 0.0}
        touched = {place for name in {*wanted, *self._active} for place in self._loaded[name]}
        for place in touched:
            self._merge(place, [(self._loaded[n][place], w) for n, w in wanted.items() if place in self._loaded[n]])
        self._active = dict(wanted)

    def unload(self, names: Sequence[str] | None = None) -> None:
        """Forget adapters (all of them by default) and what they did."""
        gone = set(self.names if names is None else names)
        self.set({name: weight for name, weight in self._active.items() if name not in gone})
        for name in gone:
            self._loaded.pop(name, None)
        kept = {place for deltas in self._loaded.values() for place in deltas}
        self._originals = {place: weight for place, weight in self._originals.items() if place in kept}

    @torch.no_grad()
    def _merge(self, place: Place, deltas: Sequence[tuple[Delta, float]]) -> None:
        weight = self._weight(place)
        original = self._originals.setdefault(place, weight.detach().to("cpu", copy=True))
        if not deltas:
            weight.copy_(original)
            return
        total = original.to(weight.device, torch.float32)
        for delta, factor in deltas:
            total = total + factor * delta.full(weight.device)
        weight.copy_(total)

    def _weight(self, place: Place) -> Tensor:
        return self._networks[place[0]].get_submodule(place[1]).get_parameter("weight")

    def _free_name(self, folder: Path) -> str:
        stem = folder.resolve().name
        name, number = stem, 2
        while name in self._loaded:
            name, number = f"{stem}_{number}", number + 1
        return name

    def _read(self, network: str | None, config: AdapterConfig) -> dict[Place, Delta]:
        file = config.folder / WEIGHTS_FILE
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"{file} is damaged or cut short ({error}): copy it again.") from error
        pairs: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            module, half = _split(key, file)
            pairs.setdefault(module, {})[half] = tensor
        if not pairs:
            raise WeightsError(f"{file} holds no LoRA matrices.")
        network = network or self._owner(pairs, file)
        return {(network, module): self._delta(network, module, half, config) for module, half in pairs.items()}

    def _owner(self, pairs: Mapping[str, object], file: Path) -> str:
        """The network that has all the modules an adapter names."""
        for name, network in self._networks.items():
            if all(_has_matrix(network, module) for module in pairs):
                return name
        raise WeightsError(f"{file} is for another model: no network of this checkpoint has {next(iter(pairs))}.")

    def _delta(self, network: str, module: str, halves: dict[str, Tensor], config: AdapterConfig) -> Delta:
        file = config.folder / WEIGHTS_FILE
        if halves.keys() != {"a", "b"}:
            raise WeightsError(f"{file} has only one of the two matrices of {module}: copy it again.")
        if not _has_matrix(self._networks[network], module):
            raise WeightsError(f"{file} is for another model: {network} has no matrix {module}.")
        delta = Delta(halves["a"], halves["b"], config.scale(module), config.transposed)
        weight = self._weight((network, module))
        embedding = isinstance(self._networks[network].get_submodule(module), nn.Embedding)
        if embedding:  # peft stores an embedding's matrices the other way round
            delta = Delta(halves["a"], halves["b"], config.scale(module), transposed=True)
        if delta.a.shape[0] != delta.b.shape[1] or delta.shape != tuple(weight.shape):
            raise WeightsError(
                f"{file} is for another model: {module} is {tuple(weight.shape)}, the adapter's is {delta.shape}."
            )
        if weight.dtype not in FLOATS:
            raise WeightsError(f"{network} is quantised ({weight.dtype}): load the checkpoint unquantised to use LoRA.")
        return delta


def _has_matrix(network: nn.Module, module: str) -> bool:
    try:
        found = network.get_submodule(module)
    except AttributeError:
        return False
    weight = getattr(found, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2


def _split(key: str, file: Path) -> tuple[str, str]:
    """``base_model.model.NAME.lora_A.weight`` -> (NAME, "a")."""
    for mark, half in (("lora_A", "a"), ("lora_B", "b"), ("lora_embedding_A", "a"), ("lora_embedding_B", "b")):
        head, found, tail = key.partition(f".{mark}")
        if found and tail in (".weight", ""):
            return head.removeprefix(PREFIX), half
    raise WeightsError(f"{file} holds {key}, which is no LoRA matrix: only plain LoRA adapters are read.")
