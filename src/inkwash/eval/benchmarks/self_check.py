"""The self-check of a judge before it scores: it must read the benchmark's own texts, plainly rendered.

This catches what silently ruins whole runs: an OCR engine that answers nothing, one that drops the spaces between
words, an endpoint that serves another model. Black letters on white, 512 pixels, as large as they fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from inkwash.core.errors import ConfigError
from inkwash.eval.predictions import AnswerCache, Predictions
from inkwash.media.fonts import load_font

SIDE = 512
FLOOR = 0.98
CASES = 8
_MARGIN = 24
_SIZES = range(44, 13, -2)  # letters below about ten pixels say nothing about a reader
_LINE = 1.45
_FIRST_CJK = 0x2E80
_ABSENT = "\uffff"

_COLORS = {"red": "#d81e1e", "green": "#1ea83c", "blue": "#1e46d8", "black": "#000000"}
ANSWERS_FLOOR = 0.875  # of the questions about coloured squares

Texts = Sequence[str]
Score = Callable[[Texts, Texts], tuple[int, int]]  # wanted, read -> units found, units wanted


def check_reader(reader: Predictions, candidates: Sequence[Texts], score: Score, *, floor: float = FLOOR) -> float:
    """The share that is read of the first few renderable texts; ConfigError below the floor."""
    return _retried_without_cache(reader.cache, lambda: _read(reader, candidates, score, floor))


def _retried_without_cache(cache: AnswerCache, check: Callable[[], float]) -> float:
    """A check may pass on answers of an earlier run, but fails on new ones only: the judge may have been repaired."""
    try:
        return check()
    except ConfigError:
        if not cache.used_earlier:
            raise
        with cache.earlier_ignored():
            return check()


def _read(reader: Predictions, candidates: Sequence[Texts], score: Score, floor: float) -> float:
    found = wanted = count = 0
    for candidate in candidates:
        texts = [text for text in candidate if has_glyphs(text)]
        picture = render_texts(texts)
        if picture is None:
            continue
        right, total = score(texts, reader.texts(picture))
        found, wanted, count = found + right, wanted + total, count + 1
        if count == CASES:
            break
    if not wanted:
        raise ConfigError("none of the benchmark's texts can be rendered with the bundled fonts to check the judge.")
    if found / wanted < floor:
        raise ConfigError(
            f"the judge {reader.judge.name} reads only {found / wanted:.3f} of plainly rendered texts, {floor:g} is "
            f"needed before it may score pictures; check its installation, or use another judge."
        )
    return found / wanted


def check_answers(cache: AnswerCache, answer: Callable[[Image.Image, str], str], yes: str) -> float:
    """The share of right answers about plain coloured squares; ConfigError below the floor.

    `yes` is the exact answer that the benchmark counts: a judge that writes "Yes." would score nothing. `cache` is
    the judge's.
    """
    return _retried_without_cache(cache, lambda: _answered(cache.judge, answer, yes))


def _answered(name: str, answer: Callable[[Image.Image, str], str], yes: str) -> float:
    right = []
    colors = list(_COLORS)
    for number, color in enumerate(colors):
        other = colors[(number + 1) % len(colors)]
        picture = square(color)
        right.append(answer(picture, f"Is there a {color} square in the picture?") == yes)
        right.append(answer(picture, f"Is there a {other} square in the picture?") != yes)
    share = sum(right) / len(right)
    if share < ANSWERS_FLOOR:
        raise ConfigError(
            f"the judge {name} answers only {share:.3f} of plain questions about coloured squares rightly (a yes must "
            f"be exactly {yes!r}), {ANSWERS_FLOOR:g} is needed before it may judge pictures; use another judge."
        )
    return round(share, 6)


def check_edits(cache: AnswerCache, score: Callable[[Image.Image, Image.Image, str], float]) -> float:
    """1 when a done edit is scored above one that was not done; ConfigError otherwise. `cache` is the judge's."""
    return _retried_without_cache(cache, lambda: _distinguished(cache.judge, score))


def _distinguished(name: str, score: Callable[[Image.Image, Image.Image, str], float]) -> float:
    source, instruction = square("red"), "Change the color of the square from red to blue."
    done, undone = score(source, square("blue"), instruction), score(source, source, instruction)
    if done <= undone:
        raise ConfigError(
            f"the judge {name} gives a done edit {done:g} and one that was not done {undone:g}; a judge of edits must "
            f"tell them apart; use another judge."
        )
    return 1.0


def square(color: str) -> Image.Image:
    """A coloured square on white."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(image).rectangle((SIDE // 4, SIDE // 4, 3 * SIDE // 4, 3 * SIDE // 4), fill=_COLORS[color])
    return image


def render_texts(texts: Texts, side: int = SIDE) -> Image.Image | None:
    """The texts one below the other; None when there are none, or too many even for the smallest size."""
    for size in _SIZES if texts else ():
        fonts = [load_font(_face(text), size) for text in texts]
        broken = [_wrapped(text, font, side - 2 * _MARGIN) for text, font in zip(texts, fonts, strict=True)]
        rows = [(line, font) for lines, font in zip(broken, fonts, strict=True) for line in lines or ()]
        if None not in broken and len(rows) * size * _LINE <= side - 2 * _MARGIN:
            return _drawn(rows, side, size)
    return None


def _drawn(rows: list[tuple[str, ImageFont.FreeTypeFont]], side: int, size: int) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    for number, (line, font) in enumerate(rows):
        draw.text((_MARGIN, _MARGIN + number * size * _LINE), line, font=font, fill="black")
    return image


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str] | None:
    """Lines that fit, broken at spaces (Chinese anywhere); None when one word is wider than a line."""
    pieces, glue = (list(text.replace(" ", "")), "") if _is_chinese(text) else (text.split(), " ")
    lines: list[str] = []
    line = ""
    for piece in pieces:
        longer = line + glue + piece if line else piece
        if font.getlength(longer) <= width:
            line = longer
        elif font.getlength(piece) > width:
            return None
        else:
            lines.append(line)
            line = piece
    return [*lines, line] if line else lines


def has_glyphs(text: str) -> bool:
    """Whether the bundled face for a text has all its letters; the Chinese one is a subset."""
    return all(_has_glyph(_face(text), letter) for letter in text if not letter.isspace())


def _face(text: str) -> str:
    return "cjk" if _is_chinese(text) else "sans"


def _is_chinese(text: str) -> bool:
    return any(ord(letter) >= _FIRST_CJK for letter in text)


@lru_cache(maxsize=8192)
def _has_glyph(face: str, letter: str) -> bool:
    font = load_font(face, 24)
    return bytes(font.getmask(letter)) != bytes(font.getmask(_ABSENT)) or letter == _ABSENT
