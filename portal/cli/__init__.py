"""The portal on the command line: submit jobs, watch them, audit them, look after the queue.

Every command has its own help: `python -m portal COMMAND --help`. PORTAL_HOME names the folder whose queue, logs and archive are used.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from portal import settings
from portal.cli.parsing import PROGRAM
from portal.errors import BadParameters, PortalError, explain

EXIT_FAILED, EXIT_WRONG, EXIT_INTERRUPTED = 1, 2, 130

COMMANDS = {
    "submit": ("submit", "submit a job, and wait for it if asked to"),
    "jobs": ("jobs", "list jobs: running, waiting, finished"),
    "show": ("jobs", "show everything about one job"),
    "logs": ("logs", "print what a job's engine printed, and follow it if asked to"),
    "ledger": ("ledger", "list what a job did to each object"),
    "cancel": ("jobs", "cancel waiting or running jobs"),
    "retry": ("submit", "submit a job that did not succeed again; done objects are not done twice"),
    "rerun": ("submit", "submit a job like an earlier one, with other parameters if wanted"),
    "priority": ("control", "change the priority of a waiting job"),
    "triggers": ("triggers", "list, make and change what makes jobs by itself: schedules, watched folders, SQS queues"),
    "lake": ("lake", "list tables of catalogs, take them from Hive to Snowflake in one chain, and see what came of each"),
    "pause": ("control", "start no new jobs, of one engine or at all; running ones go on"),
    "resume": ("control", "start jobs again after a pause"),
    "limits": ("control", "list the limits: their places, who holds them and how many jobs wait for one"),
    "workers": ("workers", "list the workers of this queue; let one run out of jobs and end"),
    "health": ("health", "tell whether the queue is served; exit status 1 when it is not"),
    "metrics": ("metrics", "print or serve figures for Prometheus"),
    "audit": ("audit", "report on finished jobs; verify and seal the archive"),
    "engines": ("engines", "list the engines, or describe one and its parameters"),
    "connections": ("connections", "list the connections, or test them"),
    "backup": ("backup", "copy queue, logs and archive while everything runs"),
    "retain": ("retain", "remove old logs and records, as far as it is safe, and only if told to"),
    "check": ("check", "inspect queue, logs and archive; repair what is safe to repair"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error ends as a message on standard error."""
    try:
        return _run(list(arguments))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except PortalError as error:
        print(explain(error), file=sys.stderr)
        return EXIT_WRONG if isinstance(error, BadParameters) else EXIT_FAILED
    except PermissionError as error:
        print(explain(_not_allowed(error)), file=sys.stderr)
        return EXIT_FAILED
    except Exception as error:
        print(explain(_surprise(error)), file=sys.stderr)
        return EXIT_FAILED


def _run(arguments: list[str]) -> int:
    if not arguments:
        _parser().print_help(sys.stderr)
        return EXIT_WRONG
    _parser().parse_args(arguments[:1])
    module, _ = COMMANDS[arguments[0]]
    run = getattr(importlib.import_module(f"portal.cli.{module}"), arguments[0])
    code: int = run(arguments[1:], settings.load())
    sys.stdout.flush()
    return code


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM, usage=f"{PROGRAM} COMMAND …", description=f"{__doc__}\ncommands:\n{listed}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 done, 1 failed, 2 wrong parameters, 3 partly done (submit --wait). The id of a recent job may be shortened to any "
        "beginning or end that is its alone.",
    )  # fmt: skip
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _not_allowed(error: PermissionError) -> PortalError:
    found = PortalError(f"This user may not use {error.filename or 'what is needed'}.", hint="Run it as the user that the portal runs as.")
    found.__cause__ = error
    return found


def _surprise(error: Exception) -> PortalError:
    try:
        with tempfile.NamedTemporaryFile("w", prefix="portal-traceback-", suffix=".txt", delete=False, encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
        hint = f"The traceback is in {file.name}; please report it."
    except OSError as unwritten:
        hint = f"The traceback could not be kept: {unwritten}."
    found = PortalError("The portal failed in a way it does not know.", hint=hint)
    found.__cause__ = error
    return found
