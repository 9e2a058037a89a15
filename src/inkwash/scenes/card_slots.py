"""The slots of the texts on cards: names, towns, numbers, prices, dates, addresses, words and made-up strings.

`LATIN_TEXT` is the alphabet: every sign that a text in Latin letters may have, besides the space.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from inkwash.scenes.card_genre import parts
from inkwash.scenes.words import is_held_out, random_word, sample_cased

LATIN_TEXT = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&!?%#:$.',;-+/()@…€£*"
    "äöüßÄÖÜéèêëàâáçñíóúôîïûãõåøæœÉÀÇÑÅØ"
)
ACCENTED = 0.12  # share of the made-up strings with accented letters
ACCENTS = LATIN_TEXT[LATIN_TEXT.index("ä") :]

NAMES = parts(
    "Mia | Emma | Lena | Anna | Sofia | Clara | Ella | Lily | Zoe | Nora | Ida | Ruby | Alice | Hannah"
    " | Olivia | Amelie | Chloé | Zoë | Léa | Inès | Anaïs | Jürgen | Jörg | Søren | Åsa | Björn | Käthe"
    " | José | Ramón | Sébastien | François | Renée | Noël | Thérèse | João | Begoña | Iñigo | Maël | Ömer"
    " | Ben | Leo | Max | Tom | Finn | Noah | Paul | Oscar | Hugo | Theo | Jack | Sam | Luca | Omar | Ravi"
    " | Kenji | Yuki | Ming | Aisha | Fatima | Priya | Ivan | Olga | Pablo | Carmen | Diego | Lucia | Pierre"
    " | Jean | Louise | Marcel | Greta | Otto | Frieda | Klaus | Heidi | Karl | Sarah | David | Grace | Henry"
    " | Rosa | Dad | Mum | Grandpa | Ellie | George | Kate | Liam | Maya | Nina | Peter | Quinn | Rachel"
    " | Simon | Tara | Uma | Victor | Wendy | Xenia | Yara | Zack"
)
PLACES = (
    "Paris", "Rome", "Berlin", "Vienna", "Oslo", "Madrid", "Porto", "Kyoto", "Cairo", "Lima", "Boston", "Dublin",
    "Zürich", "Köln", "São Paulo", "Málaga", "Orléans", "Tromsø", "Malmö", "Århus", "Göteborg", "Bogotá", "Cancún",
    "New York", "San Diego", "Cape Town", "Hanoi", "Tokyo", "Nairobi", "Quito", "Venice", "Naples", "Seville", "Prague",
    "Ghent", "Bruges", "Bath", "York", "Leeds", "Cork", "Bergen", "Turku", "Riga", "Graz", "Linz", "Salzburg", "Basel",
    "Nice", "Lyon", "Nantes", "Bilbao", "Cádiz", "A Coruña", "Palermo", "Genoa", "Split", "Athens", "Crete", "Malta",
    "Goa", "Bali", "Sydney", "Perth", "Austin", "Denver", "Oak Hill", "Maple Street", "Mill Lane", "Lake Como",
)  # fmt: skip
DAYS = parts("Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday | Mon | Tue | Sat | Sun | today")
MONTHS = parts("January | March | April | May | June | July | August | Sept | Oct | November | December | Jan | Feb")
AGES = parts("1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 16 | 18 | 21 | 30 | 40 | 50")
PERCENTS = parts("5 | 10 | 15 | 20 | 25 | 30 | 40 | 50 | 60 | 70 | 75 | 80 | 90")

Fill = Callable[[random.Random, str, float, int], str]


def _price(rng: random.Random, split: str, random_words: float, style: int) -> str:
    cents = rng.choice(("50", "00", "90", "99", "20", "75"))
    amount = rng.choice((f"{rng.randint(1, 99)}.{cents}", str(rng.randint(1, 999))))
    if rng.random() < 0.15:
        amount = amount.replace(".", ",")
    return rng.choice(("{}", "{}", "${}", "${}", "€{}", "{} €", "£{}")).format(amount)


def _date(rng: random.Random, split: str, random_words: float, style: int) -> str:
    day, month, year = rng.randint(1, 28), rng.choice(MONTHS), rng.randint(2024, 2039)
    return rng.choice((f"{month} {day}", f"{day} {month}", f"{day}.{rng.randint(1, 12)}.{year}",
                       f"{month} {day}, {year}", f"{rng.randint(1, 12)}/{day}", f"{day} {month} {year}"))  # fmt: skip


def _time(rng: random.Random, split: str, random_words: float, style: int) -> str:
    hour, minute = rng.randint(1, 12), rng.choice((0, 15, 30, 45))
    return rng.choice((f"{hour} pm", f"{hour}:{minute:02d}", f"{hour + 11}:{minute:02d}", f"{hour} am",
                       f"{hour}.{minute:02d} pm"))  # fmt: skip


def _url(rng: random.Random, split: str, random_words: float, style: int) -> str:
    site = sample_cased(rng, split, 8, 2, random_words) + rng.choice((".com", ".org", ".net", ".de", ".shop", ".io"))
    path = "/" + sample_cased(rng, split, 5, 2, random_words) if rng.random() < 0.25 else ""
    return rng.choice(("www.", "")) + site + path


def _mail(rng: random.Random, split: str, random_words: float, style: int) -> str:
    return f"{sample_cased(rng, split, 6, 2, random_words)}@{sample_cased(rng, split, 6, 2, random_words)}.com"


def _phone(rng: random.Random, split: str, random_words: float, style: int) -> str:
    def digits(count: int) -> str:
        return "".join(rng.choices("0123456789", k=count))

    return rng.choice((f"{digits(3)}-{digits(4)}", f"+{digits(2)} {digits(3)} {digits(5)}", f"0{digits(2)} {digits(5)}",
                       f"({digits(3)}) {digits(3)}-{digits(4)}", f"{digits(3)} {digits(3)}"))  # fmt: skip


def made_up(rng: random.Random, style: int) -> str:
    """A made-up string in one style of case (`sample_cased`, or 3: any mixture), sometimes with accented letters."""
    letters = ACCENTS + "aeioustrnl" if rng.random() < ACCENTED else "abcdefghijklmnopqrstuvwxyz"
    word = random_word(rng, 9, 2, letters)
    if rng.random() < 0.08:
        word += str(rng.randint(0, 999))
    if style == 3:
        return "".join(rng.choice((a.upper(), a.lower())) if a.upper() in LATIN_TEXT else a for a in word)
    return capitals(word) if style == 0 else capitals(word[0]) + word[1:] if style == 1 else word


def capitals(text: str) -> str:
    """In capitals, but for letters whose capital the alphabet lacks."""
    return "".join(a.upper() if len(a.upper()) == 1 and a.upper() in LATIN_TEXT else a for a in text)


def _word(rng: random.Random, split: str, random_words: float, style: int) -> str:
    if random_words and rng.random() < random_words:
        return made_up(rng, style)
    return sample_cased(rng, split, 8, min(style, 2))


def _small(rng: random.Random, split: str, random_words: float, style: int) -> str:
    return _word(rng, split, random_words, 2)


def _capitals(rng: random.Random, split: str, random_words: float, style: int) -> str:
    return _word(rng, split, random_words, 0)


@cache
def side_of(items: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Names and towns of one side: held out with any of their words."""
    held = {item for item in items if any(is_held_out(word) for word in item.split())}
    return tuple(item for item in items if (item in held) == (split == "held_out"))


FILLS: dict[str, Fill] = {
    "v": _word,
    "w": _small,
    "W": _capitals,
    "name": lambda rng, split, random_words, style: rng.choice(side_of(NAMES, split)),
    "place": lambda rng, split, random_words, style: rng.choice(side_of(PLACES, split)),
    "PLACE": lambda rng, split, random_words, style: capitals(rng.choice(side_of(PLACES, split))),
    "L": lambda rng, split, random_words, style: rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "n": lambda rng, split, random_words, style: str(rng.randint(1, rng.choice((9, 30, 99)))),
    "age": lambda rng, split, random_words, style: rng.choice(AGES),
    "pct": lambda rng, split, random_words, style: rng.choice(PERCENTS),
    "day": lambda rng, split, random_words, style: rng.choice(DAYS),
    "year": lambda rng, split, random_words, style: str(rng.choice((1905, 1968, 1987, *range(1995, 2036)))),
    "price": _price,
    "date": _date,
    "time": _time,
    "url": _url,
    "mail": _mail,
    "phone": _phone,
}
