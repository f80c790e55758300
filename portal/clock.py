"""Moments as the portal writes them: UTC, milliseconds, RFC 3339 (`2026-11-21T10:58:31.123Z`)."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000_000


def iso(moment_ms: int) -> str:
    """Return a moment as text that sorts by time."""
    whole = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{moment_ms % 1000:03d}Z"


def parse_ms(text: str) -> int:
    """Return the moment in milliseconds; accepts any RFC 3339 text. Raises ValueError on anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-11-21T10:58:31Z")
    return round(moment.timestamp() * 1000)
