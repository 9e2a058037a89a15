"""Inkwash: draw pictures whose words can be read, with GLM-Image checkpoints of any size.

``from inkwash import GlmImagePipeline`` is the whole Python surface for drawing. The import is lazy, so that
``import inkwash`` and the command line's help load no torch and answer at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline

__version__ = "0.1.0"
__all__ = ["GlmImagePipeline", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "GlmImagePipeline":
        from inkwash.engine.pipeline import GlmImagePipeline

        return GlmImagePipeline
    raise AttributeError(f"module 'inkwash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
