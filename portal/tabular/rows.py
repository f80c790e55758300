"""Where the readers, the conversion and the writers meet: text in whole records, rows under a frozen schema, and records that do not fit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from portal.tabular.columns.schema import Schema
    from portal.tabular.options import ConvertOptions
    from portal.tabular.text.sampling import Sample
    from portal.tabular.text.text import TextStream

Check = Callable[[], None]
"""Called every now and then; raises Cancelled when the work shall stop."""


_SOME_MISFITS = 1000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole records of a source, as they stand there."""

    number: int
    """From 0, in the source's order."""
    data: bytes
    """UTF-8; begins where a record begins and ends where one ends."""
    offset: int
    """Of the first byte in the source's text, in bytes of UTF-8 after the byte order mark; -1: nobody knows (a sample)."""
    line: int
    """Number of the line the data begins with; 1 is the first of the source; 0: nobody knows (a sample)."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A record that does not fit the schema, or is none."""

    line: int
    """Where the record starts; 1 is the first line of the source, 0: nobody knows."""
    offset: int
    """The same in bytes of the source's text; -1: nobody knows."""
    column: str
    """'' when it is the whole record."""
    reason: str
    raw: str
    """The record as it stands in the source, without its line end."""


@dataclass(slots=True)
class Parsed:
    """The rows of one chunk under a frozen schema: `records` = rows of `batch` + `misfits` + `unread`."""

    chunk: Chunk
    records: int
    batch: Any
    """pyarrow.RecordBatch of exactly the schema, in the source's order."""
    misfits: list[Misfit] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    """Column → what a person should know of its values and the schema could not tell, e.g. digits beyond those of a 64-bit float."""
    unread: int = 0
    """Records behind the last misfit that can be of use (`most_misfits`): nobody looks at them any more."""


def most_misfits(options: ConvertOptions) -> int:
    """Return how many misfits of a chunk can be of use: a conversion ends with the first, or with one more than may be kept; a person is
    shown some. A chunk of nothing else must not fill the memory."""
    return max(_SOME_MISFITS, options.max_rejects + 1 if options.on_reject == "keep" else 1)


Parser = Callable[[Chunk], Parsed]
"""May be called from several threads at once."""


class Counter(Protocol):
    """Counts records over the bytes of a text alone, apart from the reader that feeds the writer."""

    def update(self, block: bytes) -> None: ...

    def finish(self) -> int:
        """Return the number of records, those that do not fit included."""
        ...


class TableReader(Protocol):
    """One source's format under one set of facts (its dialect, or how its records stand)."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """How the source is read and the evidence for it, as JSON values, for the report."""
        ...

    @property
    def warnings(self) -> Sequence[str]: ...

    def chunks(self, text: TextStream) -> Iterator[Chunk]:
        """Cut a text into chunks of some MiB. Raises ConversionFailed where no later record can be told (an open quote, a broken array,
        a record beyond the limit), naming line and byte."""
        ...

    def sampled(self, samples: Sequence[Sample]) -> list[Chunk]:
        """Cut samples of the text into chunks; from one that begins or ends within a record only whole records are taken."""
        ...

    def look(self, chunk: Chunk) -> None:
        """Take every value of a chunk into account for `schema`: slow and thorough."""
        ...

    def schema(self) -> Schema:
        """Decide on the columns by everything looked at so far. Raises ConversionFailed."""
        ...

    def parser(self, schema: Schema, *, careful: bool = False) -> Parser:
        """Return what reads chunks under a schema, strictly; `careful`: without the native library, slowly, and by other code."""
        ...

    def spans(self, data: bytes, *, final: bool) -> Iterator[tuple[int, int]]:
        """Yield start and end of each whole record of data that begins with one, without the native library. Unless `final`, more may follow."""
        ...

    def counter(self) -> Counter: ...
