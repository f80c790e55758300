"""The folder that an engine run by hand works in (`--work-dir`): which run its files are of, so that the same command goes on with it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ulid import ULID

from portal.durable import write_durably
from portal.errors import BadParameters

_STATE, _LOCK = "work.json", ".work.lock"


@dataclass(frozen=True)
class Turn:
    """One run in a work folder."""

    engine: str
    params: str
    """SHA-256 of the parameters that matter for the outcome."""
    job_id: str
    attempt: int = 1

    @property
    def goes_on(self) -> bool:
        """An earlier run is gone on with."""
        return self.attempt > 1


def digest(params: Mapping[str, Any], dry_run: bool) -> str:
    return hashlib.sha256(json.dumps([params, dry_run], sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def turn(folder: Path, engine: str, params: str) -> Iterator[Turn]:
    """Take the folder for one run: the next attempt of the one before it when that had the same parameters and left something to do, else a new one.

    Raises BadParameters when the folder holds the files of another engine, or another process works in it."""
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadParameters(f"Another run works in {folder}.", hint="Wait for its end, or name another folder with --work-dir.") from None
        found = _next(folder, engine, params)
        if not found.goes_on:
            _forget(folder)
        write_durably(folder / _STATE, json.dumps(asdict(found)).encode())
        yield found


def _next(folder: Path, engine: str, params: str) -> Turn:
    before = _before(folder)
    if before and before.engine != engine:
        hint = "Name another folder with --work-dir, or empty this one."
        raise BadParameters(f"{folder} holds the files of a run of {before.engine}.", hint=hint)
    if before is None or before.params != params or _over(folder, before.attempt):
        return Turn(engine, params, str(ULID()))
    return Turn(engine, params, before.job_id, before.attempt + 1)


def _before(folder: Path) -> Turn | None:
    try:
        return Turn(**json.loads((folder / _STATE).read_bytes()))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def _over(folder: Path, attempt: int) -> bool:
    """Whether nothing of an attempt is left to go on with: it succeeded, or it failed for good before it did anything."""
    try:
        result = json.loads((folder / f"result-{attempt}.json").read_bytes())
        if result["outcome"] != "failed":
            return str(result["outcome"]) != "partial"
        error = result["error"]
        done = any(count for name, count in result["counts"].items() if name != "listed")
        return not (done or bool(error["retryable"]) or error["type"] == "Cancelled")
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return False


def _forget(folder: Path) -> None:
    """What an earlier run left that a new one would take for its own."""
    for path in (folder / "checkpoint.json", *folder.glob("result-*.json")):
        path.unlink(missing_ok=True)
