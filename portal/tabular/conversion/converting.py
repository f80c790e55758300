"""Converts objects of a store: look → freeze the schema → parse and write strictly → publish → read back → close the books.

Nothing is changed silently: rows in = rows out + rejected rows + rows that were filtered out, and every value either is in the target as it was or
the conversion fails and publishes nothing. The source is streamed, never copied to the disk; the result stands there until it is published.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from portal.durable import is_full
from portal.errors import ConversionFailed, DiskNearlyFull
from portal.stores.base import ObjectInfo, Store
from portal.tabular.columns.type_names import name_of
from portal.tabular.conversion.delivering import Delivered, Order, deliver, refuse_existing
from portal.tabular.conversion.lean import without_pandas
from portal.tabular.conversion.making import Made, Making, Progress
from portal.tabular.conversion.origins import origin_of
from portal.tabular.conversion.table import Tally
from portal.tabular.conversion.tables import Tables
from portal.tabular.conversion.writing import Written
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import ColumnReport, Converted, SourceReport
from portal.tabular.output.opening import makes_one_file
from portal.tabular.rows import Check
from portal.tabular.text.objects import StoreObject
from portal.transfer.carry import provenance
from portal.transfer.carry_names import MARK

_SCRATCH = "convert-"


def convert_object(
    source: Store, info: ObjectInfo, target: Store, target_key: str, options: ConvertOptions | None = None, *,
    overwrite: bool = False, rejects: Path | None = None, check: Check = lambda: None, progress: Callable[[int], None] | None = None,
    scratch: Path | None = None, mark: str = "convert", before: Sequence[str] = (),
) -> Converted:  # fmt: skip
    """Convert one object. Memory is bounded whatever its size.

    Arguments:
        target_key: of the result; with `partition_by` or `split_bytes` of the folder that its parts go to.
        rejects: file of JSON lines for rows that do not fit, when `options.on_reject` is keep; not made when there are none.
        check: called often; raises Cancelled when the work shall stop.
        progress: called with the number of source bytes of each block that was read (increments, not totals), from another thread.
        scratch: folder for temporary files, which the result needs room in; default: that of the system.
        mark: by which the target is known as written for this very object (`portal.transfer.carry.mark_of`).
        before: marks of earlier jobs that this does again: a folder that they left half done, or done, is replaced even without `overwrite`.

    Raises:
        ConversionFailed: a value would change, a row does not fit, the file is broken or empty; says where.
        BooksDoNotBalance: the rows written, rejected and filtered are not the rows counted.
        DiskNearlyFull: the temporary files find no room.
        AlreadyExists, SourceChanged, ProofFailed and what stores raise.
    """
    options = options or ConvertOptions()
    order = Order(options, target, target_key if makes_one_file(options) else f"{target_key.rstrip('/')}/", overwrite, check, mark, before)
    modified = info.modified.isoformat() if info.modified else ""
    about = provenance(mark, str(source.url.root), info.key, info.etag, modified, info.version_id, info.storage_class)
    return _convert(source, [info], order, about, rejects, progress, scratch)


def convert_dataset(
    source: Store, infos: Sequence[ObjectInfo], target: Store, target_key: str, options: ConvertOptions | None = None, *,
    overwrite: bool = False, rejects: Path | None = None, check: Check = lambda: None, progress: Callable[[int], None] | None = None,
    scratch: Path | None = None, mark: str = "convert", before: Sequence[str] = (),
) -> Converted:  # fmt: skip
    """Convert many objects into one data set of one schema in the folder `target_key`: all of them, or nothing. See `convert_object`.

    Raises ConversionFailed also when the objects are not read alike (another delimiter, other columns)."""
    if not infos:
        raise ConversionFailed("There is nothing to make a data set of.", hint="Choose at least one file.")
    order = Order(options or ConvertOptions(), target, target_key.rstrip("/") + "/", overwrite, check, mark, before)
    return _convert(source, infos, order, {MARK: mark}, rejects, progress, scratch)


def clear_scratch(folder: Path) -> None:
    """Remove what conversions that were killed left below `folder`; none may be running there."""
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _convert(
    source: Store, infos: Sequence[ObjectInfo], order: Order, about: Mapping[str, str], rejects: Path | None, progress: Callable[[int], None] | None,
    scratch: Path | None,
) -> Converted:  # fmt: skip
    without_pandas()
    refuse_existing(order)
    tables = Tables([StoreObject(source, info) for info in infos], order.options, order.check)
    origins = [origin_of(source, info, order.mark) for info in infos]
    with _room(scratch), tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=scratch) as folder:
        made = Making(tables, order.options, Path(folder), rejects, origins, Progress(progress)).make()
        delivered = deliver(made.written, order, about)
    return _told(tables, made, delivered)


@contextmanager
def _room(scratch: Path | None) -> Iterator[None]:
    """Raises DiskNearlyFull when the disk of the temporary files takes no more."""
    try:
        yield
    except OSError as error:
        if not (is_full(error) or error.errno == errno.EFBIG):
            raise
        place = scratch or tempfile.gettempdir()
        hint = "Free some space, or let the work folder be on a larger disk: the result, and with sort_by all rows once more, stand there meanwhile."
        raise DiskNearlyFull(f"There is no room left for the temporary files of the conversion in {place}.", hint=hint) from None


def _told(tables: Tables, made: Made, delivered: Delivered) -> Converted:
    written, one = made.written, len(made.written.tallies) == 1
    return Converted(
        written.rows_in, written.rows_out, written.rows_rejected, _columns(written), written.tallies[0].crc64 if one else "",
        sum(tally.source_bytes for tally in written.tallies), delivered.target, delivered.crc64, True, _warnings(tables, made),
        written.tallies[0].compared if one else "", {**tables.facts, "decided_by": made.decided_by}, written.rows_filtered, delivered.parts,
        written.schema.to_json(), delivered.schema_key, made.widened,
        tuple(_source(table.name, tally) for table, tally in zip(tables.all, written.tallies, strict=True)),
    )  # fmt: skip


def _source(name: str, tally: Tally) -> SourceReport:
    return SourceReport(
        name, tally.source_bytes, tally.rows_in, tally.rows_out, tally.rows_rejected, tally.rows_filtered, tally.crc64, tally.compared,
        tally.rows_read_twice,
    )  # fmt: skip


def _columns(written: Written) -> tuple[ColumnReport, ...]:
    sums, nulls = written.digest.columns(), written.digest.nulls()
    return tuple(
        ColumnReport(
            column.name, name_of(column.type), nulls[column.name], "; ".join(filter(None, [column.note, written.remarks.get(column.name, "")])),
            sums[column.name],
        )
        for column in written.output.columns
    )  # fmt: skip


def _warnings(tables: Tables, made: Made) -> tuple[str, ...]:
    schema = made.written.schema
    remarks = [f"Column {name!r}: {remark}." for name, remark in made.written.remarks.items()]
    wider = [f"Column {name!r} is {_than(change)} than the samples told: {change}." for name, change in made.widened.items()]
    return tuple(dict.fromkeys([*tables.warnings, *schema.warnings, *remarks, *wider]))


def _than(change: str) -> str:
    """What the samples leave open is text until a value settles it, so nothing narrower comes of anything else."""
    return "narrower" if change.startswith("string ") else "wider"
