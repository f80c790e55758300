"""Names of tables in a catalog: `database.table`, namespaces of several levels, parts that hold dots or anything else in backquotes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_PLAIN = re.compile(r"[^.`*?\s]+")
_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`\s]+)")
_HINT = "Write database.table; a part with a dot, a blank, * or ? stands in backquotes, as `odd.name`."

STAGING = "__ingesting_"
"""Between a table's name and its run's: the name under which an ingestion makes it."""


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table: its namespace's levels (of Hive: the one database) and its own name, as the catalog spells them."""

    namespace: tuple[str, ...]
    table: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, saying how to write it."""
        *namespace, table = parts(text)
        if not namespace:
            raise ValueError(f"{text!r} names no database. {_HINT}")
        return cls(tuple(namespace), table)

    @property
    def identifier(self) -> tuple[str, ...]:
        """As pyiceberg takes it."""
        return (*self.namespace, self.table)

    def __str__(self) -> str:
        return joined(self.identifier)


def parts(text: str) -> list[str]:
    """Split a dotted name, backquotes taken off. Raises ValueError."""
    found, place = [], 0
    while match := _PART.match(text, place):
        found.append(match[1].replace("``", "`") if match[1] is not None else match[2])
        place = match.end()
        if place == len(text):
            return found
        if text[place] != ".":
            break
        place += 1
    raise ValueError(f"{text!r} is not the name of a table. {_HINT}")


def joined(names: Iterable[str]) -> str:
    """Return a dotted name that `parts` splits again; also how Spark SQL and Hive quote one."""
    return ".".join(name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`" for name in names)
