"""What the page says about a prompt while it is typed: the notes of `engine.notes`, and the words that are to be drawn.

Nothing is promised: a text that no note is about is only repeated as it will be asked for.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from inkwash.core.types import Size
from inkwash.engine.notes import MAX_PROMPT, find_notes
from inkwash.engine.readback import quoted_texts
from inkwash.serve.ui.words import Language, say

if TYPE_CHECKING:
    from inkwash.serve.backend import ModelInfo


def lint_html(prompt: str, lang: Language, *, info: ModelInfo | None, size: Size | None, edit: bool = False) -> str:
    """The notes as lines of the page; an instruction need neither quote nor name anything."""
    limits, canonical = (None, False) if info is None else (info.limits, info.canonical_quotes)
    if size is None and info is not None and not edit:
        size = Size(*info.natural_size)
    found = [
        note
        for note in find_notes(prompt, size, (), limits, canonical=canonical)
        if not (edit and note.kind == "nothing")
    ]
    troubled = {text for note in found for text in note.texts}
    clear = [text for text in quoted_texts(prompt[:MAX_PROMPT]) if text not in troubled]
    lines = [f'<span class="bad">{html.escape(_capital(note.sentence(lang)))}</span>' for note in found]
    if clear:
        words = ", ".join(f"“{text}”" for text in clear)
        lines.append(f"<span>{html.escape(say('lint_quoted', lang, words=words))}</span>")
    return f'<div class="iw-lint">{"".join(lines)}</div>' if lines else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
