"""Folders of Parquet files: which columns their files have, by which folders they are partitioned, how many rows there are.

Footers are read, eight at a time, not data. Memory does not grow with the number of files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, cast

import pyarrow as pa
from pyarrow import parquet

from portal.errors import NotFound
from portal.lake.iceberg.refusals import TableBroken, TableRefused
from portal.lake.registering.data_files import has_suffix, is_data
from portal.lake.registering.escapes import Escapes, plain
from portal.stores.base import ObjectInfo, Store, walk
from portal.stores.seekable import SeekableReader
from portal.stores.url import StoreURL

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_AT_ONCE = 8
_BUFFER_BYTES = 1 << 16


@dataclass
class Partition:
    """A folder level `key=value`, and what all its values are."""

    key: str
    """As the folders have it."""
    whole: bool = True
    dates: bool = True
    seen: bool = False
    escapes: Escapes = field(default_factory=Escapes)

    @property
    def name(self) -> str:
        """Of the column."""
        return plain(self.key)

    def add(self, written: str) -> None:
        """Raises TableRefused for a value that cannot be read for sure."""
        if written == NULL_PARTITION:
            return
        value = self.escapes.add(self.key, written)
        self.seen = True
        self.whole = self.whole and bool(_WHOLE.fullmatch(value))
        self.dates = self.dates and _is_date(value)

    @property
    def kind(self) -> str:
        """Type at Snowflake. Numbers with leading zeros stay text."""
        return "VARCHAR" if not self.seen else "NUMBER(38, 0)" if self.whole else "DATE" if self.dates else "VARCHAR"


@dataclass
class Folder:
    """What was found below a folder."""

    url: StoreURL
    columns: dict[str, pa.DataType] = field(default_factory=dict)
    """Of the files, by their names there."""
    partitions: tuple[Partition, ...] = ()
    files: int = 0
    bytes: int = 0
    rows: int = 0
    filled: int = 0
    """Files that have rows."""
    first: str = ""
    """The key that sorts first of those files, '' when there are none."""
    last: str = ""


def scanned(store: Store, url: StoreURL, check: Callable[[], None]) -> Folder:
    """Look at every Parquet file below a folder.

    Raises:
        NotFound: there is none.
        TableRefused: what is there is no single table, or Snowflake could not read it as one.
        TableBroken: a file is no Parquet.
    """
    found = Folder(url)
    prefix = f"{url.key.rstrip('/')}/" if url.key.strip("/") else ""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        files = (info for info in walk(store, prefix) if _has_data(info, info.key.removeprefix(prefix)))
        for batch in iter(lambda: list(islice(files, _AT_ONCE)), []):
            check()
            for info, footer in zip(batch, pool.map(lambda one: _footer(store, one), batch), strict=True):
                _add(found, info, info.key.removeprefix(prefix), footer)
    if not found.files:
        raise NotFound(f"{url} holds no Parquet files.", hint="Name a folder with files that end in .parquet or .parq, or have no suffix.")
    _refuse_ambiguous(found, prefix)
    return found


def _has_data(info: ObjectInfo, name: str) -> bool:
    """Without a suffix, an empty file is a folder's marker or an empty bucket of Hive's."""
    return is_data(name) and (has_suffix(name) or info.size_bytes > 0)


def _footer(store: Store, info: ObjectInfo) -> Any:
    try:
        with parquet.ParquetFile(cast(Any, io.BufferedReader(cast(Any, SeekableReader(store, info)), _BUFFER_BYTES))) as file:
            return file.schema_arrow, file.metadata.num_rows
    except pa.ArrowException as error:
        raise TableBroken(f"{store.url.at(info.key)} cannot be read as Parquet: {error}") from error


def _add(found: Folder, info: ObjectInfo, name: str, footer: Any) -> None:
    schema, rows = footer
    _add_partitions(found, name)
    for column in schema:
        known = found.columns.setdefault(column.name, column.type)
        if known != column.type:
            found.columns[column.name] = _wider(known, column.type, column.name, name)
    found.files += 1
    found.bytes += info.size_bytes
    found.rows += rows
    if rows:
        found.filled += 1
        found.first, found.last = min(found.first or info.key, info.key), max(found.last, info.key)


def _wider(known: pa.DataType, other: pa.DataType, column: str, file: str) -> pa.DataType:
    for kind, wide in ((pa.types.is_integer, pa.int64()), (pa.types.is_floating, pa.float64()), (_is_text, pa.string())):
        if kind(known) and kind(other):
            return wide
    raise TableRefused(f"Its column {column} is {known} in one file and {other} in {file}: that is no single table.")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _add_partitions(found: Folder, name: str) -> None:
    pairs = list(_pairs(name))
    keys = [key for key, _ in pairs]
    if not found.files:
        found.partitions = tuple(Partition(key) for key in keys)
    elif keys != [one.key for one in found.partitions]:
        known = "/".join(one.key for one in found.partitions) or "no folders"
        raise TableRefused(f"Its files are partitioned by {known}, and {name} is not: that is no single table.")
    for partition, (_, value) in zip(found.partitions, pairs, strict=True):
        partition.add(value)


def _pairs(name: str) -> Iterator[tuple[str, str]]:
    for part in name.split("/")[:-1]:
        key, equals, value = part.partition("=")
        if equals and key:
            yield key, value


def _refuse_ambiguous(found: Folder, prefix: str) -> None:
    keys = [one.key for one in found.partitions]
    if len(set(keys)) != len(keys) or any(f"/{key}=" in f"/{prefix}" for key in keys):
        raise TableRefused(f"Its partitions {'/'.join(keys)} cannot be told from the folders above them ({prefix}).")
    own = [one.name for one in found.partitions]
    names = [*(name for name in found.columns if name not in own), *own]
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.upper(), name)) != name:
            raise TableRefused(f"Its columns {other} and {name} would have one name at Snowflake.")


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
