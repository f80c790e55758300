"""Dates and timestamps as what a column of texts may turn out to be: in one form, the zone the same throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns import column_types
from portal.tabular.columns.candidates import Candidate
from portal.tabular.columns.casting import read_dates, read_timestamps
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.formats import (
    ANY_OFFSET,
    INFERRED_DATES,
    INFERRED_TIMESTAMPS,
    date_pattern,
    other_order,
    timestamp_pattern,
)  # fmt: skip
from portal.tabular.options import DateOrder
from portal.tabular.outcome import shown

_ANY_ZONE = f"(?:{ANY_OFFSET}|-00:?00)?"


class Moments(Candidate):
    """What dates and timestamps have in common: several forms may still be meant."""

    def __init__(self, forms: Sequence[str], order: DateOrder) -> None:
        super().__init__()
        self.forms = [form for form in forms if not order or not other_order(form) or form.startswith("DD") == (order == "dmy")]
        """Those that all values have, and under which all are in the calendar."""
        self.example = ""

    def fits(self, distinct: Any) -> Any:
        self.example = self.example or distinct[0].as_py()
        head = distinct.slice(0, 1)
        likely = {form: self.has_form(distinct, form) for form in self.forms if self.has_form(head, form)[0].as_py()}
        whole = [form for form, fits in likely.items() if pc.all(fits).as_py()]
        if whole:
            self.forms = whole
            return likely[whole[0]]
        return next(iter(likely.values())) if likely else pa.nulls(len(distinct), pa.bool_()).fill_null(False)

    def trouble(self, distinct: Any) -> str:
        reasons = {form: self.form_trouble(distinct, form) for form in self.forms}
        self.forms = [form for form, reason in reasons.items() if not reason]
        return "" if self.forms else next(iter(reasons.values()))

    def has_form(self, texts: Any, form: str) -> Any:
        raise NotImplementedError

    def form_trouble(self, distinct: Any, form: str) -> str:
        raise NotImplementedError

    def found(self) -> ColumnType:
        """Return the type in the form that is meant."""
        raise NotImplementedError

    @property
    def doubt(self) -> str:
        """Why nobody can say which form is meant; '' when it is clear."""
        if len(self.forms) < 2:
            return ""
        return f"text, because {shown(self.example)} and the others may have the day or the month first (set date_order)"


class Dates(Moments):
    kind, noun = "date", "a date of the same form"

    def __init__(self, order: DateOrder = "") -> None:
        super().__init__(INFERRED_DATES, order)

    def has_form(self, texts: Any, form: str) -> Any:
        return pc.match_substring_regex(texts, date_pattern(form))

    def form_trouble(self, distinct: Any, form: str) -> str:
        odd = _first_unread(distinct, lambda texts: read_dates(texts, form))
        return f"{shown(odd)} is not a date of the calendar" if odd is not None else ""

    def found(self) -> ColumnType:
        return column_types.date(self.forms[0])


class Timestamps(Moments):
    kind, noun = "timestamp", "a timestamp of the same form"

    def __init__(self, order: DateOrder = "") -> None:
        super().__init__(INFERRED_TIMESTAMPS, order)
        self._zone: str | None = None
        """'' is none; None: nothing seen."""
        self._nanoseconds = False
        self._wide = ""

    def has_form(self, texts: Any, form: str) -> Any:
        return pc.match_substring_regex(texts, timestamp_pattern(form, "ns", _ANY_ZONE))

    def trouble(self, distinct: Any) -> str:
        zones = _zones(distinct, self.forms[0])
        if "-00:00" in zones:
            return "an offset of -00:00 says that the zone is unknown"
        if len(zones | ({self._zone} if self._zone is not None else set())) > 1:
            some = "" in zones or self._zone == ""
            return "only some of its timestamps name a time zone" if some else "its timestamps are in more than one time zone"
        (self._zone,) = zones
        self._nanoseconds = self._nanoseconds or bool(pc.any(pc.match_substring_regex(distinct, r"\.[0-9]{7}")).as_py())
        return super().trouble(distinct)

    def form_trouble(self, distinct: Any, form: str) -> str:
        odd = _first_unread(distinct, lambda texts: read_timestamps(texts, self._type("ns", form)))
        if odd is None:
            return self._wide if self._nanoseconds else ""
        if not self._nanoseconds:
            beyond = _first_unread(distinct, lambda texts: read_timestamps(texts, self._type("us", form)))
            if beyond is None:
                self._wide = self._wide or f"{shown(odd)} is not a moment of the calendar that fits beside nanoseconds"
                return ""
            odd = beyond
        return f"{shown(odd)} is not a moment of the calendar that fits"

    def _type(self, unit: str, form: str) -> ColumnType:
        return column_types.timestamp(unit, self._zone or None, form)

    def found(self) -> ColumnType:
        return self._type("ns" if self._nanoseconds else "us", self.forms[0])


def _zones(texts: Any, form: str) -> set[str]:
    """Return the zones that texts of a form name, as types name them; '' for none."""
    parts = pc.extract_regex(texts, pattern=timestamp_pattern(form, "ns", _ANY_ZONE))
    found = {text or "" for text in pc.unique(pc.struct_field(parts, "z")).to_pylist()}
    return {_zone_name(text) for text in found}


def _zone_name(text: str) -> str:
    if text in ("", "-0000", "-00:00"):
        return text and "-00:00"
    name = text if ":" in text or text[0] not in "+-" else f"{text[:3]}:{text[3:]}"
    return "UTC" if name[0] not in "+-" or name == "+00:00" else name


def _first_unread(texts: Any, read: Any) -> str | None:
    """Return the first text that cannot be read, None when all can."""
    try:
        read(texts)
        return None
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return str(texts[0].as_py())
    half = len(texts) // 2
    odd = _first_unread(texts.slice(0, half), read)
    return odd if odd is not None else _first_unread(texts.slice(half), read)
