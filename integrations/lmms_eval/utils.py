"""What lmms-eval calls for the task `inkwash_signs`: the picture, the question, the score.

The harness loads this file by its path, without its folder being a package, so it imports nothing of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    return [Image.open(Path("signs") / doc["image"]).convert("RGB")]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:  # noqa: ARG001 (the harness names it)
    question: str = doc["question"]
    return question


def doc_to_messages(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> list[dict[str, Any]]:  # noqa: ARG001 (the harness names it)
    """One turn: the picture, then the question."""
    content = [
        {"type": "image", "url": doc_to_visual(doc)[0]},
        {"type": "text", "text": doc_to_text(doc)},
    ]
    return [{"role": "user", "content": content}]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """1 where the answer is the expected one, whatever its case and the dot at its end."""
    return {"right": float(plain(results[0]) == plain(doc["answer"]))}


def plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()
