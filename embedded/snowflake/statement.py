"""Statements about volumes, integrations, stages, Iceberg and external tables, read into values with sqlglot's tokenizer for Snowflake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlglot.dialects.snowflake import Snowflake
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from embedded.snowflake.answers import SYNTAX, Refused

KINDS = (
    ("EXTERNAL", "VOLUME"), ("CATALOG", "INTEGRATION"), ("STORAGE", "INTEGRATION"), ("ICEBERG", "TABLE"), ("EXTERNAL", "TABLE"), ("STAGE",),
)  # fmt: skip
_BEGINS = re.compile(r"\s*(create|show|desc|describe|alter|drop)\s+(or\s+replace\s+)?(external|catalog|storage|iceberg|stages?)\b", re.IGNORECASE)
_FUNCTION = re.compile(r"\s*select\s+(system\$\w+)\s*\(", re.IGNORECASE)
_VERBS = {"DESC": "DESCRIBE"}


@dataclass(frozen=True)
class Statement:
    verb: str
    """CREATE, ALTER, SHOW, DESCRIBE, DROP, or SELECT of one of the system functions."""
    kind: str
    """EXTERNAL VOLUME, ICEBERG TABLE, …; of a function its name."""
    name: tuple[str, ...] = ()
    """As Snowflake knows it: upper case unless quoted."""
    replace: bool = False
    guarded: bool = False
    """IF EXISTS or IF NOT EXISTS."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """KEY = value pairs, also LIKE, IN, LIMIT, FROM and REFRESH; values are text, flags, lists and maps."""
    sql: str = ""


@dataclass(frozen=True)
class Stage:
    """`@name/path` of a location."""

    name: tuple[str, ...]
    path: str


def read(sql: str) -> Statement | None:
    """Return the statement, or None when it is about something else. Raises Refused when it cannot be understood."""
    found = _FUNCTION.match(sql)
    if not found and not _BEGINS.match(sql):
        return None
    try:
        tokens = Snowflake().tokenize(sql.rstrip().rstrip(";"))
    except SqlglotError as error:
        raise Refused(SYNTAX, f"SQL compilation error:\n{error}") from error
    reader = _Reader(sql, tokens)
    return reader.function(found[1].upper()) if found else reader.statement()


def name_in(text: str) -> tuple[str, ...]:
    """Return the name that a text holds, as `"A"."b".C` in a function's argument."""
    return _Reader(text, Snowflake().tokenize(text)).name()


def _words(token: Token) -> Iterator[Token]:
    """sqlglot has some keywords of two words, as STORAGE INTEGRATION."""
    if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) or " " not in token.text:
        yield token
        return
    for word in token.text.split():
        yield Token(TokenType.VAR, word, start=token.start, end=token.end)


class _Reader:
    def __init__(self, sql: str, tokens: Sequence[Token]) -> None:
        self._sql, self._at = sql, 0
        self._tokens = [word for token in tokens for word in _words(token)]

    def function(self, name: str) -> Statement:
        self._at = 3
        return Statement("SELECT", name, options={"ARGUMENT": str(self.value())}, sql=self._sql)

    def statement(self) -> Statement | None:
        verb = self._word()
        verb = _VERBS.get(verb, verb)
        replace = self._skip("OR", "REPLACE")
        kind = next((kind for kind in KINDS if self._skip(*kind) or self._skip(*kind[:-1], f"{kind[-1]}S")), None)
        if kind is None:
            return None
        guarded = self._skip("IF", "NOT", "EXISTS") or self._skip("IF", "EXISTS")
        name = () if verb == "SHOW" else self.name()
        return Statement(verb, " ".join(kind), name, replace, guarded, self._options(), self._sql)

    def name(self) -> tuple[str, ...]:
        parts = [self._part()]
        while self._is("."):
            self._at += 1
            parts.append(self._part())
        return tuple(parts)

    def value(self) -> Any:
        token = self._take()
        if token.token_type in (TokenType.STRING, TokenType.NUMBER):
            return token.text
        if token.text == "(":
            return self._group()
        if token.token_type is TokenType.PARAMETER:
            return self._stage()
        self._at -= 1
        word = self._part()
        return {"TRUE": True, "FALSE": False}.get(word, word) if token.token_type is not TokenType.IDENTIFIER else word

    def _group(self) -> Any:
        pairs: dict[str, Any] = {}
        items: list[Any] = []
        while not self._is(")"):
            if self._is(","):
                self._at += 1
            elif self._next_is("=") and not self._is("("):
                key = self._word()
                self._at += 1
                pairs[key] = self.value()
            else:
                items.append(self.value())
        self._at += 1
        return pairs or items

    def _stage(self) -> Stage:
        name = self.name()
        start = end = self._tokens[self._at - 1].end + 1
        while self._at < len(self._tokens) and self._tokens[self._at].start == end:
            end = self._tokens[self._at].end + 1
            self._at += 1
        return Stage(name, self._sql[start:end].strip("/"))

    def _options(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._at < len(self._tokens):
            if self._is("("):
                self._skip_group()
                continue
            key = self._word()
            if self._is("="):
                self._at += 1
                found[key] = self.value()
            elif key in ("LIKE", "LIMIT", "FROM"):
                found[key] = self.value()
            elif key == "IN":
                self._skip("SCHEMA") or self._skip("DATABASE")
                found[key] = self.name()
            elif key == "REFRESH":
                found[key] = self.value() if self._at < len(self._tokens) else ""
        return found

    def _skip_group(self) -> None:
        depth = 0
        while True:
            text = self._take().text if self._tokens[self._at].token_type is not TokenType.STRING else (self._take() and "")
            depth += {"(": 1, ")": -1}.get(text, 0)
            if depth == 0:
                return

    def _part(self) -> str:
        token = self._take()
        return token.text if token.token_type is TokenType.IDENTIFIER else token.text.upper()

    def _word(self) -> str:
        return self._take().text.upper()

    def _take(self) -> Token:
        if self._at >= len(self._tokens):
            raise Refused(SYNTAX, "SQL compilation error:\nsyntax error: unexpected end of the statement.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, text: str) -> bool:
        return self._at < len(self._tokens) and self._plain(self._at) == text

    def _next_is(self, text: str) -> bool:
        return self._at + 1 < len(self._tokens) and self._plain(self._at + 1) == text

    def _plain(self, at: int) -> str:
        token = self._tokens[at]
        return "" if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else token.text.upper()

    def _skip(self, *words: str) -> bool:
        if tuple(self._plain(at) for at in range(self._at, min(self._at + len(words), len(self._tokens)))) != words:
            return False
        self._at += len(words)
        return True
