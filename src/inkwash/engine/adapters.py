"""LoRA at inference: adapters are merged into the weights of a loaded checkpoint, several at once, and taken out again.

Merging costs nothing per step and works with every fast path. The touched matrices are kept as they were, on the CPU,
so that taking an adapter out gives back the same bits. Not while a picture is being drawn: weights are shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from inkwash.core.errors import RequestError, WeightsError
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.models.lora import AdapterFile, check_weight, find_adapters
from inkwash.models.lora_matrices import COMPUTED, MatrixParts, halves_of, read_parts

Place = tuple[str, str]  # network, name of the matrix


@dataclass(frozen=True)
class AdapterDelta:
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
        """`parts`: a checkpoint that draws, or networks by the names that adapter folders may have."""
        self._networks: dict[str, nn.Module] = (
            dict(parts)
            if isinstance(parts, Mapping)
            else {"vision_language_encoder": parts.ar, "transformer": parts.decoder, "text_encoder": parts.glyph}
        )
        self._loaded: dict[str, dict[Place, AdapterDelta]] = {}
        self._active: dict[str, float] = {}
        self._originals: dict[Place, Tensor] = {}
        self.fused = False  # whether what acts counts as part of the weights
        self._paused: dict[str, float] = {}
        self._flat: dict[str | None, dict[str, str]] = {}  # names of modules with underscores, and with dots

    @property
    def names(self) -> list[str]:
        """All loaded adapters."""
        return list(self._loaded)

    @property
    def active(self) -> dict[str, float]:
        """Weights of the adapters that act now."""
        return dict(self._active)

    def load(
        self, path: str | Path, name: str | None = None, *, weight_name: str | None = None, act: bool = True
    ) -> str:
        """Read an adapter and let it act with weight 1 beside those that act already; returns its name.

        `path` is a folder, a file or a hub repository (`models.lora`); `weight_name` is one file of several there.
        Without `act` it is only there to be chosen.
        """
        name = name or self._free_name(Path(path))
        if name in self._loaded:
            raise RequestError(f"There is an adapter {name!r} already: choose another name.", param="lora")
        deltas: dict[Place, AdapterDelta] = {}
        for file in find_adapters(path, weight_name):
            deltas |= self._read(file)
        self._loaded[name] = deltas
        if act:
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
        try:
            self._merge_all(touched, wanted)
        except BaseException:  # no memory for one of them: weights of neither choice must not stay
            self._merge_all(touched, self._active)
            raise
        self._active = dict(wanted)

    def fuse(self, names: Sequence[str] | None = None, scale: float = 1.0) -> None:
        """Let the acting adapters, or those named, count as part of the weights, each `scale` times as strong."""
        chosen = self._active if names is None else {name: self._active.get(name, 1.0) for name in names}
        self.set({name: weight * scale for name, weight in chosen.items()})
        self.fused = bool(chosen)

    def unfuse(self) -> None:
        """They act as adapters again."""
        self.fused = False

    def pause(self) -> None:
        """None acts until `resume`."""
        if self._active:
            self._paused = dict(self._active)
        self.set({})

    def resume(self) -> None:
        """Those act that acted before `pause`."""
        paused = {name: weight for name, weight in self._paused.items() if name in self._loaded}
        if not self._active and paused:
            self.set(paused)
        self._paused = {}

    def by_network(self) -> dict[str, list[str]]:
        """The names of those that touch each network."""
        found: dict[str, list[str]] = {}
        for name, deltas in self._loaded.items():
            for network in sorted({place[0] for place in deltas}):
                found.setdefault(network, []).append(name)
        return found

    def unload(self, names: Sequence[str] | None = None) -> None:
        """Forget adapters (all of them by default) and what they did."""
        gone = set(self.names if names is None else names)
        if self.fused and gone:
            raise RequestError("Adapters are fused into the weights: call unfuse_lora() first.", param="lora")
        self.set({name: weight for name, weight in self._active.items() if name not in gone})
        for name in gone:
            self._loaded.pop(name, None)
        kept = {place for deltas in self._loaded.values() for place in deltas}
        self._originals = {place: weight for place, weight in self._originals.items() if place in kept}

    def _merge_all(self, places: Iterable[Place], weights: Mapping[str, float]) -> None:
        for place in places:
            self._merge(place, [(self._loaded[n][place], w) for n, w in weights.items() if place in self._loaded[n]])

    @torch.no_grad()
    def _merge(self, place: Place, deltas: Sequence[tuple[AdapterDelta, float]]) -> None:
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
        stem = folder.resolve().name.removesuffix(".safetensors")
        name, number = stem, 2
        while name in self._loaded:
            name, number = f"{stem}_{number}", number + 1
        return name

    def _read(self, file: AdapterFile) -> dict[Place, AdapterDelta]:
        """All matrices of a file, whichever library wrote it."""
        named = {}
        for place, parts in read_parts(file).items():
            module = self._unflattened(place.network, place.module, file.path) if place.flat else place.module
            named[place] = (module, parts)
        open_names = [module for place, (module, _) in named.items() if place.network is None]
        owner = self._owner(open_names, file.path) if open_names else ""
        found: dict[Place, AdapterDelta] = {}
        for place, (module, parts) in named.items():
            network = place.network or owner
            if (network, module) in found:
                raise WeightsError(f"{file.path} holds {module} of {network} twice: save the adapter alone.")
            found[network, module] = self._delta(network, module, parts, file)
        return found

    def _unflattened(self, network: str | None, flat: str, path: Path) -> str:
        """The matrix whose name with underscores in place of dots is `flat`."""
        if network not in self._flat:
            modules = self._networks[network].named_modules() if network in self._networks else ()
            self._flat[network] = {name.replace(".", "_"): name for name, _ in modules}
        if flat not in self._flat[network]:
            raise WeightsError(f"{path} is for another model: no matrix of {network} is called {flat}.")
        return self._flat[network][flat]

    def _owner(self, modules: Sequence[str], path: Path) -> str:
        """The network that has all the modules an adapter names."""
        for name, network in self._networks.items():
            if all(_has_matrix(network, module) for module in modules):
                return name
        lacking = next((m for m in modules if not any(_has_matrix(n, m) for n in self._networks.values())), modules[0])
        raise WeightsError(f"{path} is for another model: no network of this checkpoint has {lacking}.")

    def _delta(self, network: str, module: str, parts: MatrixParts, file: AdapterFile) -> AdapterDelta:
        path = file.path
        halves = halves_of(parts, network, module, file)
        if network not in self._networks or not _has_matrix(self._networks[network], module):
            raise WeightsError(f"{path} is for another model: {network} has no matrix {module}.")
        weight = self._weight((network, module))
        scale = file.settings_of(network).scale(module, halves.rank, halves.alpha)
        # peft stores an embedding's matrices the other way round
        embedding = isinstance(self._networks[network].get_submodule(module), nn.Embedding)
        delta = AdapterDelta(halves.a, halves.b, scale, transposed=embedding)
        if delta.shape != tuple(weight.shape):
            raise WeightsError(
                f"{path} is for another model: {module} is {tuple(weight.shape)}, the adapter's is {delta.shape}."
            )
        if weight.dtype not in COMPUTED:
            raise WeightsError(f"{network} is quantised ({weight.dtype}): load the checkpoint unquantised to use LoRA.")
        return delta


def _has_matrix(network: nn.Module, module: str) -> bool:
    try:
        found = network.get_submodule(module)
    except AttributeError:
        return False
    weight = getattr(found, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2
