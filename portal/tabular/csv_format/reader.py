"""CSV as a table: dialect and columns told from the text's beginning, records cut into chunks, looked at, parsed and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.native.csv_kernel import ColumnSpec
from portal.tabular.columns.guess import ColumnGuess
from portal.tabular.columns.schema import Schema, asked_columns, schema_of
from portal.tabular.csv_format.counting import CsvCounter
from portal.tabular.csv_format.dialect import Dialect, detect
from portal.tabular.csv_format.limits import limited
from portal.tabular.csv_format.line_ends import count_lines
from portal.tabular.csv_format.names import column_names, refuse_long_names
from portal.tabular.csv_format.parsing import CsvParser, broken, broken_in
from portal.tabular.csv_format.reading import read, whole
from portal.tabular.csv_format.records import Grammar, Span, Walk, grammar_of
from portal.tabular.csv_format.splitting import CHUNK_BYTES, Splitter
from portal.tabular.csv_format.syncing import whole_records
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed, Parser
from portal.tabular.text.sampling import Sample
from portal.tabular.text.text import Text, TextStream
from portal.tabular.width import narrowed, refuse_wide


class CsvReader:
    """The records of one CSV text. See `TableReader`.

    Raises ConversionFailed when there is no record, the first one is broken, or an option does not fit the text.
    """

    def __init__(self, text: Text, options: ConvertOptions, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._options, self._chunk_bytes = options, chunk_bytes
        head = _head(text, options)
        self._dialect = detect(head.data, options, text.source.name, whole=head.last)
        self._grammar = grammar_of(self._dialect.form)
        head, first = _first_record(text, head, self._grammar, self._dialect, options)
        cells = [cell.text.decode() for cell in self._grammar.cells(head.data, first)]
        refuse_wide(len(cells), "Is the delimiter right? Else parts of the file must be tables of their own.")
        refuse_long_names(cells if self._dialect.header else [])
        self._names, renamed = column_names(cells if self._dialect.header else [""] * len(cells))
        self._renamed = renamed if self._dialect.header else []
        self._offset = first.next if self._dialect.header else self._dialect.start
        self._line = 1 + count_lines(head.data[: self._offset])
        self._asked = asked_columns(options, self._names)
        self._guesses = {name: ColumnGuess(options) for name in self._names if name not in self._asked}
        self._counter: CsvCounter | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        form = self._dialect.form
        facts = {
            "format": "csv", "delimiter": form.delimiter.decode(), "quote": form.quote.decode(), "escape": form.escape.decode(),
            "comment": form.comment.decode(), "header": self._dialect.header, "names": list(self._names), "dialect_evidence": self._dialect.evidence,
            "skipped_bytes": self._dialect.start,
        }  # fmt: skip
        counter = self._counter
        return {**facts, "blank_lines": counter.blank_lines, "comments": counter.comments} if counter else facts

    @property
    def warnings(self) -> Sequence[str]:
        """Those that need the whole text are there when a counter of this reader has finished."""
        return (*self._dialect.doubts, *self._renamed, *(self._counted() if self._counter else ()))

    def _counted(self) -> Iterator[str]:
        counter = self._counter
        if counter and counter.blank_lines:
            yield f"{counter.blank_lines} blank lines were passed over."
        if counter and 0 < counter.bare_returns < counter.records:
            yield f"{counter.bare_returns} rows end in a carriage return alone, others do not: were these parts of values?"

    def chunks(self, text: TextStream) -> Iterator[Chunk]:
        """Raises ConversionFailed for a record beyond `max_record_bytes`, and what reading the text raises."""
        limit = self._options.max_record_bytes
        splitter = Splitter(self._grammar, offset=self._offset, line=self._line, max_record_bytes=limit, chunk_bytes=self._chunk_bytes)
        chunks = limited(splitter.chunks(text), self._grammar, limit)
        return narrowed(chunks, lambda: len(self._names), self._most_records, lambda data: self.spans(data, final=True))

    def _most_records(self, data: bytes) -> int:
        """A record has a byte for each column, so that cells are no more than bytes, unless those with too few values are taken."""
        return 1 + count_lines(data) if self._options.ragged == "pad" else 1

    def sampled(self, samples: Sequence[Sample]) -> list[Chunk]:
        """Lines are those of the text only in chunks from its beginning; elsewhere they are 0, as nobody has counted them."""
        chunks: list[Chunk] = []
        for sample in samples:
            start, end = self._records_of(sample)
            if end > start:
                offset = sample.offset + start if sample.offset >= 0 else -1
                chunks.append(Chunk(len(chunks), sample.data[start:end], offset, self._line if offset == self._offset else 0))
        return chunks

    def _records_of(self, sample: Sample) -> tuple[int, int]:
        """Where whole records begin and end in a sample; what stands before the data is none, wherever the sample begins."""
        if not 0 <= sample.offset <= self._offset:
            return whole_records(sample.data, self._grammar, len(self._names), last=sample.last)
        start = self._offset - sample.offset
        return start, start + whole(self._grammar, sample.data[start:], final=sample.last)

    def look(self, chunk: Chunk) -> None:
        """Raises ConversionFailed where a record is broken."""
        nulls = tuple(word.encode() for word in self._options.null_values)
        specs = [ColumnSpec(pa.string(), nulls)] * len(self._names)
        found = read(chunk.data, self._grammar, specs, nulls, pad=self._options.ragged == "pad")
        if found.broken:
            raise broken_in(chunk, self._grammar)
        for name, values in zip(self._names, found.columns, strict=True):
            if name in self._guesses:
                self._guesses[name].update(values)

    def schema(self) -> Schema:
        return schema_of(self._names, self._asked, {name: guess.finish() for name, guess in self._guesses.items()})

    def parser(self, schema: Schema, *, careful: bool = False) -> Parser:
        """Raises ConversionFailed when the schema's columns are not those of the text."""
        measure = "the header" if self._dialect.header else "the first row"
        parse = CsvParser(self._grammar, schema.fitted(self._names), self._options, measure=measure, careful=careful)
        return parse if list(schema.names) == self._names else _reordered(parse, schema)

    def spans(self, data: bytes, *, final: bool) -> Iterator[tuple[int, int]]:
        return ((span.start, span.next) for span in Walk(self._grammar, data, final=final))

    def counter(self) -> CsvCounter:
        self._counter = CsvCounter(self._grammar, self._offset)
        return self._counter


def _reordered(parse: Parser, schema: Schema) -> Parser:
    def reordered(chunk: Chunk) -> Parsed:
        parsed = parse(chunk)
        parsed.batch = parsed.batch.select(list(schema.names))
        return parsed

    return reordered


def _head(text: Text, options: ConvertOptions) -> Sample:
    """The text's beginning, with a line at least behind those that are skipped."""
    head = text.samples()[0]
    while options.skip_lines and not head.last and count_lines(head.data) <= options.skip_lines:
        head = text.head(4 * len(head.data))
    return head


def _first_record(text: Text, head: Sample, grammar: Grammar, dialect: Dialect, options: ConvertOptions) -> tuple[Sample, Span]:
    """Return the first record and a head that is long enough to hold it."""
    while True:
        walk = Walk(grammar, head.data, final=head.last, start=dialect.start)
        first = next(iter(walk), None)
        if first and first.end - first.start <= options.max_record_bytes:
            return head, first
        if walk.problem:
            raise broken(grammar.form, head.data, walk.problem, 0, 1)
        if not first and head.last:
            raise ConversionFailed("The file is empty: there are only blank lines and comments.", hint="A CSV file needs at least a header.")
        if first or len(head.data) - walk.end > options.max_record_bytes:
            line = 1 + count_lines(head.data[: first.start if first else walk.end])
            told = f"Line {line}: the first record is longer than {options.max_record_bytes} bytes."
            raise ConversionFailed(told, hint="Is a quote never closed? Else raise max_record_bytes.")
        head = text.head(4 * len(head.data))
