"""Folders named after values, Hive style: `column=value/`, so that every value comes back as it was, or is refused.

Escaping as Hive's FileUtils.escapePathName: %XX for ASCII characters that paths or shells take for something else. Readers that undo it byte
by byte (Spark, Hive) and those that read UTF-8 (Arrow, DuckDB) agree, because only ASCII is escaped.
https://github.com/apache/hive/blob/master/common/src/java/org/apache/hadoop/hive/common/FileUtils.java
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ConversionFailed
from portal.tabular.columns.type_names import named

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_ESCAPED = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{\[\]^|<>]|^ | $|\.$""")
_LONGEST_NAME = 255
"""Bytes of a folder's name that a file system takes."""


def folder_name(column: str, text: str | None) -> str:
    """Return `column=value` with both escaped. Raises ConversionFailed for a value that could not be told from 'no value'."""
    name = f"{escaped(column)}={NULL_FOLDER if text is None else escaped(text)}"
    if text in ("", NULL_FOLDER):
        what = "an empty text" if not text else f"the text {text!r}"
        hint = "Leave such rows out (where), or do not make folders of this column."
        raise ConversionFailed(f"Column {column!r} holds {what}, which as a folder's name means 'no value'.", hint=hint)
    if len(name.encode()) > _LONGEST_NAME:
        hint = "Make folders of columns with short values."
        raise ConversionFailed(f"Column {column!r} holds a value that is too long for a folder's name: {(text or '')[:60]!r}…", hint=hint)
    return name


def escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def values_of(key: str, columns: tuple[str, ...]) -> dict[str, str | None]:
    """Return the texts of columns by the folders of an object's key. Raises KeyError when one of them is not there."""
    pairs = (segment.partition("=") for segment in key.split("/")[:-1] if "=" in segment)
    found = {unquote(name): None if value == NULL_FOLDER else unquote(value) for name, _, value in pairs}
    return {column: found[column] for column in columns}


def refuse_columns(schema: Any, columns: tuple[str, ...]) -> None:
    """Raises ConversionFailed when folders cannot be made of these columns."""
    for column in columns:
        if column not in schema.names:
            raise ConversionFailed(f"There is no column {column!r} to make folders of.", hint=f"Columns: {', '.join(schema.names[:30])}.")
        if not _has_text(schema.field(column).type):
            hint = "Folders can be made of texts, integers, dates, timestamps, decimals and booleans."
            raise ConversionFailed(f"Column {column!r} is {named(schema.field(column).type)}: no folders can be made of it.", hint=hint)
    if len(set(columns)) == len(schema.names):
        raise ConversionFailed("Folders are made of every column: no column would be left for the files.", hint="Name fewer in partition_by.")


def _has_text(kind: Any) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.tz in (None, "UTC")
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_date32, pa.types.is_decimal128, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def without(schema: Any, columns: tuple[str, ...]) -> Any:
    """Return the schema of files in folders of these columns."""
    return pa.schema([item for item in schema if item.name not in columns], schema.metadata)


def texts(values: Any) -> Any:
    """Return a column's values as the texts that name folders."""
    return pc.cast(values, pa.string())


def refuse_changed(column: str, text: str | None, kind: Any) -> None:
    """Raises ConversionFailed when a value would not come back from the text that names its folder."""
    try:
        same = text is None or pc.cast(pc.cast(pa.scalar(text), kind), pa.string()).as_py() == text
    except pa.ArrowException:
        same = False
    if not same:
        raise ConversionFailed(f"Column {column!r}: {text} as a folder's name would not be read back as {kind}.", hint="Cast the column to text.")


def column_of(text: str | None, kind: Any, rows: int) -> Any:
    """Return a column of one value, from the text that named its folder."""
    value = pa.scalar(None, kind) if text is None else pc.cast(pa.scalar(text, pa.string()), kind)
    return pa.repeat(value, rows)


def with_folders(batch: Any, partition: Mapping[str, str | None], schema: Any) -> Any:
    """Return a file's rows with the columns that its folders stand for, under the whole schema."""
    if not partition:
        return batch
    columns = [
        column_of(partition[item.name], item.type, batch.num_rows) if item.name in partition else batch.column(item.name) for item in schema
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=schema)
