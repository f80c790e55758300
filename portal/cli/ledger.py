"""`ledger`: what a job did to each object."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from portal.cli import ledger_text
from portal.cli.parsing import PROGRAM, add_json, find, parser
from portal.errors import BadParameters, NotFound
from portal.jobs import Job, Status
from portal.ledger import export as ledger_export
from portal.ledger import ledger as ledgers
from portal.ledger import view as ledger_view
from portal.ledger.kinds import Chosen
from portal.ledger.view import View
from portal.settings import Settings
from portal.spool import Spool

_ABOUT = """List what a job did to each object: outcome, level of proof, how its bytes went, and why it failed or was skipped.

The filters hold together; one that is given several times lets each of its values pass. A ledger of any size is read as far as is needed, and
written as it is read."""

_USAGE = "ID [--failed] [--group] [--outcome X] [--cause X] [--proof X] [--mode X] [--grep TEXT] [--limit N] [--format F] [-o FILE]"
_FORMATS = ("table", *ledger_export.SHAPES)
_KNOWN = {
    "outcome": (*ledgers.OUTCOMES, "deleted"), "cause": ledgers.CAUSES, "mode": ("server", "stream", "convert", "local"),
    "proof": ("read-back", "end-to-end", "streamed", "converted", "size", "none"),
}  # fmt: skip


def ledger(arguments: list[str], settings: Settings) -> int:
    """List what a job did to each object."""
    given = _parser().parse_args(arguments)
    shape = _shape(given)
    spool = Spool(settings)
    job = find(spool, given.id)
    view = _opened(spool, job)
    chosen = _chosen(given, view)
    with _output(given.output) as file:
        count = _write(view, chosen, given, shape, file)
    for line in _notes(job, view, chosen, given, count):
        print(line, file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = parser("ledger", _ABOUT, _USAGE)
    made.add_argument("id", metavar="ID")
    rows = made.add_argument_group("Which objects")
    rows.add_argument("--failed", action="store_true", help="only objects that failed: the same as --outcome failed")
    rows.add_argument("--outcome", action="append", metavar="X", help=", ".join(_KNOWN["outcome"]))
    rows.add_argument("--cause", action="append", metavar="X", help=f"cause of a failure: {', '.join(_KNOWN['cause'])}")
    rows.add_argument("--proof", action="append", metavar="X", help=f"level of proof: {', '.join(_KNOWN['proof'])}")
    rows.add_argument("--mode", action="append", metavar="X", help=f"how the bytes went: {', '.join(_KNOWN['mode'])}")
    rows.add_argument("--grep", metavar="TEXT", default="", help="only objects whose source, target or reason contains this, in whatever case")
    rows.add_argument("--offset", type=int, metavar="N", default=0, help="pass over the first N of them")
    rows.add_argument("--limit", type=int, metavar="N", help="at most so many")
    shown = made.add_argument_group("Output")
    shown.add_argument("--group", action="store_true", help="group them by root cause: how many, how large, an example, and what to do")
    shown.add_argument("--format", choices=_FORMATS, help="default: by the name after -o, else table")
    shown.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output; the file appears whole")
    add_json(shown)
    return made


def _shape(given: argparse.Namespace) -> str:
    """Return the format, and check what belongs to the output. Raises BadParameters."""
    ending = Path(given.output or "").suffix.removeprefix(".")
    shape: str = given.format or ("json" if given.json else ending if ending in _FORMATS else "table")
    if shape == "parquet" and not given.output:
        raise BadParameters("Parquet does not go to a terminal.", hint="Name a file with -o ledger.parquet.")
    if given.offset < 0 or (given.limit or 0) < 0:
        raise BadParameters("--offset and --limit count objects: 0 or more.")
    if given.group and (given.offset or given.limit is not None):
        raise BadParameters("--group counts every object that fits; --offset and --limit do not go with it.")
    return shape


def _opened(spool: Spool, job: Job) -> View:
    path = ledger_view.path_in(spool.folder(job.id))
    if path:
        return ledger_view.view(path)
    if not job.status.finished:
        raise NotFound(f"Job {job.id} has no ledger yet ({job.engine}, {job.status}).", hint="It is written when the job has ended.")
    hint = "Engines that move or convert objects write one, when they have begun with the first."
    raise NotFound(f"Job {job.id} has no ledger ({job.engine}, {job.status}).", hint=hint)


def _chosen(given: argparse.Namespace, view: View) -> Chosen:
    """Return the filter. Raises BadParameters for a value that no ledger has."""
    wanted: dict[str, tuple[str, ...]] = {name: tuple(getattr(given, name) or ()) for name in _KNOWN}
    if given.failed:
        if set(wanted["outcome"]) - {"failed"}:
            raise BadParameters("--failed and another --outcome exclude each other.")
        wanted["outcome"] = ("failed",)
    for name, values in wanted.items():
        known = dict.fromkeys((*_KNOWN[name], *filter(None, view.counts(name))))
        if strange := [value for value in values if value not in known]:
            raise BadParameters(f"--{name}: there is no {name} {strange[0]!r}.", hint=f"There are {', '.join(known)}.")
    return Chosen(**wanted, text=given.grep)


@contextmanager
def _output(name: str | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that gets its name when all is in it. Raises BadParameters when it cannot be written."""
    if name is None:
        yield sys.stdout.buffer
        return
    path = Path(name)
    fresh = path.with_name(f".{path.name}.part")
    try:
        with fresh.open("wb") as file:
            yield file
        fresh.replace(path)
    except OSError as error:
        raise BadParameters(f"{name} cannot be written.") from error
    finally:
        fresh.unlink(missing_ok=True)


def _write(view: View, chosen: Chosen, given: argparse.Namespace, shape: str, file: IO[bytes]) -> int:
    if given.group:
        return ledger_text.write_groups(view.groups(chosen), shape, given.id, file)
    tables = view.batches(chosen, given.offset, given.limit)
    if shape == "table":
        return ledger_text.write_table(tables, file)
    return ledger_export.write(tables, view.schema, shape, file)


def _notes(job: Job, view: View, chosen: Chosen, given: argparse.Namespace, count: int) -> Iterator[str]:
    """Say what stands beside the rows, on standard error: where they are, how many there are, and how to do the failed ones again."""
    if given.output:
        yield f"{count:,} {'groups' if given.group else 'objects'} in {given.output}"
    elif given.limit is not None and not chosen.text:
        fitting = sum(sums.objects for sums in view.kinds(chosen).values())
        yield f"{count:,} of {fitting:,} objects"
    failed = view.counts("outcome").get("failed")
    if failed and job.status.finished and job.status is not Status.SUCCEEDED and (given.failed or given.group):
        yield f"To do only the {failed.objects:,} that failed again: {PROGRAM} retry {job.id}"
