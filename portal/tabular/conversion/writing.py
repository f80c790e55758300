"""One attempt to write tables under a frozen schema: parsed and shaped in threads, summed and written in order, the books closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.errors import RowsDoNotFit
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.table import Readable, Tally
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Rejects
from portal.tabular.output.opening import digest_for, open_sink
from portal.tabular.output.sink import Part, Sink
from portal.tabular.proving.books import balance
from portal.tabular.proving.digest import Digest
from portal.tabular.rows import Check, Misfit, Parsed
from portal.tabular.shaping.shape import Origin, Shaping

Passed = Callable[[int], None]


class Surprise(Exception):
    """A record does not fit a schema that may be widened."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__(misfit.reason)
        self.misfit = misfit


@dataclass(frozen=True, slots=True)
class Shaped:
    """A chunk as the writer takes it."""

    batch: Any
    filtered: int
    misfits: Sequence[Misfit]
    remarks: Mapping[str, str]


@dataclass(slots=True)
class Written:
    """What was written, in scratch files that nobody has published yet."""

    schema: Schema
    """Of the source."""
    output: Schema
    """Of the rows that were written."""
    digest: Digest
    parts: list[Part] = field(default_factory=list)
    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    rows_filtered: int = 0
    remarks: dict[str, str] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)


def write(
    tables: Sequence[Readable], schema: Schema, options: ConvertOptions, folder: Path, rejects: Rejects, *, origins: Sequence[Origin], passed: Passed,
    may_widen: bool, check: Check = lambda: None,
) -> Written:  # fmt: skip
    """Write all tables, one after the other, into files below `folder`.

    Raises:
        Surprise: a record does not fit, and `may_widen`.
        ConversionFailed: a record does not fit (`rejects` decides), none does, the source is broken.
        BooksDoNotBalance: the rows written, rejected and filtered are not the rows counted.
        SourceChanged, ProofFailed, Cancelled and what stores raise.
    """
    shapings = [Shaping.make(schema, options, origin) for origin in origins]
    output = shapings[0].schema
    sink = open_sink(folder, output.arrow, options, check)
    written = Written(schema, output, digest_for(output.arrow, options))
    try:
        for table, shaping in zip(tables, shapings, strict=True):
            rejects.source = table.name if len(tables) > 1 else ""
            _write(table, shaping, sink, written, rejects, passed, may_widen)
        written.parts = sink.close()
    except BaseException:
        sink.abort()
        raise
    _refuse_nothing_left(written)
    return written


def _write(table: Readable, shaping: Shaping, sink: Sink, written: Written, rejects: Rejects, passed: Passed, may_widen: bool) -> None:
    def shaped(parsed: Parsed) -> Shaped:
        batch, filtered = shaping.apply(parsed.batch)
        return Shaped(batch, filtered, parsed.misfits, parsed.remarks)

    tally = Tally()
    rows = rejected = filtered = 0
    with closing(table.parse(shaping.source, shaped, passed, tally)) as items:
        for item in items:
            for misfit in item.misfits:
                if may_widen:
                    raise Surprise(misfit)
                rejects.add(misfit)
            rows, rejected, filtered = rows + item.batch.num_rows, rejected + len(item.misfits), filtered + item.filtered
            for name, remark in item.remarks.items():
                written.remarks.setdefault(name, remark)
            if item.batch.num_rows:
                written.digest.update(item.batch)
                sink.write(item.batch)
    balance(tally.rows_in, rows, rejected, filtered)
    tally.rows_out, tally.rows_rejected, tally.rows_filtered = rows, rejected, filtered
    written.rows_in, written.rows_out = written.rows_in + tally.rows_in, written.rows_out + rows
    written.rows_rejected, written.rows_filtered = written.rows_rejected + rejected, written.rows_filtered + filtered
    written.tallies.append(tally)


def _refuse_nothing_left(written: Written) -> None:
    if written.rows_rejected and written.rows_rejected == written.rows_in:
        raise RowsDoNotFit(f"None of the {written.rows_in} rows fits.", hint="See the rejects file; is the delimiter or a type wrong?")
