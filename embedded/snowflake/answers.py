"""How a statement that fakesnow does not know is answered: by rows it is given to return, or refused with Snowflake's code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

READ_ONLY = ("091357", "42601")
EQUALITY_DELETES = ("091968", "0A000")
ACCESS_DENIED = ("003167", "42601")
NO_LOCATIONS = ("393921", "42601")
NOT_THERE = ("002003", "42S02")
THERE_ALREADY = ("002002", "42710")
SYNTAX = ("001003", "42000")
INTERNAL = ("000603", "XX000")
CANNOT_READ = ("100047", "22000")
"""What Snowflake answers when metadata cannot be read has no documented code; this one is the box's choice."""


class Refused(Exception):
    """A statement that cannot be done: Snowflake's error code, SQL state and message."""

    def __init__(self, code: tuple[str, str], message: str) -> None:
        super().__init__(message)
        (self.code, self.state), self.message = code, message


def missing(what: str, name: str) -> Refused:
    return Refused(NOT_THERE, f"SQL compilation error:\n{what} '{name}' does not exist or not authorized.")


def there_already(name: str) -> Refused:
    return Refused(THERE_ALREADY, f"SQL compilation error:\nObject '{name}' already exists.")


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def rows_sql(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a statement whose answer is these rows of text, which may be none."""
    names = ", ".join(f'"{name}"' for name in columns)
    values = [f"select {', '.join(literal(value) for value in row)}" for row in rows]
    empty = f"select {', '.join(repr('') for _ in columns)} where false"
    return f"select * from ({' union all '.join(values) or empty}) t ({names})"  # noqa: S608 - literals are quoted


def status_sql(text: str) -> str:
    return f"select {literal(text)} as \"status\""
