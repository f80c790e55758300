"""A JSON text as a table: one row a record, one column a name of the outermost objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from portal.errors import ConversionFailed
from portal.tabular.columns.schema import Column, Schema, asked_columns
from portal.tabular.json_format.counting import counter_of
from portal.tabular.json_format.decoding import decode
from portal.tabular.json_format.limits import limited
from portal.tabular.json_format.parsing import JsonParser
from portal.tabular.json_format.places import Place, resolve
from portal.tabular.json_format.scanning import new_scan, records_of
from portal.tabular.json_format.shape import HINT, Shape, shape_of
from portal.tabular.json_format.splitting import chunk_of_sample, chunks_of_lines, chunks_of_values, line_feeds
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Counter, Parser
from portal.tabular.showing import where
from portal.tabular.width import leaves, narrowed, refuse_wide

if TYPE_CHECKING:
    from portal.tabular.text.sampling import Sample
    from portal.tabular.text.text import TextStream

_LINE_END = b"\n"
_WIDTH_BYTES = 1 << 18
_WIDE_HINT = (
    'Are names data (ids, dates)? Then say of the column that holds such objects types={"column": "json"}; where they are the outermost names, write '
    'them as values: {"name": …, "value": …}.'
)


class JsonReader:
    """A JSON text of one shape. See `portal.tabular.rows.TableReader`."""

    def __init__(self, shape: Shape, options: ConvertOptions) -> None:
        self._shape, self._options = shape, options
        self._record = Place()
        self._leaves = 0
        """Columns of the schema that chunks are parsed under."""
        self._seen_bytes = 0
        """Place in a chunk up to which the columns are counted."""
        self._trouble = ""
        """Of the first record that is none."""
        self.facts: dict[str, Any] = {"format": "json", "records": shape.kind, "evidence": shape.evidence}
        self.warnings: list[str] = []

    @classmethod
    def detect(cls, samples: Sequence[Sample], options: ConvertOptions) -> JsonReader:
        """Return the reader for a text by samples of it, the first from its start. Raises ConversionFailed when there are no records."""
        head = samples[0]
        return cls(shape_of(head.data, options, whole=head.last), options)

    def chunks(self, text: TextStream) -> Iterator[Chunk]:
        """Cut a text into chunks. Raises ConversionFailed where no later record can be told, naming the line."""
        limit = self._options.max_record_bytes
        kind = self._shape.kind
        chunks = chunks_of_lines(text, limit) if kind == "lines" else chunks_of_values(text, limit, new_scan, array=kind == "array")
        return self._narrowed(limited(chunks, kind, limit))

    def _narrowed(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        return narrowed(chunks, lambda: self._leaves, self._most_records, lambda data: self.spans(data, final=True))

    def _most_records(self, data: bytes) -> int:
        return 1 + line_feeds(data) if self._shape.kind == "lines" else 1 + data.count(b"{")

    def sampled(self, samples: Sequence[Sample]) -> list[Chunk]:
        """Return the whole records of samples; none where a record is larger than a sample."""
        chunks = [chunk_of_sample(sample, self._shape.kind) for sample in samples]
        found = [chunk for chunk in chunks if chunk]
        return list(self._narrowed(found)) if self._leaves else found

    def look(self, chunk: Chunk) -> None:
        """Take every value of a chunk into account; records that are none are left to the parser."""
        for start, end in records_of(chunk.data, self._shape.kind):
            value, trouble = decode(chunk.data[start:end].decode("utf-8", "surrogateescape"))
            if not trouble:
                self._see(value, end)
            elif not self._trouble:
                line, offset = chunk.line and chunk.line + chunk.data.count(_LINE_END, 0, start), chunk.offset + start if chunk.offset >= 0 else -1
                self._trouble = f"{where(line, offset)}: {trouble}."
        self._refuse_wide()
        self._seen_bytes = 0
        self._record.settle(self._options)

    def _see(self, value: dict[str, Any], end: int) -> None:
        """Take in a record that ends at a place of its chunk."""
        if types := self._options.types:
            value = {name: None if name in types else item for name, item in value.items()}
        self._record.see(value)
        if end - self._seen_bytes > _WIDTH_BYTES:
            self._seen_bytes = end
            self._refuse_wide()

    def _refuse_wide(self) -> None:
        refuse_wide(self._record.leaves(), _WIDE_HINT)

    def schema(self) -> Schema:
        """Decide on the columns. Raises ConversionFailed when there are none, or a type is set for one that is not there."""
        if self._options.schema_document:
            return Schema.from_json(self._options.schema_document)
        names = list(self._record.fields) or list(self._options.types)
        if not names and self._trouble:
            raise ConversionFailed(f"No record could be read. {self._trouble}", hint=HINT)
        if not names:
            raise ConversionFailed("The file is empty: no record has a name, so there are no columns.", hint="Leave it out, or set types.")
        asked = asked_columns(self._options, names)
        columns = tuple(asked.get(name) or self._column(name) for name in names)
        return Schema(columns, tuple(f"Column {column.name!r}: {column.note}." for column in columns if _worth_a_warning(column.note)))

    def _column(self, name: str) -> Column:
        found = resolve(self._record.fields[name])
        return Column(name, found.type, found.note)

    def parser(self, schema: Schema, *, careful: bool = False) -> Parser:
        """Return what reads chunks under a schema. Raises ConversionFailed for types that JSON values are never read as."""
        self._leaves = leaves(schema)
        return JsonParser(schema, self._shape.kind, self._options, careful=careful or None)

    def spans(self, data: bytes, *, final: bool) -> Iterator[tuple[int, int]]:
        return records_of(data, self._shape.kind, final=final)

    def counter(self) -> Counter:
        """Return what counts the records of the text by its line ends or brackets alone."""
        return counter_of(self._shape.kind)


def _worth_a_warning(note: str) -> bool:
    return any(words in note for words in ("JSON text, because", "rounded", "set date_order"))
