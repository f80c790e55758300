"""`retain`: what retention would remove from logs and archive, and removing it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, date, datetime

from portal import retention, retention_apply
from portal.cli.parsing import add_json, add_user, parser
from portal.cli.text import as_json
from portal.errors import BadParameters
from portal.settings import Settings

_EPILOG = """
What is kept: PORTAL_KEEP_LOGS_DAYS for the files of finished jobs in logs/, PORTAL_KEEP_ARCHIVE_DAYS for their records (their files go with
them); neither is set by default, which keeps all for ever. A worker applies what is set once a day. Never removed: anything of a day that is not
sealed or not as it was sealed, records that no audit_export carried away, records whose idempotency key is remembered, and what a job that waits
or runs needs. Seals, tombstones (YYYY/MM/DD.retained.json) and audit rows (DD.audit.parquet) stay: reports go on, and `audit verify` knows what
was removed, when and by whom.
"""


def retain(arguments: list[str], settings: Settings) -> int:
    """Print what would be removed; with --apply, remove it."""
    made = parser("retain", "Remove files and records of finished jobs that are older than what is set. Without --apply, only print what would go.",
                  "[--apply] [--even-unexported DAY …] [--json]")  # fmt: skip
    made.epilog = _EPILOG
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--apply", action="store_true", help="remove it")
    made.add_argument("--even-unexported", metavar="DAY", action="append", default=[],
                      help="let the records of this day (2026-11-21; repeatable) go though no export has carried them away")  # fmt: skip
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    plans = retention.plan(settings, even_unexported=[_day(text) for text in given.even_unexported])
    done = retention_apply.apply(settings, plans, given.user) if given.apply else []
    if given.json:
        print(as_json({"plan": [asdict(item) for item in plans], "done": done}))
        return 0
    if settings.keep_logs_days is None and settings.keep_archive_days is None:
        print("Everything is kept for ever: neither PORTAL_KEEP_LOGS_DAYS nor PORTAL_KEEP_ARCHIVE_DAYS is set.")
        return 0
    lines = done if given.apply else retention.told(plans)
    print("\n".join(lines or ["Nothing is old enough to go."]))
    if not given.apply and any(item.logs or item.records for item in plans):
        print("Nothing was removed yet: --apply does it.")
    return 0


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadParameters(f"{text!r} is not a day.", hint="Name it exactly: 2026-11-21.") from None
    if day >= datetime.now(UTC).date():
        raise BadParameters(f"{day} is not over.", hint="Only a day that is sealed can be removed.")
    return day
