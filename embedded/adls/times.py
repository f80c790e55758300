"""Times and ETags as the service writes them. Stored times are nanoseconds since 1970, UTC."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FILETIME_1970 = 116_444_736_000_000_000
"""Ticks of 100 ns from 1601 to 1970."""


def http_date(nanoseconds: int) -> str:
    """`Sat, 21 Nov 2026 11:26:00 GMT` (RFC 9110, 5.6.7)."""
    moment = time.gmtime(nanoseconds // 1_000_000_000)
    return (
        f"{_DAYS[moment.tm_wday]}, {moment.tm_mday:02} {_MONTHS[moment.tm_mon - 1]} {moment.tm_year:04} "
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} GMT"
    )


def iso(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def filetime(nanoseconds: int) -> int:
    """Windows FILETIME: ticks of 100 ns since 1601, as List Paths gives creation times."""
    return nanoseconds // 100 + FILETIME_1970


def parse_http_date(text: str) -> float:
    """Seconds since 1970. ValueError when `text` is no HTTP date."""
    return parsedate_to_datetime(text).timestamp()


def parse_sas_time(text: str) -> float:
    """Seconds since 1970 of a SAS time: a date, or a date and time in UTC to the minute, second or fraction. ValueError else."""
    moment = datetime.fromisoformat(text[:-1] if text.endswith("Z") else text)
    return moment.replace(tzinfo=UTC).timestamp()


class Ticks:
    """Ever-growing numbers for ETags: ticks of the clock, never one twice."""

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, filetime(time.time_ns()))
            return self._last


def etag(tick: int) -> str:
    """Without quotes; in headers it stands within double quotes."""
    return f"0x{tick:X}"
