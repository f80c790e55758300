"""Values of partitions as Hive and Spark escape them in names of folders (`at=10%3A00`), and the expression by which Snowflake undoes that.

Expressions of partitions may use few functions, and neither REPLACE nor one that decodes is among them:
https://docs.snowflake.com/en/sql-reference/sql/create-external-table. SPLIT_PART, SUBSTR, CASE and || are, and they do: a value is cut at each %,
and what stands before each cut is followed by the letter that the two digits after it mean. So `%2541` is `%41`, never `A`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from portal.lake.iceberg.refusals import TableRefused
from portal.lake.registering.sql_text import text

MOST = 20
"""Escaped letters of one value. The expression grows with them."""
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_LAST_LETTER = 0x7F
_HINT = "Bring the table to Iceberg, whose partitions are values: ingest_hive."


@dataclass
class Escapes:
    """Which letters are escaped in the values of a partition, and how many at most in one of them."""

    codes: set[str] = field(default_factory=set)
    """As they are written, two digits each."""
    most: int = 0

    def add(self, key: str, value: str) -> str:
        """Note a value; return what it means. Raises TableRefused when that cannot be said for sure."""
        found = _ESCAPE.findall(value)
        if len(found) != value.count("%"):
            raise TableRefused(f"Its partition {key}={value} has a % that escapes nothing.", hint=_HINT)
        if any(not 0 < int(code, 16) <= _LAST_LETTER for code in found):  # Hive takes %E9 for é, others for a part of UTF-8
            raise TableRefused(f"Its partition {key}={value} escapes letters that Hive does not, and what they mean differs.", hint=_HINT)
        if len(found) > MOST:
            raise TableRefused(f"Its partition {key}={value} has {len(found)} escaped letters; {MOST} at most are undone.", hint=_HINT)
        self.codes.update(found)
        self.most = max(self.most, len(found))
        return plain(value)

    def undone(self, value: str) -> str:
        """Return the expression that gives what a value means, of one that gives it as it is written."""
        if not self.codes:
            return value
        letters = " ".join(f"WHEN {text(code)} THEN {text(chr(int(code, 16)))}" for code in sorted(self.codes))
        parts = [f"SPLIT_PART({value}, '%', {place})" for place in range(1, self.most + 2)]
        return " || ".join([parts[0], *(f"CASE SUBSTR({part}, 1, 2) {letters} ELSE '' END || SUBSTR({part}, 3)" for part in parts[1:])])


def plain(text: str) -> str:
    """Return what an escaped text means: letters of ASCII alone are escaped in it."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
