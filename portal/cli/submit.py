"""`submit`, `retry` and `rerun`: everything on the command line that makes a job."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from portal import catalog, submission
from portal.cli.jobs import RECENT, public
from portal.cli.parsing import PROGRAM, add_json, add_notify, add_user, find, parser, read_followups, read_object
from portal.cli.text import as_json, day, moment, seconds
from portal.cli.watch import Screen, exit_code, wait, wait_chain
from portal.errors import BadParameters, PortalError, explain
from portal.jobs import DEFAULT_PRIORITY, Job, Status
from portal.notifying import wish
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import defined, retrying

_SUBMIT = """Submit a job: it is safe on the disk when this returns, and its id is on standard output.

With --wait the exit status tells the outcome: 0 succeeded, 3 partial, 1 failed or cancelled, 2 rejected."""

_WORTH_TELLING = ("no-worker", "paused", "engine-paused", "draining")
"""What nobody who just submitted a job expects, and what does not go away by waiting."""

_FILE_FIELDS = {"engine", "params", "name", "priority", "not_before", "timeout_s", "max_attempts", "key", "then", "labels", "limits", "notify"}


def submit(arguments: list[str], settings: Settings) -> int:
    """Submit one job, from an engine's flags or from a file."""
    engine = arguments[0] if arguments and not arguments[0].startswith("-") else None
    given = _submit_parser(engine).parse_args(arguments[1:] if engine else arguments)
    order = _order(engine, given)
    spool = Spool(settings)
    job = spool.submit(submission.new_job(settings, order.pop("engine"), order.pop("params"), by=given.user, **order))
    return _submitted(spool, [job], given)


def _submit_parser(engine: str | None) -> argparse.ArgumentParser:
    if engine is None:
        listed = "\n".join(f"  {name:<20}{catalog.engine(name).summary}" for name in catalog.names())
        made = parser("submit", f"{_SUBMIT}\n\nengines:\n{listed}\n\n`{PROGRAM} submit ENGINE --help` shows an engine's flags.",
                      "ENGINE [flags] | --file FILE [--wait]")  # fmt: skip
    else:
        spec = catalog.engine(engine)
        made = parser(f"submit {engine}", f"{spec.summary}\n\n{spec.description}\n\n{_SUBMIT}", "[flags]")
        catalog.add_flags(made, spec)
    _add_job_flags(made, set() if engine is None else {item.name for item in catalog.engine(engine).fields}, with_file=engine is None)
    _add_wait_flags(made)
    return made


def _add_job_flags(made: argparse.ArgumentParser, taken: set[str], with_file: bool) -> None:
    """`taken`: the engine's parameters; a flag of that name is theirs."""
    job = made.add_argument_group("The job")
    if with_file:
        job.add_argument("--file", metavar="FILE", required=True, help="JSON file with the whole job: engine, params, then, … ('-': standard input)")
    else:
        job.add_argument("--params", metavar="FILE", help="JSON file with parameters; flags win over it ('-': standard input)")
    job.add_argument("--name", metavar="TEXT", help="a name for people")
    job.add_argument("--priority", type=int, metavar="0-9", help=f"0 is most urgent (default: {DEFAULT_PRIORITY})")
    names = ["--not-before"] if "after" in taken else ["--after", "--not-before"]
    job.add_argument(*names, dest="not_before", metavar="TIME", help="earliest start: 2026-11-21T22:00:00Z, or 15m, 2h, 1d from now")
    job.add_argument("--timeout", metavar="TIME", help="end the engine after this long: 90s, 15m, 2h (default: never)")
    job.add_argument("--max-attempts", type=int, metavar="N", help="attempts if it fails in a way that may pass (default: PORTAL_MAX_ATTEMPTS)")
    job.add_argument("--key", metavar="TEXT", help="idempotency key: submitting again with the same key is the same job")
    job.add_argument("--then", action="append", metavar="JSON", default=[],
                     help='follow-up job as JSON or a file with it: {"engine": …, "params": …, "when": "succeeded"}; may be repeated')  # fmt: skip
    add_notify(job)
    job.add_argument("--dry-run", action="store_true", help="the engine makes its plan and changes nothing")
    add_user(job)


def _add_wait_flags(made: argparse.ArgumentParser) -> None:
    output = made.add_argument_group("Output")
    output.add_argument("--wait", nargs="?", const="job", choices=["job", "chain"], metavar="chain",
                      help="wait, showing progress; the exit status tells how it ended. `--wait chain` waits for the follow-ups, too")  # fmt: skip
    add_json(output)


def _order(engine: str | None, given: argparse.Namespace) -> dict[str, Any]:
    """Bring file and flags together; flags win."""
    if engine is None:
        order = _job_file(given.file)
    else:
        order = {"engine": engine, "params": {**_params_file(given.params), **catalog.from_flags(given, catalog.engine(engine))}}
    flags = {
        "name": given.name, "priority": given.priority, "max_attempts": given.max_attempts, "key": given.key,
        "not_before": moment(given.not_before, ahead=True) if given.not_before else None,
        "timeout_s": seconds(given.timeout) if given.timeout else None,
    }  # fmt: skip
    order |= {name: value for name, value in flags.items() if value is not None}
    order["then"] = [*order.get("then", []), *(item for text in given.then for item in read_followups(text))]
    order["then"] += wish.followups([*order.pop("notify", []), *given.notify])
    if given.dry_run:
        order["labels"] = {**order.get("labels", {}), "dry_run": "yes"}
    return order


def _job_file(path: str) -> dict[str, Any]:
    order = read_object(path)
    if unknown := sorted(set(order) - _FILE_FIELDS):
        raise BadParameters(f"{path}: {unknown[0]!r} is no field of a job to submit; there are {', '.join(sorted(_FILE_FIELDS))}.")
    if not isinstance(order.get("engine"), str) or not isinstance(order.setdefault("params", {}), dict):
        raise BadParameters(f"{path} must hold an engine's name and its params.", hint='Write {"engine": "list", "params": {"source": "s3://bucket/"}}.')
    if not isinstance(order.get("then", []), list) or not isinstance(order.get("labels", {}), dict):
        raise BadParameters(f"{path}: `then` is a list of jobs, `labels` an object of texts.")
    if not isinstance(told := order.get("notify", []), list) or not all(isinstance(text, str) for text in told):
        raise BadParameters(f"{path}: `notify` is a list of texts, each CONNECTION or CONNECTION:EVENT,….")
    return order


def _params_file(path: str | None) -> dict[str, Any]:
    return read_object(path) if path else {}


def retry(arguments: list[str], settings: Settings) -> int:
    """Submit finished jobs again that did not succeed."""
    made = parser("retry", "Submit finished jobs again that did not succeed; what they achieved is taken over.", "ID… | --trigger NAME [--wait]")
    made.add_argument("ids", nargs="*", metavar="ID")
    made.add_argument("--trigger", metavar="NAME",
                      help="all jobs of this trigger that failed or were partial, have something left, and were not retried since")  # fmt: skip
    made.add_argument("--since", metavar="DAY", help="with --trigger: those that finished since this day: 2026-11-21, today, 7d (default: 30d)")
    add_user(made)
    _add_wait_flags(made)
    given = made.parse_args(arguments)
    if bool(given.ids) == bool(given.trigger) or (given.since and not given.trigger):
        made.error("give ids of jobs, or --trigger NAME and perhaps --since DAY")
    spool = Spool(settings)
    earlier = _of_trigger(spool, given) if given.trigger else [find(spool, text) for text in given.ids]
    if not earlier:
        Screen().say(f"No job of the trigger {given.trigger} has anything left to be tried again.")
        if given.json:
            print(as_json([]))
        return 0
    jobs, refused = [], 0
    for old in earlier:
        try:
            jobs.append(submission.retry(settings, spool, old.id, by=given.user))
        except PortalError as error:
            if not given.trigger:
                raise
            refused = 1  # it does not keep the others of its trigger back
            Screen().say(f"{old.id}: {explain(error)}")
    for told in filter(None, map(_done_again, () if given.json else earlier)):
        Screen().say(told)
    return max(refused, _submitted(spool, jobs, given) if jobs else 0)


def _of_trigger(spool: Spool, given: argparse.Namespace) -> list[Job]:
    since = day(given.since) if given.since else datetime.now(UTC).date() - RECENT
    found = retrying.worth_retrying(spool, given.trigger, since)
    if not found:
        defined.load(spool.layout, given.trigger)  # one that is not there may be a mistyped name
    return found


def _done_again(old: Job) -> str:
    """Say what a retry does of a job that handled objects one by one, '' of others."""
    counts = (old.result or {}).get("counts") or {}
    failed = counts.get("failed", 0)
    rest = sum(counts.get(name, 0) for name in ("copied", "converted", "skipped", "excluded"))
    if not failed:
        return ""
    stays = f"; the other {rest:,} stay as they are" if rest else ""
    return f"{old.name} {old.id}: only the {failed:,} that failed {'is' if failed == 1 else 'are'} done again{stays}"


def rerun(arguments: list[str], settings: Settings) -> int:
    """Submit a job like an earlier one; flags change its parameters."""
    about = "Submit a job like an earlier one, from the start. The flags of its engine change its parameters."
    if not arguments or arguments[0].startswith("-"):
        made = parser("rerun", about, "ID [flags of the engine] [--wait]")
        made.add_argument("id", metavar="ID")
        made.parse_args(arguments)
    spool = Spool(settings)
    old = find(spool, arguments[0])
    spec = catalog.engine(old.engine)
    made = parser(f"rerun {arguments[0]}", about, "[flags]")
    catalog.add_flags(made, spec)
    add_user(made)
    _add_wait_flags(made)
    given = made.parse_args(arguments[1:])
    params = {**old.params, **catalog.from_flags(given, spec)}
    return _submitted(spool, [submission.rerun(settings, spool, old.id, params, by=given.user)], given)


def _submitted(spool: Spool, jobs: list[Job], given: argparse.Namespace) -> int:
    """Print the ids, wait if asked to, and return the exit code."""
    screen = Screen()
    if not given.json:
        print("\n".join(job.id for job in jobs), flush=True)
    if given.wait:
        jobs = _waited(spool, jobs, screen, chain=given.wait == "chain")
    elif not given.json:
        screen.say(f"submitted; to follow it: {PROGRAM} logs -f {jobs[0].id}")
        if (reason := spool.why(jobs[0])) and reason.kind in _WORTH_TELLING:
            screen.say(reason.text)
    if given.json:
        told = [public(job) for job in jobs]
        print(as_json(told[0] if len(told) == 1 and given.wait != "chain" else told))
    return exit_code(jobs) if given.wait else 0


def _waited(spool: Spool, jobs: list[Job], screen: Screen, chain: bool) -> list[Job]:
    try:
        return [ended for job in jobs for ended in (wait_chain(spool, job.id, screen) if chain else [wait(spool, job.id, screen)])]
    except KeyboardInterrupt:
        left = [job for job in jobs if (found := spool.find(job.id)) is None or found.status in (Status.QUEUED, Status.RUNNING)]
        screen.say("".join(f"\nThe job goes on. To follow it: {PROGRAM} logs -f {job.id} · to end it: {PROGRAM} cancel {job.id}" for job in left))
        raise
