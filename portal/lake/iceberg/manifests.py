"""Entries of manifests and manifest lists as they are at the target: names, and of files with deletes the sizes and bounds that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.lake.iceberg.containers import Record
from portal.lake.iceberg.paths import Paths
from portal.lake.iceberg.position_deletes import PATH_ID, Facts

_DELETED = 2
_POSITION_DELETES = 1
_BOUNDS = ("lower_bounds", "upper_bounds")


def entry_at(record: Record, paths: Paths, facts_of: Callable[[Record], Facts]) -> Record:
    """Return a manifest's entry as it is at the target. What is moved as it is keeps all but its name.

    Args:
        facts_of: what the target's file with deletes is like, by the source's `data_file`; not asked of deleted files, which may be gone
    """
    file: Record = {**record["data_file"]}
    file["file_path"] = paths.written(file["file_path"])
    if file.get("referenced_data_file"):
        file["referenced_data_file"] = paths.written(file["referenced_data_file"])
    if file.get("content") == _POSITION_DELETES:
        _rename_bounds(file, paths)
        if record["status"] != _DELETED:
            _state(file, facts_of(record["data_file"]))
    return {**record, "data_file": file}


def _rename_bounds(file: Record, paths: Paths) -> None:
    """One name as both bounds is the one file that all the rows are of; other bounds may be cut off, and no bounds are always right."""
    low, high = (_bound(file, name) for name in _BOUNDS)
    same = low is not None and low == high
    for name in _BOUNDS:
        _set_bound(file, name, paths.written(low.decode()).encode() if same and low else None)


def _state(file: Record, facts: Facts) -> None:
    file["file_size_in_bytes"] = facts.size_bytes
    for name, value in zip(_BOUNDS, (facts.lowest, facts.highest), strict=True):
        if value is not None:
            _set_bound(file, name, value.encode())
    if file.get("column_sizes") and facts.column_bytes:
        sizes = dict(facts.column_bytes)
        file["column_sizes"] = [{**item, "value": sizes.get(item["key"], item["value"])} for item in file["column_sizes"]]
    if file.get("split_offsets") is not None and facts.split_offsets:
        file["split_offsets"] = list(facts.split_offsets)


def _bound(file: Record, name: str) -> bytes | None:
    return next((item["value"] for item in file.get(name) or [] if item["key"] == PATH_ID), None)


def _set_bound(file: Record, name: str, value: bytes | None) -> None:
    """Set the bound of the column of names where the entry has such bounds at all; None takes it away."""
    bounds: list[dict[str, Any]] | None = file.get(name)
    if bounds is None:
        return
    others = [item for item in bounds if item["key"] != PATH_ID]
    file[name] = others if value is None else [*others, {"key": PATH_ID, "value": value}]


def listed_at(record: Record, paths: Paths, length_of: Callable[[str], int]) -> Record:
    """Return a manifest list's entry as it is at the target; `length_of` gives a manifest's length there, by its path at the source."""
    path = record["manifest_path"]
    return {**record, "manifest_path": paths.written(path), "manifest_length": length_of(path)}
