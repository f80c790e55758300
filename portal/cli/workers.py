"""`workers`: who works on this queue, and letting one run out of jobs."""

from __future__ import annotations

from dataclasses import asdict

from portal.cli.parsing import add_json, add_user, parser
from portal.cli.text import as_json, short, span, table
from portal.settings import Settings
from portal.spool import Spool, WorkerInfo
from portal.version import version

_ABOUT = """List the workers of this queue. Exit status 1 when none is alive.

--drain NAME lets one worker run out: it takes no more jobs and ends, with exit status 0, when those it has have ended; the others go
on. So a service manager that starts it again (systemd: Restart=always) comes to the new code without interrupting a job. The wish is
on the disk and outlives a crash of the worker; it is over when the worker ends or is stopped.
(`python worker.py --drain` is another thing: that worker goes on taking jobs, and ends when there are none left.)"""


def workers(arguments: list[str], settings: Settings) -> int:
    """List the workers of this queue, or change whether one takes jobs."""
    made = parser("workers", _ABOUT, "[--drain NAME | --undrain NAME] [--json]")
    change = made.add_mutually_exclusive_group()
    change.add_argument("--drain", metavar="NAME", help="let this worker take no more jobs, and end when those it has have ended")
    change.add_argument("--undrain", metavar="NAME", help="take that back while the worker still runs")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    if given.drain:
        spool.drain(given.drain, given.user)
    said = _undrained(given.undrain, spool.undrain(given.undrain)) if given.undrain else ""
    found = spool.workers()
    if given.json:
        print(as_json([_told(item) for item in found]))
    else:
        print("\n".join(text for text in (said, _table(found, settings)) if text))
    return 0 if any(item.alive for item in found) else 1


def _undrained(name: str, was: bool) -> str:
    return f"{name} takes jobs again." if was else f"{name} was not being drained."


def _told(item: WorkerInfo) -> dict[str, object]:
    return {**asdict(item), "state": state(item), "old_code": _old(item)}


def _old(item: WorkerInfo) -> bool:
    return bool(item.alive and item.version and item.version != version())


def _table(found: list[WorkerInfo], settings: Settings) -> str:
    if not found:
        return f"No worker is running on {settings.queue_dir}: start one with `python worker.py`."
    rows = [
        [item.name, state(item), item.slots, item.running, "" if item.beat_age_s is None else f"{span(item.beat_age_s)} ago", item.host, item.pid,
         short(item.started_at), item.version + (" (not the code on the disk)" if _old(item) else "")]
        for item in found
    ]  # fmt: skip
    return table(["name", "state", "slots", "running", "heartbeat", "host", "pid", "started (UTC)", "version"], rows)


def state(item: WorkerInfo) -> str:
    """Return how a worker is, in a word: dead, stopped, hanging, draining or alive."""
    if not item.alive:
        return "dead"
    return "stopped" if item.stopped else "hanging" if item.hanging else "draining" if item.draining else "alive"
