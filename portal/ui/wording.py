"""Numbers, moments and states in words, the same everywhere; and text from outside made safe for Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from portal import clock
from portal.jobs import DEFAULT_PRIORITY, Job, Status

STATUS_WORDS: Mapping[Status, str] = {status: status.value.capitalize() for status in Status}
NONE = "–"

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^=@/])")
_LINKS = re.compile(r"(?i)(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?=@)")
"""Where a link begins that Streamlit makes out of text, escaped or not: it looks for them when the escapes are read."""
APART = ":small[]"
"""Nothing in small letters. It parts a text in two, neither of which is a link, and is neither seen nor copied."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def plain(text: object) -> str:
    """Return text that st.markdown and its kin show letter by letter and without a link, whatever is in it."""
    escaped = APART.join(_MARKDOWN.sub(r"\\\1", part) for part in _LINKS.split(str(text).replace("\r", "")))
    return escaped.replace("\n", "  \n")


def size(count: float | None) -> str:
    """Bytes for people, in powers of 1024."""
    if count is None:
        return NONE
    number = float(count)
    for unit in _UNITS:
        if abs(number) < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:,.0f} {unit}" if unit == "B" or number >= 100 else f"{number:,.1f} {unit}"


def duration(seconds: float | None) -> str:
    """`850 ms`, `12 s`, `3m 20s`, `2h 05m`, `4d 3h`."""
    if seconds is None or seconds < 0:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def number(value: float | None) -> str:
    """`12,345`, `2.91M`, `0.42`; nothing for None."""
    if value is None:
        return NONE
    if abs(value) >= 1_000_000:
        return f"{value / 1e9:,.2f}G" if abs(value) >= 1e9 else f"{value / 1e6:.2f}M"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def moment(text: str | None, *, seconds: bool = False) -> str:
    """A moment of a job, UTC: the time alone when it is today, without the year when it is this one."""
    if not text:
        return NONE
    try:
        when = datetime.fromtimestamp(clock.parse_ms(text) / 1000, UTC)
    except ValueError:
        return NONE
    shape = "%H:%M:%S" if seconds else "%H:%M"
    today = datetime.now(UTC).date()
    if seconds or when.year != today.year:
        return f"{when:%Y-%m-%d {shape}}"
    return f"{when:{shape}}" if when.date() == today else f"{when:%b %d {shape}}"


def elapsed_s(start: str | None, end: str | None = None) -> float | None:
    """Seconds from one moment to another (default: now); None when there is no start."""
    if not start:
        return None
    try:
        return max(0.0, ((clock.parse_ms(end) if end else clock.now_ms()) - clock.parse_ms(start)) / 1000)
    except ValueError:
        return None


def started_at(job: Job) -> str | None:
    """When the job's first attempt began."""
    return job.attempts[0].started_at if job.attempts else None


def priority(value: int) -> str:
    """`5 · normal`: the number, and what it means where that has a name."""
    return {0: "0 · first", DEFAULT_PRIORITY: f"{DEFAULT_PRIORITY} · normal", 9: "9 · last"}.get(value, str(value))


def count_of(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
