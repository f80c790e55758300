"""How the command line writes tables, sizes and moments, and reads moments and durations."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import chain, islice
from typing import Any

from portal import clock
from portal.errors import BadParameters

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return aligned columns; a column of numbers leans right."""
    return "\n".join(table_lines(headers, rows, len(rows)))


def table_lines(headers: Sequence[str], rows: Iterable[Sequence[object]], measured: int = 1000) -> Iterator[str]:
    """Yield the lines of a table of any length. Its columns are as wide as its first rows need, `measured` of them."""
    rest = iter(rows)
    first = list(islice(rest, measured))
    cells = [[_cell(value) for value in row] for row in first]
    widths = [max([len(header), *(len(row[place]) for row in cells)]) for place, header in enumerate(headers)]
    right = [_numeric([row[place] for row in first if row[place] is not None]) for place in range(len(headers))]
    yield _line([header.upper() for header in headers], widths, right)
    for shown in chain(cells, ([_cell(value) for value in row] for row in rest)):
        yield _line(shown, widths, right)


def _numeric(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _cell(value: object) -> str:
    """One line of it."""
    return "" if value is None else printable(" ".join(str(value).split()))


def printable(line: str) -> str:
    """Return a line in which what would drive the terminal (names come from strangers' stores and browsers) is shown as �."""
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (cell.rjust(width) if leans else cell.ljust(width) for cell, width, leans in zip(cells, widths, right, strict=True))
    return "  ".join(padded).rstrip()


def size(count: float) -> str:
    """Return bytes for people: `4.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def span(seconds: float) -> str:
    """Return a duration for people: `850 ms`, `12.3 s`, `4 m 05 s`, `2 h 10 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} m"


def short(moment: str | None) -> str:
    """Return a moment of the portal without milliseconds: `2026-11-21 10:58:31`."""
    return (moment or "")[:19].replace("T", " ")


def as_json(value: Any) -> str:
    """Return JSON; with letters escaped that standard output cannot take."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=1, default=str)
    return text


def seconds(text: str) -> float:
    """Read a duration: `90`, `90s`, `15m`, `2h`, `7d`, `1w`. Raises BadParameters."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if not found:
        raise BadParameters(f"{text!r} is not a duration.", hint="Write seconds (90) or a number with s, m, h, d or w (15m, 2h).")
    return float(found[1]) * _UNITS[found[2] or "s"]


def moment(text: str, *, ahead: bool) -> str:
    """Read a moment: RFC 3339 with a time zone, or a duration from now (`ahead`) or before now. Raises BadParameters."""
    try:
        return clock.iso(clock.parse_ms(text))
    except ValueError as error:
        if re.match(r"\d{4}-", text):
            raise BadParameters(f"The time {text!r} cannot be read: {error}.", hint="Write it as 2026-11-21T10:58:31Z.") from None
    distance = round(seconds(text) * 1000)
    return clock.iso(clock.now_ms() + (distance if ahead else -distance))


def day(text: str) -> date:
    """Read a day (UTC): `2026-11-21`, `today`, or a duration before now. Raises BadParameters."""
    if text == "today":
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    if re.match(r"\d{4}-", text):
        raise BadParameters(f"{text!r} is not a day.", hint="Write it as 2026-11-21, or as a distance from today: 7d.")
    return date.fromisoformat(moment(text, ahead=False)[:10])
