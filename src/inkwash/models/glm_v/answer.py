"""One parser for what the models write: thoughts, answer, boxed spans, and where the text was cut short.

Two styles are in use: `<think>..</think><answer>..</answer>` (4.1) and `<think>..</think>` followed by plain text
(4.5 and later); both may mark a final result with `<|begin_of_box|>..<|end_of_box|>`. `AnswerStream` takes the text
in pieces cut anywhere and `split_answer` is the same machine on the whole, so streaming never differs from the end
result. Only these tags are touched: HTML and code in an answer come out as written. A `</think>` that nothing has
opened is no part of an answer, unless it is quoted in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"
BOX, END_BOX = "<|begin_of_box|>", "<|end_of_box|>"
STOPS = ("<|user|>", "<|observation|>", "<|endoftext|>")  # a model that writes one has said everything

Style = Literal["tagged", "plain"]  # with <answer> tags (4.1), or without (4.5 and later)
Kind = Literal["thought", "answer"]
Piece = tuple[Kind, str]
_QUOTES = "`'\"\u201c\u2018([{\u300c"  # before a tag that a sentence speaks of
_ENDS = ".!?:\u3002\uff01\uff1f\n"  # after these a sentence has ended


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said, parsed. `finished` is False when the text ended inside thoughts, an answer tag or a box."""

    thoughts: str
    answer: str  # without tags and box marks
    boxed: tuple[str, ...]  # the spans the model marked as its result, in order
    content: str  # the answer with its box marks, as a later turn should see it
    finished: bool


class _TagState(Enum):
    START = 0
    THINKING = 1
    BETWEEN = 2  # after the thoughts, or where there are none
    TAGGED = 3
    PLAIN = 4


class AnswerStream:
    """Text in pieces to thoughts and answer in pieces; `opened` says that the prompt itself ended in `<think>`.

    With `marks` the pieces of the answer have the marks of boxes in them.
    """

    def __init__(self, *, opened: bool = False, marks: bool = False) -> None:
        self._marks = marks
        self._state = _TagState.THINKING if opened else _TagState.START
        self._held = ""
        self._stopped = False
        self._closed = False  # the answer's closing tag was the last thing said
        self._released: dict[str, list[str]] = {"thought": [], "answer": [], "content": []}
        self._boxed: list[str] = []
        self._box: list[str] | None = None
        self._quoted = 0  # thoughts that the answer itself opens: their closing tags are text
        self._tail = "\n"  # the answer's last characters

    @property
    def thinking(self) -> bool:
        return self._state is _TagState.THINKING

    @property
    def answering(self) -> bool:
        """Thoughts are over, or never began."""
        return self._state in (_TagState.BETWEEN, _TagState.TAGGED, _TagState.PLAIN)

    @property
    def speaking(self) -> bool:
        """Words of the answer have begun."""
        return self._state in (_TagState.TAGGED, _TagState.PLAIN)

    @property
    def tagged(self) -> bool:
        """An answer tag has been opened."""
        return self._state is _TagState.TAGGED

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain now; the beginning of a possible tag waits for its rest."""
        if self._stopped:
            return []
        self._held += text
        before, stop, _ = _cut(self._held, STOPS)
        if stop:
            self._held = before
            return self.finish()
        return self._run(last=False)

    def finish(self) -> list[Piece]:
        """The pieces that were still held back; nothing is taken after this."""
        pieces = [] if self._stopped else self._run(last=True)
        self._stopped = True
        return pieces

    def result(self) -> Answer:
        """Everything said so far, blank ends removed; after `finish` the whole answer."""
        thoughts, answer, content = ("".join(self._released[kind]) for kind in ("thought", "answer", "content"))
        boxed = [*self._boxed, *(["".join(self._box)] if self._box is not None else [])]
        silent = bool(thoughts.strip()) and not answer.strip()
        return Answer(
            thoughts=thoughts.strip(),
            answer=answer.strip("\n").rstrip(),
            boxed=tuple(span.strip() for span in boxed),
            content=content.strip("\n").rstrip(),
            finished=not (silent or self.thinking or (self.tagged and not self._closed) or self._box is not None),
        )

    def _run(self, *, last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        steps = {_TagState.THINKING: self._think, _TagState.TAGGED: self._answer, _TagState.PLAIN: self._answer}
        while steps.get(self._state, self._choose)(pieces, last):
            pass
        return pieces

    def _choose(self, _: list[Piece], last: bool) -> bool:
        """Whether a tag opens here, after any blank space."""
        start = self._state is _TagState.START
        tag = THINK if start else ANSWER
        text = self._held.lstrip()
        if text.startswith(END_THINK) and start:
            self._held = text.removeprefix(END_THINK)  # nothing was opened; thoughts may still follow
        elif text.startswith(tag):
            self._state = _TagState.THINKING if start else _TagState.TAGGED
            self._held = text.removeprefix(tag)
        elif (tag.startswith(text) or (start and END_THINK.startswith(text))) and not last:
            return False
        elif start:
            self._state = _TagState.BETWEEN
        else:
            blank = self._held[: len(self._held) - len(text)]
            self._held = blank[blank.rfind("\n") + 1 :] + text  # the first line keeps its indentation
            self._state = _TagState.PLAIN
        return True

    def _think(self, pieces: list[Piece], last: bool) -> bool:
        before, end, after = _cut(self._held, (END_THINK,))
        if end:
            self._emit("thought", before, pieces)
            self._held, self._state = after, _TagState.BETWEEN
            return True
        self._release("thought", 0 if last else overlap(self._held, (END_THINK, *STOPS)), pieces)
        return False

    def _answer(self, pieces: list[Piece], last: bool) -> bool:
        before, mark, after = _cut(self._held, (BOX, END_BOX, THINK, END_THINK))
        if mark == END_THINK and not after and not last:
            self._release("answer", len(mark), pieces)
            return False  # what follows tells whether it is quoted
        if mark:
            self._emit("answer", before, pieces)
            if mark in (THINK, END_THINK):
                self._think_tag(mark, after, pieces)
                self._held = after
                return True
            if self._marks:
                pieces.append(("answer", mark))
            self._mark(mark)
            self._held = after
            return True
        keep = 0 if last else overlap(self._held, (BOX, END_BOX, THINK, END_THINK, *STOPS))
        if self.tagged:
            before = self._held[: len(self._held) - keep].rstrip()  # a closing tag may stand before half a stop tag
            if keep and before.endswith(END_ANSWER):
                keep = len(self._held) - len(before) + len(END_ANSWER)
            keep = max(keep, self._closing(last))
        self._release("answer", keep, pieces)
        return False

    def _think_tag(self, tag: str, after: str, pieces: list[Piece]) -> None:
        """A tag of thoughts in an answer is text where it is quoted or paired, and nothing where it is left over."""
        word = self._tail[-1:] == " " and self._tail.rstrip(" ")[-1:] not in _ENDS and after[:1] not in ("", "\n")
        if tag == THINK or self._quoted or word or self._tail[-1:] in _QUOTES:
            self._quoted = max(0, self._quoted + (1 if tag == THINK else -1))
            self._emit("answer", tag, pieces)

    def _closing(self, last: bool) -> int:
        """How much of what is held may be the answer's closing tag, which counts only at the end of the text."""
        body = self._held.rstrip()
        blank = len(self._held) - len(body)
        if body.endswith(END_ANSWER):
            self._closed = last
            return blank + len(END_ANSWER)
        return 0 if last else blank + overlap(body, (END_ANSWER,))

    def _release(self, kind: Kind, keep: int, pieces: list[Piece]) -> None:
        """Emit what is held except its last `keep` characters."""
        certain = len(self._held) - keep
        self._emit(kind, self._held[:certain], pieces)
        self._held = self._held[certain:]

    def _emit(self, kind: Kind, text: str, pieces: list[Piece]) -> None:
        if not text:
            return
        pieces.append((kind, text))
        self._released[kind].append(text)
        if kind == "answer":
            self._tail = (self._tail + text)[-64:]
            self._released["content"].append(text)
            if self._box is not None:
                self._box.append(text)

    def _mark(self, mark: str) -> None:
        self._released["content"].append(mark)
        if mark == BOX:
            self._box = []
        elif self._box is not None:
            self._boxed.append("".join(self._box))
            self._box = None


def split_answer(text: str, *, opened: bool = False) -> Answer:
    """A whole generated text as thoughts, answer and boxed spans."""
    return _read(text, opened).result()


def history_text(text: str) -> str:
    """What a later turn sees of an assistant's turn: its answer without thoughts, with everything else in it."""
    return _read(text, False).result().content


def forced_ending(text: str, style: Style, *, opened: bool = False) -> str:
    """What to append to a text that ran out of budget so that the answer comes next; empty if it has begun."""
    stream = _read(text, opened)
    if stream.thinking:
        return END_THINK + (ANSWER if style == "tagged" else "")
    if style == "plain" or stream.tagged:
        return ""
    return ANSWER if END_THINK in text else THINK + END_THINK + ANSWER


def _read(text: str, opened: bool) -> AnswerStream:
    stream = AnswerStream(opened=opened)
    stream.feed(text)
    stream.finish()
    return stream


def _cut(text: str, tags: tuple[str, ...]) -> tuple[str, str, str]:
    """Text before the first of the tags, that tag, and the text after it; the tag is empty where none is found."""
    places = [(place, tag) for tag in tags if (place := text.find(tag)) >= 0]
    if not places:
        return text, "", ""
    place, tag = min(places)
    return text[:place], tag, text[place + len(tag) :]


def overlap(text: str, tags: tuple[str, ...]) -> int:
    """Length of the longest end of the text that one of the tags begins with."""
    longest = max(len(tag) for tag in tags) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(tag.startswith(text[-size:]) for tag in tags):
            return size
    return 0
