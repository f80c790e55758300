"""`ledger`: what a job did to each object."""

from __future__ import annotations

from typing import Any

from portal.cli.parsing import add_json, find, parser
from portal.cli.text import as_json, table
from portal.errors import NotFound
from portal.settings import Settings
from portal.spool import Spool
from portal.transfer import ledger as ledgers


def ledger(arguments: list[str], settings: Settings) -> int:
    """List what a job did to each object."""
    about = "List what a job did to each object: outcome, proof level, and why it failed or was skipped."
    made = parser("ledger", about, "ID [--failed] [--limit N] [--json]")
    made.add_argument("id", metavar="ID")
    made.add_argument("--failed", action="store_true", help="only objects that failed")
    made.add_argument("--limit", type=int, metavar="N", help="at most so many")
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    job = find(spool, given.id)
    path = spool.folder(job.id) / ledgers.LEDGER_FILE
    if not path.exists():
        raise NotFound(f"Job {job.id} has no ledger ({job.engine}, {job.status}).", hint="Engines that move or convert objects write one.")
    rows = ledgers.read(path, outcome="failed" if given.failed else None, limit=given.limit).to_pylist()
    print(as_json(rows) if given.json else _ledger_table(rows))
    return 0


def _ledger_table(rows: list[dict[str, Any]]) -> str:
    cells = [[row["outcome"], row["proof"], row["source_size"], row["source_key"], row["target_key"], row["reason"]] for row in rows]
    return table(["outcome", "proof", "bytes", "source", "target", "reason"], cells) if rows else "No such objects."
