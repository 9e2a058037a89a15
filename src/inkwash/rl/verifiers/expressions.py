"""Mathematical expressions, as LaTeX or plain text, read into a tree by a parser of our own.

No text is ever handed to an interpreter: libraries that read such texts build Python source and evaluate it. The tree
is plain data, its size is bounded by the text's, and `equivalence.py` computes with bounded numbers, so that no text
takes long, `9**9**9**9` included. A text that is not wholly an expression is unreadable: words of three letters or
more must be functions or Greek letters, and short words of English are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from inkwash.rl.verifiers.normalization import fold

MAX_LENGTH = 160  # characters of an expression
MAX_DEPTH = 40

FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "sinh", "cosh",
    "tanh", "ln", "lg", "log", "exp", "sqrt", "abs",
})  # fmt: skip
GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma",
    "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "infty", "hbar", "ell",
})  # fmt: skip
CONSTANTS = frozenset({"pi", "e", "i"})
_STOP_WORDS = frozenset({
    "or", "is", "to", "no", "in", "of", "at", "by", "if", "so", "as", "an", "it", "we", "be", "on", "do", "go",
    "he", "up", "us", "my", "ok",
})  # fmt: skip
_GREEK_MARKS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "μ": "mu",
    "ν": "nu", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta",
    "Ω": "Omega", "π": "pi", "∞": "infty",
}  # fmt: skip
_DROPPED = re.compile(
    r"\$|\\[,;:! ]|~|\\(?:left|right|displaystyle|limits|quad|qquad|bigl|bigr|big|Big)(?![A-Za-z])|[.。]\s*$"
)
_COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cdot": "*", r"\times": "*", r"\div": "/", r"\leq": "≤", r"\le": "≤",
    r"\geq": "≥", r"\ge": "≥", r"\neq": "≠", r"\ne": "≠", r"\lt": "<", r"\gt": ">", r"\lvert": "|", r"\rvert": "|",
    r"\vert": "|", r"\cup": "∪",
}  # fmt: skip
_COMMAND = re.compile(r"\\[A-Za-z]+")
_UPRIGHT = re.compile(r"\\(?:mathrm|mathbf|mathit|operatorname|rm|bf)\s*\{([A-Za-z]+)\}")
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(\\?[A-Za-z]+)|(\S))", re.ASCII)
_MARKS = set("+-*/^_()[]{}⟦⟧|!,=<>≤≥≠∪")
_CLOSING = {"(": ")", "[": "]", "{": "}", "⟦": "⟧"}

Node = tuple[Any, ...]  # ("number", Fraction, decimal) | ("symbol", name) | (operation, Node, ...)


_MINUS_ONE: tuple[Node, ...] = (("number", Fraction(-1), False), ("negate", ("number", Fraction(1), False)))


class UnreadableError(Exception):
    """A text is no expression."""


@dataclass(frozen=True)
class Token:
    """A piece of an expression: a `number`, a `word`, or a `mark`."""

    kind: str
    text: str


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text; UnreadableError where it is too long or has foreign marks."""
    if len(text) > MAX_LENGTH:
        raise UnreadableError("too long")
    text = _UPRIGHT.sub(r"\1 ", fold(text).replace("{,}", ""))
    text = _COMMAND.sub(lambda found: f" {_COMMANDS[found[0]]} " if found[0] in _COMMANDS else found[0], text)
    text = text.replace(r"\{", "⟦").replace(r"\}", "⟧").replace("**", "^").replace("<=", "≤").replace(">=", "≥")
    text = text.replace("×", "*").replace("·", "*").replace("⋅", "*").replace("÷", "/").replace("√", r"\sqrt ")
    text = _DROPPED.sub(" ", text)
    for mark, name in _GREEK_MARKS.items():
        text = text.replace(mark, f"\\{name} ")
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or (match[3] and match[3] not in _MARKS):
            raise UnreadableError("a foreign mark")
        kind = "number" if match[1] else "word" if match[2] else "mark"
        tokens.append(Token(kind, match[1] or match[2] or match[3]))
        at = match.end()
    return tokens


def split_at(tokens: list[Token], marks: set[str]) -> list[list[Token]]:
    """The tokens between marks that stand outside of all brackets, the marks themselves left out."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "mark" and token.text in _CLOSING:
            depth += 1
        elif token.kind == "mark" and token.text in _CLOSING.values():
            depth -= 1
        if depth == 0 and token.kind == "mark" and token.text in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def parse(tokens: list[Token]) -> Node:
    """The tree of an expression; UnreadableError where the tokens are none."""
    parser = _Parser(tokens)
    tree = parser.sum()
    if parser.at < len(tokens):
        raise UnreadableError("something behind the expression")
    return tree


class _Parser:
    """Recursive descent; products may leave out their mark, as in `2x(x+1)`."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at, self.depth, self.bars = tokens, 0, 0, 0

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        return self.tokens[place].text if place < len(self.tokens) else ""

    def take(self) -> Token:
        if self.at >= len(self.tokens):
            raise UnreadableError("it ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise UnreadableError(f"{mark!r} is missing")
        self.at += 1

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("nested too deeply")
        left = self.product()
        while self.peek() in ("+", "-"):
            mark = self.take().text
            left = ("add" if mark == "+" else "subtract", left, self.product())
        self.depth -= 1
        return left

    def product(self) -> Node:
        left = self.signed()
        while True:
            mark = self.peek()
            if mark in ("*", "/"):
                self.at += 1
                left = ("multiply" if mark == "*" else "divide", left, self.signed())
            elif self.begins_factor():
                if self.tokens[self.at].kind == "number" or (left[0] == "number" and mark == r"\frac"):
                    raise UnreadableError("two numbers side by side")  # a mixed number, or a list
                left = ("multiply", left, self.power())
            else:
                return left

    def begins_factor(self) -> bool:
        if self.at >= len(self.tokens):
            return False
        token = self.tokens[self.at]
        return token.kind != "mark" or token.text in "([{" or (token.text == "|" and not self.bars)

    def signed(self) -> Node:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take().text == "-"
        value = self.power()
        if negative and value[0] == "number":
            return ("number", -value[1], value[2])
        return ("negate", value) if negative else value

    def power(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("nested too deeply")
        base = self.atom()
        while self.peek() == "!":
            self.at += 1
            base = ("factorial", base)
        if self.peek() == "^":
            self.at += 1
            base = ("power", base, self.exponent())
        self.depth -= 1
        return base

    def exponent(self) -> Node:
        if self.peek() in ("+", "-"):
            return ("negate", self.exponent()) if self.take().text == "-" else self.exponent()
        return self.power()

    def atom(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return ("number", Fraction(token.text), "." in token.text)
        if token.kind == "word":
            return self.word(token.text)
        if token.text == "|" and not self.bars:
            return ("abs", self.inside("|"))
        if token.text in ("(", "[", "{"):
            return self.inside(_CLOSING[token.text])
        raise UnreadableError(f"{token.text!r} where a value belongs")

    def inside(self, closing: str) -> Node:
        """What stands up to a closing bracket, which is taken, too."""
        outer, self.bars = self.bars, int(closing == "|")
        value = self.sum()
        self.expect(closing)
        self.bars = outer
        return value

    def word(self, text: str) -> Node:
        name = text.lstrip("\\")
        if text == r"\frac":
            return ("divide", self.argument(), self.argument())
        if name in FUNCTIONS:
            return self.function(name)
        if name in CONSTANTS and not (name == "e" and self.peek() == "_"):
            return ("constant", name)
        if name in GREEK or len(name) == 1:
            return ("symbol", name + self.subscript())
        if text.startswith("\\") or len(name) > 2 or name.lower() in _STOP_WORDS:
            raise UnreadableError(f"the word {name!r}")
        return ("multiply", self.letter(name[0]), ("symbol", name[1] + self.subscript()))

    @staticmethod
    def letter(name: str) -> Node:
        return ("constant", name) if name in CONSTANTS else ("symbol", name)

    def subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.at += 1
        first = self.take()
        if first.text not in ("{", "("):
            return f"_{first.text}"
        closing, inner = _CLOSING[first.text], ""
        while (piece := self.take().text) != closing:
            inner += piece
        return f"_{inner}"

    def argument(self) -> Node:
        """The argument of a LaTeX command: a group, or one digit or letter."""
        token = self.take()
        if token.text == "{":
            return self.inside("}")
        if token.kind == "number" and token.text.isdigit():
            first, rest = token.text[0], token.text[1:]
            if rest:  # \frac12: the second digit is the next argument
                self.at -= 1
                self.tokens = [*self.tokens[: self.at], Token("number", rest), *self.tokens[self.at + 1 :]]
            return ("number", Fraction(first), False)
        if token.kind == "word" and len(token.text) == 1:
            return self.letter(token.text)
        raise UnreadableError("an argument is missing")

    def function(self, name: str) -> Node:
        if name == "sqrt":
            return self.root()
        base = self.base() if name == "log" and self.peek() == "_" else None
        exponent = None
        if self.peek() == "^":
            self.at += 1
            exponent = self.exponent()
        value = self.operand()
        if exponent in _MINUS_ONE:
            if name not in ("sin", "cos", "tan"):
                raise UnreadableError(f"the inverse of {name}")
            return (f"arc{name}", value)
        call: Node = ("log", value, base) if base is not None else (name, value)
        return call if exponent is None else ("power", call, exponent)

    def base(self) -> Node:
        self.at += 1
        return self.argument()

    def root(self) -> Node:
        degree = None
        if self.peek() == "[":
            self.at += 1
            degree = self.inside("]")
        value = self.inside(_CLOSING[self.take().text]) if self.peek() in ("(", "{") else self.argument()
        return ("root", value, degree) if degree is not None else ("sqrt", value)

    def operand(self) -> Node:
        """A function's argument: a group, or the factors up to the next sign, bracket or function, as in sin 2x."""
        if self.peek() in ("(", "{", "[", "|"):
            return self.power() if self.peek() == "|" else self.inside(_CLOSING[self.take().text])
        value = self.power()
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "word":
            if self.peek().lstrip("\\") in FUNCTIONS:
                break
            value = ("multiply", value, self.power())
        return value
