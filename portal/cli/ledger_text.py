"""How the command line writes the rows and the groups of a ledger, as text and for other programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

import pyarrow as pa

from portal.cli.parsing import PROGRAM
from portal.cli.text import printable, size, table_lines
from portal.ledger import export as ledger_export
from portal.ledger.remedies import is_trouble, remedy
from portal.ledger.view import Group

_COLUMNS = {
    "outcome": "outcome", "proof": "proof", "mode": "mode", "source_size": "bytes", "source_key": "source", "target_key": "target", "cause": "cause",
    "reason": "reason",
}  # fmt: skip
_GROUP_SCHEMA = pa.schema(
    [
        ("outcome", pa.string()), ("cause", pa.string()), ("objects", pa.int64()), ("bytes", pa.int64()), ("example", pa.string()),
        ("reason", pa.string()), ("meaning", pa.string()), ("what_to_do", pa.string()),
    ]
)  # fmt: skip


def write_table(tables: Iterable[pa.Table], file: IO[bytes]) -> int:
    """Write rows as aligned columns, as they come; return their number."""
    count = 0

    def counted() -> Iterator[Sequence[Any]]:
        nonlocal count
        for row in chain.from_iterable(map(_rows, tables)):
            count += 1
            yield row

    lines = table_lines(list(_COLUMNS.values()), counted())
    heading = next(lines)
    for line in lines:
        file.write((f"{heading}\n{line}\n" if heading else f"{line}\n").encode())
        heading = ""
    if not count:
        file.write(b"No such objects.\n")
    return count


def _rows(table: pa.Table) -> Iterator[Sequence[Any]]:
    """The shown columns; ledgers of earlier versions lack some."""
    for batch in table.to_batches(max_chunksize=5_000):
        there = {name: batch.column(name).to_pylist() for name in _COLUMNS if name in batch.schema.names}
        yield from zip(*(there.get(name) or [""] * batch.num_rows for name in _COLUMNS), strict=True)


def write_groups(groups: Sequence[Group], shape: str, job_id: str, file: IO[bytes]) -> int:
    """Write groups, each with an example and what to do; return their number."""
    if shape == "table":
        text = "\n\n".join(_told(group, job_id) for group in groups) if groups else "No such objects."
        file.write(f"{text}\n".encode())
        return len(groups)
    made = pa.Table.from_pylist([_plain(group) for group in groups], schema=_GROUP_SCHEMA)
    return ledger_export.write([made], _GROUP_SCHEMA, shape, file)


def _plain(group: Group) -> dict[str, Any]:
    told = _explained(group)
    return {
        "outcome": group.outcome, "cause": group.cause, "objects": group.sums.objects, "bytes": group.sums.source_size,
        "example": group.name, "reason": group.example.get("reason"), "meaning": told[0], "what_to_do": told[1],
    }  # fmt: skip


def _explained(group: Group) -> tuple[str, str]:
    """What a group's cause means and what to do; nothing of what is as it should be."""
    return remedy(group.cause, group.outcome) if group.cause or is_trouble(group.outcome) else ("", "")


def _told(group: Group, job_id: str) -> str:
    meaning, what_to_do = _explained(group)
    name = f"{group.outcome} · {group.cause}" if group.cause else group.outcome
    count = f"{group.sums.objects:,} object{'' if group.sums.objects == 1 else 's'}, {size(group.sums.source_size)}"
    reason = group.example.get("reason") or ""
    lines = [
        f"{name}: {count}" + (f": {meaning}" if meaning else ""),
        f"    for example {group.name}" + (f": {' '.join(reason.split())}" if reason else ""),
        f"    what to do: {what_to_do}" if what_to_do else "",
        f"    list them:  {PROGRAM} ledger {job_id} --outcome {group.outcome}" + (f" --cause {group.cause}" if group.cause else ""),
    ]
    return "\n".join(printable(line) for line in lines if line)
