"""From one state of a table's metadata to another, as the changes that Iceberg's REST protocol knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRef
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSnapshotUpdate,
    AddSortOrderUpdate,
    AssertCurrentSchemaId,
    AssertDefaultSortOrderId,
    AssertDefaultSpecId,
    AssertLastAssignedFieldId,
    AssertLastAssignedPartitionId,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemovePropertiesUpdate,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    RemoveStatisticsUpdate,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    SetStatisticsUpdate,
    TableRequirement,
    TableUpdate,
    UpgradeFormatVersionUpdate,
)

_MAIN = "main"
_SHAPE: tuple[tuple[str, str, str, Callable[[Any], TableUpdate], Callable[[int], TableUpdate]], ...] = (
    ("schemas", "schema_id", "current_schema_id",
     lambda one: AddSchemaUpdate(schema_=one), lambda number: SetCurrentSchemaUpdate(schema_id=number)),
    ("partition_specs", "spec_id", "default_spec_id",
     lambda one: AddPartitionSpecUpdate(spec=one), lambda number: SetDefaultSpecUpdate(spec_id=number)),
    ("sort_orders", "order_id", "default_sort_order_id",
     lambda one: AddSortOrderUpdate(sort_order=one), lambda number: SetDefaultSortOrderUpdate(sort_order_id=number)),
)  # fmt: skip
"""Where metadata has each kind, what one's id is called and what says which one counts; how one is added, and how it comes to count."""


def requirements(was: TableMetadata) -> tuple[TableRequirement, ...]:
    """Return what must still be so when the changes are made: everything that they begin from."""
    return (
        AssertTableUUID(uuid=was.table_uuid),
        *(AssertRefSnapshotId(ref=name, snapshot_id=ref.snapshot_id) for name, ref in was.refs.items()),
        *(() if _MAIN in was.refs else (AssertRefSnapshotId(ref=_MAIN, snapshot_id=None),)),
        AssertCurrentSchemaId(current_schema_id=was.current_schema_id),
        AssertLastAssignedFieldId(last_assigned_field_id=was.last_column_id),
        AssertDefaultSpecId(default_spec_id=was.default_spec_id),
        *(() if was.last_partition_id is None else (AssertLastAssignedPartitionId(last_assigned_partition_id=was.last_partition_id),)),
        AssertDefaultSortOrderId(default_sort_order_id=was.default_sort_order_id),
    )


def changes(was: TableMetadata, wanted: TableMetadata) -> tuple[TableUpdate, ...]:
    """Return what leads from one to the other, in an order in which each can be made; () when nothing is to be changed.

    Schemas, partition specs and sort orders that are no longer used at the source stay: nothing reads them."""
    return (
        *(() if wanted.format_version <= was.format_version else (UpgradeFormatVersionUpdate(format_version=wanted.format_version),)),
        *_shape(was, wanted), *_properties(was, wanted), *_snapshots(was, wanted), *_statistics(was, wanted),
    )  # fmt: skip


def _shape(was: TableMetadata, wanted: TableMetadata) -> Iterator[TableUpdate]:
    """Schemas, partition specs and sort orders: those that are new in the order of their ids, and which one counts."""
    for each, number, current, add, make_current in _SHAPE:
        known = {getattr(one, number) for one in getattr(was, each)}
        fresh = [one for one in getattr(wanted, each) if getattr(one, number) not in known]
        yield from (add(one) for one in sorted(fresh, key=attrgetter(number)))
        if getattr(wanted, current) != getattr(was, current):
            yield make_current(getattr(wanted, current))


def _properties(was: TableMetadata, wanted: TableMetadata) -> Iterator[TableUpdate]:
    fresh = {name: value for name, value in wanted.properties.items() if was.properties.get(name) != value}
    if fresh:
        yield SetPropertiesUpdate(updates=fresh)
    gone = sorted(set(was.properties) - set(wanted.properties))
    if gone:
        yield RemovePropertiesUpdate(removals=gone)


def _snapshots(was: TableMetadata, wanted: TableMetadata) -> Iterator[TableUpdate]:
    known = {snapshot.snapshot_id for snapshot in was.snapshots}
    for snapshot in sorted(wanted.snapshots, key=lambda one: (one.sequence_number or 0, one.timestamp_ms)):
        if snapshot.snapshot_id not in known:
            yield AddSnapshotUpdate(snapshot=snapshot)
    for name, ref in wanted.refs.items():
        if was.refs.get(name) != ref:
            yield _set_ref(name, ref)
    for name in was.refs:
        if name not in wanted.refs:
            yield RemoveSnapshotRefUpdate(ref_name=name)
    gone = sorted(known - {snapshot.snapshot_id for snapshot in wanted.snapshots})
    if gone:
        yield RemoveSnapshotsUpdate(snapshot_ids=gone)


def _set_ref(name: str, ref: SnapshotRef) -> SetSnapshotRefUpdate:
    return SetSnapshotRefUpdate(
        ref_name=name, type=ref.snapshot_ref_type, snapshot_id=ref.snapshot_id, max_ref_age_ms=ref.max_ref_age_ms,
        max_snapshot_age_ms=ref.max_snapshot_age_ms, min_snapshots_to_keep=ref.min_snapshots_to_keep,
    )  # fmt: skip


def _statistics(was: TableMetadata, wanted: TableMetadata) -> Iterator[TableUpdate]:
    known = {one.snapshot_id: one for one in was.statistics}
    here = {one.snapshot_id: one for one in wanted.statistics}
    for snapshot_id, one in here.items():
        if known.get(snapshot_id) != one:
            yield SetStatisticsUpdate(snapshot_id=snapshot_id, statistics=one)
    for snapshot_id in known:
        if snapshot_id not in here:
            yield RemoveStatisticsUpdate(snapshot_id=snapshot_id)
