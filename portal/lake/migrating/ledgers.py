"""The ledgers of a job's tables as one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from portal import clock
from portal.ledger import ledger


def merged(path: Path, parts: Iterable[Path]) -> bool:
    """Write one ledger of several, group by group, so that memory stays flat; returns whether there were any. The file appears whole."""
    found = [part for part in parts if part.exists()]
    if not found:
        return False
    fresh = path.with_name(f".{path.name}.{clock.now_ms()}")
    with pq.ParquetWriter(fresh, ledger.SCHEMA, compression="zstd") as writer:
        for part in found:
            with pq.ParquetFile(part) as file:
                for number in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(number))
    fresh.replace(path)
    return True
