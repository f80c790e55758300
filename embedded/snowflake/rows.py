"""Rows of files on Azure, brought into fakesnow's databases as the types that it knows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def quoted(name: tuple[str, ...]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)


def fill(duck: Any, name: tuple[str, ...], reader: Any, *, upper: bool = False) -> None:
    """Replace a table by the rows of an Arrow reader, batch by batch and all at once for whoever reads. Raises what the reader raises.

    Args:
        upper: names of columns are in upper case, as Snowflake has those of Iceberg tables.
    """
    columns = ", ".join(f"{_cast(field)} as {quoted(((field.name.upper() if upper else field.name),))}" for field in reader.schema)
    duck.register("arriving", reader)
    try:
        duck.execute(f"create or replace table {quoted(name)} as select {columns} from arriving")  # noqa: S608 - quoted names
    finally:
        duck.unregister("arriving")


def _cast(field: pa.Field) -> str:
    column, kind = quoted((field.name,)), field.type
    if pa.types.is_integer(kind):
        return f"{column}::bigint" if not pa.types.is_uint64(kind) else f"{column}::decimal(38, 0)"
    if pa.types.is_floating(kind):
        return f"{column}::double"
    if pa.types.is_timestamp(kind):
        return f"{column}::timestamptz" if kind.tz else f"{column}::timestamp"
    if pa.types.is_time(kind):
        return f"{column}::time"
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return f"{column}::blob"
    if pa.types.is_nested(kind):
        return f"to_json({column})"
    return column
