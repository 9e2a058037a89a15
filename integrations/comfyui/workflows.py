"""The example workflows, written once and stored in both of ComfyUI's formats.

    python -m comfyui.workflows          # in integrations/: writes api_workflows/ and example_workflows/

`example_workflows/` is what ComfyUI lists under Workflow > Browse Templates; `api_workflows/` is what `POST /prompt`
takes. A test holds the files to this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import NODE_CLASS_MAPPINGS

FOLDER = Path(__file__).parent
Graph = dict[str, dict[str, Any]]  # ComfyUI's API format: id -> class_type and inputs; a link is [id, output]
# Of ComfyUI's own nodes: the linked inputs and their types, the widgets, and the outputs.
CORE: dict[str, tuple[dict[str, str], list[str], list[tuple[str, str]]]] = {
    "LoadImage": ({}, ["image"], [("IMAGE", "IMAGE"), ("MASK", "MASK")]),
    "SaveImage": ({"images": "IMAGE"}, ["filename_prefix"], []),
    "PreviewAny": ({"source": "*"}, [], []),
}
COLUMN = 420  # pixels of the canvas
WIDGET_HEIGHT = 26
MULTILINE_HEIGHT = 100


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def drawing(prompt: str, seed: int, count: int = 1, **more: Any) -> dict[str, Any]:
    """The widgets of a node that draws, at the model's own size and pace."""
    values = {"width": 0, "height": 0, "steps": 0, "guidance": 0.0, "count": count}
    return {"prompt": prompt, "seed": seed, **values, **more}


def graphs() -> dict[str, Graph]:
    """All examples, by the names of their files."""
    load = {"1": node("InkwashLoadModel", model="nano")}
    poster = 'A yellow poster with "Sale" in huge red letters and "50% off" in black letters'
    draw = node("InkwashDraw", model=["1", 0], **drawing(poster, 3))
    return {
        "draw": {
            **load,
            "2": node("InkwashVerify", tries=4, best_of=1),
            "3": node("InkwashDraw", model=["1", 0], verify=["2", 0], **drawing(poster, 3)),
            "4": node("SaveImage", images=["3", 0], filename_prefix="inkwash"),
            "5": node("PreviewAny", source=["3", 3]),
        },
        "edit-mask": {
            **load,
            "2": node("LoadImage", image="poster.png"),
            "3": node(
                "InkwashEdit",
                model=["1", 0],
                image=["2", 0],
                mask=["2", 1],
                **drawing("Replace the background with blue", 1),
            ),
            "4": node("SaveImage", images=["3", 0], filename_prefix="inkwash-edit"),
        },
        "edit-references": {
            **load,
            "2": node("LoadImage", image="poster.png"),
            "3": node("LoadImage", image="reference.png"),
            "4": node(
                "InkwashEdit",
                model=["1", 0],
                image=["2", 0],
                references=["3", 0],
                **drawing('Replace the text with "OPEN"', 0),
            ),
            "5": node("SaveImage", images=["4", 0], filename_prefix="inkwash-references"),
        },
        "redraw-plan": {
            **load,
            "2": draw,
            "3": node("InkwashDraw", model=["1", 0], plan=["2", 1], **drawing(poster, 4)),
            "4": node("SaveImage", images=["2", 0], filename_prefix="inkwash-first"),
            "5": node("SaveImage", images=["3", 0], filename_prefix="inkwash-redrawn"),
            "6": node("InkwashPlanToText", plan=["2", 1]),
            "7": node("PreviewAny", source=["6", 0]),
        },
        "lora": {
            **load,
            "2": node("InkwashLora", model=["1", 0], lora="style.safetensors", strength=1.0),
            "3": node("InkwashDraw", model=["2", 0], **drawing(poster, 3)),
            "4": node("InkwashReadWords", images=["3", 0], prompt=poster),
            "5": node("SaveImage", images=["3", 0], filename_prefix="inkwash-lora"),
            "6": node("PreviewAny", source=["4", 0]),
        },
    }


def canvas(graph: Graph) -> dict[str, Any]:
    """A graph in the format of ComfyUI's canvas: places, sockets, links by number, widgets in order."""
    links: list[list[Any]] = []
    nodes: list[dict[str, Any]] = []
    depth: dict[str, int] = {}
    rows: dict[int, int] = {}
    for name, entry in graph.items():  # every node comes after those that it takes from
        kind, inputs = entry["class_type"], entry["inputs"]
        sockets, widgets = _sockets(kind), _widgets(kind, inputs)
        taken = [name for name in sockets if isinstance(inputs.get(name), list)]
        depth[name] = 1 + max((depth[inputs[each][0]] for each in taken), default=-1)
        slots: list[dict[str, Any]] = []
        for slot, (socket, type_name) in enumerate(sockets.items()):
            number = None
            if socket in taken:
                source, output = inputs[socket]
                number = len(links) + 1
                links.append([number, int(source), output, int(name), slot, type_name])
            slots.append({"name": socket, "type": type_name, "link": number})
        height = 60 + 22 * max(len(slots), len(_outputs(kind))) + _widgets_height(kind)
        column = depth[name]
        nodes.append(
            {
                "id": int(name),
                "type": kind,
                "pos": [40 + COLUMN * column, 40 + rows.get(column, 0)],
                "size": [COLUMN - 60, height],
                "flags": {},
                "order": len(nodes),
                "mode": 0,
                "inputs": slots,
                "outputs": [{"name": title, "type": kind_, "links": []} for title, kind_ in _outputs(kind)],
                "properties": {"Node name for S&R": kind},
                "widgets_values": widgets,
            }
        )
        rows[column] = rows.get(column, 0) + height + 40
    for number, source, output, *_ in links:
        next(each for each in nodes if each["id"] == source)["outputs"][output]["links"].append(number)
    return {
        "last_node_id": max(map(int, graph)),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _declared(kind: str) -> dict[str, Any]:
    types: Mapping[str, dict[str, Any]] = NODE_CLASS_MAPPINGS[kind].INPUT_TYPES()
    return {**types["required"], **types.get("optional", {})}


def _is_widget(declared: tuple[Any, ...]) -> bool:
    return isinstance(declared[0], list) or declared[0] in ("INT", "FLOAT", "STRING", "BOOLEAN")


def _sockets(kind: str) -> dict[str, str]:
    """Inputs that are linked, and their types."""
    if kind in CORE:
        return CORE[kind][0]
    return {name: one[0] for name, one in _declared(kind).items() if not _is_widget(one)}


def _widgets(kind: str, inputs: Mapping[str, Any]) -> list[Any]:
    """Values of the widgets in order; a seed is followed by what happens to it after a run."""
    if kind in CORE:
        return [*(inputs[name] for name in CORE[kind][1]), *(["image"] if kind == "LoadImage" else [])]
    values: list[Any] = []
    for name, one in _declared(kind).items():
        if _is_widget(one):
            usual = one[1].get("default", one[0][0] if isinstance(one[0], list) else None)
            values.append(inputs.get(name, usual))
            values += ["fixed"] if one[1].get("control_after_generate") else []
    return values


def _widgets_height(kind: str) -> int:
    if kind in CORE:
        return 280 if kind != "PreviewAny" else MULTILINE_HEIGHT
    found = [one[1] for one in _declared(kind).values() if _is_widget(one)]
    lines = sum(2 if one.get("control_after_generate") else 1 for one in found)
    return lines * WIDGET_HEIGHT + sum(MULTILINE_HEIGHT for one in found if one.get("multiline"))


def _outputs(kind: str) -> list[tuple[str, str]]:
    if kind in CORE:
        return CORE[kind][2]
    found = NODE_CLASS_MAPPINGS[kind]
    return list(zip(found.RETURN_NAMES, found.RETURN_TYPES, strict=True))


def files() -> dict[Path, str]:
    """Every file and its content."""
    found: dict[Path, str] = {}
    for name, graph in graphs().items():
        for folder, content in (("api_workflows", graph), ("example_workflows", canvas(graph))):
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            found[FOLDER / folder / f"{name}.json"] = text
    return found


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path)
