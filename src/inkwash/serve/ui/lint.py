"""What a prompt gets wrong about its words: the model draws as text only what stands in quotation marks.

`lint(prompt)` names the findings; the page turns them into sentences of the reader's language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from inkwash.engine.readback import quoted_texts
from inkwash.serve.schemas import MAX_PROMPT

Finding = Literal["quoted", "unquoted", "open", "none"]

_SAYS = re.compile(
    r"\b(?:says|saying|say|reads|reading|spells|titled|entitled|labell?ed|captioned"
    r"|(?:with\s+)?the\s+(?:words?|text|title|slogan|headline|letters|inscription))\b[:,]?\s+",
    re.IGNORECASE,
)
_SAYS_ZH = re.compile(r"(?:写着|写有|写上|文字是|文字为|标题是|标题为|字样)[::]?\s*")
# Words after which the sentence speaks about a text and does not spell one: "the text in white".
_ABOUT = frozenset(
    {"in", "on", "at", "of", "is", "are", "and", "or", "with", "above", "below", "under", "over", "to", "that"}
    | {"which", "from", "should", "will", "must", "has", "was"}
)


@dataclass(frozen=True)
class Hint:
    """A finding and the words it is about: those that will be drawn, or those that will not."""

    kind: Finding
    words: tuple[str, ...] = ()


def lint(prompt: str) -> list[Hint]:
    """Findings in the order in which they matter; "quoted" is good news, "none" means that no text will be drawn."""
    prompt = prompt[:MAX_PROMPT]  # the page asks with every letter that is typed or pasted
    found: list[Hint] = []
    quoted = tuple(text for text in quoted_texts(prompt) if text.strip())
    if prompt.count('"') % 2 or prompt.count("“") != prompt.count("”") or prompt.count("「") != prompt.count("」"):
        found.append(Hint("open"))
    elif bare := _unquoted(prompt):
        found.append(Hint("unquoted", bare))
    if quoted:
        found.append(Hint("quoted", quoted))
    elif not found and prompt.strip():
        found.append(Hint("none"))
    return found


def _unquoted(prompt: str) -> tuple[str, ...]:
    """What follows a word like "says" without quotation marks."""
    outside = re.sub(r'"[^"]*"|“[^”]*”|「[^」]*」', lambda match: '"' * len(match[0]), prompt)
    bare = []
    for match in [*_SAYS.finditer(outside), *_SAYS_ZH.finditer(outside)]:
        rest = outside[match.end() :]
        phrase = re.match(r"[^,.;:!?,。;:!?\"“”'「」\n]{1,40}", rest)
        if phrase is None or not phrase[0].strip():
            continue
        words = phrase[0].split()
        if words[0].lower() in _ABOUT or _SAYS.match(phrase[0] + " "):
            continue
        if '"' not in outside[match.end() : match.end() + 12]:  # the words on it are "HELLO": well said
            bare.append(" ".join(words[:5]))
    return tuple(bare)
