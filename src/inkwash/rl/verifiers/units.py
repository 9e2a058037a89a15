"""Quantities: a number and its unit, converted to SI before they are compared.

The table holds what school and college exercises use, under symbols, English and Chinese names. It is a table of our
own because general libraries for units compute whatever powers a text asks for, which can be made endless.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from inkwash.rl.verifiers.normalization import fold
from inkwash.rl.verifiers.numbers import Number, clean, read_prefix

MAX_LENGTH = 160
MAX_POWER = 9
Dimensions = tuple[int, int, int, int, int, int, int]  # powers of m, kg, s, A, K, mol, and of full turns

_ONE: Dimensions = (0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Unit:
    """A factor to SI and its dimensions; `offset` is added after the factor (temperatures)."""

    factor: float
    dimensions: Dimensions
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number and its unit; None where it has none."""

    number: Number
    unit: Unit | None

    @property
    def value(self) -> float:
        """In SI units."""
        unit = self.unit or Unit(1.0, _ONE)
        return float(self.number.value) * unit.factor + unit.offset


def _dims(m: int = 0, kg: int = 0, s: int = 0, a: int = 0, k: int = 0, mol: int = 0, turns: int = 0) -> Dimensions:
    return m, kg, s, a, k, mol, turns


_FORCE, _ENERGY, _POWER = _dims(1, 1, -2), _dims(2, 1, -2), _dims(2, 1, -3)
_PRESSURE, _VOLT, _OHM = _dims(-1, 1, -2), _dims(2, 1, -3, -1), _dims(2, 1, -3, -2)
_PREFIXED: Mapping[str, Unit] = {  # units that take the prefixes of SI
    "m": Unit(1, _dims(1)), "g": Unit(1e-3, _dims(kg=1)), "s": Unit(1, _dims(s=1)), "A": Unit(1, _dims(a=1)),
    "K": Unit(1, _dims(k=1)), "mol": Unit(1, _dims(mol=1)), "N": Unit(1, _FORCE), "J": Unit(1, _ENERGY),
    "W": Unit(1, _POWER), "Pa": Unit(1, _PRESSURE), "V": Unit(1, _VOLT), "Ω": Unit(1, _OHM),
    "Hz": Unit(1, _dims(s=-1, turns=1)),
    "C": Unit(1, _dims(s=1, a=1)), "F": Unit(1, _dims(-2, -1, 4, 2)), "T": Unit(1, _dims(0, 1, -2, -1)),
    "Wb": Unit(1, _dims(2, 1, -2, -1)), "H": Unit(1, _dims(2, 1, -2, -2)), "S": Unit(1, _dims(-2, -1, 3, 2)),
    "L": Unit(1e-3, _dims(3)), "l": Unit(1e-3, _dims(3)), "M": Unit(1e3, _dims(-3, mol=1)),
    "eV": Unit(1.602176634e-19, _ENERGY), "cal": Unit(4.184, _ENERGY), "bar": Unit(1e5, _PRESSURE),
    "rad": Unit(1, _ONE), "Bq": Unit(1, _dims(s=-1)), "Wh": Unit(3600, _ENERGY), "t": Unit(1e3, _dims(kg=1)),
}  # fmt: skip
_PLAIN: Mapping[str, Unit] = {
    "min": Unit(60, _dims(s=1)), "h": Unit(3600, _dims(s=1)), "hr": Unit(3600, _dims(s=1)),
    "d": Unit(86400, _dims(s=1)), "day": Unit(86400, _dims(s=1)), "year": Unit(31557600, _dims(s=1)),
    "yr": Unit(31557600, _dims(s=1)), "°": Unit(0.017453292519943295, _ONE), "°C": Unit(1, _dims(k=1), 273.15),
    "°F": Unit(5 / 9, _dims(k=1), 459.67 * 5 / 9), "atm": Unit(101325, _PRESSURE),
    "mmHg": Unit(133.322387415, _PRESSURE), "torr": Unit(101325 / 760, _PRESSURE),
    "Torr": Unit(101325 / 760, _PRESSURE), "u": Unit(1.66053906892e-27, _dims(kg=1)),
    "Da": Unit(1.66053906892e-27, _dims(kg=1)), "Å": Unit(1e-10, _dims(1)), "ppm": Unit(1e-6, _ONE),
    "ppb": Unit(1e-9, _ONE), "ft": Unit(0.3048, _dims(1)), "in": Unit(0.0254, _dims(1)), "mi": Unit(1609.344, _dims(1)),
    "lb": Unit(0.45359237, _dims(kg=1)), "ha": Unit(1e4, _dims(2)), "rpm": Unit(1 / 60, _dims(s=-1, turns=1)),
    "r": Unit(1, _dims(turns=1)), "rev": Unit(1, _dims(turns=1)), "ly": Unit(9.4607304725808e15, _dims(1)),
}  # fmt: skip
_PREFIXES = {
    "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1, "c": 1e-2, "m": 1e-3, "μ": 1e-6, "u": 1e-6,
    "n": 1e-9, "p": 1e-12, "f": 1e-15,
}  # fmt: skip
_NAMES = {  # English and Chinese -> symbol
    "meter": "m", "metre": "m", "gram": "g", "second": "s", "sec": "s", "ampere": "A", "amp": "A", "kelvin": "K",
    "mole": "mol", "newton": "N", "joule": "J", "watt": "W", "pascal": "Pa", "volt": "V", "ohm": "Ω", "hertz": "Hz",
    "coulomb": "C", "farad": "F", "tesla": "T", "weber": "Wb", "henry": "H", "liter": "L", "litre": "L",
    "electronvolt": "eV", "calorie": "cal", "radian": "rad", "minute": "min", "hour": "h", "degree": "°",
    "tonne": "t", "foot": "ft", "feet": "ft", "inch": "in", "mile": "mi", "pound": "lb", "deg": "°",
    "kmh": "km/h", "kph": "km/h", "mph": "mi/h",
    "千米": "km", "公里": "km", "分米": "dm", "厘米": "cm", "毫米": "mm", "微米": "μm", "纳米": "nm", "米": "m",
    "千克": "kg", "公斤": "kg", "毫克": "mg", "克": "g", "吨": "t", "毫秒": "ms", "秒": "s", "分钟": "min", "分": "min",
    "小时": "h", "时": "h", "天": "d", "年": "year", "牛顿": "N", "牛": "N", "千焦": "kJ", "焦耳": "J", "焦": "J",
    "千瓦时": "kWh", "千瓦": "kW", "瓦特": "W", "瓦": "W", "伏特": "V", "伏": "V", "毫安": "mA", "安培": "A", "安": "A",
    "千欧": "kΩ", "欧姆": "Ω", "欧": "Ω", "千帕": "kPa", "帕斯卡": "Pa", "帕": "Pa", "赫兹": "Hz", "赫": "Hz",
    "库仑": "C", "库": "C", "摩尔": "mol", "摩": "mol", "毫升": "mL", "升": "L", "摄氏度": "°C", "开尔文": "K",
    "度": "°",
    "特斯拉": "T", "弧度": "rad", "平方米": "m^2", "立方米": "m^3", "平方厘米": "cm^2", "立方厘米": "cm^3", "转": "r",
}  # fmt: skip
_WORD_PREFIXES = {
    "kilo": "k",
    "centi": "c",
    "milli": "m",
    "micro": "μ",
    "nano": "n",
    "mega": "M",
    "giga": "G",
    "deci": "d",
}
_TEXT = re.compile(r"\\(?:text|mathrm|rm|operatorname)\s*\{([^{}]*)\}|\\(?:rm|mathrm)(?![A-Za-z])")
_SYMBOLS = {
    r"\Omega": "Ω", r"\mu": "μ", r"\circ": "°", r"\degree": "°", r"\cdot": "*", r"\times": "*", r"\AA": "Å",
    r"\celsius": "°C", r"\per": "/", "Ω": "Ω", "µ": "μ", "·": "*", "⋅": "*", "×": "*", "•": "*", "每": "/",
}  # fmt: skip
_SPLIT_PREFIX = re.compile(r"(μ|(?<![A-Za-z])[kM](?=\s+Ω))\s+(?=[A-Za-zΩ])")  # left by LaTeX's commands
_DEGREE = re.compile(r"\^\s*(?:\{\s*°\s*\}|°)")
_UNIT_TOKEN = re.compile(
    r"\s*(?:(°\s*[CF](?![A-Za-z]))|([A-Za-zμΩÅ]+)|([\u4e00-\u9fff]+)|(\^?\s*[({]?\s*[+-]?\d\s*[)}]?)|(\S))"
)
_ASSIGNED = re.compile(r"\s*(?:\\Delta\s*)?\\?[A-Za-zΔ][\\A-Za-z_{}0-9,Δ]{0,20}\s*[=≈]\s*")
Token = tuple[str, str]


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a text is, such as `v = 3.6 km/h`; None where it is none, or has an unknown unit."""
    if len(text) > MAX_LENGTH:
        return None
    text = clean(without_name(text))
    found = read_prefix(text)
    if found is None:
        return None
    rest = text[found[1] :].strip()
    if not rest:
        return Quantity(number=found[0], unit=None)
    unit = read_unit(rest)
    return None if unit is None else Quantity(number=found[0], unit=unit)


def without_name(text: str) -> str:
    """A quantity without its name, as in `pH = 7`."""
    if len(text) > MAX_LENGTH:
        return text
    folded = fold(text)
    match = _ASSIGNED.match(folded)
    return folded[match.end() :] if match else folded


def read_unit(text: str) -> Unit | None:
    """The unit that a text is, such as `kg·m/s^2`; None where it is unknown."""
    tokens = _unit_tokens(_simple(text))
    if not tokens or len(tokens) > 32:
        return None
    if len(tokens) == 1:
        return _named(tokens[0][1])
    reader = _UnitReader(tokens)
    try:
        unit = reader.product(0)
    except (OverflowError, ZeroDivisionError):
        return None  # powers of powers
    return unit if unit is not None and reader.at == len(tokens) else None


def _simple(text: str) -> str:
    text = _TEXT.sub(lambda found: f" {found[1] or ''} ", text)
    for written, meant in _SYMBOLS.items():
        text = text.replace(written, meant)
    text = _SPLIT_PREFIX.sub(r"\1", text)
    return _DEGREE.sub("°", text).replace("$", "").strip().rstrip(".。")


def _unit_tokens(text: str) -> list[Token]:
    """Names, powers, and the marks `* / ( )`; a Chinese name is the longest that is known."""
    tokens: list[Token] = []
    for degree, name, chinese, power, mark in _UNIT_TOKEN.findall(text):
        if degree or name:
            tokens.append(("name", degree.replace(" ", "") or name))
        elif chinese:
            tokens += _chinese(chinese)
        elif power:
            tokens.append(("power", re.sub(r"[^\d-]", "", power)))
        else:
            tokens.append(("name", mark) if mark == "°" else ("mark", mark))
    return tokens


def _chinese(text: str) -> list[Token]:
    tokens: list[Token] = []
    while text:
        length = next((n for n in range(4, 0, -1) if text[:n] in _NAMES and len(text) >= n), 0)
        if not length:
            return [("mark", "?")]
        tokens.append(("name", text[:length]))
        text = text[length:]
    return tokens


class _UnitReader:
    """Products of powers; `/` holds for the next factor, as in J/(mol·K)."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0

    def product(self, depth: int) -> Unit | None:
        total = Unit(1.0, _ONE)
        over = False
        if self.at < len(self.tokens) and self.tokens[self.at] == ("mark", "/"):
            over, self.at = True, self.at + 1  # "5 /s"
        while self.at < len(self.tokens) and self.tokens[self.at] != ("mark", ")"):
            factor = self.factor(depth)
            if factor is None:
                return None
            total = _times(total, factor, -1 if over else 1)
            over = False
            if self.at < len(self.tokens) and self.tokens[self.at] in (("mark", "*"), ("mark", "/")):
                over = self.tokens[self.at][1] == "/"
                self.at += 1
                if self.at == len(self.tokens):
                    return None
        return total

    def factor(self, depth: int) -> Unit | None:
        kind, text = self.tokens[self.at]
        self.at += 1
        if (kind, text) == ("mark", "(") and depth < 4:
            unit = self.product(depth + 1)
            if self.at >= len(self.tokens):
                return None
            self.at += 1  # the closing bracket, at which the product ended
        else:
            unit = _named(text) if kind == "name" else None
        if unit is not None and self.at < len(self.tokens) and self.tokens[self.at][0] == "power":
            power = int(self.tokens[self.at][1])
            self.at += 1
            unit = _times(Unit(1.0, _ONE), unit, power) if abs(power) <= MAX_POWER else None
        return unit


def _times(left: Unit, right: Unit, power: int) -> Unit:
    dimensions = tuple(a + b * power for a, b in zip(left.dimensions, right.dimensions, strict=True))
    return Unit(left.factor * right.factor**power, dimensions)  # type: ignore[arg-type]  # as long as the others


def _named(name: str) -> Unit | None:
    """A unit by its symbol, with a prefix, or by its name."""
    if name in _PLAIN or name in _PREFIXED:
        return _PLAIN.get(name) or _PREFIXED[name]
    prefix, base = name[:1], name[1:]
    if prefix in _PREFIXES and base in _PREFIXED:
        return _times(Unit(_PREFIXES[prefix], _ONE), _PREFIXED[base], 1)
    return _by_word(name)


def _by_word(name: str) -> Unit | None:
    word = name.lower()
    for singular in (word, word.removesuffix("s"), word.removesuffix("es")):
        if singular in _NAMES:
            return read_unit(_NAMES[singular])
        for written, prefix in _WORD_PREFIXES.items():
            symbol = _NAMES.get(singular.removeprefix(written))
            if singular.startswith(written) and symbol is not None and symbol in _PREFIXED:
                return _named(prefix + symbol)
    return None


def same_quantity(answer: Quantity, wanted: Quantity, tolerance: float) -> bool:
    """Whether two quantities of the same dimensions have the same value, up to a share of the wanted one."""
    try:
        value, truth = answer.value, wanted.value
    except OverflowError:
        return False  # more than a float holds
    return math.isfinite(truth) and abs(value - truth) <= tolerance * abs(truth)
