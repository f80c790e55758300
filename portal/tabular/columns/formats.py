"""How dates and timestamps can be written, and how texts of each form become ISO 8601, which Arrow reads strictly.

Years have four digits and begin with 1: no calendar in use has a year 0, and two digits do not say the century.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EPOCH = {"epoch_s": "us", "epoch_ms": "ms", "epoch_us": "us", "epoch_ns": "ns"}
"""Time since 1970-01-01T00:00:00Z → the unit it is stored in (seconds may have six decimals)."""
RFC_2822 = "rfc2822"
COMPACT = "YYYYMMDD"

_YEAR = "(?P<y>[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_MONTH, _DAY, _NAMED = "(?P<m>[0-9]{1,2})", "(?P<d>[0-9]{1,2})", f"(?P<m>{'|'.join(MONTHS)})"
_DATES = {
    "": f"{_YEAR}-(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}})",
    "YYYY/MM/DD": f"{_YEAR}/{_MONTH}/{_DAY}",
    "YYYY.MM.DD": rf"{_YEAR}\.{_MONTH}\.{_DAY}",
    "DD.MM.YYYY": rf"{_DAY}\.{_MONTH}\.{_YEAR}",
    "DD/MM/YYYY": f"{_DAY}/{_MONTH}/{_YEAR}",
    "MM/DD/YYYY": f"{_MONTH}/{_DAY}/{_YEAR}",
    "DD-MM-YYYY": f"{_DAY}-{_MONTH}-{_YEAR}",
    "MM-DD-YYYY": f"{_MONTH}-{_DAY}-{_YEAR}",
    "DD-Mon-YYYY": f"{_DAY}-{_NAMED}-{_YEAR}",
    "DD Mon YYYY": f"{_DAY} {_NAMED} {_YEAR}",
    COMPACT: f"{_YEAR}(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})",
}
_TWELVE = " 12h"
_RFC_DATE = f"(?:(?P<w>{'|'.join(WEEKDAYS)}), ?)?{_DAY} {_NAMED} {_YEAR}"
_HOURS, _MINUTES = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
ANY_OFFSET = rf"Z|\+{_HOURS}:?{_MINUTES}|-(?:(?:0[1-9]|1[0-9]|2[0-3]):?{_MINUTES}|00:?(?:0[1-9]|[1-5][0-9]))"
"""All but -00:00, which says that the zone is unknown (RFC 3339, 4.3)."""
UTC_TEXTS = r"Z|\+00:?00"
_RFC_UTC = r"GMT|UTC|UT|Z|\+0000"
_DIGITS = {"ms": 3, "us": 6, "ns": 9}

DATE_FORMS = tuple(_DATES)
TIMESTAMP_FORMS = (*DATE_FORMS, *(f"{form}{_TWELVE}".strip() for form in DATE_FORMS), RFC_2822)
"""Without the epochs, which are numbers."""
INFERRED_DATES = tuple(form for form in DATE_FORMS if form != COMPACT)
INFERRED_TIMESTAMPS = tuple(form for form in TIMESTAMP_FORMS if not form.startswith(COMPACT))
_FORMS = {form.lower(): form for form in (*TIMESTAMP_FORMS, *EPOCH)}


def date_form(name: str) -> str | None:
    """Return the form of dates that people mean by a name; None when there is none."""
    form = _FORMS.get(name.lower())
    return form if form in _DATES else None


def timestamp_form(name: str) -> str | None:
    """Return the form of timestamps that people mean by a name; None when there is none."""
    return _FORMS.get(name.lower())


def other_order(form: str) -> str:
    """Return the form that the same texts can have with day and month exchanged; '' when there is none."""
    for one, other in (("DD/MM", "MM/DD"), ("DD-MM", "MM-DD")):
        for this, that in ((one, other), (other, one)):
            if form.startswith(this):
                return that + form[len(this) :]
    return ""


def zone_texts(zone: str | None) -> str:
    """Return the pattern of the texts that mean a zone exactly: Z or +00:00, or the offset; '' for no zone, and for one with a name, which has
    more than one offset."""
    if zone == "UTC":
        return UTC_TEXTS
    if not zone or zone[0] not in "+-":
        return ""
    return f"{zone[:-3]}:?{zone[-2:]}".replace("+", r"\+")


@cache
def date_pattern(form: str) -> str:
    return f"^(?:{_DATES[form]})$"


@cache
def timestamp_pattern(form: str, unit: str, zones: str) -> str:
    """Return the pattern of a form with fractions of seconds no finer than the unit. `zones`: pattern of zones, '' for none."""
    zone = f"(?P<z>{zones})" if zones else "(?P<z>)"
    rest = rf"(?P<r>[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,{_DIGITS[unit]}}})?)?)"
    if form == RFC_2822:
        return f"^{_RFC_DATE} (?P<H>[0-9]{{2}}):{rest} {zone.replace('Z|', f'{_RFC_UTC}|')}$"
    day, twelve = _split(form)
    if day == COMPACT:
        rest = rf"(?P<r>[0-9]{{2}}(?:[0-9]{{2}}(?:\.[0-9]{{1,{_DIGITS[unit]}}})?)?)"
        return f"^{_DATES[day]}[T ]?(?P<H>[0-9]{{2}}){rest}{zone}$"
    if twelve:
        return f"^{_DATES[day]}(?:T|,? )(?P<H>0?[1-9]|1[0-2]):{rest} ?(?P<p>[AP]M|[ap]m) ?{zone}$"
    if not day:
        return f"^{_DATES[day]}[T ](?P<H>[0-9]{{2}}):{rest}{zone}$"
    return f"^{_DATES[day]}(?:T|,? )(?P<H>[0-9]{{1,2}}):{rest} ?{zone}$"


def _split(form: str) -> tuple[str, bool]:
    twelve = form.endswith(_TWELVE.strip())
    return form.removesuffix(_TWELVE.strip()).strip(), twelve


def iso_dates(values: Any, form: str) -> Any:
    """Return texts of a form as YYYY-MM-DD, None for those that do not have it. Whether there is such a day is not looked at."""
    parts = pc.extract_regex(values, pattern=date_pattern(form))
    return _join(_day(parts, form))


def iso_timestamps(values: Any, form: str, unit: str, zones: str) -> Any:
    """Return texts of a form as YYYY-MM-DD HH:MM[:SS[.f]][zone], None for those that do not have it (see `timestamp_pattern`)."""
    parts = pc.extract_regex(values, pattern=timestamp_pattern(form, unit, zones))
    rest, zone = _part(parts, "r"), _part(parts, "z")
    if form.startswith(COMPACT):
        rest = pc.replace_substring_regex(rest, r"^([0-9]{2})([0-9]{2})", r"\1:\2")
    if form == RFC_2822:
        zone = pc.replace_substring_regex(zone, "^(GMT|UTC|UT)$", "Z")
    texts = _join([*_day(parts, form), " ", _hour(parts, form), ":", rest, zone])
    return _with_weekday(texts, parts) if form == RFC_2822 else texts


def iso_epochs(values: Any, form: str) -> Any:
    """Return numbers since 1970 as texts of integers in the unit they are stored in (see EPOCH), None for those that are none."""
    fraction = r"(?:\.(?P<f>[0-9]{1,6}))?" if form == "epoch_s" else "(?P<f>)"
    parts = pc.extract_regex(values, pattern=f"^(?P<w>-?[0-9]{{1,19}}){fraction}$")
    if form != "epoch_s":
        return _part(parts, "w")
    return _join([_part(parts, "w"), pc.utf8_rpad(pc.fill_null(_part(parts, "f"), ""), 6, "0")])


def _join(parts: list[Any]) -> Any:
    return pc.binary_join_element_wise(*parts, "")


def _part(parts: Any, name: str) -> Any:
    return pc.struct_field(parts, name)


def _day(parts: Any, form: str) -> list[Any]:
    month = _part(parts, "m")
    if "Mon" in form or form == RFC_2822:
        month = pc.cast(pc.add(pc.index_in(month, pa.array(MONTHS)), 1), pa.string())
    return [_part(parts, "y"), "-", _two(month), "-", _two(_part(parts, "d"))]


def _hour(parts: Any, form: str) -> Any:
    hour = _part(parts, "H")
    if not _split(form)[1]:
        return _two(hour)
    afternoon = pc.is_in(_part(parts, "p"), pa.array(["PM", "pm"]))
    number = pc.cast(_two(hour), pa.int32())
    number = pc.add(pc.if_else(pc.equal(number, 12), 0, number), pc.if_else(afternoon, 12, 0))
    return _two(pc.cast(number, pa.string()))


def _two(digits: Any) -> Any:
    return pc.utf8_lpad(digits, 2, "0")


def _with_weekday(texts: Any, parts: Any) -> Any:
    """Drop texts that name another day of the week than theirs: one of the two is wrong, and nobody knows which."""
    named = pc.fill_null(_part(parts, "w"), "")
    days = pc.cast(pc.utf8_slice_codeunits(texts, 0, 10), pa.date32())
    right = pc.or_kleene(pc.equal(named, ""), pc.equal(pc.index_in(named, pa.array(WEEKDAYS)), pc.cast(pc.day_of_week(days), pa.int32())))
    return pc.if_else(pc.fill_null(right, False), texts, None)
