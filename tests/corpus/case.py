"""One hard file and what must become of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

EXACT = ""
"""As a type: any, if only every value is held exactly."""


@dataclass(frozen=True)
class Case:
    """A file, the options, and the outcome: an error, or columns with their values in order."""

    name: str
    content: bytes
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Name → values. A text is what the file says, which any type may hold that holds it exactly; other values are what is meant."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Name → the type as Arrow writes it, or how that begins; columns that are not here are text."""
    options: Mapping[str, Any] = field(default_factory=dict)
    rejects: Sequence[tuple[int, str]] = ()
    """Line and column ('' is the whole record) of each record that must be set apart, with on_reject=keep."""
    error: str = ""
    """Pattern of the refusal; nothing may be published then."""
    warning: str = ""
    """Pattern of what must be told."""
    file: str = "file.csv"
    any_names: bool = False
    """The names are found by the reader; only the values count."""
    written: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Name → the texts in the file, of columns whose values are other ones."""

    delimiter: str = ","
    """For readers that must be told."""
    ours_alone: bool = False
    """What should become of it is our own choice, or needs our options: others may do otherwise and be right."""

    @property
    def plain(self) -> bool:
        """Whether readers that know neither our options nor our rejects can be asked to read it."""
        return not (self.rejects or self.ours_alone) and set(self.options) <= {"delimiter", "header", "on_reject", "full_scan", "sample_bytes"}


def case(name: str, content: str | bytes, columns: Mapping[str, Sequence[Any]] | None = None, **rest: Any) -> Case:
    return Case(name, content.encode() if isinstance(content, str) else content, columns or {}, **rest)


def column(name: str, kind: str, *cells: Any, file: Sequence[str] | None = None, **rest: Any) -> Case:
    """A CSV of one column to look at and one beside it. `cells` are the values that are expected, `file` the texts when they differ."""
    texts = file if file is not None else ["" if cell is None else cell for cell in cells]
    content = "a;other\n" + "".join(f"{text};x\n" for text in texts)
    options = {"delimiter": ";", "header": "yes", **rest.pop("options", {})}
    columns = {"a": cells, "other": ["x"] * len(cells)}
    return Case(name, content.encode(), columns, {"a": kind} if kind != "string" else {}, options, written={"a": texts}, delimiter=";", **rest)


@dataclass(frozen=True)
class Nanoseconds:
    """A moment finer than Python's own: nanoseconds since 1970, in a zone or none."""

    count: int
    zoned: bool

    @classmethod
    def of(cls, text: str) -> Nanoseconds:
        """Raises ValueError when it is no moment."""
        whole, _, rest = text.partition(".")
        digits = re.match(r"\d*", rest)[0]  # type: ignore[index]
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC if moment.tzinfo else None)) // timedelta(seconds=1)
        return cls(seconds * 10**9 + int(digits.ljust(9, "0")), moment.tzinfo is not None)


def values_of(column: Any) -> list[Any]:
    """Return a column of a result as Python values, none rounded; what Python has no value for as a text."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return [None if count is None else Nanoseconds(count, bool(column.type.tz)) for count in column.cast(pa.int64()).to_pylist()]
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return list(column.cast(pa.string()).to_pylist())


def holds(wanted: Any, value: Any) -> bool:
    """Whether a value of a result is exactly what the file says."""
    if wanted is None or value is None:
        return wanted is value
    if isinstance(wanted, str) and not isinstance(value, str):
        return _says(wanted, value)
    if isinstance(wanted, dict | list):
        return _nested(wanted, value)
    if isinstance(wanted, float) and isinstance(value, float):
        return _same_float(wanted, value)
    return isinstance(wanted, bool) == isinstance(value, bool) and bool(wanted == value)


def _says(text: str, value: Any) -> bool:
    """Whether a value that is no text is the one that a text writes."""
    try:
        if isinstance(value, bool):
            return text.lower() == str(value).lower()
        if isinstance(value, int):
            return text == str(value)
        if isinstance(value, float):
            return _same_float(float(text), value)
        if isinstance(value, Decimal):
            return Decimal(text) == value
        return _says_when(text, value)
    except ValueError:
        return False


def _says_when(text: str, value: Any) -> bool:
    if isinstance(value, Nanoseconds):
        return value == Nanoseconds.of(text)
    if isinstance(value, datetime):
        moment = datetime.fromisoformat(text)
        return len(text.partition(".")[2]) < len("123456789") and moment == value and moment.utcoffset() == value.utcoffset()
    return isinstance(value, date | time) and text == value.isoformat()


def _same_float(wanted: float, value: float) -> bool:
    return (math.isnan(wanted) and math.isnan(value)) or (wanted == value and math.copysign(1, wanted) == math.copysign(1, value))


def _nested(wanted: Any, value: Any) -> bool:
    if isinstance(value, str):
        return bool(json.loads(value) == wanted)
    if isinstance(wanted, list):
        return isinstance(value, list) and len(wanted) == len(value) and all(map(holds, wanted, value))
    names = {*wanted, *value} if isinstance(value, dict) else set()
    return isinstance(value, dict) and all(holds(wanted.get(name), value.get(name)) for name in names)
