"""What a table is called at Snowflake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from portal.lake.table_name import TableName as Source
from portal.warehouse_names import TableName

Names = Literal["table", "namespace_table"]


def target(source: Source, database: str, schema: str, names: Names) -> TableName:
    """Return the name of a table, read as Snowflake reads names that are not quoted: FLIGHTS for flights; any other is taken literally."""
    own = source.table if names == "table" else "_".join(source.identifier)
    return TableName(database, schema, own)


def twins(targets: Iterable[tuple[Source, TableName]]) -> dict[Source, str]:
    """Return the tables that would get one name, each with the others that would."""
    sharing: dict[str, list[Source]] = defaultdict(list)
    for source, name in targets:
        sharing[str(name)].append(source)
    return {one: ", ".join(str(other) for other in group if other != one) for group in sharing.values() if len(group) > 1 for one in group}
