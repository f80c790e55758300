"""One audit row: a pure function of one archive record. Nothing here reads a clock, a file or a setting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from portal import clock
from portal.errors import BadJobFile
from portal.jobs import Job
from portal.redact import Redactor

VERSION = 1
"""Of the row; raise it when a column is added or means something else, and compacted days are made again."""

UNREADABLE = "unreadable"
"""Status of a record that nobody can read: it is shown, never left out."""

PROOF_LEVELS = ("read-back", "end-to-end", "streamed", "size", "converted", "none")

Type = Literal["text", "integer", "number", "time"]


@dataclass(frozen=True)
class Column:
    """One column: its type and what it says. `time` is UTC with milliseconds."""

    name: str
    type: Type
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("job_id", "text", "Id of the job (ULID)"),
    Column("name", "text", "Name given to the job, else its engine"),
    Column("engine", "text", "Engine that ran"),
    Column("status", "text", f"succeeded, partial, failed, cancelled, rejected; {UNREADABLE} when the record cannot be read"),
    Column("submitted_by", "text", "Who submitted it"),
    Column("submitted_at", "time", "When it was submitted"),
    Column("started_at", "time", "When its first attempt started; empty when none did"),
    Column("finished_at", "time", "When it finished"),
    Column("wait_s", "number", "Seconds from being due (submitted, or not-before when that is later) to the first attempt"),
    Column("duration_s", "number", "Seconds from the first attempt to the end, pauses between attempts included"),
    Column("priority", "integer", "0 (most urgent) to 9"),
    Column("attempts", "integer", "Times the engine was started"),
    Column("interruptions", "integer", "Times a dying host, worker or runner cut it off"),
    Column("objects_listed", "integer", "Objects found in the source"),
    Column("objects_copied", "integer", "Objects copied as they are"),
    Column("objects_converted", "integer", "Objects converted on the way"),
    Column("objects_skipped", "integer", "Objects left because the target has them"),
    Column("objects_failed", "integer", "Objects that failed"),
    Column("objects_excluded", "integer", "Objects that the filters left out"),
    Column("bytes", "integer", "Bytes moved"),
    Column("rows_in", "integer", "Rows read"),
    Column("rows_out", "integer", "Rows written"),
    Column("rows_rejected", "integer", "Rows that did not fit and went to the rejects file"),
    Column("rows_filtered", "integer", "Rows that a conversion's where left out"),
    *(Column(f"proof_{level.replace('-', '_')}", "integer", f"Objects whose proof reached the level '{level}'") for level in PROOF_LEVELS),
    Column("source", "text", "Where it read from"),
    Column("target", "text", "Where it wrote to"),
    Column("parent", "text", "Job whose end submitted this one, or that it was derived from"),
    Column("retry_of", "text", "Job that this one does again"),
    Column("error", "text", "What went wrong and what to do, as it was shown"),
    Column("exit_code", "integer", "Of the last attempt's engine"),
    Column("worker", "text", "Worker of the last attempt"),
    Column("host", "text", "Host of the last attempt"),
    Column("cpu_s", "number", "CPU seconds of all attempts"),
    Column("peak_memory_bytes", "integer", "Most memory that an attempt used"),
    Column("warnings", "integer", "Warnings of the result"),
    Column("outputs", "integer", "Things the job made"),
    Column("labels", "text", "Labels, as JSON"),
    Column("record_sha256", "text", "SHA-256 of the archive record that this row was made from"),
)

_TEXT_LIMIT = 4000
_INT64 = range(-(2**63), 2**63)
_redact = Redactor()


def row(record: bytes, job_id: str) -> dict[str, Any]:
    """Return the audit row of an archive record: a value for every column, None where the record has none. Never raises.

    Args:
        record: the file's bytes.
        job_id: the id the file is named by; a record that tells another is unreadable.
    """
    digest = hashlib.sha256(record).hexdigest()
    try:
        job = Job.from_json(record.decode("utf-8"))
        if job.id != job_id:
            raise BadJobFile(f"The record tells of another job, {job.id}.")
        values = _values(job)
    except Exception as error:  # whatever somebody made of the record, the report goes on and shows it
        reason = f"The archive record cannot be read: {type(error).__name__}: {error}"
        values = {"name": job_id, "status": UNREADABLE, "error": _text(reason)}
    return {column.name: None for column in COLUMNS} | values | {"job_id": job_id, "record_sha256": digest}


def _values(job: Job) -> dict[str, Any]:
    result: Mapping[str, Any] = job.result or {}
    return {
        "name": _text(job.name), "engine": _text(job.engine), "status": job.status.value, "submitted_by": _text(job.submitted_by),
        "priority": job.priority, "attempts": len(job.attempts), "interruptions": _integer(job.interruptions),
        "source": _place(job.params, "source"), "target": _place(job.params, "target") or _first_output(result),
        "parent": _text(job.parent), "retry_of": _text(job.retry_of), "error": _text(job.error),
        "bytes": _integer(result.get("bytes")), "warnings": _length(result.get("warnings")), "outputs": _length(result.get("outputs")),
        "labels": _text(json.dumps(dict(job.labels), sort_keys=True, ensure_ascii=False)) if job.labels else None,
        **_times(job), **_last_attempt(job), **_counts(result), **_proof(result),
    }  # fmt: skip


def _times(job: Job) -> dict[str, Any]:
    submitted, due, finished = _moment(job.submitted_at), _moment(job.not_before), _moment(job.finished_at)
    started = _moment(job.attempts[0].started_at) if job.attempts else None
    ready = max(submitted, due) if submitted and due else submitted
    return {
        "submitted_at": submitted, "started_at": started, "finished_at": finished,
        "wait_s": _seconds(ready, started), "duration_s": _seconds(started, finished),
    }  # fmt: skip


def _last_attempt(job: Job) -> dict[str, Any]:
    if not job.attempts:
        return {}
    last = job.attempts[-1]
    cpu = [used for used in (_number(attempt.cpu_s) for attempt in job.attempts) if used is not None]
    memory = [used for used in (_integer(attempt.peak_memory_bytes) for attempt in job.attempts) if used is not None]
    return {
        "exit_code": _integer(last.exit_code), "worker": _text(last.worker), "host": _text(last.host),
        "cpu_s": round(sum(cpu), 3) if cpu else None, "peak_memory_bytes": max(memory, default=None),
    }  # fmt: skip


def _counts(result: Mapping[str, Any]) -> dict[str, int | None]:
    counts = _mapping(result.get("counts"))
    values = {f"objects_{name}": _integer(counts.get(name)) for name in ("listed", "copied", "converted", "skipped", "failed", "excluded")}
    for name in ("rows_in", "rows_out", "rows_rejected", "rows_filtered"):
        values[name] = _integer(counts.get(name))
    if values["rows_out"] is None:
        values["rows_out"] = _integer(counts.get("rows"))
    return values


def _proof(result: Mapping[str, Any]) -> dict[str, int | None]:
    proof = _mapping(_mapping(result.get("report")).get("proof"))
    return {f"proof_{level.replace('-', '_')}": _integer(proof.get(level)) for level in PROOF_LEVELS}


def _first_output(result: Mapping[str, Any]) -> str | None:
    outputs = result.get("outputs")
    first = outputs[0] if isinstance(outputs, list | tuple) and outputs else None
    return _place(_mapping(first), "url")


def _place(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if isinstance(value, list | tuple):
        return _text(" ".join(str(item) for item in value))
    return _text(value) if isinstance(value, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | tuple) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _INT64 else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None


def _text(value: Any) -> str | None:
    """Text that any Parquet or warehouse takes: no lone surrogates, no NUL, of a bounded length, without secrets."""
    if value is None or value == "":
        return None
    clean = str(value).encode("utf-8", "replace").decode("utf-8").replace("\0", "�")
    clean = _redact(clean)
    return clean if len(clean) <= _TEXT_LIMIT else clean[: _TEXT_LIMIT - 1] + "…"


def _moment(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment_ms = clock.parse_ms(text)
        return datetime.fromtimestamp(moment_ms // 1000, UTC).replace(microsecond=moment_ms % 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round(max(0.0, (end - start).total_seconds()), 3) if start and end else None
