"""One source object that is read as a table: opened, its format told, looked at, and parsed from start to end as often as needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar

from portal.errors import SourceChanged
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.pipeline import in_order
from portal.tabular.proving.second_opinion import SecondOpinion
from portal.tabular.rows import Check, Chunk, Counter, Parsed, TableReader
from portal.tabular.text.objects import Passed
from portal.tabular.text.text import Text, TextStream

Result = TypeVar("Result")
_BLOCK = 1 << 20


class Readable(Protocol):
    """A source object that is read as a table."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """How it is read and the evidence for it, as JSON values."""
        ...

    @property
    def warnings(self) -> Sequence[str]: ...

    @property
    def in_one_sample(self) -> bool:
        """All of it is looked at when the samples are."""
        ...

    def samples(self) -> Iterable[Chunk]:
        """Return chunks from head, middle and tail."""
        ...

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]:
        """Parse the samples under a schema; where there are none, the first rows."""
        ...

    def forget(self) -> None:
        """Let go of samples that are held; they are read again when they are asked for."""
        ...

    def look(self, chunk: Chunk) -> None: ...

    def schema(self) -> Schema: ...

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        """Parse all of it, without counting or telling how far it is."""
        ...

    def parse(self, schema: Schema, work: Callable[[Parsed], Result], passed: Passed, tally: Tally) -> Generator[Result, None, None]:
        """Yield work(parsed) for each chunk in order; `work` runs in the parsing threads. `tally` is filled at the end.

        Raises ConversionFailed, SourceChanged, ProofFailed, Cancelled and what stores raise."""
        ...


@dataclass(slots=True)
class Tally:
    """What one pass over a source found."""

    rows_in: int = 0
    """Records, counted apart from the parser."""
    rows_out: int = 0
    rows_rejected: int = 0
    rows_filtered: int = 0
    source_bytes: int = 0
    crc64: str = ""
    """CRC64NVME of the source's bytes."""
    rows_read_twice: int = 0
    """Those of `rows_in` that the careful path read too, and found the same."""
    compared: str = ""
    """`name:value` of the source's stored checksum that its bytes were compared with, '' when it stores none."""


@dataclass(slots=True)
class Counted:
    """A text that is counted as it is read."""

    stream: TextStream
    counter: Counter

    def read(self, size: int, /) -> bytes:
        block = self.stream.read(size)
        self.counter.update(block)
        return block


@dataclass(slots=True)
class Table:
    """A source's text and who reads it. See `Readable`."""

    name: str
    text: Text
    reader: TableReader
    check: Check
    _crc64: str = ""

    @property
    def facts(self) -> Mapping[str, Any]:
        return {**self.text.facts, **self.reader.facts}

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.text.warnings, *self.reader.warnings)

    @property
    def in_one_sample(self) -> bool:
        first = self.text.samples()[0]
        return first.first and first.last

    def samples(self) -> Iterable[Chunk]:
        """Chunks from head, middle and tail; the first one of the text where a record is larger than a sample. Raises as `parse`."""
        return self.reader.sampled(self.text.samples()) or self._first()

    def _first(self) -> list[Chunk]:
        with self.text.open(lambda _: self.check()) as stream:
            return list(islice(self.reader.chunks(stream), 1))

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]:
        """Parse the samples under a schema."""
        return map(_as_known, map(self.reader.parser(schema), self.samples()))

    def forget(self) -> None:
        self.text.forget()

    def look(self, chunk: Chunk) -> None:
        self.check()
        self.reader.look(chunk)

    def schema(self) -> Schema:
        return self.reader.schema()

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        return in_order(self._chunks(lambda _: None, Tally(), None), self.reader.parser(schema), check=self.check)

    def parse(self, schema: Schema, work: Callable[[Parsed], Result], passed: Passed, tally: Tally) -> Generator[Result, None, None]:
        parse = SecondOpinion(self.reader, schema, self.name)
        counter = self.reader.counter()
        yield from in_order(self._chunks(passed, tally, counter), lambda chunk: work(parse(chunk)), check=self.check)
        tally.rows_in, tally.rows_read_twice = counter.finish(), parse.records

    def _chunks(self, passed: Passed, tally: Tally, counter: Counter | None) -> Iterator[Chunk]:
        with self.text.open(passed) as stream:
            yield from self.reader.chunks(Counted(stream, counter) if counter else stream)
            while stream.read(_BLOCK):
                pass
            tally.source_bytes, tally.crc64, tally.compared = stream.source_bytes, stream.source_crc64, stream.compared
        if self._crc64 not in ("", tally.crc64):
            raise SourceChanged(f"{self.name} was read twice, and was another each time.", hint="It changes: run it again when it is finished.")
        self._crc64 = tally.crc64


def _as_known(parsed: Parsed) -> Parsed:
    """Take back the places of misfits that were counted from the beginning of a sample."""
    chunk = parsed.chunk
    if chunk.line < 1 or chunk.offset < 0:
        line, offset = chunk.line > 0, chunk.offset >= 0
        parsed.misfits = [replace(each, line=each.line * line, offset=each.offset if offset else -1) for each in parsed.misfits]
    return parsed
