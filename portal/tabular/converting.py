"""Converts one object to Parquet: fetch → plan over the whole file → write under the frozen schema → upload → read back and compare.

Nothing is changed silently: rows in = rows out + rejected rows, and every value either is in the target as it was or the conversion fails.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.errors import AlreadyExists, BooksDoNotBalance, ConversionFailed, NotFound
from portal.stores.base import ObjectInfo, Store
from portal.tabular.csv_table import CsvTable
from portal.tabular.fetching import Fetched, fetch
from portal.tabular.json_table import JsonTable
from portal.tabular.options import ConvertOptions, suits, target_name
from portal.tabular.outcome import ColumnReport, Converted, Rejects
from portal.tabular.proof import read_back, upload
from portal.tabular.table import Check, Plan, TableSource
from portal.tabular.writing import ParquetFile
from portal.transfer.carry import provenance

__all__ = ["ConvertOptions", "Converted", "Preview", "clear_scratch", "convert_object", "preview_object", "suits", "target_name"]

_SCRATCH = "convert-"
Passed = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a conversion would do: types by column, notes, the first rows as texts, and the rows that would be rejected."""

    columns: tuple[ColumnReport, ...]
    rows_in: int
    rows: tuple[dict[str, str], ...]
    rows_rejected: int
    warnings: tuple[str, ...]
    reading: dict[str, Any]


def convert_object(
    source: Store, info: ObjectInfo, target: Store, target_key: str, options: ConvertOptions | None = None, *,
    overwrite: bool = False, rejects: Path | None = None, check: Check = lambda: None, progress: Passed | None = None,
    scratch: Path | None = None, mark: str = "convert",
) -> Converted:  # fmt: skip
    """Convert one object. Memory is bounded whatever its size; temporary copies of source and target stand in a folder below `scratch`.

    Arguments:
        rejects: file of JSON lines for rows that do not fit, when `options.on_reject` is keep; not made when there are none.
        check: called often; raises Cancelled when the work shall stop.
        progress: called with the number of source bytes of each block that was read (increments, not totals).
        scratch: folder for temporary files; default: that of the system.
        mark: by which the target is known as written for this very object (`portal.transfer.carry.mark_of`).

    Raises:
        ConversionFailed: a value would change, a row does not fit, the file is broken or empty; says where.
        BooksDoNotBalance: the rows written and rejected are not the rows counted.
        AlreadyExists, ProofFailed and what stores raise.
    """
    options = options or ConvertOptions()
    if not overwrite:
        _refuse_existing(target, target_key)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=scratch) as name:
        folder = Path(name)
        fetched = fetch(source, info, folder / "source.txt", encoding=options.encoding, passed=progress)
        kept = Rejects(rejects, policy=options.on_reject, limit=options.max_rejects)
        table = open_table(fetched.path, info.key, options, kept)
        plan = table.plan(check)
        local = folder / "target.parquet"
        written = _write(table, plan, local, options, check)
        kept.close()
        _balance(plan, written.rows, kept.count)
        fetched.path.unlink()
        modified = info.modified.isoformat() if info.modified else ""
        about = provenance(mark, str(source.url.root), info.key, info.etag, modified, info.version_id, info.storage_class)
        about |= {"source_crc64nvme": fetched.crc64, "rows": str(written.rows)}
        stored, crc64 = upload(local, target, target_key, overwrite=overwrite, metadata=about, check=check)
        read_back(written, crc64, target, stored, folder / "read-back.parquet", check)
    return Converted(
        plan.rows_in, written.rows, kept.count, _columns(plan, written), fetched.crc64, fetched.size_bytes, stored, crc64, True,
        plan.warnings, fetched.compared, {**plan.reading, **_fetching(fetched)},
    )  # fmt: skip


def clear_scratch(folder: Path) -> None:
    """Remove what conversions that were killed left below `folder`; none may be running there."""
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)


def preview_object(
    source: Store, info: ObjectInfo, options: ConvertOptions, *, rows: int = 5, check: Check = lambda: None, scratch: Path | None = None
) -> Preview:
    """Plan a conversion over the whole object and return the schema and the first rows; nothing is written. Raises as `convert_object`."""
    with tempfile.TemporaryDirectory(prefix="preview-", dir=scratch) as name:
        fetched = fetch(source, info, Path(name) / "source.txt", encoding=options.encoding)
        kept = Rejects(None, policy=options.on_reject, limit=options.max_rejects)
        table = open_table(fetched.path, info.key, options, kept)
        plan = table.plan(check)
        first = next(iter(table.batches(plan, check)), None)
    shown = tuple({name: str(value) for name, value in row.items()} for row in (first.slice(0, rows).to_pylist() if first else []))
    columns = tuple(ColumnReport(item.name, str(item.type), 0, plan.notes.get(item.name, "")) for item in plan.schema)
    return Preview(columns, plan.rows_in, shown, kept.count, plan.warnings, {**plan.reading, **_fetching(fetched)})


def open_table(path: Path, key: str, options: ConvertOptions, rejects: Rejects) -> TableSource:
    """Open a UTF-8 file as what its options, its name or its first character say it is."""
    if options.format == "csv" or (options.format == "auto" and not _is_json(path, key)):
        return CsvTable(path, options, rejects, key=key)
    return JsonTable(path, options, rejects)


def _is_json(path: Path, key: str) -> bool:
    name = key.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".csv", ".tsv", ".json", ".ndjson", ".jsonl")):
        return not name.endswith((".csv", ".tsv"))
    with path.open("rb") as file:
        return file.read(4096).lstrip()[:1] in (b"{", b"[")


def _refuse_existing(target: Store, key: str) -> None:
    with suppress(NotFound):
        target.stat(key)
        raise AlreadyExists(f"{target.url.at(key)} exists already.", hint="Choose another name, or let targets be replaced: overwrite.")


def _write(table: TableSource, plan: Plan, path: Path, options: ConvertOptions, check: Check) -> ParquetFile:
    with ParquetFile(path, plan.schema, compression=options.compression, row_group_rows=options.row_group_rows) as file:
        for batch in table.batches(plan, check):
            file.write(batch)
    return file


def _balance(plan: Plan, written: int, rejected: int) -> None:
    if plan.rows_in != written + rejected:
        raise BooksDoNotBalance(f"The file has {plan.rows_in} rows, but {written} were read and {rejected} rejected.", hint="Please report it.")
    if plan.rows_in and not written:
        raise ConversionFailed(f"None of the {plan.rows_in} rows fits.", hint="See the rejects file; is the delimiter or a type wrong?")


def _columns(plan: Plan, written: ParquetFile) -> tuple[ColumnReport, ...]:
    return tuple(
        ColumnReport(item.name, str(item.type), digest.nulls, plan.notes.get(item.name, ""), digest.hexdigest())
        for item, digest in zip(plan.schema, written.columns.values(), strict=True)
    )


def _fetching(fetched: Fetched) -> dict[str, Any]:
    return {"encoding": fetched.encoding, "compression": fetched.compression}
