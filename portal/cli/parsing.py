"""What the commands of the command line share: their parsers, what they read from files, and finding a job by a shortened id."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portal.catalog import FlagParser
from portal.errors import BadParameters, JobNotFound
from portal.jobs import ID_PATTERN, Job
from portal.notifying import wish
from portal.spool import Spool

PROGRAM = "python -m portal"

_SHORTEST, _RECENT_DAYS = 4, 30


def parser(command: str, description: str, usage: str = "") -> argparse.ArgumentParser:
    """Return the parser of one command."""
    return FlagParser(
        prog=f"{PROGRAM} {command}", description=description, usage=f"{PROGRAM} {command} {usage}" if usage else None, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


def add_json(target: argparse._ActionsContainer) -> None:
    target.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_user(target: argparse._ActionsContainer) -> None:
    target.add_argument("--as", dest="user", metavar="USER", default=_me(), help="who asks, as the audit shows it (default: the user of this shell)")


def add_notify(target: argparse._ActionsContainer) -> None:
    target.add_argument("--notify", action="append", metavar="CONNECTION[:EVENT,…]", default=[],
                        help=f"tell people of it through a connection of kind webhook or smtp; events: {', '.join(wish.EVENTS)} "
                             f"(default: {','.join(wish.USUAL)}); may be repeated")  # fmt: skip


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def find(spool: Spool, text: str) -> Job:
    """Return a job by its id, or by a beginning or end of it that no other recent job has. Raises JobNotFound."""
    wanted = text.upper()
    names = [wanted] if ID_PATTERN.fullmatch(wanted) else _recent(spool, wanted)
    if len(names) > 1:
        raise JobNotFound(f"{text!r} fits {len(names)} jobs: {', '.join(sorted(names)[:5])} …", hint="Give more of the id; its end tells most.")
    job = spool.find(names[0]) if names else None
    if job is None:
        raise JobNotFound(f"There is no job {text!r}.", hint=f"`{PROGRAM} jobs` lists the latest ones; older ones need their whole id.")
    return job


def _recent(spool: Spool, part: str) -> list[str]:
    if len(part) < _SHORTEST:
        raise JobNotFound(f"{part!r} is too short for the id of a job.", hint=f"Give at least {_SHORTEST} characters of its beginning or end.")
    today = datetime.now(UTC).date()
    known = {*spool.waiting_ids(), *(job.id for job in spool.running())}
    known.update(name for back in range(_RECENT_DAYS) for name in spool.archived_ids(today - timedelta(back)))
    return [name for name in known if name.startswith(part) or name.endswith(part)]


def read_followups(text: str) -> list[Any]:
    """Return what a `--then` holds, JSON or the name of a file with it, as a list. Raises BadParameters."""
    source = text if text.lstrip().startswith(("{", "[")) else _read(text)
    data = _parsed(source, "--then")
    return data if isinstance(data, list) else [data]


def read_object(path: str) -> dict[str, Any]:
    """Return the JSON object that a file holds; `-` is standard input. Raises BadParameters."""
    data = _parsed(_read(path), path)
    if not isinstance(data, dict):
        raise BadParameters(f"{path} holds no JSON object.")
    return data


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadParameters(f"{where} is not JSON: {error}.") from None


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise BadParameters(f"{path} cannot be read.") from error
