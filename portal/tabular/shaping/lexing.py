"""Cuts an expression into tokens. No Arrow: parameters are checked without it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from portal.errors import ConversionFailed

MAX_CHARACTERS = 20_000

Kind = Literal["name", "quoted", "text", "number", "sign", "end"]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    |(?P<sign><=|>=|<>|!=|==|[=<>+\-*/(),.])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what it means: without quotes, doubled ones made single; `at` counts characters from 0."""

    kind: Kind
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords, however it is capitalised. A name in double quotes is none."""
        return self.kind == "name" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs


def wrong(expression: str, at: int, message: str, hint: str = "") -> ConversionFailed:
    """Return the error for a place in an expression, which it shows."""
    before, after = expression[max(0, at - 30) : at], expression[at : at + 30]
    place = f"{'…' if at > 30 else ''}{before}▸{after}{'…' if len(expression) > at + 30 else ''}"
    return ConversionFailed(f"where, character {at + 1}: {message} ({place})", hint=hint or "See docs/conversion.md, section Conditions.")


def tokens(expression: str) -> Iterator[Token]:
    """Yield the tokens, `end` last. Raises ConversionFailed, naming the character."""
    if len(expression) > MAX_CHARACTERS:
        raise ConversionFailed(f"where has {len(expression):,} characters; it may have {MAX_CHARACTERS:,}.", hint="Filter at the source.")
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise _unreadable(expression, at)
        kind, text = str(found.lastgroup), found[0]
        if kind in ("text", "quoted"):
            text = text[1:-1].replace(text[0] * 2, text[0])
        if kind != "space":
            yield Token(kind, text, at)  # type: ignore[arg-type]
        at = found.end()
    yield Token("end", "", at)


def _unreadable(expression: str, at: int) -> ConversionFailed:
    character = expression[at]
    if character in "'\"`":
        return wrong(expression, at, f"the {character} is never closed", "Texts stand in '…', names of columns in \"…\"; double a quote inside.")
    return wrong(expression, at, f"{character!r} means nothing here")
