"""Compares what files with position deletes say, on both sides: of which data file how many rows, and by sums which ones.

Nothing that wrote the target's files is used here: Parquet is read by pyarrow, Avro by fastavro, Puffin by pyiceberg."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.table.puffin import PuffinFile

from portal.lake.iceberg.refusals import TablesDiffer

_PATH, _POSITION = "file_path", "pos"
_BROKEN = (pa.ArrowException, ValueError, EOFError, KeyError)


class Deleted(NamedTuple):
    """Which rows of one data file: how many positions, their sum, the first and the last; of a deletion vector its bytes' hash."""

    rows: int = 0
    sum: int = 0
    first: int | None = None
    last: int | None = None
    vector: str = ""

    def plus(self, rows: int, total: int, first: int, last: int) -> Deleted:
        firsts, lasts = [one for one in (self.first, first) if one is not None], [one for one in (self.last, last) if one is not None]
        return Deleted(self.rows + rows, self.sum + total, min(firsts), max(lasts))


Found = dict[str, Deleted]
"""By the data file's path."""


def compare_deletes(theirs: DataFile, source: FileIO, ours: DataFile, target: FileIO, written: Callable[[str], str]) -> None:
    """Compare one file with the one that was made of it; `written` gives a path's name at the target. Raises TablesDiffer, FileNotFoundError."""
    expected = {written(path): found for path, found in _read(theirs, source).items()}
    found = _read(ours, target)
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            raise TablesDiffer(
                f"{ours.file_path} deletes {_told(found.get(path))} of {path}, and should delete {_told(expected.get(path))}.",
                hint="The target's table is not registered. Remove its folder and run the migration again; if it differs again, report it.",
            )


def _told(found: Deleted | None) -> str:
    if found is None:
        return "no rows"
    return "the rows of another deletion vector" if found.vector else f"{found.rows:,} rows ({found.first} to {found.last}, sum {found.sum})"


def _read(file: DataFile, io: FileIO) -> Found:
    read = {FileFormat.PARQUET: _parquet, FileFormat.AVRO: _avro, FileFormat.PUFFIN: _puffin}[file.file_format]
    try:
        with io.new_input(file.file_path).open() as stream:
            return read(stream)
    except _BROKEN as error:
        raise TablesDiffer(f"{file.file_path} cannot be read as {file.file_format.value}: {error}") from error


def _parquet(stream: Any) -> Found:
    found: Found = {}
    for batch in pq.ParquetFile(stream, read_dictionary=[_PATH]).iter_batches(columns=[_PATH, _POSITION]):
        sums = pa.Table.from_batches([batch]).group_by(_PATH).aggregate([(_POSITION, name) for name in ("count", "sum", "min", "max")])
        columns = [pc.cast(sums[_PATH], pa.string()), *(sums[f"{_POSITION}_{name}"] for name in ("count", "sum", "min", "max"))]
        for path, *numbers in zip(*(column.to_pylist() for column in columns), strict=True):
            found[path] = found.get(path, Deleted()).plus(*numbers)
    return found


def _avro(stream: Any) -> Found:
    found: Found = {}
    records: Iterator[Any] = iter(fastavro.reader(stream))
    for record in records:
        position = record[_POSITION]
        found[record[_PATH]] = found.get(record[_PATH], Deleted()).plus(1, position, position, position)
    return found


def _puffin(stream: Any) -> Found:
    file = PuffinFile(stream.read())
    blobs = ((blob, file.get_blob_payload(blob)) for blob in file.footer.blobs)
    return {
        blob.properties["referenced-data-file"]: Deleted(int(blob.properties["cardinality"]), vector=hashlib.sha256(data).hexdigest())
        for blob, data in blobs
    }
