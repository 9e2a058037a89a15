"""Whether two mathematical answers are equal: expressions, relations, sets, lists, intervals.

Expressions are compared by their values at fixed points (Schwartz 1980: a polynomial that is not zero is seldom zero
at random points): exactly where they are made of whole numbers, letters and arithmetic, else in floats. Numbers are
bounded, so the time is bounded by the length of the texts. Three rules keep an answer from hiding
behind its equality: both sides have the same variables; a number that is wanted as a number must be given as one
(`15 + 27` is not yet 42); and two whole numbers or fractions must be equal exactly.
"""

from __future__ import annotations

import cmath
import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction

from inkwash.rl.verifiers.expressions import Node, Token, UnreadableError, parse, split_at, tokens_of

POINTS = 8
LEAST_POINTS = 5  # at which both sides must have a value
MAX_BITS = 8_192  # of the exact value of a power
MAX_ITEMS = 16  # of a list
EXACT_TOLERANCE = 1e-9  # of closed forms; floats lose a few digits
_FLIPPED = {"=": "=", "≠": "≠", "<": ">", ">": "<", "≤": "≥", "≥": "≤"}
_VALUE_ERRORS = (ZeroDivisionError, OverflowError, ValueError)
_FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x),
    "csc": lambda x: 1 / cmath.sin(x),
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
    "asin": cmath.asin,
    "acos": cmath.acos,
    "atan": cmath.atan,
    "sinh": cmath.sinh,
    "cosh": cmath.cosh,
    "tanh": cmath.tanh,
    "ln": cmath.log,
    "lg": cmath.log10,
    "log": cmath.log10,
    "exp": cmath.exp,
    "sqrt": cmath.sqrt,
    "abs": abs,
    "negate": lambda x: -x,
    "factorial": lambda x: math.gamma(_real(x) + 1),
}
_CONSTANTS = {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}


def equivalent(answer: str, wanted: str, tolerance: float = 1e-6) -> bool | None:
    """Whether two answers are equal; None where one is no mathematics, or is not worked out.

    The tolerance is relative and holds where a decimal number is involved; closed forms are compared more closely.
    """
    try:
        parsed, truth = _unassigned(tokens_of(answer), tokens_of(wanted))
        return _same(parsed, truth, tolerance)
    except (UnreadableError, RecursionError):
        return None


def _unassigned(answer: list[Token], wanted: list[Token]) -> tuple[list[Token], list[Token]]:
    """Both without `x =` where only one has it."""
    left, right = (tokens[2:] if _is_assignment(tokens) else tokens for tokens in (answer, wanted))
    return (answer, wanted) if _is_assignment(answer) == _is_assignment(wanted) else (left, right)


def _is_assignment(tokens: list[Token]) -> bool:
    return len(tokens) > 2 and tokens[0].kind == "word" and len(tokens[0].text) == 1 and tokens[1].text == "="


def _same(answer: list[Token], wanted: list[Token], tolerance: float) -> bool:
    relation = set(_FLIPPED)
    if any(len(split_at(side, relation)) > 1 for side in (answer, wanted)):
        return _same_relation(answer, wanted, tolerance)
    parsed, truth = _items(answer), _items(wanted)
    if parsed is None or truth is None:
        if (parsed is None) != (truth is None):
            return False
        return _same_value(parse(answer), parse(wanted), tolerance)
    if parsed[0] != truth[0] or len(parsed[1]) != len(truth[1]):
        return False
    if parsed[0] == "set":
        return _same_set(parsed[1], truth[1], tolerance)
    return all(_same(a, b, tolerance) for a, b in zip(parsed[1], truth[1], strict=True))


def _items(tokens: list[Token]) -> tuple[str, list[list[Token]]] | None:
    """The kind and items of a set, a list or an interval, or None for a single value.

    Items without brackets or in braces are a set; other brackets are kept, as `[1, 2)` is another interval than
    `(1, 2)`.
    """
    parts = split_at(tokens, {","})
    kind = "set"
    if len(parts) == 1 and len(tokens) > 2 and tokens[0].text in ("(", "[", "⟦"):
        if tokens[-1].text not in (")", "]", "⟧"):
            return None
        first, last = tokens[0].text, tokens[-1].text
        inner = split_at(tokens[1:-1], {","})
        if first != "⟦" and len(inner) == 1:
            return None  # brackets around a value
        parts, kind = inner, "set" if first == "⟦" else first + last
    elif len(parts) == 1:
        return None
    if len(parts) > MAX_ITEMS or not all(parts):
        raise UnreadableError("too many items, or an empty one")
    return kind, parts


def _same_set(answer: list[list[Token]], wanted: list[list[Token]], tolerance: float) -> bool:
    left = list(wanted)
    for item in answer:
        match = next((other for other in left if _same(item, other, tolerance)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _same_relation(answer: list[Token], wanted: list[Token], tolerance: float) -> bool:
    """Relations of the same sides, in either direction; chains such as 0 < x < 1 side by side."""
    parsed, truth = _relation(answer), _relation(wanted)
    if len(parsed[0]) != len(truth[0]):
        return False
    flipped = ([_FLIPPED[mark] for mark in reversed(parsed[0])], parsed[1][::-1])
    return any(
        marks == truth[0] and all(_same(a, b, tolerance) for a, b in zip(sides, truth[1], strict=True))
        for marks, sides in (parsed, flipped)
    )


def _relation(tokens: list[Token]) -> tuple[list[str], list[list[Token]]]:
    sides = split_at(tokens, set(_FLIPPED))
    if len(sides) > 3:
        raise UnreadableError("a chain of relations")
    marks, at = [], 0
    for side in sides[:-1]:
        at += len(side)
        marks.append(tokens[at].text)
        at += 1
    return marks, sides


def _same_value(answer: Node, wanted: Node, tolerance: float) -> bool:
    parsed, truth = _literal(answer), _literal(wanted)
    if truth is not None and parsed is None:
        raise UnreadableError("not worked out")
    inexact = _has_decimal(answer) or _has_decimal(wanted)
    if parsed is not None and truth is not None and not inexact:
        return parsed == truth
    names = _symbols(answer)
    if names != _symbols(wanted):
        return False
    points = _points(names) if names else [{}]
    if not inexact and _is_rational(answer) and _is_rational(wanted):
        verdicts = [_agree(_fraction(answer, point), _fraction(wanted, point), 0.0) for point in points]
    else:
        limit = tolerance if inexact else EXACT_TOLERANCE
        verdicts = [_agree(_value(answer, point), _value(wanted, point), limit) for point in points]
    known = [verdict for verdict in verdicts if verdict is not None]
    return len(known) >= min(LEAST_POINTS, len(points)) and all(known)


def _agree(answer: Fraction | complex | None, wanted: Fraction | complex | None, limit: float) -> bool | None:
    """Whether two values agree up to a share of the wanted one; None where neither exists."""
    if answer is None or wanted is None:
        return None if answer is wanted else False
    return answer == wanted or bool(limit and abs(complex(answer) - complex(wanted)) <= limit * abs(complex(wanted)))


def _points(names: frozenset[str]) -> list[dict[str, Fraction]]:
    """Fixed values of the variables: every other point has positive ones only, where more functions have values."""
    points = []
    for number in range(POINTS):
        low = 300 if number % 2 else -2700
        points.append({name: Fraction(random.Random(f"{number} {name}").randint(low, 2700), 1000) for name in names})
    return points


def _is_rational(node: Node) -> bool:
    """Whether a tree is arithmetic of whole numbers and letters, powers of a fixed whole degree included."""
    if node[0] == "power":
        return _is_rational(node[1]) and (degree := _literal(node[2])) is not None and degree.denominator == 1
    return node[0] in ("number", "symbol") or (
        node[0] in ("negate", "add", "subtract", "multiply", "divide")
        and all(_is_rational(part) for part in _parts(node))
    )


def _fraction(node: Node, point: Mapping[str, Fraction]) -> Fraction | None:
    """The exact value of a rational tree; None where it divides by zero or grows too long."""
    if node[0] == "number":
        return Fraction(node[1])
    if node[0] == "symbol":
        return point[node[1]]
    values = [_fraction(part, point) for part in _parts(node)]
    if None in values:
        return None
    left, right = values[0] or Fraction(0), values[-1] or Fraction(0)
    if node[0] == "power":
        return _fraction_power(left, right)
    if node[0] == "divide":
        return left / right if right else None
    results = {"negate": -left, "add": left + right, "subtract": left - right, "multiply": left * right}
    return results[node[0]]


def _fraction_power(base: Fraction, degree: Fraction) -> Fraction | None:
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size * abs(degree) > MAX_BITS or (degree < 0 and not base):
        return None
    return Fraction(base ** int(degree))


def _literal(node: Node) -> Fraction | None:
    """The value of a number, or of a fraction of two whole ones."""
    if node[0] == "negate":
        inner = _literal(node[1])
        return None if inner is None else -inner
    if node[0] == "number":
        return Fraction(node[1])
    if node[0] == "divide" and node[1][0] == node[2][0] == "number" and node[2][1]:
        return Fraction(node[1][1] / node[2][1])
    return None


def _has_decimal(node: Node) -> bool:
    return bool(node[2]) if node[0] == "number" else any(_has_decimal(part) for part in _parts(node))


def _symbols(node: Node) -> frozenset[str]:
    if node[0] == "symbol":
        return frozenset({node[1]})
    return frozenset().union(*(_symbols(part) for part in _parts(node)))


def _parts(node: Node) -> list[Node]:
    return [part for part in node[1:] if isinstance(part, tuple)]


def _value(node: Node, point: Mapping[str, Fraction]) -> complex | None:
    """The value of a tree at a point; None where it has none that a float can hold."""
    try:
        value = _evaluate(node, point)
    except _VALUE_ERRORS:
        return None
    return value if cmath.isfinite(value) else None


def _evaluate(node: Node, point: Mapping[str, Fraction]) -> complex:
    kind = node[0]
    if kind == "number":
        return complex(float(node[1]))
    if kind == "symbol":
        return complex(point[node[1]])
    if kind == "constant":
        return _CONSTANTS[node[1]]
    values = [_evaluate(part, point) for part in _parts(node)]
    if len(values) == 1:
        return complex(_FUNCTIONS[kind](values[0]))
    return _combine(kind, values[0], values[1])


def _combine(kind: str, left: complex, right: complex) -> complex:
    if kind == "add":
        return left + right
    if kind == "subtract":
        return left - right
    if kind == "multiply":
        return left * right
    if kind == "divide":
        return left / right
    if kind == "log":
        return cmath.log(left) / cmath.log(right)
    if kind == "root":
        return _root(left, right)
    return _power(left, right)


def _power(base: complex, exponent: complex) -> complex:
    if base.imag == exponent.imag == 0 and (base.real >= 0 or exponent.real == int(exponent.real)):
        return complex(math.pow(base.real, exponent.real))
    return base**exponent


def _root(value: complex, degree: complex) -> complex:
    """The real root of an odd degree of a negative number, else the principal one."""
    if value.imag == 0 and value.real < 0 and degree.imag == 0 and degree.real % 2 == 1:
        return complex(-math.pow(-value.real, 1 / degree.real))
    return _power(value, 1 / degree)


def _real(value: complex) -> float:
    """A number whose factorial a float can hold."""
    if value.imag or value.real > 170:
        raise ValueError("no factorial")
    return value.real
