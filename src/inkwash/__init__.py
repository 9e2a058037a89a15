"""Inkwash: draw pictures whose words can be read, with GLM-Image checkpoints, and read pictures with GLM-V ones.

``GlmImagePipeline`` draws and ``GlmVisionPipeline`` sees. Both imports are lazy, so that
``import inkwash`` and the command line's help load no torch and answer at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.see.pipeline import GlmVisionPipeline

__version__ = "0.1.0"
__all__ = ["GlmImagePipeline", "GlmVisionPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "GlmImagePipeline":
        from inkwash.engine.pipeline import GlmImagePipeline

        return GlmImagePipeline
    if name == "GlmVisionPipeline":
        from inkwash.engine.see.pipeline import GlmVisionPipeline

        return GlmVisionPipeline
    raise AttributeError(f"module 'inkwash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
