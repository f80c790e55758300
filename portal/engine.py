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
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ulid import ULID

from portal import catalog, clock, settings
from portal.connections import KIND_OF_SCHEME, Connections
from portal.durable import write_durably
from portal.errors import BadParameters, Cancelled, PortalError, causes, explain
from portal.params import EngineParams, param
from portal.progress import Progress
from portal.redact import Redactor
from portal.stores.base import Store
from portal.stores.opening import open_store
from portal.stores.url import StoreURL

EXIT_OK, EXIT_FAILED, EXIT_REJECTED, EXIT_PARTIAL = 0, 1, 2, 3

_PROGRESS_EVERY_S = 0.5
_RATE_WINDOW_S = 30.0

__all__ = ["EngineParams", "JobContext", "Result", "command", "param"]

Outcome = Literal["succeeded", "partial", "failed", "rejected"]


@dataclass(frozen=True)
class Result:
    """What an engine did. Counts are of objects or rows as named; timings in seconds."""

    outcome: Outcome = "succeeded"
    counts: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    outputs: tuple[Mapping[str, Any], ...] = ()
    """What the job made, each with at least a `url`; follow-ups quote these."""
    warnings: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is worth showing: proof levels, per-column figures, query ids."""


class JobContext:
    """What an engine may do besides its work. Made by the frame, one per attempt."""

    def __init__(
        self, job_id: str, folder: Path, config: settings.Settings, *, attempt: int = 1, dry_run: bool = False, retry_of: str | None = None,
        typed_connections: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        self.job_id, self.attempt, self.folder, self.settings, self.dry_run = job_id, attempt, folder, config, dry_run
        self.retry_of = retry_of
        self._typed = typed_connections
        self._cancelled = threading.Event()
        self._progress = Progress(attempt=attempt, started_ms=clock.now_ms())
        self._seen: deque[tuple[float, float, int]] = deque()
        self._written = 0.0
        self._lock = threading.Lock()
        self.log = logging.getLogger("portal.engine")

    @cached_property
    def connections(self) -> Connections:
        return Connections.load(self.settings, self._typed)

    def connection(self, kind: str, name: str | None = None) -> Any:
        """Return a connection by kind and name ('' or None: the default). Raises SettingError."""
        return self.connections.get(kind, name)

    def store(self, url: StoreURL, connection: str | None = None) -> Store:
        """Open the store a URL names, with a named connection or the default of its scheme. Raises SettingError and StoreErrors."""
        return open_store(url, self.connection(KIND_OF_SCHEME[url.scheme], connection))

    @property
    def earlier_folder(self) -> Path | None:
        """Folder of the finished job that this one retries, with its ledger; None when it retries none or the folder is gone."""
        folder = self.settings.logs_dir / self.retry_of if self.retry_of else None
        return folder if folder and folder.is_dir() else None

    def artefact(self, name: str) -> Path:
        """Return the path of a file of this job; it is listed, with its checksum, in the archive record."""
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"{name!r} is not a plain file name")
        return self.folder / name

    def progress(self, done: float, total: float | None = None, unit: str = "", note: str = "", done_bytes: int = 0) -> None:
        """Tell how far the work is; cheap to call often, from any thread. Raises Cancelled when the job was cancelled."""
        with self._lock:
            now = time.monotonic()
            self._seen.append((now, done, done_bytes))
            while len(self._seen) > 2 and self._seen[0][0] < now - _RATE_WINDOW_S:
                self._seen.popleft()
            before, done_before, bytes_before = self._seen[0]
            span = max(now - before, 1e-3)
            self._progress = Progress(
                done, total, unit, note, done_bytes, max(0.0, (done - done_before) / span), max(0.0, (done_bytes - bytes_before) / span),
                self.attempt, self._progress.started_ms, clock.now_ms(),
            )  # fmt: skip
            if now - self._written >= _PROGRESS_EVERY_S:
                self._written = now
                self._write_progress()
        self.check_cancelled()

    def _write_progress(self) -> None:
        target = self.folder / "progress.json"
        fresh = target.with_name(f".progress.{os.getpid()}")
        fresh.write_text(self._progress.to_json(), "utf-8")
        fresh.replace(target)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return what an earlier attempt of this job saved last, or None."""
        try:
            data: Any = json.loads((self.folder / "checkpoint.json").read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep a small state durably, for the next attempt."""
        write_durably(self.folder / "checkpoint.json", json.dumps(state).encode())

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def check_cancelled(self) -> None:
        """Raises Cancelled when the job was asked to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the last progress and this attempt's result."""
        with self._lock:
            self._write_progress()
        data = json.dumps({"job": self.job_id, "attempt": self.attempt, **result}, ensure_ascii=False, indent=1, default=str)
        write_durably(self.folder / f"result-{self.attempt}.json", data.encode())


class _LogFormatter(logging.Formatter):
    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        moment = clock.iso(int(record.created * 1000))
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + super().formatException(record.exc_info)
        level = "WARN" if record.levelname == "WARNING" else record.levelname
        return "\n".join(f"{moment} {level:<5} {self._redact(line)}" for line in text.splitlines() or [""])


def log_to_stderr(redact: Redactor, level: int = logging.INFO) -> None:
    """Send the engine's log to standard error, redacted, one moment and level a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LogFormatter(redact))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("portal").setLevel(level)


Run = Callable[[Any, JobContext], Result]


def execute(params_type: type[EngineParams], run: Run, params: Mapping[str, Any], job: JobContext, redact: Redactor) -> int:
    """Validate, run, record; returns the exit code. Nothing an engine raises gets past here as a traceback alone."""
    started = time.monotonic()
    try:
        outcome = run(catalog.read_params(params_type, params), job)
        result = {**asdict(outcome), "error": None}
        code = EXIT_PARTIAL if outcome.outcome == "partial" else EXIT_FAILED if outcome.outcome == "failed" else EXIT_OK
    except BadParameters as error:
        result, code = _failure(error, "rejected", job, redact), EXIT_REJECTED
    except PortalError as error:
        result, code = _failure(error, "failed", job, redact), EXIT_FAILED
    except Exception as error:
        job.log.debug("traceback", exc_info=True)
        job.log.error("unexpected %s", type(error).__name__, exc_info=True)
        result, code = _failure(error, "failed", job, redact), EXIT_FAILED
    result["timings"] = {**result.get("timings", {}), "total_s": round(time.monotonic() - started, 3)}
    job.finish(result)
    return code


def _failure(error: Exception, outcome: Outcome, job: JobContext, redact: Redactor) -> dict[str, Any]:
    job.log.error("%s", explain(error))
    chain = [redact(str(cause)) or type(cause).__name__ for cause in causes(error)]
    told = {"type": type(error).__name__, "message": chain[0], "causes": chain[1:], "hint": redact(getattr(error, "hint", "")),
            "retryable": getattr(error, "retryable", True)}  # fmt: skip
    return {**asdict(Result(outcome=outcome)), "error": told}


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


def _parser(spec: catalog.EngineSpec) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m engines.{spec.name}", description=f"{spec.summary}\n\n{spec.description}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 succeeded, 3 partial, 1 failed, 2 wrong parameters. Submit it as a job instead: "
        f"python -m portal submit {spec.name} …",
    )  # fmt: skip
    parser.add_argument("--job-fd", type=int, help=argparse.SUPPRESS)
    catalog.add_flags(parser, spec)
    running = parser.add_argument_group("Running")
    running.add_argument("--params", metavar="FILE", help="JSON file with parameters; flags win over it ('-': standard input)")
    running.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    running.add_argument("--work-dir", metavar="DIR", help="folder for ledger, plan and rejects (default: a new temporary one)")
    running.add_argument("--quiet", action="store_true", help="log only warnings and errors")
    return parser


def _as_job(descriptor: int, spec: catalog.EngineSpec, run: Run) -> int:
    with os.fdopen(descriptor, "rb") as pipe:
        order = json.load(pipe)
    redact = Redactor(order.get("redact", ()))
    log_to_stderr(redact)
    job = JobContext(
        order["job"]["id"], Path(order["folder"]), settings.load(), attempt=order["attempt"], typed_connections=order.get("connections"),
        retry_of=order["job"].get("retry_of"), dry_run=bool(order["job"].get("labels", {}).get("dry_run")),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: job.cancel())
    return execute(spec.params, run, order["job"]["params"], job, redact)


def _as_command(arguments: argparse.Namespace, spec: catalog.EngineSpec, run: Run) -> int:
    config = settings.load()
    folder = Path(arguments.work_dir) if arguments.work_dir else Path(tempfile.mkdtemp(prefix=f"portal-{spec.name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    redact = Redactor(Connections.load(config).secrets())
    log_to_stderr(redact, logging.WARNING if arguments.quiet else logging.INFO)
    job = JobContext(str(ULID()), folder, config, dry_run=arguments.dry_run)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: job.cancel())
    given = {**_params_file(arguments.params), **catalog.from_flags(arguments, spec)}
    code = execute(spec.params, run, given, job, redact)
    print((folder / "result-1.json").read_text("utf-8"))
    job.log.info("files of this run are in %s", folder)
    return code


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
