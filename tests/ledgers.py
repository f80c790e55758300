"""Ledgers as jobs leave them, of this version and of earlier ones, for the tests of who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from portal.comparing import report as comparison_report
from portal.ledger.ledger import LEDGER_FILE, SCHEMA
from portal.spool import Spool

NEW = ("mode", "cause", "source_modified", "storage_class", "bytes_through", "resumed_bytes")
"""The columns that ledgers of the first version lack."""
OLD_SCHEMA = pa.schema([field for field in SCHEMA if field.name not in NEW])


def row(n: int, outcome: str = "copied", **more: Any) -> dict[str, Any]:
    """Return one object's row."""
    made = {
        "source_url": f"s3://b/in/{n:03d}.csv", "source_key": f"in/{n:03d}.csv", "source_size": 100 + n, "source_etag": f"{n:032x}",
        "outcome": outcome,
        "target_key": f"out/{n:03d}.csv", "proof": "none" if outcome == "failed" else "end-to-end", "reason": "", "attempts": 1,
        "started_at": 1_790_000_000_000 + n, "mode": "" if outcome == "failed" else "stream", "cause": "", "bytes_through": 100 + n,
        "resumed_bytes": 0,
    }  # fmt: skip
    return {**made, **more}


def failed(n: int, cause: str, reason: str) -> dict[str, Any]:
    return row(n, "failed", cause=cause, reason=reason, bytes_through=0)


def write(path: Path, rows: Iterable[Mapping[str, Any]], *, group_rows: int = 7, schema: pa.Schema = SCHEMA) -> Path:
    """Write a ledger of many small row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([{name: item.get(name) for name in schema.names} for item in rows], schema), path, row_group_size=group_rows)
    return path


def give(spool: Spool, job_id: str, rows: Iterable[Mapping[str, Any]], *, schema: pa.Schema = SCHEMA) -> Path:
    """Put a ledger into the folder of a job."""
    return write(spool.folder(job_id) / LEDGER_FILE, rows, schema=schema)


def some() -> list[dict[str, Any]]:
    """Forty objects of every outcome, with two causes of failure, and every level of proof."""
    rows = [row(n) for n in range(30)]
    rows[3] = row(3, proof="streamed", reason="the source stores no checksum")
    rows[4] = row(4, proof="size", mode="server", bytes_through=0)
    rows[5] = row(5, proof="read-back")
    rows[6:9] = [row(n, mode="server", bytes_through=0) for n in range(6, 9)]
    rows += [failed(n, "access-denied", "The store refused the credentials.") for n in range(30, 35)]
    rows += [failed(35, "name", "a part of the name ends in a dot"), failed(36, "name", "the name has a backslash")]
    rows += [
        row(37, "skipped", proof="none", mode="", reason="it exists"),
        row(38, "excluded", proof="none", mode="", reason="no include pattern fits"),
    ]
    return [*rows, row(39, "deleted", proof="none", mode="", source_key="", target_key="out/old.csv")]


def compared(path: Path) -> Path:
    """Write what a comparison leaves: of six objects three are equal, one by its length alone."""
    rows = [
        ("equal", "a", "a", "a", 10, 10, "read", ""), ("equal", "b", "b", "b", 10, 10, "stored", ""), ("equal", "c", "c", "c", 10, 10, "size", ""),
        ("different", "d", "d", "d", 10, 11, "size", "10 bytes at the source, 11 at the target"),
        ("only-source", "e", "e", None, 10, None, "none", "it is not at the target"),
        ("only-target", "f", None, "f", None, 10, "none", "it is not at the source"),
    ]  # fmt: skip
    names = ("class", "name", "source_key", "target_key", "source_size", "target_size", "level", "reason")
    return write(path, [dict(zip(names, item, strict=True)) for item in rows], schema=comparison_report.SCHEMA)
