"""What a genre of cards is: what people call it, what it implies, and the texts that stand on it.

Parts of a field are separated by `|`. The texts are templates with slots: {name} a first name, {place} a town,
{PLACE} one in capitals, {n} a number, {age}, {price}, {pct}, {date}, {day}, {time}, {year}, {url}, {phone}, {mail},
{w} a word, {W} a word in capitals, {L} a letter. The Chinese nouns and texts of a genre are in `card_genres_zh`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Genre:
    """`nouns` are what a prompt calls it; `structures` are what the noun implies (none: `plain`)."""

    name: str
    nouns: tuple[str, ...]
    structures: tuple[str, ...]
    things: tuple[str, ...]
    colors: tuple[str, ...]
    titles: tuple[str, ...]
    lines: tuple[str, ...]
    details: tuple[str, ...]


GENRES: dict[str, Genre] = {}  # filled by the modules that `card_genres` imports


def parts(text: str) -> tuple[str, ...]:
    """The parts of a field."""
    return tuple(part.strip() for part in text.split("|") if part.strip())


def genre(
    name: str,
    nouns: str,
    titles: str,
    lines: str,
    details: str,
    *,
    things: str = "",
    colors: str = "",
    structures: str = "",
) -> None:
    """Define a genre."""
    GENRES[name] = Genre(
        name=name,
        nouns=parts(nouns),
        structures=parts(structures),
        things=parts(things),
        colors=parts(colors),
        titles=parts(titles),
        lines=parts(lines),
        details=parts(details),
    )
