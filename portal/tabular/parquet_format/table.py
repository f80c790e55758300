"""One Parquet object as a source: its footer says columns and rows, its row groups come through range reads, batch by batch.

What differs from texts: the types are known, so nothing is inferred or sampled; a row's place is its number. The rows are counted by the footer,
apart from those that are decoded. After the rows, all bytes are read once more in order, to compare them with the checksum that the store has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from portal.errors import ConversionFailed, PortalError
from portal.tabular.columns.column_types import of_arrow
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import parse
from portal.tabular.conversion.pipeline import in_order
from portal.tabular.conversion.table import Tally
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format import int96
from portal.tabular.parquet_format.misfits import Casts
from portal.tabular.parquet_format.pieces import dictionaries, pieces, refuse_long, row_bytes
from portal.tabular.parquet_format.ranges import RangeFile
from portal.tabular.parquet_format.uniting import Stored, united
from portal.tabular.rows import Check, Chunk, Parsed
from portal.tabular.shaping.expression import parse as parse_where
from portal.tabular.text.objects import Passed, Source

Result = TypeVar("Result")

_BATCH_BYTES = 8 << 20
_MOST_ROWS = 1 << 16
_BUFFER_BYTES = 1 << 20
_AT_ONCE_BYTES = 64 << 20
"""Row groups of no more compressed bytes are fetched whole: few requests. Larger ones stream, a buffer for each column."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch as it stands in the file, and the number of its first row, from 0."""

    number: int
    first: int
    batch: Any
    wrong: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Place → (column, reason) of rows that could not be read as they are stored."""


class ParquetTable:
    """See `portal.tabular.conversion.table.Readable`."""

    def __init__(self, source: Source, options: ConvertOptions, check: Check) -> None:
        """Raises ConversionFailed (no Parquet, broken, encrypted, two columns of one name) and what stores raise."""
        self.name, self._source, self._options, self._check = source.name, source, options, check
        file = self._open()
        footer = file.metadata
        self._int96 = int96.within(file.schema_arrow.names, int96.columns_of(footer))
        self._unit = self._int96_unit()
        self._arrow = self._open(coerce_int96_timestamp_unit=self._unit).schema_arrow.remove_metadata()
        self._rows = footer.num_rows
        groups = [footer.row_group(place) for place in range(footer.num_row_groups)]
        self._whole_groups = max((_compressed(group) for group in groups), default=0) <= _AT_ONCE_BYTES
        refuse_long(groups, options.max_record_bytes)
        self._batch_rows = max(1, min(_MOST_ROWS, int(_BATCH_BYTES / max(1.0, row_bytes(groups)))))
        self._dictionaries = dictionaries(groups, self._arrow)
        self.facts: Mapping[str, Any] = {
            "format": "parquet", "rows": self._rows, "row_groups": len(groups), "written_by": footer.created_by or "", "names": self._arrow.names,
        }  # fmt: skip
        self.warnings: Sequence[str] = ()
        if again := [name for name, times in Counter(self._arrow.names).items() if times > 1]:
            raise ConversionFailed(f"The file has two columns called {again[0]!r}.", hint="Write it again with names that differ.")

    def samples(self) -> Iterable[Chunk]:
        """Nothing: the footer tells the types."""
        return ()

    @property
    def in_one_sample(self) -> bool:
        """`parsed_samples` are all rows there are."""
        return bool(self._rows <= self._batch_rows)

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]:
        """Yield the first rows under a schema."""
        return islice(self.scan(schema), 1)

    def forget(self) -> None:
        """Nothing is held."""

    def look(self, chunk: Chunk) -> None:
        """A value that does not fit tells nothing new: its type was asked for."""

    def schema(self) -> Schema:
        """Return the columns that are needed, as the file has them or as they are asked for. Raises ConversionFailed."""
        given = _given(self._options)
        if missing := [name for name in given if name not in self._arrow.names]:
            raise ConversionFailed(f"A type is set for the column {missing[0]!r}, which the file has not.", hint=f"It has {self._listed()}.")
        needed = self._needed()
        columns = [given.get(field.name) or _column(field) for field in self._arrow if field.name in needed]
        schema = Schema(tuple(columns))
        Casts.make(self._arrow, schema, self._options)
        return schema

    def schema_with(self, others: Sequence[ParquetTable]) -> Schema:
        """Return the schema of a data set of this table and others with the same columns. Raises ConversionFailed where no type holds all values
        of a column as they are, and none was asked for."""
        return united([Stored(table.name, table._arrow, table.schema()) for table in (self, *others)])

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        """Cast all rows, without counting or telling how far it is."""
        return in_order(self._batches(schema), Casts.make(self._arrow, schema, self._options), check=self._check)

    def parse(self, schema: Schema, work: Callable[[Parsed], Result], passed: Passed, tally: Tally) -> Generator[Result, None, None]:
        """Yield work(parsed) for each batch in order; `work` runs in the casting threads. `tally` is filled at the end.

        Raises ConversionFailed, SourceChanged, ProofFailed, Cancelled and what stores raise."""
        cast = Casts.make(self._arrow, schema, self._options)
        yield from in_order(self._batches(schema), lambda rows: work(cast(rows)), check=self._check)
        tally.rows_in = self._rows
        with closing(self._source.open(passed)) as reader:
            reader.finish()
        tally.source_bytes, tally.crc64, tally.compared = reader.digests.size_bytes, reader.digests.crc64nvme, reader.compared

    def _open(self, **how: Any) -> Any:
        file = pa.PythonFile(RangeFile(self._source), "r")
        return _readable(lambda: pq.ParquetFile(file, **{"pre_buffer": False, **how}))

    def _int96_unit(self) -> str:
        given = _given(self._options) if self._int96 else {}
        kinds = [kind.arrow for name, column in given.items() if name in self._int96 for kind in column.type.within()]
        return "ns" if any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in kinds) else "us"

    def _batches(self, schema: Schema) -> Iterator[Rows]:
        buffered = {"pre_buffer": True} if self._whole_groups else {"buffer_size": _BUFFER_BYTES}
        names = [column.name for column in schema.columns]
        file = self._open(**buffered, read_dictionary=self._dictionaries, coerce_int96_timestamp_unit=self._unit)
        batches = self._pieces(file.iter_batches(self._batch_rows, columns=names))
        twice = self._read_twice([name for name in self._int96 if name in names])
        first = 0
        for number in count():
            batch = _readable(lambda: next(batches, None))
            if batch is None:
                return
            yield Rows(number, first, batch, twice(batch))
            first += batch.num_rows

    def _pieces(self, batches: Iterator[Any]) -> Iterator[Any]:
        first = 0
        for batch in batches:
            yield from pieces(batch, first, self._arrow, _BATCH_BYTES, self._options.max_record_bytes)
            first += batch.num_rows

    def _read_twice(self, names: Sequence[str]) -> Callable[[Any], Mapping[int, tuple[str, str]]]:
        """Return what tells the rows of each batch, in order, whose 96-bit moments are other ones when they are read in another unit."""
        if not names:
            return lambda _: {}
        reader = self._open(buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit=int96.other_unit(self._unit))
        counts: list[int] = []
        pieces = int96.in_pieces(reader.iter_batches(self._batch_rows, columns=list(names)), iter(counts.pop, None))

        def wrong(batch: Any) -> Mapping[int, tuple[str, str]]:
            counts.append(batch.num_rows)
            piece = _readable(lambda: next(pieces))
            told = int96.reason(self._unit)
            return {place: (name, told) for name in names for place in int96.changed(batch.column(name), piece.column(name).combine_chunks())}

        return wrong

    def _needed(self) -> Sequence[str]:
        """The columns that the result, or the choice of its rows, needs."""
        chosen = self._options.columns
        if not chosen:
            return list(self._arrow.names)
        where = self._options.where
        return [*chosen, *self._options.rename, *(parse_where(where).columns if where.strip() else ())]

    def _listed(self) -> str:
        return ", ".join(self._arrow.names[:20]) + (" …" if len(self._arrow.names) > 20 else "")


def _given(options: ConvertOptions) -> Mapping[str, Column]:
    if options.schema_document:
        return {column.name: column for column in Schema.from_json(options.schema_document).columns}
    return {name: Column(name, parse(kind, name), "type as asked for", asked=True) for name, kind in options.types.items()}


def _column(field: Any) -> Column:
    kind = of_arrow(field.type)
    return Column(field.name, kind, "" if kind.arrow == field.type else f"{field.type} in the source")


def _compressed(group: Any) -> int:
    return sum(group.column(place).total_compressed_size for place in range(group.num_columns))




def _readable(read: Callable[[], Any]) -> Any:
    """Run what reads Parquet. Raises ConversionFailed for what Arrow cannot read, and what stores raise as it is."""
    try:
        return read()
    except PortalError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConversionFailed(f"The Parquet file cannot be read: {error}", hint="Write it again at its source, or exclude it.") from error
