"""`check`: whether queue, logs and archive are in order."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from portal import check as checks
from portal.check import Depth, Finding
from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json, printable
from portal.native.library import absence
from portal.settings import Settings

_EPILOG = """
Safe beside running workers and submitters. Exit status: 0 in order (notes do not count), 1 something is left to do.

The normal check reads every job in the queue, every name in archive/ and logs/, and the archive records of the last three days and of days
that are not sealed. 100,000 records take about 2 s. --quick leaves archive/ and logs/ out. --deep reads every record and looks for every
file of every job (about 10 s per 100,000): use it after a restore. Whether records were changed is told by `audit verify`.
"""


def check(arguments: list[str], settings: Settings) -> int:
    """Inspect all state, and repair what is safe if asked to."""
    made = parser("check", "Inspect queue, logs and archive: what is not in order, how that can have come about, what to do.",
                  "[--quick | --deep] [--repair] [--json]")  # fmt: skip
    made.epilog = _EPILOG
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    depth = made.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_const", dest="depth", const=Depth.QUICK, help="the queue alone, mostly by names")
    depth.add_argument("--deep", action="store_const", dest="depth", const=Depth.DEEP, help="every record of the archive, and the files of its jobs")
    made.add_argument("--repair", action="store_true", help="repair what can be repaired without losing anything, and say what was done")
    add_json(made)
    given = made.parse_args(arguments)
    how = given.depth if given.depth is not None else Depth.NORMAL
    repaired = checks.repair(settings, how) if given.repair else []
    found = checks.inspect(settings, how)
    wrong, notes = [item for item in found if not item.note], [item for item in found if item.note]
    if given.json:
        print(as_json({"findings": _plain(wrong), "notes": _plain(notes), "repaired": repaired, "kernel": not absence()}))
    else:
        lines = [printable(f"repaired: {line}") for line in repaired]
        lines += [_shown(item.kind, item) for item in wrong]
        lines += [_shown(f"note, {item.kind}", item) for item in notes]
        lines += [] if wrong else [f"Everything in {settings.home} is in order."]
        lines.append(_kernel())
        print("\n".join(lines))
    return 1 if wrong else 0


def _kernel() -> str:
    """Tell whether conversions are as fast as they can be: no fault of the home folder, and none for monitoring."""
    if why := absence():
        return f"The converter has no kernel: {why}. Conversions work, and take several times as long; `python -m portal.native.build` builds it."
    return "The converter has its kernel."


def _shown(word: str, item: Finding) -> str:
    lines = [f"{word}: {item.path}", *f"  {item.text}".split("\n")]  # the name of a stray file is anybody's choice
    return "\n".join(printable(line) for line in lines)


def _plain(found: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "kind": item.kind, "path": item.path, "job": item.job_id, "what": item.what, "why": item.why, "hint": item.hint,
            "repairable": item.repairable, "text": item.text,
        }
        for item in found
    ]  # fmt: skip
