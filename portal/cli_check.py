"""`check`: whether queue, logs and archive are in order."""

from __future__ import annotations

from portal import check as checks
from portal.cli_parsing import add_json, parser
from portal.settings import Settings


def check(arguments: list[str], settings: Settings) -> int:
    """Inspect all state."""
    made = parser("check", "Inspect queue, logs and archive. Exit status 0 when all is well, 1 when something needs a person: fit for monitoring.")
    made.add_argument("--repair", action="store_true", help="repair what is safe to repair, and say what was done")
    add_json(made)
    given = made.parse_args(arguments)
    raise NotImplementedError(checks, given)
