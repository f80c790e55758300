"""Compares what files with position deletes say, on both sides: of which data file how many rows, and by sums which ones.

Nothing that wrote the target's files is used here: Parquet is read by pyarrow, Avro and Puffin by pyiceberg."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.avro.file import AvroFile
from pyiceberg.io import FileIO, InputFile
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table.puffin import PuffinFile
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

from portal.lake.iceberg.position_deletes import PATH, PATH_ID, POSITION, POSITION_ID
from portal.lake.iceberg.refusals import TablesDiffer

_ROWS = Schema(NestedField(PATH_ID, PATH, StringType(), required=True), NestedField(POSITION_ID, POSITION, LongType(), required=True))
_SUMS = ("count", "sum", "min", "max")
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
        return read(io.new_input(file.file_path))
    except _BROKEN as error:
        raise TablesDiffer(f"{file.file_path} cannot be read as {file.file_format.value}: {error}") from error


def _parquet(file: InputFile) -> Found:
    found: Found = {}
    with file.open() as stream:
        for batch in pq.ParquetFile(stream, read_dictionary=[PATH]).iter_batches(columns=[PATH, POSITION]):
            sums = pa.Table.from_batches([batch]).group_by(PATH).aggregate([(POSITION, name) for name in _SUMS])
            columns = [pc.cast(sums[PATH], pa.string()), *(sums[f"{POSITION}_{name}"] for name in _SUMS)]
            for path, *numbers in zip(*(column.to_pylist() for column in columns), strict=True):
                found[path] = found.get(path, Deleted()).plus(*numbers)
    return found


def _avro(file: InputFile) -> Found:
    found: Found = {}
    with AvroFile[Record](file, _ROWS) as records:
        for record in records:
            path, position = record[0], record[1]
            found[path] = found.get(path, Deleted()).plus(1, position, position, position)
    return found


def _puffin(file: InputFile) -> Found:
    with file.open() as stream:
        puffin = PuffinFile(stream.read())
    blobs = ((blob, puffin.get_blob_payload(blob)) for blob in puffin.footer.blobs)
    return {
        blob.properties["referenced-data-file"]: Deleted(int(blob.properties["cardinality"]), vector=hashlib.sha256(data).hexdigest())
        for blob, data in blobs
    }
