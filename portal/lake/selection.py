"""Which tables are meant: names and patterns, against what a catalog has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from portal.lake.table_name import TableName, parts


def is_pattern(text: str) -> bool:
    """Tell whether a text means more than the one table that it names: it has * or ? outside of backquotes."""
    return any(mark in plain for mark in "*?[" for plain in text.split("`")[::2])


def matches(pattern: str, name: TableName) -> bool:
    """Tell whether a table is meant: `db.table`, `db.*`, `sales_*.orders_20??`; case does not matter, Hive has none. Raises ValueError."""
    wanted = parts(pattern)
    own = name.identifier
    if len(wanted) != len(own):
        return False
    quoted = _quoted(pattern)
    pairs = zip(wanted, own, quoted, strict=True)
    return all(one.lower() == other.lower() if exact else fnmatchcase(other.lower(), one.lower()) for one, other, exact in pairs)


def _quoted(pattern: str) -> list[bool]:
    """Which parts stand in backquotes: their marks are letters like others."""
    found, inside, exact = [], False, False
    for character in pattern:
        if character == "`":
            inside, exact = not inside, True
        elif character == "." and not inside:
            found.append(exact)
            exact = False
    return [*found, exact]


def chosen(patterns: Sequence[str], names: Iterable[TableName]) -> tuple[list[TableName], list[str]]:
    """Return the tables that any pattern means, sorted, and the patterns that mean none. Raises ValueError."""
    known = sorted(set(names))
    kept = [name for name in known if any(matches(pattern, name) for pattern in patterns)]
    return kept, [pattern for pattern in patterns if not any(matches(pattern, name) for name in known)]
