"""Dates and timestamps as what a column of texts may turn out to be: in one form, the zone the same throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns import column_types
from portal.tabular.columns.candidates import Candidate, matches
from portal.tabular.columns.casting import first, read_dates, read_timestamps
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.formats import ANY_OFFSET, INFERRED_DATES, INFERRED_TIMESTAMPS, date_pattern, other_order, timestamp_pattern
from portal.tabular.options import DateOrder
from portal.tabular.showing import shown

_ANY_ZONE = f"(?:{ANY_OFFSET}|-00:?00)?"
_LOOKS = r"^(?:[A-Z][a-z]{2}, ?)?[0-9]{1,4}[-/. ][0-9A-Za-z]{1,3}[-/. ][0-9]{1,4}"
"""What begins like a date of any form that is inferred."""
_FEW = 256
"""So many values tell most of the forms that are not meant."""
_NANOSECONDS = range(-(2**63), 2**63)


class Moments(Candidate):
    """What dates and timestamps have in common: several forms may still be meant."""

    def __init__(self, forms: Sequence[str], order: DateOrder) -> None:
        super().__init__()
        self._tried = [form for form in forms if not order or not other_order(form) or form.startswith("DD") == (order == "dmy")]
        self.forms = self._tried
        """Those in which all values can be read."""
        self._example = ""

    def likely(self, head: str) -> bool:
        looks = matches(_LOOKS + ".*", head)
        likely = [form for form in self.forms if looks and matches(self.pattern(form), head)]
        self.forms, self._example = likely or self.forms, self._example or head
        return bool(likely)

    def take(self, distinct: Any) -> bool:
        few = distinct.slice(0, _FEW)
        likely = [form for form in self.forms if len(self.forms) == 1 or self.read(few, form)]
        read = [form for form in likely if self.read(distinct, form)]
        self.forms = read or self.forms
        return bool(read)

    def fits(self, texts: Any) -> Any:
        """Return a mask of the texts of the form that the values before had, else the first that looks like a date."""
        return pc.match_substring_regex(texts, self.pattern(self._form_of(texts)))

    def _form_of(self, texts: Any) -> str:
        if self.matched:
            return self.forms[0]
        looks = pc.match_substring_regex(texts, _LOOKS)
        example = first(texts, looks) if pc.any(looks).as_py() else ""
        return next((form for form in self._tried if matches(self.pattern(form), example)), self._tried[0])

    @property
    def doubt(self) -> str:
        """Why nobody can say which form is meant; '' when it is clear."""
        if len(self.forms) < 2:
            return ""
        return f"text, because {shown(self._example)} and the others may have the day or the month first (set date_order)"

    def pattern(self, form: str) -> str:
        raise NotImplementedError

    def read(self, distinct: Any, form: str) -> bool:
        """Tell whether all texts are of a form and in the calendar."""
        raise NotImplementedError

    def found(self) -> ColumnType:
        """Return the type in the form that is meant."""
        raise NotImplementedError


class Dates(Moments):
    kind, noun = "date", "a date of the same form"

    def __init__(self, order: DateOrder = "") -> None:
        super().__init__(INFERRED_DATES, order)

    def pattern(self, form: str) -> str:
        return date_pattern(form)

    def read(self, distinct: Any, form: str) -> bool:
        return _attempt(lambda: read_dates(distinct, form)) is not None

    def trouble(self, texts: Any) -> str:
        form = self._form_of(texts)
        return f"{shown(_first_unread(texts, lambda part: read_dates(part, form)))} is not a date of the calendar"

    def found(self) -> ColumnType:
        return column_types.date(self.forms[0])


class Timestamps(Moments):
    kind, noun = "timestamp", "a timestamp of the same form"

    def __init__(self, order: DateOrder = "") -> None:
        super().__init__(INFERRED_TIMESTAMPS, order)
        self._zone: str | None = None
        """'' is none; None: nothing seen."""
        self._nanoseconds = False
        self._least, self._largest = 0, 0
        """Nanoseconds since 1970."""

    def pattern(self, form: str) -> str:
        return timestamp_pattern(form, "ns", _ANY_ZONE)

    def read(self, distinct: Any, form: str) -> bool:
        if self._zone is None:
            self._zone = min(_zones(distinct.slice(0, 1), form))
        unit, factor = ("ns", 1) if _has_nanoseconds(distinct) else ("us", 1000)
        moments = _attempt(lambda: read_timestamps(distinct, self._type(unit, form)))
        if moments is None:
            return False
        bounds = pc.min_max(pc.cast(moments, pa.int64()))
        self._nanoseconds = self._nanoseconds or unit == "ns"
        self._least, self._largest = min(self._least, bounds["min"].as_py() * factor), max(self._largest, bounds["max"].as_py() * factor)
        return not self._too_wide

    @property
    def _too_wide(self) -> bool:
        return self._nanoseconds and not (self._least in _NANOSECONDS and self._largest in _NANOSECONDS)

    def trouble(self, texts: Any) -> str:
        form = self._form_of(texts)
        zones = _zones(texts, form) | {self._zone or ""}
        if "-00:00" in zones:
            return "an offset of -00:00 says that the zone is unknown"
        if len(zones) > 1:
            return "only some of its timestamps name a time zone" if "" in zones else "its timestamps are in more than one time zone"
        if self._too_wide:
            return "it has nanoseconds, and a year that does not fit beside them (1678 to 2261 do)"
        unit = "ns" if _has_nanoseconds(texts) else "us"
        odd = _first_unread(texts, lambda part: read_timestamps(part, self._type(unit, form)))
        return f"{shown(odd)} is not a moment of the calendar that fits"

    def _type(self, unit: str, form: str) -> ColumnType:
        return column_types.timestamp(unit, self._zone if self._zone != "-00:00" else None, form)

    def found(self) -> ColumnType:
        return self._type("ns" if self._nanoseconds else "us", self.forms[0])


def _has_nanoseconds(texts: Any) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, r"\.[0-9]{7}")).as_py())


def _zones(texts: Any, form: str) -> set[str]:
    """Return the zones that texts of a form name, as types name them; '' for none."""
    parts = pc.extract_regex(texts, pattern=timestamp_pattern(form, "ns", _ANY_ZONE))
    return {_zone_name(text or "") for text in pc.unique(pc.struct_field(parts, "z")).to_pylist()}


def _zone_name(text: str) -> str:
    if text in ("", "-0000", "-00:00"):
        return text and "-00:00"
    name = text if ":" in text or text[0] not in "+-" else f"{text[:3]}:{text[3:]}"
    return "UTC" if name[0] not in "+-" or name == "+00:00" else name


def _attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except pa.ArrowInvalid:
        return None


def _first_unread(texts: Any, read: Callable[[Any], Any]) -> str:
    """Return the first text that cannot be read, one of which there is, by halving."""
    while len(texts) > 1:
        half = texts.slice(0, len(texts) // 2)
        texts = half if _attempt(lambda half=half: read(half)) is None else texts.slice(len(half))  # type: ignore[misc]
    return str(texts[0].as_py())
