"""`check`: whether queue, logs and archive are in order."""

from __future__ import annotations

from portal import check as checks
from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json
from portal.settings import Settings

_REPAIRABLE = "\n  what to do: `check --repair` puts this right."


def check(arguments: list[str], settings: Settings) -> int:
    """Inspect all state, and repair what is safe if asked to."""
    about = "Inspect queue, logs and archive. Exit status 0 when all is in order, 1 when something is left to do: fit for monitoring."
    made = parser("check", about, "[--repair] [--json]")
    made.add_argument("--repair", action="store_true", help="repair what can be repaired without losing anything, and say what was done")
    add_json(made)
    given = made.parse_args(arguments)
    repaired = checks.repair(settings) if given.repair else []
    findings = checks.inspect(settings)
    if given.json:
        told = [{"kind": item.kind, "path": item.path, "text": item.text, "repairable": item.repairable} for item in findings]
        print(as_json({"findings": told, "repaired": repaired}))
    else:
        lines = [f"repaired: {line}" for line in repaired]
        lines += [f"{item.kind}: {item.path}\n  {item.text}{_REPAIRABLE if item.repairable else ''}" for item in findings]
        print("\n".join(lines or [f"Everything in {settings.home} is in order."]))
    return 1 if findings else 0
