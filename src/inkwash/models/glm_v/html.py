"""Raw HTML in an answer put between Markdown fences while it streams, whatever pieces it arrives in.

A page or a block that begins at the start of a line opens a fence, and its own closing tag closes it, so that the
words after it are words again. Text between fences that the model wrote itself is left alone, and nothing inside the
HTML is changed: an escaped newline in a script stays one.
"""

from __future__ import annotations

import re

FENCE = "```"
_TAGS = ("html", "head", "body", "div", "section", "article", "main", "header", "footer", "nav")
_DOCTYPE = "<!doctype html"
_OPENING = re.compile(rf"(?:<({'|'.join(_TAGS)})|{_DOCTYPE})[\s>]", re.IGNORECASE)


class HtmlFence:
    """Answer text in pieces to the same text in pieces, with fences around raw HTML."""

    def __init__(self) -> None:
        self._held = ""
        self._line_start = True
        self._in_code = False
        self._tag = ""  # of the HTML that is being fenced
        self._depth = 0
        self._closed = False  # a fence was closed just now; what follows belongs on a new line

    def feed(self, text: str) -> str:
        """What is certain now; the beginning of a possible tag waits for its rest."""
        self._held += text
        return self._run(last=False)

    def finish(self) -> str:
        """What was held back, and the closing fence if one is open."""
        rest = self._run(last=True)
        fence = f"\n{FENCE}" if self._tag else ""
        self._tag = ""
        return rest + fence

    def _run(self, *, last: bool) -> str:
        said: list[str] = []
        while self._held and (self._inside(said, last) if self._tag else self._outside(said, last)):
            pass
        return "".join(said)

    def _outside(self, said: list[str], last: bool) -> bool:
        """One move through ordinary text; False when it needs more."""
        if self._closed:
            said.append("" if self._held.startswith("\n") else "\n")
            self._closed = False
        if not self._line_start:
            line, newline, self._held = self._held.partition("\n")
            said.append(line + newline)
            self._line_start = bool(newline)
            return bool(newline)
        text = self._held.lstrip(" \t")
        if text.startswith(FENCE):
            self._in_code = not self._in_code
            self._line_start = False
        elif not self._in_code and (opening := _OPENING.match(text)):
            self._tag, self._depth = (opening[1] or "html").lower(), 0
            said.append(f"{FENCE}html\n")
        elif not last and self._may_open(text):
            return False
        else:
            self._line_start = False
        return True

    def _may_open(self, text: str) -> bool:
        low = text.lower()
        openings = (FENCE,) if self._in_code else (FENCE, _DOCTYPE, *(f"<{tag}" for tag in _TAGS))
        return any(opening.startswith(low) for opening in openings)

    def _inside(self, said: list[str], last: bool) -> bool:
        """One tag of the fenced HTML that opens or closes its own kind; False when it needs more."""
        found = re.search(rf"<{self._tag}(?=[\s>/])|(</{self._tag}\s*>)", self._held, re.IGNORECASE)
        if found is None:
            keep = 0 if last else self._unsure()
            certain = len(self._held) - keep
            said.append(self._held[:certain])
            self._held = self._held[certain:]
            return False
        said.append(self._held[: found.end()])
        self._held = self._held[found.end() :]
        self._depth += -1 if found[1] else 1
        if self._depth <= 0:
            said.append(f"\n{FENCE}")
            self._tag, self._closed, self._line_start = "", True, True
        return True

    def _unsure(self) -> int:
        """Length of an end that may become a tag of the fenced kind."""
        place = self._held.rfind("<")
        if place < 0:
            return 0
        end = self._held[place:].lower()
        possible = f"<{self._tag}".startswith(end) or f"</{self._tag}".startswith(end.rstrip())
        return len(end) if possible else 0


def fence_html(text: str) -> str:
    """A whole answer with its raw HTML between fences."""
    fence = HtmlFence()
    return fence.feed(text) + fence.finish()
