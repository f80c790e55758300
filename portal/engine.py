"""The frame an engine runs in: parameters in, progress and checkpoints on the way, one result out.

An engine file is a `Params` model, a `run(params, job)` and two closing lines that make it a command::

    if __name__ == "__main__":
        engine.command(Params, run)

The same file is started by the runner (`--job-fd N`: job and secrets arrive over that descriptor) and by a person (flags made
from `Params`). Exit codes: 0 succeeded, 3 partial, 1 failed (retryable), 2 wrong parameters (never retried).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portal import catalog, clock, settings, work_folder
from portal.connections import Connections
from portal.context import JobContext, Outcome, Result
from portal.errors import BadParameters, Cancelled, PortalError, causes, explain, tame
from portal.params import EngineParams, param
from portal.redact import Redactor

__all__ = ["EngineParams", "JobContext", "Result", "command", "param"]

_ONE_SIGNAL_S = 0.3

EXIT_OK, EXIT_FAILED, EXIT_REJECTED, EXIT_PARTIAL = 0, 1, 2, 3

_EXIT_CODES: dict[Outcome, int] = {
    "succeeded": EXIT_OK, "partial": EXIT_PARTIAL, "failed": EXIT_FAILED, "rejected": EXIT_REJECTED,
}  # fmt: skip


class _LogFormatter(logging.Formatter):
    """Lines after the first are indented: no name with a line break in it makes a message of its own."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        moment = clock.iso(int(record.created * 1000))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + super().formatException(record.exc_info)
        level = "WARN" if record.levelname == "WARNING" else record.levelname
        first, *more = tame(text).removesuffix("\n").split("\n")
        lines = [first, *(line if line.startswith("  ") else f"  {line}" for line in more)]
        return "\n".join(f"{moment} {level:<5} {self._redact(line)}" for line in lines)


def log_to_stderr(redact: Redactor, level: int = logging.INFO) -> None:
    """Send the engine's log to standard error, redacted, one moment and level a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LogFormatter(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("portal").setLevel(level)


Run = Callable[[Any, JobContext], Result]


def execute(params_type: type[EngineParams], run: Run, params: Mapping[str, Any], job: JobContext, redact: Redactor) -> int:
    """Validate, run, record; returns the exit code. Whatever an engine raises ends in the result file as a clear error."""
    started = time.monotonic()
    try:
        result = {**asdict(run(catalog.read_params(params_type, params), job)), "error": None}
    except BadParameters as error:
        result = _failure(error, "rejected", job)
    except PortalError as error:
        if isinstance(error, Cancelled):
            error.hint = error.hint or job.goes_on
        result = _failure(error, "failed", job)
    except Exception as error:
        place = job.artefact(f"traceback-{job.attempt}.txt")
        place.write_text(redact("".join(traceback.format_exception(error))), "utf-8", "backslashreplace")
        surprise = PortalError("The engine failed in a way it does not know.", hint=f"The traceback is in {place}; please report it.")
        surprise.__cause__ = error
        result = _failure(surprise, "failed", job, retryable=True)
    result["timings"] = {**result["timings"], "total_s": round(time.monotonic() - started, 3)}
    job.finish(_redacted(result, redact))
    return _EXIT_CODES[result["outcome"]]


def _failure(error: PortalError, outcome: Outcome, job: JobContext, retryable: bool | None = None) -> dict[str, Any]:
    job.log.error("%s", explain(error))
    first, *rest = dict.fromkeys(str(cause) or type(cause).__name__ for cause in causes(error))
    told = {
        "type": type(error).__name__, "message": first, "causes": rest, "hint": error.hint,
        "retryable": error.retryable if retryable is None else retryable,
    }  # fmt: skip
    return {**asdict(job.so_far or Result()), "outcome": outcome, "error": told}


def _redacted(value: Any, redact: Redactor) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item, redact) for key, item in value.items()}
    return [_redacted(item, redact) for item in value] if isinstance(value, list | tuple) else value


def command(params_type: type[EngineParams], run: Run) -> None:
    """The closing line of every engine: run as a job or as a command, then exit with its code."""
    module = sys.modules["__main__"]
    name = Path(str(module.__file__)).stem
    spec = catalog.describe(name, module.__doc__ or "", params_type)
    arguments = _parser(spec).parse_args()
    try:
        sys.exit(_as_job(arguments.job_fd, spec, run) if arguments.job_fd is not None else _as_command(arguments, spec, run))
    except PortalError as error:
        print(f"{name}: {explain(error)}", file=sys.stderr)
        sys.exit(EXIT_REJECTED if isinstance(error, BadParameters) else EXIT_FAILED)


_EPILOG = """Credentials come from named connections and from the file .env in PORTAL_HOME, whose variables .env.example tells (AWS_ACCESS_KEY_ID,
AZURE_STORAGE_SAS_TOKEN, …), else from the default chain of the cloud's SDK. `python -m portal connections` lists them.

Whatever came of it, ledger.parquet, conflicts.csv and the other files of a run are in its --work-dir, whose name is logged at the end; those of a
job are in the folder that `python -m portal show ID` names.

Exit status: 0 succeeded, 3 partial, 1 failed, 2 wrong parameters. Submit it as a job instead: python -m portal submit {engine} …"""


def _parser(spec: catalog.EngineSpec) -> argparse.ArgumentParser:
    parser = catalog.FlagParser(
        prog=f"python -m engines.{spec.name}", description=f"{spec.summary}\n\n{spec.description}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG.format(engine=spec.name),
    )  # fmt: skip
    parser.add_argument("--job-fd", type=int, help=argparse.SUPPRESS)
    catalog.add_flags(parser, spec)
    running = parser.add_argument_group("Running")
    running.add_argument("--params", metavar="FILE", help="JSON file with parameters; flags win over it ('-': standard input)")
    running.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    running.add_argument("--work-dir", metavar="DIR", help="folder for ledger, plan and rejects (default: a new temporary one); "
        "the same command with the same folder goes on with a run that did not succeed")
    running.add_argument("--quiet", action="store_true", help="log only warnings and errors")
    return parser


def _as_job(descriptor: int, spec: catalog.EngineSpec, run: Run) -> int:
    with os.fdopen(descriptor, "rb") as pipe:
        order = json.load(pipe)
    redact = Redactor(order.get("redact", ()))
    log_to_stderr(redact)
    labels = order["job"].get("labels", {})
    job = JobContext(
        order["job"]["id"], Path(order["folder"]), settings.load(), attempt=order["attempt"], typed_connections=order.get("connections"),
        retry_of=order["job"].get("retry_of"), parent=order["job"].get("parent"), dry_run=bool(labels.get("dry_run")), labels=labels,
    )  # fmt: skip
    job.goes_on = f"`python -m portal retry {job.job_id}` does what is left."
    # No second signal ends it: a service manager and the runner may send one each, and the runner kills what does not end.
    signal.signal(signal.SIGTERM, lambda *_: job.interrupt())
    return _left(execute(spec.params, run, order["job"]["params"], job, redact), job)


def _left(code: int, job: JobContext) -> int:
    """Return the exit code; after a cancel end at once where threads still wait for a service that does not answer."""
    if job.cancelled() and any(not thread.daemon for thread in threading.enumerate() if thread is not threading.current_thread()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


def _stop_on_signals(job: JobContext) -> None:
    """The first SIGTERM or SIGINT cancels the job, another one ends the process. Those that come together are one: `timeout` sends two."""
    first_at = 0.0

    def stop(number: int, _: object) -> None:
        nonlocal first_at
        now = time.monotonic()
        if first_at and now - first_at > _ONE_SIGNAL_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        first_at = first_at or now
        job.interrupt()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _as_command(arguments: argparse.Namespace, spec: catalog.EngineSpec, run: Run) -> int:
    config = settings.load()
    folder = _work_folder(arguments, spec)
    redact = Redactor(Connections.load(config).secrets())
    log_to_stderr(redact, logging.WARNING if arguments.quiet else logging.INFO)
    given = {**_params_file(arguments.params), **catalog.from_flags(arguments, spec)}
    paces = {item.name for item in spec.fields if item.group == "Speed"}
    known = work_folder.digest({name: value for name, value in given.items() if name not in paces}, arguments.dry_run)
    with work_folder.turn(folder, spec.name, known) as turn:
        job = JobContext(turn.job_id, folder, config, attempt=turn.attempt, dry_run=arguments.dry_run)
        job.tells = True
        job.goes_on = f"The same command with --work-dir {shlex.quote(str(folder))} goes on from there."
        if turn.goes_on:
            job.log.info("attempt %s: going on with the run that %s holds", turn.attempt, folder)
        _stop_on_signals(job)
        code = execute(spec.params, run, given, job, redact)
        print((folder / f"result-{turn.attempt}.json").read_text("utf-8"))
        job.log.info("files of this run are in %s", folder)
    return _left(code, job)


def _work_folder(arguments: argparse.Namespace, spec: catalog.EngineSpec) -> Path:
    folder = Path(arguments.work_dir) if arguments.work_dir else Path(tempfile.mkdtemp(prefix=f"portal-{spec.name}-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise BadParameters(f"{folder} cannot be the work folder: {why}.", hint="Name another folder with --work-dir.") from None
    return folder


def _params_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
        data = json.loads(text)
    except (OSError, ValueError) as error:
        raise BadParameters(f"The parameters in {path} cannot be read.", hint="It must be a JSON object of parameters.") from error
    if not isinstance(data, dict):
        raise BadParameters(f"{path} holds no JSON object.", hint='Write {"source": "s3://bucket/prefix", …}.')
    return data
