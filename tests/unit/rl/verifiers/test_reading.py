"""Numbers, quantities and expressions are read as they are meant, or not at all."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.rl.verifiers.equivalence import equivalent
from inkwash.rl.verifiers.normalization import canonical, fold, same_text
from inkwash.rl.verifiers.numbers import close, read_number
from inkwash.rl.verifiers.units import read_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", Fraction(2469, 2)), ("-3/4", Fraction(-3, 4)), (r"\frac{3}{4}", Fraction(3, 4)),
        (r"\frac12", Fraction(1, 2)),
        ("1e-3", Fraction(1, 1000)), ("2.5 × 10^{-4}", Fraction(1, 4000)), ("2.5×10⁻⁴", Fraction(1, 4000)),
        ("½", Fraction(1, 2)),
        ("40%", Fraction(2, 5)), (r"50\%", Fraction(1, 2)), (".5", Fraction(1, 2)), ("5.", Fraction(5)),
        ("−7", Fraction(-7)),
        ("$7$", Fraction(7)), (r"1{,}000", Fraction(1000)), (r"1\,000", Fraction(1000)), ("４２", Fraction(42)),
        ("+1", Fraction(1)),
    ],
)  # fmt: skip
def test_numbers(text: str, value: Fraction) -> None:
    number = read_number(text)
    assert number is not None and number.value == value


@pytest.mark.parametrize(
    "text",
    ["", "1,23", "1234,567", "10 (or 8)", "1½", "1e99999", "٣", "1/0", "1 2", "1/2/3", "3.1.4", "1e5.5", "--1", "0x10",
     "1_000", "NaN", "inf", "5 cm", "1" * 200],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None


@settings(max_examples=100, deadline=None)
@given(
    st.fractions(-(10**12), 10**12, max_denominator=10**6),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_numbers_that_python_writes_are_read_exactly(ratio: Fraction, whole: int, real: float) -> None:
    for text, value in ((str(ratio), ratio), (f"{whole:,}", Fraction(whole)), (repr(real), Fraction(repr(real)))):
        number = read_number(text)
        assert number is not None and number.value == value


def test_a_wanted_zero_is_met_by_zero_alone() -> None:
    assert close(Fraction(0), Fraction(0), 0.1) and not close(Fraction(1, 10**9), Fraction(0), 0.1)
    assert close(Fraction(101), Fraction(100), 0.01) and not close(Fraction(102), Fraction(100), 0.01)


@pytest.mark.parametrize(
    ("text", "value", "dimensions"),
    [
        ("3.6 km/h", 1.0, (1, 0, -1, 0, 0, 0, 0)), ("8.314 J/(mol·K)", 8.314, (2, 1, -2, 0, -1, -1, 0)),
        ("8.314 J mol^-1 K^{-1}", 8.314, (2, 1, -2, 0, -1, -1, 0)), ("10米每秒", 10.0, (1, 0, -1, 0, 0, 0, 0)),
        (r"25^{\circ}\mathrm{C}", 298.15, (0, 0, 0, 0, 1, 0, 0)),
        (r"3\ \mathrm{k}\Omega", 3000.0, (2, 1, -3, -2, 0, 0, 0)),
        ("5 /s", 5.0, (0, 0, -1, 0, 0, 0, 0)), ("5 m m", 5.0, (2, 0, 0, 0, 0, 0, 0)),
        ("2 milliamps", 2e-3, (0, 0, 0, 1, 0, 0, 0)),
        ("180°", 3.141592653589793, (0,) * 7), ("32 °F", 273.15, (0, 0, 0, 0, 1, 0, 0)),
        ("1 平方米", 1.0, (2, 0, 0, 0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_quantities(text: str, value: float, dimensions: tuple[int, ...]) -> None:
    quantity = read_quantity(text)
    assert quantity is not None and quantity.unit is not None
    assert quantity.value == pytest.approx(value) and quantity.unit.dimensions == dimensions


@pytest.mark.parametrize(
    "text",
    ["m", "", "5 foo", "5 m//s", "5 m/", "5 m (or 8 m)", "5 m^99", "5 (m", "5 )m", "5 m^", "5 米西", "5 6 m", "2π rad"],
)
def test_what_is_no_quantity(text: str) -> None:
    assert read_quantity(text) is None


@pytest.mark.parametrize(
    ("answer", "wanted", "equal"),
    [
        (r"\frac{x^2-1}{x-1}", "x+1", True), (r"\log_{2} x", r"\frac{\ln x}{\ln 2}", True), (r"e^{i\pi}x", "-x", True),
        (r"\sin^2 x + \cos^2 x + y - 1", "y", False), (r"\sin^{-1} x", r"\arcsin x", True), (r"2|x|", r"|2x|", True),
        ("n!", "n!", True),
        (r"\left|x-1\right|", "|1-x|", True), (r"\sqrt[3]{-8}x", "-2x", True), ("x_1+x_2", "x_{2}+x_{1}", True),
        ("-x^2", "(-x)^2", False),
        ("2^3^2 x", "512x", True), ("1/2x", "x/2", True), ("(x+1)^20", "(1+x)^{20}", True),
        (r"10^{-20}\pi", r"10^{-20}2\pi", None), (r"10^{-20}\pi", r"10^{-30}\pi", False),
        ("10^{-20}x", "10^{-30}x", False),
        ("(x+1)^{99}", "(x+1)^{98}", False),
        ("(x-1)^8", "x^8-8x^7+28x^6-56x^5+70x^4-56x^3+28x^2-8x+1", True), ("1/x-1/x+y", "y", False),
        ("(x-1)^8", "x^8-8x^7+28x^6-56x^5+70x^4-56x^3+28x^2-8x+2", False), (r"\sqrt{x^2}", "x", False),
        ("x", "y", False),
        ("2x", "x", False),
        (r"(-\infty, 3]", r"(-\infty,3]", True), ("[1,2)", "(1,2)", False), (r"\{1,2\}", "2, 1", True),
        ("(1,2)", "1, 2", False),
        ("0<x<1", "1>x>0", True), ("0<x<1", "0<x<=1", False), ("y=2x+1", "y=1+2x", True), ("2x+1", "y=1+2x", True),
        ("x=1", "x=2", False),
        ("15+27", "42", None), (r"2\frac{1}{3}", "7/3", None), ("forty two", "42", None), ("2 3", "6", None),
        ("x=y=5", "5", False),
        ("(1+1, 3)", "(2, 3)", None), ("9**9**9**9", "x", False), ("0/0 x", "0/0 x", False), ("#", "#", None),
        ("ok", "ko", None),
    ],
)  # fmt: skip
def test_expressions(answer: str, wanted: str, equal: bool | None) -> None:
    assert equivalent(answer, wanted) is equal


def test_raised_digits_and_fractions_keep_their_value() -> None:
    assert fold("10²") == "10^(2)" and fold("1½") == "1 1/2" and fold("H₂O") == "H_(2)O"
    assert not same_text("10²", "102") and same_text("x²", "x^{2}")


def test_case_counts_where_it_is_asked_for() -> None:
    assert same_text("CO", "co") and not same_text("CO", "co", case=True)
    assert canonical("  “The  Cat.” ") == "the cat"
