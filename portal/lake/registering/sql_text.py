"""Values in Snowflake's SQL: written so that nothing in them is ever read as SQL."""

from __future__ import annotations

import re

from portal.warehouse_names import bare, identifier

_CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")


def text(value: str) -> str:
    """Return a string constant. Within its quotes Snowflake reads backslashes as escapes, unlike most databases."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return "'" + "".join(_CONTROLS.get(letter, letter) for letter in escaped) + "'"


def named(name: str) -> str:
    """Return the string constant that names an object, as in EXTERNAL_VOLUME = 'NAME': what it holds is read as an identifier."""
    known = bare(name)
    return text(known if _PLAIN.fullmatch(known) else identifier(name))


def exact(name: str) -> str:
    """Return a name that Snowflake showed as it is given to `identifier` again: nothing in it is read as anything but the name."""
    return '"' + name.replace('"', '""') + '"'


def flag(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def like(name: str) -> str:
    """Return a pattern of LIKE that matches a name, and maybe others: what is an escape where differs, so it has none."""
    return text(re.sub(r"[^A-Za-z0-9 -]", "_", bare(name)))
