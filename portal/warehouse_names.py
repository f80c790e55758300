"""Names in Snowflake, quoted so that nothing in them is ever read as SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portal.errors import SettingError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")


def identifier(name: str) -> str:
    """Return a name as the quoted identifier that Snowflake would read it as.

    A plain name means the same as unquoted in SQL (upper case); any other, or one already in double quotes, is taken literally.
    Raises SettingError when no identifier can be made of it.
    """
    literal = name[1:-1].replace('""', '"') if len(name) > 2 and name[0] == name[-1] == '"' else name
    if not literal or len(literal) > 255 or any(ord(letter) < 32 or letter == "\x7f" for letter in literal):
        raise SettingError(f"{name!r} is not a name that Snowflake can hold.", hint="Use letters, digits and underscores.")
    plain = literal.upper() if literal is name and _PLAIN.fullmatch(name) else literal
    return '"' + plain.replace('"', '""') + '"'


def bare(name: str) -> str:
    """The name that `identifier` means, as information_schema shows it."""
    return identifier(name)[1:-1].replace('""', '"')


@dataclass(frozen=True)
class TableName:
    """A table by its three names, as a person writes them."""

    database: str
    schema: str
    table: str

    @property
    def schema_sql(self) -> str:
        return f"{identifier(self.database)}.{identifier(self.schema)}"

    @property
    def sql(self) -> str:
        return f"{self.schema_sql}.{identifier(self.table)}"

    def __str__(self) -> str:
        return ".".join(map(bare, (self.database, self.schema, self.table)))
