"""`backup`: a consistent copy of the state, while everything runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from portal import backup as backups
from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json
from portal.settings import Settings

_EPILOG = """
Everything that was acknowledged before the backup began is in it. archive/ and logs/ are only added to, so the next one is quick. Keep the keys
apart from the rest: with both, sealed credentials can be opened. To restore, while no worker runs there:

  cp -a DIR/queue DIR/archive DIR/logs NEW_HOME/ && cp -a KEYS NEW_HOME/.keys
  PORTAL_HOME=NEW_HOME python -m portal check --deep --repair
"""


def backup(arguments: list[str], settings: Settings) -> int:
    """Copy queue, archive and logs, and the keys if asked to."""
    made = parser("backup", "Copy queue, archive and logs into a folder while launcher and workers run.", "DIR [--keys DIR] [--json]")
    made.epilog = _EPILOG
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("folder", metavar="DIR", type=Path, help="a new folder, or an earlier backup, which is brought up to date")
    made.add_argument("--keys", metavar="DIR", type=Path, help="copy the folder of the keys there")
    add_json(made)
    given = made.parse_args(arguments)
    report = backups.backup(settings, given.folder, given.keys)
    if given.json:
        print(as_json(asdict(report)))
    else:
        print(f"{given.folder} holds {report.jobs} jobs of the queue; {report.records} records and {report.files} files of jobs are new there.")
        if not given.keys:
            print("The keys were left out (--keys): without them sealed credentials cannot be used, nor seals be proved.")
    return 0
