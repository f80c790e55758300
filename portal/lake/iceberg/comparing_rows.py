"""Compares the rows of a snapshot on both sides, value by value and whatever their order, in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyiceberg.table import Table

from portal.lake.iceberg.refusals import TablesDiffer
from portal.tabular.proving.any_order import AnyOrderDigest


class RowsCompared(NamedTuple):
    """How many rows are the same on both sides, None when this reader cannot read the source, and then why."""

    rows: int | None
    why_not: str = ""


def rows_compared(source: Table, target: Table, snapshot_id: int, check: Callable[[], None]) -> RowsCompared:
    """Raises TablesDiffer, and what stores raise."""
    try:
        expected = _digest(source, snapshot_id, check)
    except (ValueError, NotImplementedError) as error:  # equality deletes, files in Avro
        return RowsCompared(None, f"pyiceberg cannot read it at the source: {error}")
    try:
        found = _digest(target, snapshot_id, check)
    except (ValueError, NotImplementedError) as error:
        raise TablesDiffer(f"Snapshot {snapshot_id} can be read at the source and not at the target: {error}") from error
    if difference := expected.difference(found):
        raise TablesDiffer(f"Snapshot {snapshot_id} has other values at the target than at the source. {difference}")
    return RowsCompared(expected.rows)


def _digest(table: Table, snapshot_id: int, check: Callable[[], None]) -> AnyOrderDigest:
    batches = table.scan(snapshot_id=snapshot_id).to_arrow_batch_reader()
    digest = AnyOrderDigest(batches.schema)
    for batch in batches:
        check()
        digest.update(batch)
    return digest
