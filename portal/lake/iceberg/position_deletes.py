"""Position deletes: files that name the data files whose rows they delete, so that they are written anew for another place.

Parquet goes row group by row group, the names as a dictionary: 12 bytes a row in memory. The whole file is held that way only when new names
change the order, which the format wants by name and position (files of a table in several places at once).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from portal.lake.iceberg.containers import Container, Record, Sink
from portal.lake.iceberg.refusals import TableBroken, TableRefused

PATH, POSITION = "file_path", "pos"
PATH_ID, POSITION_ID = 2147483546, 2147483545
"""Field ids of the two columns, reserved by the format."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What manifests say of a file with deletes, beside its name."""

    size_bytes: int
    lowest: str | None = None
    """The smallest and greatest name in it, None when unknown."""
    highest: str | None = None
    column_bytes: tuple[tuple[int, int], ...] = ()
    """Field id and compressed size."""
    split_offsets: tuple[int, ...] = ()


def copy_parquet(stream: BinaryIO, path: str, sink: BinaryIO, written: Callable[[str], str]) -> int:
    """Write a file to a sink, each data file's name as `written` gives it; returns the number of rows. Raises TableBroken."""
    try:
        metadata = pq.read_metadata(stream)
        if not {PATH, POSITION} <= set(metadata.schema.to_arrow_schema().names):
            raise TableBroken(f"{path} has no columns {PATH} and {POSITION}: it holds no position deletes.")
        source = pq.ParquetFile(stream, metadata=metadata, read_dictionary=[PATH])
        # Arrow's own schema would tell readers that the names are a dictionary; without it the writer leaves out all that is told of the file.
        with pq.ParquetWriter(sink, source.schema_arrow, compression=_compression(metadata), store_schema=False) as writer:
            _copy_groups(source, writer, written)
            writer.add_key_value_metadata({name: value for name, value in (metadata.metadata or {}).items() if name != b"ARROW:schema"})
        return int(source.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise TableBroken(f"{path} cannot be read as Parquet: {error}.", hint="See whether the source can read it.") from error


def _copy_groups(source: Any, writer: Any, written: Callable[[str], str]) -> None:
    if _in_order(source, written):
        for table, _ in _renamed(source, written):
            writer.write_table(table, row_group_size=max(1, len(table)))
        return
    tables, ranks = zip(*_renamed(source, written), strict=True)
    table = pa.concat_tables(tables).unify_dictionaries()
    names = sorted({name for part in ranks for name in part})
    rank = {name: place for place, name in enumerate(names)}
    paths = np.concatenate([np.array([rank[name] for name in part], np.int32)[_indices(one)] for one, part in zip(tables, ranks, strict=True)])
    order = np.lexsort((table.column(POSITION).to_numpy(), paths))
    group = max(len(one) for one in tables)
    writer.write_table(table.take(pa.array(order)), row_group_size=max(1, group))


def _renamed(source: Any, written: Callable[[str], str]) -> Iterator[tuple[Any, list[str]]]:
    """Each row group with the new names, and the names of its dictionary."""
    for number in range(source.num_row_groups):
        table = source.read_row_group(number).unify_dictionaries().combine_chunks()
        place = table.schema.get_field_index(PATH)
        column = table.column(place)
        if not column.num_chunks:
            yield table, []
            continue
        chunk = column.chunk(0)
        new = [written(name) for name in chunk.dictionary.to_pylist()]
        values = pa.array(new, chunk.type.value_type)
        yield table.set_column(place, table.schema.field(place), pa.DictionaryArray.from_arrays(chunk.indices, values)), new


def _indices(table: Any) -> Any:
    column = table.column(PATH)
    return column.chunk(0).indices.to_numpy() if column.num_chunks else np.empty(0, np.int32)


def _in_order(source: Any, written: Callable[[str], str]) -> bool:
    """Whether the names come in order when they are new."""
    last = ""
    for table, names in _renamed(source, written):
        found = _indices(table)
        begins = np.flatnonzero(np.diff(found, prepend=-1)) if len(found) else found
        for name in (names[index] for index in found[begins]):
            if name < last:
                return False
            last = name
    return True


def _compression(metadata: Any) -> str:
    if not metadata.num_row_groups:
        return "zstd"
    name = metadata.row_group(0).column(0).compression
    return "none" if name == "UNCOMPRESSED" else str(name)


def facts_of_parquet(stream: BinaryIO, size_bytes: int) -> Facts:
    """Return what a file's footer says of it."""
    metadata = pq.ParquetFile(stream).metadata
    lows: list[Any] = []
    highs: list[Any] = []
    offsets = []
    sizes: dict[int, int] = {}
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    for group in (group for group in groups if group.num_rows):
        columns = [group.column(number) for number in range(group.num_columns)]
        offsets.append(min(_offset(column) for column in columns))
        for column in columns:
            if (field := {PATH: PATH_ID, POSITION: POSITION_ID}.get(column.path_in_schema)) is not None:
                sizes[field] = sizes.get(field, 0) + column.total_compressed_size
            if column.path_in_schema == PATH:
                known = column.statistics is not None and column.statistics.has_min_max
                lows.append(column.statistics.min if known else None)
                highs.append(column.statistics.max if known else None)
    known = bool(lows) and None not in lows
    return Facts(size_bytes, min(lows) if known else None, max(highs) if known else None, tuple(sizes.items()), tuple(offsets))


def _offset(column: Any) -> int:
    return int(min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset))


def copy_avro(stream: BinaryIO, path: str, sink: Sink, written: Callable[[str], str]) -> int:
    """Write a file to a sink, each data file's name as `written` gives it; returns the number of rows.

    Raises TableBroken, and TableRefused when the new names would have to be sorted."""
    last = ""

    def change(record: Record) -> Record:
        nonlocal last
        name = written(record[PATH])
        if name < last:
            raise TableRefused(
                f"{path} deletes rows of files that lie in several places, and Avro's rows are not sorted anew here.",
                hint="Run rewrite_position_delete_files on the table at the source, with write.delete.format.default=parquet.",
            )
        last = name
        return {**record, PATH: name}

    return Container(stream, path).copy(sink, change)
