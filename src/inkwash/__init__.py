"""Inkwash: draw pictures whose words can be read, with GLM-Image checkpoints, and read pictures with GLM-V ones.

Everything in `__all__` is the public Python interface. Names are imported when they are first used, so that
`import inkwash` and the command line's help load no torch and answer at once.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkwash.core.errors import (
        Cancelled,
        ConfigError,
        DataError,
        InkwashError,
        MediaError,
        MissingExtraError,
        RequestError,
        WeightsError,
    )
    from inkwash.engine import events
    from inkwash.engine.handle import GenerationResult, RequestHandle
    from inkwash.engine.open import LoadOptions, open_pipeline, open_vision_pipeline
    from inkwash.engine.output import GlmImagePipelineOutput, Plan
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.prepared import Prepared
    from inkwash.engine.request import CancelToken, DrawRequest, TokenCounts
    from inkwash.engine.scheduler import DeadlinePassed, Engine, EngineClosed, EngineStats, QueueFull
    from inkwash.engine.see.media import MediaRules
    from inkwash.engine.see.options import AnswerOptions
    from inkwash.engine.see.output import Cost, Delta, Usage, VisionOutput
    from inkwash.engine.see.pipeline import GlmVisionPipeline
    from inkwash.engine.verify import Reading, Verified, Verify, draw_verified
    from inkwash.eval.ocr import Reader

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent as a library: programs configure logging

__version__ = "0.1.0"
__all__ = [
    "AnswerOptions",
    "CancelToken",
    "Cancelled",
    "ConfigError",
    "Cost",
    "DataError",
    "DeadlinePassed",
    "Delta",
    "DrawRequest",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "GenerationResult",
    "GlmImagePipeline",
    "GlmImagePipelineOutput",
    "GlmVisionPipeline",
    "InkwashError",
    "LoadOptions",
    "MediaError",
    "MediaRules",
    "MissingExtraError",
    "Plan",
    "Prepared",
    "QueueFull",
    "Reader",
    "Reading",
    "RequestError",
    "RequestHandle",
    "TokenCounts",
    "Usage",
    "Verified",
    "Verify",
    "VisionOutput",
    "WeightsError",
    "__version__",
    "draw_verified",
    "events",
    "open_pipeline",
    "open_vision_pipeline",
]

_MODULES = {  # where a public name is defined
    "inkwash.core.errors": (
        "Cancelled",
        "ConfigError",
        "DataError",
        "InkwashError",
        "MediaError",
        "MissingExtraError",
        "RequestError",
        "WeightsError",
    ),
    "inkwash.engine.open": ("LoadOptions", "open_pipeline", "open_vision_pipeline"),
    "inkwash.engine.output": ("GlmImagePipelineOutput", "Plan"),
    "inkwash.engine.pipeline": ("GlmImagePipeline",),
    "inkwash.engine.prepared": ("Prepared",),
    "inkwash.engine.request": ("CancelToken", "DrawRequest", "TokenCounts"),
    "inkwash.engine.scheduler": ("DeadlinePassed", "Engine", "EngineClosed", "EngineStats", "QueueFull"),
    "inkwash.engine.see.media": ("MediaRules",),
    "inkwash.engine.see.options": ("AnswerOptions",),
    "inkwash.engine.see.output": ("Cost", "Delta", "Usage", "VisionOutput"),
    "inkwash.engine.see.pipeline": ("GlmVisionPipeline",),
    "inkwash.engine.handle": ("GenerationResult", "RequestHandle"),
    "inkwash.engine.verify": ("Reading", "Verified", "Verify", "draw_verified"),
    "inkwash.eval.ocr": ("Reader",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "events":
        return importlib.import_module("inkwash.engine.events")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'inkwash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
