"""Inkwash in ComfyUI: nodes that draw and edit pictures whose words can be read.

This folder is a custom node: copy or link it to `ComfyUI/custom_nodes/inkwash`, and install inkwash into ComfyUI's
Python. It has no JavaScript and adds no route.
"""

from __future__ import annotations

from .draw import InkwashDraw, InkwashEdit
from .load import InkwashLoadModel, InkwashLora
from .plans import InkwashPlanFromText, InkwashPlanToText
from .words import InkwashReadWords, InkwashVerify

_NODES = {
    InkwashLoadModel: "Inkwash: load model",
    InkwashLora: "Inkwash: LoRA",
    InkwashDraw: "Inkwash: draw",
    InkwashEdit: "Inkwash: edit",
    InkwashVerify: "Inkwash: check the words",
    InkwashReadWords: "Inkwash: read words",
    InkwashPlanToText: "Inkwash: plan to text",
    InkwashPlanFromText: "Inkwash: plan from text",
}

NODE_CLASS_MAPPINGS = {node.__name__: node for node in _NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: title for node, title in _NODES.items()}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
