"""What a conversion would do, by samples alone: shown before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.stores.base import ObjectInfo, Store
from portal.tabular.columns.type_names import name_of
from portal.tabular.conversion.lean import without_pandas
from portal.tabular.conversion.looking import proven, sampled
from portal.tabular.conversion.origins import origin_of
from portal.tabular.conversion.table import Readable
from portal.tabular.conversion.tables import Tables
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import ColumnReport, placed
from portal.tabular.output.opening import refuse_unfit
from portal.tabular.rows import Check, Misfit
from portal.tabular.shaping.shape import Shaping
from portal.tabular.text.objects import StoreObject

_MISFITS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Preview:
    """What a conversion would do, as far as samples tell."""

    columns: tuple[ColumnReport, ...]
    rows_in: int
    """Records that were looked at."""
    rows: tuple[dict[str, str | None], ...]
    """The first ones, their values as texts."""
    rows_rejected: int
    """Of those that were looked at."""
    warnings: tuple[str, ...]
    reading: Mapping[str, Any]
    """How the source is read and the evidence for it."""
    rows_filtered: int = 0
    misfits: tuple[dict[str, Any], ...] = ()
    """The first ones: line, offset, column, reason, raw; line and offset None where only reading all before them would tell."""
    whole: bool = False
    """All records were looked at, not samples."""
    schema: str = ""
    """The JSON text of `Schema.to_json`."""


@dataclass(slots=True)
class _Seen:
    records: int = 0
    filtered: int = 0
    rows: list[dict[str, str | None]] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def preview_object(
    source: Store, info: ObjectInfo, options: ConvertOptions, *, rows: int = 5, check: Check = lambda: None, scratch: Path | None = None
) -> Preview:
    """Look at an object as a conversion would and return the schema and the first rows; nothing is written. Raises as `convert_object`.

    Only samples are read, but with `full_scan` all of it.

    Arguments:
        rows: number of rows to return.
        scratch: not used; previews need no files.
    """
    return preview_dataset(source, [info], options, rows=rows, check=check)


def preview_dataset(
    source: Store, infos: Sequence[ObjectInfo], options: ConvertOptions, *, rows: int = 5, check: Check = lambda: None
) -> Preview:  # fmt: skip
    """Look at objects as the making of one data set would; the rows are the first one's. See `preview_object`."""
    without_pandas()
    tables = Tables([StoreObject(source, info) for info in infos], options, check)
    schema, decided_by = sampled(tables), "samples"
    if options.full_scan:
        found = proven(tables, schema, options)
        schema, decided_by = found.schema, found.told
    shaping = Shaping.make(schema, options, origin_of(source, infos[0], "preview"))
    refuse_unfit(shaping.schema.arrow, options)
    seen = _parsed(tables.first, shaping, rows)
    columns = tuple(ColumnReport(column.name, name_of(column.type), 0, column.note) for column in shaping.schema.columns)
    warnings = tuple(dict.fromkeys([*tables.warnings, *schema.warnings, *seen.warnings]))
    misfits = tuple(placed(misfit) for misfit in seen.misfits[:_MISFITS_SHOWN])
    return Preview(
        columns, seen.records, tuple(seen.rows), len(seen.misfits), warnings, {**tables.facts, "decided_by": decided_by}, seen.filtered, misfits,
        tables.first.in_one_sample, schema.to_json(),
    )  # fmt: skip


def _parsed(table: Readable, shaping: Shaping, rows: int) -> _Seen:
    seen = _Seen()
    for parsed in table.parsed_samples(shaping.source):
        batch, filtered = shaping.apply(parsed.batch)
        seen.records, seen.filtered = seen.records + parsed.records - parsed.unread, seen.filtered + filtered
        seen.misfits += parsed.misfits
        seen.warnings += [f"Column {name!r}: {remark}." for name, remark in parsed.remarks.items()]
        wanted = max(0, rows - len(seen.rows))
        seen.rows += [{name: _shown(value) for name, value in row.items()} for row in batch.slice(0, wanted).to_pylist()]
    return seen


def _shown(value: Any) -> str | None:
    """A value as people write it; of structs and lists as JSON does."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
