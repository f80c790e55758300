"""Columns of an external table: types of Parquet as types of Snowflake, and the expressions that give their values."""

from __future__ import annotations

import pyarrow as pa

from portal.lake.iceberg.refusals import TableRefused
from portal.lake.registering.folders import NULL_PARTITION, Folder, Partition
from portal.lake.registering.sql_text import text

Column = tuple[str, str, str]
"""Name, type and expression."""

_SIMPLE = (
    (pa.types.is_boolean, "BOOLEAN"), (pa.types.is_integer, "NUMBER(38, 0)"), (pa.types.is_floating, "FLOAT"), (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"), (pa.types.is_string, "VARCHAR"), (pa.types.is_large_string, "VARCHAR"), (pa.types.is_binary, "BINARY"),
    (pa.types.is_large_binary, "BINARY"), (pa.types.is_fixed_size_binary, "BINARY"), (pa.types.is_struct, "OBJECT"), (pa.types.is_map, "VARIANT"),
    (pa.types.is_list, "ARRAY"), (pa.types.is_large_list, "ARRAY"),
)  # fmt: skip
_MOST_DIGITS = 38


def columns(folder: Folder) -> list[Column]:
    """Return the columns of the files, then those of the folders, which come before a file's own of the same name. Raises TableRefused."""
    others = {one.name for one in folder.partitions}
    own = [_of_file(name, stored) for name, stored in folder.columns.items() if name not in others]
    return [*own, *(_of_folder(one) for one in folder.partitions)]


def partition_names(folder: Folder) -> list[str]:
    return [_name(one.name) for one in folder.partitions]


def _name(name: str) -> str:
    if not name or len(name) > 255 or not name.isprintable():
        raise TableRefused(f"Its column {name!r} has a name that Snowflake cannot hold.")
    return name


def _kind(name: str, stored: pa.DataType) -> str:
    if pa.types.is_timestamp(stored):
        return "TIMESTAMP_LTZ" if stored.tz else "TIMESTAMP_NTZ"
    if pa.types.is_decimal(stored) and stored.precision <= _MOST_DIGITS and stored.scale >= 0:
        return f"NUMBER({stored.precision}, {stored.scale})"
    if pa.types.is_dictionary(stored):
        return _kind(name, stored.value_type)
    found = next((kind for fits, kind in _SIMPLE if fits(stored)), None)
    if found is None:
        raise TableRefused(f"Its column {name} is of type {stored}, which Snowflake does not know.")
    return found


def _of_file(name: str, stored: pa.DataType) -> Column:
    kind = _kind(name, stored)
    return _name(name), kind, f"GET(VALUE, {text(name)})::{kind}"


def _of_folder(one: Partition) -> Column:
    """The value of `key=` anywhere in the file's path: at which level it lies is nobody's business."""
    value = f"SPLIT_PART(SPLIT_PART('/' || METADATA$FILENAME, {text(f'/{one.key}=')}, 2), '/', 1)"
    known = f"NULLIF({value}, {text(NULL_PARTITION)})"
    undone = one.escapes.undone(known)
    return _name(one.name), one.kind, f"{known if undone == known else f'({undone})'}::{one.kind}"
