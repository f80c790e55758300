"""What happened: one row per finished job, for any period, as a frame and as figures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from portal import audit_days, audit_row
from portal.errors import PortalError
from portal.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = audit_row.COLUMNS
schema = audit_days.schema

_SUMS = (
    "bytes", "rows_in", "rows_out", "rows_rejected", "rows_filtered", "objects_listed", "objects_copied", "objects_converted", "objects_skipped",
    "objects_failed", "objects_excluded",
)  # fmt: skip


def days(settings: Settings, since: date | None = None, until: date | None = None) -> Iterator[tuple[date, Any]]:
    """Yield each day of a period (UTC, both ends included; None: no bound) that has jobs, with its rows as an Arrow table in order of id.

    Raises:
        PortalError: the archive cannot be read.
    """
    archive = settings.archive_dir
    try:
        for day in audit_days.days(archive, since, until):
            found = audit_days.table(archive, day).replace_schema_metadata(None)
            if found.num_rows:
                yield day, found
    except OSError as error:
        raise PortalError("The archive cannot be read.", hint=f"The portal's user must be able to read {archive}.") from error


def table(settings: Settings, since: date | None = None, until: date | None = None) -> Any:
    """Return the audit rows of the jobs that finished in a period as one Arrow table; see `days`."""
    import pyarrow as pa

    return pa.concat_tables([audit_days.schema().empty_table(), *(found for _, found in days(settings, since, until))])


def rows(settings: Settings, since: date | None = None, until: date | None = None) -> pd.DataFrame:
    """Return the audit rows of a period as a frame, newest first; times are UTC timestamps. See `table`."""
    return _frame(table(settings, since, until)).sort_values(["finished_at", "job_id"], ascending=False, ignore_index=True)


def _frame(found: Any) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = found.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv(frame: pd.DataFrame) -> str:
    """Return rows as CSV for people. A text that a spreadsheet would run as a formula gets an apostrophe in front of it.

    Anybody who may submit chooses the name of a job. Source of the characters: OWASP, "CSV Injection".
    """
    texts = frame.select_dtypes(["object", "string"])
    told: str = frame.assign(**{name: texts[name].map(_inert) for name in texts}).to_csv(index=False)
    return told


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    one = value.replace("\r\n", "\n").replace("\r", "\n")  # pandas leaves a bare return unquoted, which would begin a row
    return f"'{one}" if value.startswith(_FORMULA) else one


def summary(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of a frame of rows, as plain values.

    `jobs`, `by_status` and `by_user` {name: jobs}; `success_rate` (0 to 1, None without jobs); the sums of bytes, rows and objects;
    `proof` {level: objects}; `wait_s` and `duration_s` with median and p95; `by_engine` and `by_day` as lists of dicts for charts.
    """
    jobs = len(frame)
    status = _shares(frame, "status")
    return {
        "jobs": jobs, "by_status": status, "by_user": _shares(frame, "submitted_by"),
        "success_rate": status.get("succeeded", 0) / jobs if jobs else None,
        **{name: _sum(frame, name) for name in _SUMS},
        "proof": {level: _sum(frame, f"proof_{level.replace('-', '_')}") for level in audit_row.PROOF_LEVELS},
        "wait_s": _spread(frame, "wait_s"), "duration_s": _spread(frame, "duration_s"),
        "by_engine": _groups(frame, frame["engine"], "engine"),
        "by_day": _groups(frame, frame["finished_at"].dt.strftime("%Y-%m-%d"), "day"),
    }  # fmt: skip


def _shares(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in frame[column].value_counts().items()}


def _sum(frame: pd.DataFrame, column: str) -> int:
    return int(frame[column].sum())


def _spread(frame: pd.DataFrame, column: str) -> dict[str, float | None]:
    values = frame[column].dropna()
    if values.empty:
        return {"median": None, "p95": None}
    return {"median": float(values.median()), "p95": float(values.quantile(0.95))}


def _groups(frame: pd.DataFrame, by: pd.Series, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key, part in frame.groupby(by, sort=True):
        found.append({
            name: str(key), "jobs": len(part), **{status: count for status, count in _shares(part, "status").items()},
            "bytes": _sum(part, "bytes"), "rows_out": _sum(part, "rows_out"), "duration_s": float(part["duration_s"].sum()),
        })  # fmt: skip
    return found
