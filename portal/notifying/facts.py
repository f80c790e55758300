"""What is told of a job: plain values, from its archive record, or from its running one. Nothing here reads a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self
from urllib.parse import quote

from portal import audit_row, clock
from portal.errors import BadParameters, tame
from portal.jobs import ID_PATTERN, Job
from portal.redact import Redactor

_redact = Redactor()
_MOST_TEXT = 2000
_MOST_WARNINGS = 5
_MOST_COUNTS = 12
_BOUND = 2**63
"""What no number reaches: beyond it, or without an end, it is neither JSON nor a figure to show."""

WORDS = {
    "succeeded": "succeeded", "partial": "succeeded in part", "failed": "failed", "rejected": "was rejected", "cancelled": "was cancelled",
    "slower": "is running longer than usual", "test": "Test message",
}  # fmt: skip
"""What happened, by event, as the end of a sentence that begins with the job's name."""


@dataclass(frozen=True)
class Facts:
    """One thing to tell, of one job. Texts are tame, of a bounded length and without secrets."""

    event: str
    """A key of `WORDS`."""
    at: str
    """When it happened (RFC 3339)."""
    job_id: str = ""
    name: str = ""
    engine: str = ""
    submitted_by: str = ""
    submitted_at: str = ""
    started_at: str = ""
    finished_at: str = ""
    duration_s: float | None = None
    """From the first attempt to the end, or to now."""
    attempts: int = 0
    source: str = ""
    target: str = ""
    trigger: str = ""
    trigger_event: str = ""
    dry_run: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    error: str = ""
    warnings: tuple[str, ...] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    """Of a job that is slower: `median_s`, `p95_s` and `limit_s` of `runs` earlier ones."""

    @property
    def key(self) -> str:
        """Names this news and no other: the same whenever it is sent again."""
        return f"{self.job_id}-{self.event}" if self.job_id else f"test-{clock.parse_ms(self.at)}"

    @property
    def title(self) -> str:
        if self.event == "test":
            return "Test message: notifications of the Data Operations Portal arrive here"
        return f"{self.name}{' (dry run)' if self.dry_run else ''} {WORDS[self.event]}"

    def link(self, portal_url: str) -> str:
        """Return the address of the job's page, '' when nobody said where the portal is."""
        return f"{portal_url.rstrip('/')}/job?id={quote(self.job_id)}" if portal_url and self.job_id else ""

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read facts that `asdict` wrote; whoever wrote them, texts are made tame. Raises BadParameters."""
        kinds = {item.name: type(getattr(_EXAMPLE, item.name)) for item in fields(cls)} | _WIDER
        for name, value in data.items():
            if not isinstance(value, kinds.get(name, ())):
                raise _strange(name, value)
            if not all(map(_countable, value.values() if isinstance(value, Mapping) else [value])):
                raise BadParameters(f"facts: a number in {name!r} is not finite or too large.", hint=_HINT)
        if data.get("event") not in WORDS:
            raise _strange("event", data.get("event"))
        if data.get("job_id") and not ID_PATTERN.fullmatch(data["job_id"]):
            raise _strange("job_id", data["job_id"])
        clean: dict[str, Any] = {name: value for name, value in data.items() if not isinstance(value, str)}
        clean |= {name: (_text if name == "error" else _line)(value) for name, value in data.items() if isinstance(value, str)}
        return cls(**{
            **clean, "at": _moment(data.get("at")), "warnings": _texts(data.get("warnings")), "counts": _counts(data.get("counts")),
            "usual": _numbers(data.get("usual")),
        })  # fmt: skip


_EXAMPLE = Facts("test", "")
_HINT = "The portal writes them; leave them out to tell of a job's end."
_SHOWN = 80
_WIDER: dict[str, Any] = {"duration_s": (int, float, type(None)), "warnings": (list, tuple)}


def _strange(name: str, value: Any) -> BadParameters:
    shown = repr(value[:_SHOWN]) if isinstance(value, str) else type(value).__name__
    return BadParameters(f"facts: {name[:_SHOWN]!r} cannot be {shown}.", hint=_HINT)


def _countable(value: Any) -> bool:
    """True also of what is no number."""
    return not isinstance(value, int | float) or -_BOUND < value < _BOUND


def _moment(value: Any) -> str:
    try:
        return clock.iso(clock.parse_ms(value))
    except (ValueError, TypeError, AttributeError):
        raise _strange("at", value) from None


def _numbers(given: Any) -> dict[str, float]:
    return {_line(name): value for name, value in (given or {}).items() if isinstance(value, int | float) and not isinstance(value, bool)}


def test_message(moment_ms: int) -> Facts:
    """Return what a test of a connection sends."""
    return Facts("test", clock.iso(moment_ms))


def of_end(record: bytes, job: Job) -> Facts:
    """Return what the end of a job is told by.

    Args:
        record: the archive record's bytes.
        job: what they say.
    """
    row = audit_row.row(record, job.id)
    result: Mapping[str, Any] = job.result or {}
    return Facts(
        job.status.value, job.finished_at or job.submitted_at, finished_at=job.finished_at or "", duration_s=row["duration_s"],
        bytes=row["bytes"] or 0, error=_text(job.error), counts=_counts(result.get("counts")), warnings=_texts(result.get("warnings")), **_of(job),
    )  # fmt: skip


def of_slowness(job: Job, now_ms: int, usual: Mapping[str, float]) -> Facts:
    """Return what is told of a job that still runs; `usual`: see `Facts`."""
    started = clock.parse_ms(job.attempts[0].started_at)
    return Facts("slower", clock.iso(now_ms), duration_s=max(0.0, (now_ms - started) / 1000), usual=dict(usual), **_of(job))


def _of(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id, "name": _line(job.name), "engine": job.engine, "submitted_by": _line(job.submitted_by), "submitted_at": job.submitted_at,
        "started_at": job.attempts[0].started_at if job.attempts else "", "attempts": len(job.attempts), "source": _place(job.params, "source"),
        "target": _place(job.params, "target"), "trigger": _line(job.labels.get("trigger", "")), "dry_run": bool(job.labels.get("dry_run")),
        "trigger_event": _line(job.labels.get("event", "")),
    }  # fmt: skip


def _place(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    return _line(value) if isinstance(value, str) else ""


def _counts(given: Any) -> dict[str, int]:
    counts = given if isinstance(given, Mapping) else {}
    whole = {
        _line(name): value for name, value in counts.items() if isinstance(value, int) and not isinstance(value, bool) and value and _countable(value)
    }
    return dict(list(whole.items())[:_MOST_COUNTS])


def _texts(given: Any) -> tuple[str, ...]:
    return tuple(_line(item) for item in given[:_MOST_WARNINGS]) if isinstance(given, list | tuple) else ()


def _line(value: Any) -> str:
    return " ".join(_text(value).split())


def _text(value: Any) -> str:
    """Text that JSON, mail and a terminal take; secrets that can be told by their looks are blanked before it is cut."""
    clean = _redact(tame(str(value or "").encode("utf-8", "replace").decode()))
    return clean if len(clean) <= _MOST_TEXT else clean[: _MOST_TEXT - 1] + "…"
