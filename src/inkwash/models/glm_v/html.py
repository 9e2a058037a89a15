"""Raw HTML in an answer put between Markdown fences while it streams, whatever pieces it arrives in.

A page or a block that begins at the start of a line opens a fence, and its own closing tag closes it, so that the
words after it are words again; a style or script and the block after it share one fence. Text between fences (backticks
or tildes) that the model wrote itself is left alone, and nothing inside the HTML is changed: a tag in a script, a style
or a comment is none, and an escaped newline in a script stays one.
"""

from __future__ import annotations

import re

FENCE = "```"
_HEADS = ("style", "script", "link", "meta", "title")  # what stands before a page's content: the fence stays open
_TAGS = (
    *("html", "head", "body", "div", "section", "article", "main", "header", "footer", "nav", "aside", "form"),
    *("svg", "table", "canvas", *_HEADS),
)
_VOID = ("link", "meta")  # have no closing tag
_RAW = ("script", "style", "textarea", "title")  # hold text, no tags
_DOCTYPE = "<!doctype html"
_OPENING = re.compile(rf"(?:<({'|'.join(_TAGS)})(?=[\s>/])|{_DOCTYPE}(?=[\s>]))", re.IGNORECASE)
_OWN_FENCE = re.compile(r"(`{3,}+|~{3,}+)([^\n]*+)\n")  # possessive: a long line is read once
_COMMENT, _END_COMMENT = "<!--", "-->"


class HtmlFence:
    """Answer text in pieces to the same text in pieces, with fences around raw HTML."""

    def __init__(self) -> None:
        self._held = ""
        self._line_start = True
        self._code = ""  # the fence of the model's own that is open
        self._tag = ""  # of the HTML that is being fenced
        self._raw = ""  # what ends the script, style or comment inside of it
        self._depth = 0
        self._closed = False  # a fence was closed just now; what follows belongs on a new line
        self._between = False  # a head has ended: more of the page, or words?

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
        out: list[str] = []
        while self._move(out, last):
            pass
        return "".join(out)

    def _move(self, out: list[str], last: bool) -> bool:
        if self._between:
            return self._after_head(out, last)
        if not self._held:
            return False
        return self._inside(out, last) if self._tag else self._outside(out, last)

    def _outside(self, out: list[str], last: bool) -> bool:
        """One move through ordinary text; False when it needs more."""
        if self._closed:
            out.append("" if self._held.startswith("\n") else "\n")
            self._closed = False
        if not self._line_start:
            line, newline, self._held = self._held.partition("\n")
            out.append(line + newline)
            self._line_start = bool(newline)
            return bool(newline)
        text = self._held.lstrip(" \t")
        if text.startswith((FENCE, "~~~")):
            found = _OWN_FENCE.match(text if not last or text.endswith("\n") else f"{text}\n")
            if found is None:
                return False  # its line is not complete
            self._own_fence(found[1], found[2])
            self._line_start = False
        elif not self._code and (opening := _OPENING.match(text)):
            out.append(f"{FENCE}html\n")
            self._open(opening)
        elif not last and self._may_open(text):
            return False
        else:
            self._line_start = False
        return True

    def _own_fence(self, marks: str, rest: str) -> None:
        """A line of backticks or tildes opens a fence, or closes the one of its kind."""
        if not self._code:
            self._code = marks
        elif marks.startswith(self._code) and not rest.strip():
            self._code = ""

    def _open(self, opening: re.Match[str]) -> None:
        self._tag, self._depth = (opening[1] or "html").lower(), 0

    def _may_open(self, text: str) -> bool:
        low = text.lower()
        fences = (FENCE, "~~~")
        openings = fences if self._code else (*fences, _DOCTYPE, *(f"<{tag}" for tag in _TAGS))
        return any(opening.startswith(low) for opening in openings) or (
            not self._code and low in (f"{_DOCTYPE}", *(f"<{tag}" for tag in _TAGS))
        )

    def _inside(self, out: list[str], last: bool) -> bool:
        """One tag of the fenced HTML that opens or closes its own kind, or text that holds no tags."""
        if self._raw:
            place = self._held.lower().find(self._raw)
            if place < 0:
                keep = 0 if last else _overlap(self._held.lower(), self._raw)
                return self._release(out, len(self._held) - keep)
            if self._raw == _END_COMMENT:
                place += len(_END_COMMENT)
            self._raw = ""
            self._release(out, place)
            return True
        words = "|".join({self._tag, *_RAW})
        found = re.search(rf"<({words})(?=[\s>/])|</({re.escape(self._tag)})\s*>|{_COMMENT}", self._held, re.IGNORECASE)
        if found is None:
            return self._release(out, len(self._held) - (0 if last else self._unsure()))
        name = (found[1] or "").lower()
        if name in _RAW:
            end = self._held.find(">", found.end())
            if end < 0:
                return self._release(out, len(self._held) if last else found.start())
            self._raw = "" if self._held[end - 1] == "/" else f"</{name}"
            self._depth += name == self._tag
            return self._release(out, end + 1) or True
        if found[0] == _COMMENT:
            self._raw = _END_COMMENT
            return self._release(out, found.end()) or True
        if name in _VOID:
            end = self._held.find(">", found.end())
            if end < 0:
                return self._release(out, len(self._held) if last else found.start())
            self._release(out, end + 1)
        else:
            self._depth += -1 if found[2] else 1
            self._release(out, found.end())
        if self._depth <= 0:
            if self._tag in _HEADS:
                self._between = True
            else:
                self._close(out)
        return True

    def _release(self, out: list[str], certain: int) -> bool:
        """Tell the first characters of what is held; False, for whoever needs more."""
        out.append(self._held[:certain])
        self._held = self._held[certain:]
        return False

    def _close(self, out: list[str]) -> None:
        out.append(f"\n{FENCE}")
        self._tag, self._closed, self._line_start = "", True, True

    def _after_head(self, out: list[str], last: bool) -> bool:
        """Go on with the same fence where more HTML follows."""
        text = self._held.lstrip()
        if opening := _OPENING.match(text):
            self._between = False
            self._release(out, len(self._held) - len(text))
            self._open(opening)
        elif not last and (not text or self._may_open(text)):
            return False
        else:
            self._between = False
            self._close(out)
        return True

    def _unsure(self) -> int:
        """Length of an end that may become a tag that counts."""
        place = self._held.rfind("<")
        if place < 0:
            return 0
        end = self._held[place:].lower()
        openings = (*(f"<{name}" for name in (self._tag, *_RAW)), _COMMENT)
        possible = any(opening.startswith(end) for opening in openings) or f"</{self._tag}".startswith(end.rstrip())
        return len(end) if possible else 0


def fence_html(text: str) -> str:
    """A whole answer with its raw HTML between fences."""
    fence = HtmlFence()
    return fence.feed(text) + fence.finish()


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of the text that the tag begins with."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if tag.startswith(text[-size:])), 0)
