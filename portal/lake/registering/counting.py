"""How many rows an Iceberg table has now, counted from its own metadata and not from what Snowflake says.

Manifests are read entry by entry, so memory stays flat. Files with deletes on them are read with pyiceberg, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.table import StaticTable
from pyiceberg.table.metadata import TableMetadataUtil

from portal.lake.catalogs.file_io import PortalIO
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.containers import Container, Record
from portal.lake.iceberg.paths import read_path
from portal.lake.iceberg.refusals import TableRefused
from portal.lake.registering import limits
from portal.lake.registering.places import Place

_DELETED, _DATA, _EQUALITY = 2, 0, 2
_DELETES = 1


@dataclass
class Counted:
    """What a table's current snapshot holds."""

    rows: int = 0
    files: int = 0
    bytes: int = 0
    delete_files: int = 0


def counted(files: Files, metadata: Mapping[str, Any], location: str, base: Place, check: Callable[[], None]) -> Counted:
    """Count the rows of the current snapshot.

    Args:
        location: of the metadata file.
        base: where Snowflake can read: what lies elsewhere cannot be registered.
        check: called now and then; may raise.

    Raises:
        TableRefused: a file that Snowflake cannot read, or deletes by equality.
        TableBroken, NotFound: the metadata cannot be read.
    """
    total = Counted()
    snapshot = limits.snapshot(metadata)
    for path, content in _manifests(files, snapshot) if snapshot else ():
        check()
        for file in _entries(files, path):
            _refuse(file, content, base)
            if content == _DELETES:
                total.delete_files += 1
            else:
                total.rows += int(file["record_count"])
                total.files += 1
                total.bytes += int(file.get("file_size_in_bytes") or 0)
    if total.delete_files:
        total.rows = _rows_less_deletes(files, metadata, location, check)
    return total


def _manifests(files: Files, snapshot: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if not snapshot.get("manifest-list"):
        yield from ((path, _DATA) for path in snapshot.get("manifests") or ())
        return
    for record in _records(files, snapshot["manifest-list"]):
        yield record["manifest_path"], int(record.get("content") or 0)


def _entries(files: Files, path: str) -> Iterator[Record]:
    for record in _records(files, path):
        if record["status"] != _DELETED:
            yield record["data_file"]


def _records(files: Files, path: str) -> Iterator[Record]:
    with closing(files.open(read_path(path))) as stream:
        yield from Container(stream, path).records()


def _refuse(file: Record, content: int, base: Place) -> None:
    path = file["file_path"]
    place = Place.of_file(path)
    if place is None or place.below(base) is None:
        raise TableRefused(
            f"Its file {path} lies outside of the external volume, and Snowflake reads nothing there.",
            hint="Bring all files of the table into one container first: migrate_iceberg does.",
        )
    if content == _DELETES and int(file.get("content") or 0) == _EQUALITY:
        raise TableRefused(f"Snowflake cannot read it: {limits.EQUALITY}.")
    kind = str(file["file_format"]).upper()
    if kind != "PARQUET" and not (content == _DELETES and kind == "PUFFIN"):
        what = "file of deletes" if content == _DELETES else "data file"
        raise TableRefused(f"Its {what} {path} is {kind}, and Snowflake reads Parquet only.", hint="Write the table again as Parquet.")


def _rows_less_deletes(files: Files, metadata: Mapping[str, Any], location: str, check: Callable[[], None]) -> int:
    known = TableMetadataUtil.parse_obj(dict(metadata))
    narrow = next((field.name for field in known.schema().fields if field.field_type.is_primitive), "*")
    scan = StaticTable(("static-table", location), known, location, PortalIO(files), NoopCatalog("static-table")).scan(selected_fields=(narrow,))
    total = 0
    for task in scan.plan_files():
        check()
        if not task.delete_files:
            total += task.file.record_count
            continue
        reader = ArrowScan(known, scan.io, scan.projection(), AlwaysTrue(), True)
        total += sum(batch.num_rows for batch in reader.to_record_batches([task]))
    return total
