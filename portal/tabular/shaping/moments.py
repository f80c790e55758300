"""Dates and moments in expressions: ISO 8601 texts as Arrow values, nothing rounded."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa

UNITS = ("s", "ms", "us", "ns")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)


def a_date(text: str) -> Any:
    """Return an Arrow date. Raises ValueError when it is none of the calendar."""
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return pa.scalar(date.fromisoformat(text), pa.date32())


def a_moment(text: str) -> Any:
    """Return an Arrow timestamp of the coarsest unit that holds it, with the zone UTC when an offset is said. A date alone is its midnight.

    Raises:
        ValueError: no such moment, or one that nanoseconds do not reach.
    """
    if _DATE.fullmatch(text):
        text += "T00:00"
    found = _MOMENT.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise ValueError(text)
    moment = datetime.fromisoformat(found[1].replace(" ", "T") + (found[2] or ""))
    fraction = (found[3] or "").rstrip("0")
    unit = UNITS[-(-len(fraction) // 3)]
    digits = 3 * UNITS.index(unit)
    seconds = (moment - _EPOCH) // timedelta(seconds=1) - _offset_s(found[4] or "")
    count = seconds * 10**digits + int(fraction.ljust(digits, "0") or 0)
    if not -(2**63) <= count < 2**63:
        raise ValueError(text)
    return pa.scalar(count, pa.timestamp(unit, "UTC" if found[4] else None))


def _offset_s(zone: str) -> int:
    if zone in ("", "Z"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if minutes > 59 or (zone[0] == "-" and not (hours or minutes)):
        raise ValueError(zone)
    sign = -1 if zone[0] == "-" else 1
    offset = timezone(sign * timedelta(hours=hours, minutes=minutes)).utcoffset(datetime(1970, 1, 1, tzinfo=UTC))
    return int(offset.total_seconds())
