"""Conditions on rows, for `where`: a small language after SQL, read into a tree. Nothing of it is ever run as Python.

  amount > 10.5 and (city = 'Köln' or city like 'B%') and day between '2026-01-01' and '2026-01-31' and "odd name" is not null

Names of columns stand plain or in "…" or `…` (a field of a struct: geo.lat), texts in '…' (a quote inside is doubled). Operators, loosest first:
or · and · not · = != <> < <= > >=, [not] in (…), [not] between … and …, [not] like, [not] ilike, is [not] null · + - · * / · - (sign).
A division is one of 64-bit floats; by zero it is null.
In like, % is any text, _ any character, \\ takes the next one as it is; ilike does not mind upper and lower case.
Functions: starts_with, ends_with, contains, lower, upper, trim, length (characters), abs, year, month, day, coalesce.
Dates and moments are texts in ISO form beside a column of that type, or date '2026-01-31', timestamp '2026-01-31T05:00:00Z'.
Nulls as in SQL: what is compared with null is neither true nor false, and only rows for which the whole is true are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal as Among

from portal.tabular.shaping.lexing import Token, tokens, wrong

MAX_DEPTH = 30
MAX_TERMS = 200
MAX_DIGITS = 38

FUNCTIONS: dict[str, tuple[int, int]] = {
    "starts_with": (2, 2), "ends_with": (2, 2), "contains": (2, 2), "lower": (1, 1), "upper": (1, 1), "trim": (1, 1), "length": (1, 1),
    "abs": (1, 1), "year": (1, 1), "month": (1, 1), "day": (1, 1), "coalesce": (1, 20),
}  # fmt: skip
"""Name → fewest and most arguments."""

_WORDS = frozenset({"and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false"})
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. `form` says what a text stands for: itself, or, after the word, a date or a timestamp."""

    value: str | int | float | Decimal | bool | None
    at: int
    form: Among["", "date", "timestamp"] = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A column, or a field of one: the names on the way."""

    path: tuple[str, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Applied:
    """An operator or function with its arguments. Operators have their sign or word as name, `negative` is the sign, `null` is `is null`."""

    name: str
    arguments: tuple[Node, ...]
    at: int


Node = Value | Named | Applied


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition as it was written, and as a tree."""

    text: str
    root: Node

    @property
    def columns(self) -> frozenset[str]:
        """The columns it needs."""
        return frozenset(node.path[0] for node in _nodes(self.root) if isinstance(node, Named))


def parse(text: str) -> Expression:
    """Read an expression. Raises ConversionFailed, naming the character and what was expected."""
    return Expression(text, _Reading(text).whole())


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Applied):
            waiting += node.arguments


class _Reading:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._next = self._depth = self._terms = 0

    def whole(self) -> Node:
        node = self._or()
        if self._now.kind != "end":
            raise self._unexpected("and, or, or the end")
        return node

    @property
    def _now(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._now
        self._next += token.kind != "end"
        return token

    def _skip_word(self, *words: str) -> bool:
        """Pass over these keywords if they are what comes next, all of them."""
        coming = self._tokens[self._next : self._next + len(words)]
        found = len(coming) == len(words) and all(token.is_word(word) for token, word in zip(coming, words, strict=True))
        self._next += len(words) * found
        return found

    def _expect(self, sign: str) -> None:
        if not self._now.is_sign(sign):
            raise self._unexpected(f"{sign!r}")
        self._take()

    def _unexpected(self, wanted: str) -> Exception:
        found = "the end" if self._now.kind == "end" else repr(self._now.text)
        return wrong(self._text, self._now.at, f"{wanted} was expected, not {found}")

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise wrong(self._text, self._now.at, f"nested more than {MAX_DEPTH} deep")
        node = read()
        self._depth -= 1
        return node

    def _chain(self, word: str, read: Callable[[], Node]) -> Node:
        """One node for a whole chain: a thousand conditions are no deeper than two."""
        at, parts = self._now.at, [read()]
        while self._skip_word(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Applied(word, tuple(parts), at)

    def _or(self) -> Node:
        return self._chain("or", self._and)

    def _and(self) -> Node:
        return self._chain("and", self._not)

    def _not(self) -> Node:
        at = self._now.at
        if self._skip_word("not"):
            return Applied("not", (self._deeper(self._not),), at)
        return self._condition()

    def _condition(self) -> Node:
        left, token = self._sum(), self._now
        if token.kind == "sign" and token.text in _COMPARISONS:
            self._take()
            return Applied(_COMPARISONS[token.text], (left, self._sum()), token.at)
        if self._skip_word("is"):
            negated = self._skip_word("not")
            if not self._skip_word("null"):
                raise self._unexpected("null, or not null,")
            return _negated(Applied("null", (left,), token.at), negated)
        negated = self._tokens[min(self._next + 1, len(self._tokens) - 1)].is_word("in", "between", "like", "ilike") and self._skip_word("not")
        return _negated(node, negated) if (node := self._membership(left)) else left

    def _membership(self, left: Node) -> Node | None:
        at = self._now.at
        if self._skip_word("in"):
            return Applied("in", (left, *self._list()), at)
        if self._skip_word("between"):
            low = self._sum()
            if not self._skip_word("and"):
                raise self._unexpected("and")
            return Applied("and", (Applied(">=", (left, low), at), Applied("<=", (left, self._sum()), at)), at)
        for word in ("like", "ilike"):
            if self._skip_word(word):
                return Applied(word, (left, self._sum()), at)
        return None

    def _list(self) -> list[Node]:
        self._expect("(")
        items = [self._deeper(self._or)]
        while self._now.is_sign(","):
            self._take()
            items.append(self._deeper(self._or))
        self._expect(")")
        return items

    def _sum(self) -> Node:
        return self._left_to_right(self._product, "+", "-")

    def _product(self) -> Node:
        return self._left_to_right(self._signed, "*", "/")

    def _left_to_right(self, read: Callable[[], Node], *signs: str) -> Node:
        node = read()
        while self._now.is_sign(*signs):
            token = self._take()
            self._terms += 1
            if self._terms > MAX_TERMS:
                raise wrong(self._text, token.at, f"more than {MAX_TERMS} times + - * or /")
            node = Applied(token.text, (node, read()), token.at)
        return node

    def _signed(self) -> Node:
        if not self._now.is_sign("-", "+"):
            return self._atom()
        sign = self._take()
        node = self._deeper(self._signed)
        if sign.text == "+":
            return node
        if isinstance(node, Value) and isinstance(node.value, int | float | Decimal) and not isinstance(node.value, bool):
            return Value(-node.value, sign.at)
        return Applied("negative", (node,), sign.at)

    def _atom(self) -> Node:
        token = self._now
        if token.is_sign("("):
            (node,) = self._single()
            return node
        if token.kind == "text":
            return Value(self._take().text, token.at)
        if token.kind == "number":
            return self._number(self._take())
        if token.kind == "quoted":
            return self._named()
        if token.kind == "name" and (token.text.lower() not in _WORDS or token.is_word("null", "true", "false")):
            return self._word(token)
        raise self._unexpected("a column, a value or (")

    def _single(self) -> list[Node]:
        self._expect("(")
        node = self._deeper(self._or)
        self._expect(")")
        return [node]

    def _number(self, token: Token) -> Node:
        number = Decimal(token.text)
        digits = f"{number:f}" if abs(number.adjusted()) <= MAX_DIGITS else ""
        if digits and len(digits.replace(".", "")) <= MAX_DIGITS:
            return Value(int(number) if token.text.isdigit() else Decimal(digits), token.at)
        if "e" not in token.text.lower():
            raise wrong(self._text, token.at, f"a number of more than {MAX_DIGITS} digits", "With an exponent (1e40) it is taken as a 64-bit float.")
        if not math.isfinite(float(number)) or (number and not float(number)):
            raise wrong(self._text, token.at, "a number that no 64-bit float holds")
        return Value(float(number), token.at)

    def _word(self, token: Token) -> Node:
        constants = {"null": None, "true": True, "false": False}
        following = self._tokens[self._next + 1]
        if token.text.lower() in constants:
            return Value(constants[self._take().text.lower()], token.at)
        if following.kind == "text" and token.is_word("date", "timestamp"):
            self._take()
            return Value(self._take().text, following.at, "date" if token.is_word("date") else "timestamp")
        return self._call() if following.is_sign("(") else self._named()

    def _call(self) -> Node:
        token = self._take()
        name = token.text.lower()
        if name not in FUNCTIONS:
            raise wrong(self._text, token.at, f"there is no function {token.text!r}", f"There are {', '.join(FUNCTIONS)}.")
        arguments = self._list()
        fewest, most = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            raise wrong(self._text, token.at, f"{name} takes {fewest} argument{'s' * (fewest > 1)}, not {len(arguments)}")
        return Applied(name, tuple(arguments), token.at)

    def _named(self) -> Node:
        at, path = self._now.at, [self._take().text]
        while self._now.is_sign("."):
            self._take()
            if self._now.kind not in ("name", "quoted"):
                raise self._unexpected("the name of a field")
            path.append(self._take().text)
        return Named(tuple(path), at)


def _negated(node: Node, negated: bool) -> Node:
    return Applied("not", (node,), node.at) if negated else node
