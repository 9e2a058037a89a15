"""All genres of cards, by name."""

from __future__ import annotations

from inkwash.scenes import card_genres_occasions as _occasions
from inkwash.scenes import card_genres_places as _places
from inkwash.scenes import card_genres_print as _print
from inkwash.scenes.card_genre import GENRES, Genre

MODULES = (_occasions, _places, _print)  # importing them defines the genres

__all__ = ["GENRES", "Genre"]
