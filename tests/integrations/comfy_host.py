"""As much of ComfyUI as its node contract takes: modules that nodes look up, and an executor of workflows.

The executor takes the API format, checks inputs as ComfyUI 0.3 does before a queue starts (required inputs, types of
links, lists, bounds, VALIDATE_INPUTS), and calls each node once, after those it takes from.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

NODES = Path(__file__).parents[2] / "integrations" / "comfyui"
CASTS: dict[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def load_nodes(name: str = "inkwash_nodes") -> ModuleType:
    """The custom node's package, loaded from its folder as ComfyUI does it."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, NODES / "__init__.py", submodule_search_locations=[str(NODES)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class InterruptProcessingException(Exception):
    """ComfyUI's own, raised in a node whose run was cancelled."""


class Invalid(Exception):
    """A workflow that ComfyUI would refuse before it runs."""


class Host:
    """What nodes see of ComfyUI, and what they told it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bars: list[list[tuple[int, int, Any]]] = []
        self.interrupt_after: int | None = None
        self.unloaded = 0

    def modules(self) -> dict[str, ModuleType]:
        utils, management = ModuleType("comfy.utils"), ModuleType("comfy.model_management")
        folders = ModuleType("folder_paths")
        utils.ProgressBar = self._bar  # type: ignore[attr-defined]
        management.throw_exception_if_processing_interrupted = self._check  # type: ignore[attr-defined]
        management.unload_all_models = self._unload  # type: ignore[attr-defined]
        management.soft_empty_cache = lambda: None  # type: ignore[attr-defined]
        folders.models_dir = str(self.root / "models")  # type: ignore[attr-defined]
        loras = self.root / "models" / "loras"
        files = lambda _: sorted(str(path.relative_to(loras)) for path in loras.rglob("*.safetensors"))  # noqa: E731
        folders.get_filename_list = files  # type: ignore[attr-defined]
        folders.get_full_path = lambda _, name: (  # type: ignore[attr-defined]
            str(loras / name) if (loras / name).is_file() else None
        )
        return {"comfy.utils": utils, "comfy.model_management": management, "folder_paths": folders}

    def _bar(self, total: int) -> Any:
        told: list[tuple[int, int, Any]] = []
        self.bars.append(told)
        return SimpleNamespace(
            update_absolute=lambda value, total=total, preview=None: told.append((value, total, preview))
        )

    def _check(self) -> None:
        if self.interrupt_after is not None:
            self.interrupt_after -= 1
            if self.interrupt_after < 0:
                raise InterruptProcessingException

    def _unload(self) -> None:
        self.unloaded += 1


@contextmanager
def comfy_modules(host: Host) -> Iterator[None]:
    """The modules are there, as in ComfyUI's process."""
    made = host.modules()
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Core:
    """ComfyUI's own nodes, as far as the example workflows use them."""

    def __init__(self, root: Path) -> None:
        saved: dict[str, Any] = {}
        self.saved = saved

        class LoadImage:
            RETURN_TYPES, FUNCTION = ("IMAGE", "MASK"), "load"

            @classmethod
            def INPUT_TYPES(cls) -> dict[str, Any]:
                return {"required": {"image": (sorted(path.name for path in (root / "input").iterdir()), {})}}

            def load(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
                picture = Image.open(root / "input" / image)
                pixels = torch.from_numpy(np.array(picture.convert("RGB")).astype(np.float32) / 255)[None]
                if "A" not in picture.getbands():
                    return pixels, torch.zeros((1, 64, 64))
                return pixels, 1 - torch.from_numpy(np.array(picture.getchannel("A")).astype(np.float32) / 255)[None]

        class SaveImage:
            RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "save", True

            @classmethod
            def INPUT_TYPES(cls) -> dict[str, Any]:
                return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}

            def save(self, images: torch.Tensor, filename_prefix: str) -> tuple[()]:
                arrays = [np.clip(255.0 * one.numpy(), 0, 255).astype(np.uint8) for one in images]
                saved[filename_prefix] = [Image.fromarray(one) for one in arrays]
                return ()

        class PreviewAny:
            RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "show", True

            @classmethod
            def INPUT_TYPES(cls) -> dict[str, Any]:
                return {"required": {"source": ("*", {})}}

            def show(self, source: Any) -> tuple[()]:
                saved.setdefault("shown", []).append(source)
                return ()

        self.nodes: dict[str, Any] = {each.__name__: each for each in (LoadImage, SaveImage, PreviewAny)}


def execute(graph: Mapping[str, Any], classes: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The outputs of every node of a workflow; Invalid for what ComfyUI would not queue."""
    for name, entry in graph.items():
        check(name, entry, graph, classes)
    outputs: dict[str, tuple[Any, ...]] = {}

    def run(name: str) -> tuple[Any, ...]:
        if name not in outputs:
            entry = graph[name]
            found = classes[entry["class_type"]]
            values = {
                each: run(value[0])[value[1]] if isinstance(value, list) else value
                for each, value in entry["inputs"].items()
            }
            result = getattr(found(), found.FUNCTION)(**values)
            assert isinstance(result, tuple) and len(result) == len(found.RETURN_TYPES)
            outputs[name] = result
        return outputs[name]

    for name in graph:
        run(name)
    return outputs


def check(name: str, entry: Mapping[str, Any], graph: Mapping[str, Any], classes: Mapping[str, Any]) -> None:
    """One node's inputs, by ComfyUI's rules."""
    found, inputs = classes[entry["class_type"]], dict(entry["inputs"])
    types = found.INPUT_TYPES()
    declared = {**types.get("required", {}), **types.get("optional", {})}
    missing = set(types.get("required", {})) - set(inputs)
    unknown = set(inputs) - set(declared)
    if missing or unknown:
        raise Invalid(f"{name}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    validate = getattr(found, "VALIDATE_INPUTS", None)
    own = set(inspect.getfullargspec(validate).args) if validate else set()
    for each, value in inputs.items():
        kind, *rest = declared[each]
        options = rest[0] if rest else {}
        if isinstance(value, list):
            source, output = value
            given = classes[graph[source]["class_type"]].RETURN_TYPES[output]
            if kind not in (given, "*"):
                raise Invalid(f"{name}.{each}: {given} is linked to {kind}")
            continue
        if isinstance(kind, str) and kind in CASTS and type(value) is not CASTS[kind]:
            raise Invalid(f"{name}.{each}: {value!r} is no {kind}")
        if each in own:
            continue
        if ("min" in options and value < options["min"]) or ("max" in options and value > options["max"]):
            raise Invalid(f"{name}.{each}: {value} is out of bounds")
        if isinstance(kind, list) and value not in kind:
            raise Invalid(f"{name}.{each}: {value!r} is none of {kind}")
    if validate:
        given = {each: None if isinstance(value, list) else value for each, value in inputs.items() if each in own}
        said = validate(**given)
        if said is not True:
            raise Invalid(f"{name}: {said}")


def graph_of_canvas(content: Mapping[str, Any], classes: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow of the canvas as the API format, in the way of ComfyUI's page: widgets by their order."""
    sources = {link[0]: [str(link[1]), link[2]] for link in content["links"]}
    graph: dict[str, Any] = {}
    for entry in content["nodes"]:
        types = classes[entry["type"]].INPUT_TYPES()
        values = list(entry["widgets_values"])
        inputs: dict[str, Any] = {}
        for name, one in {**types.get("required", {}), **types.get("optional", {})}.items():
            if isinstance(one[0], list) or one[0] in CASTS:
                inputs[name] = values.pop(0)
                if len(one) > 1 and one[1].get("control_after_generate"):
                    assert values.pop(0) in ("fixed", "increment", "decrement", "randomize")
        for socket in entry["inputs"]:
            if socket["link"] is not None:
                inputs[socket["name"]] = sources[socket["link"]]
        graph[str(entry["id"])] = {"class_type": entry["type"], "inputs": inputs}
    return graph
