"""Whatever is decided on a column, every text seen becomes a value that says exactly what the text says: an oracle in plain Python."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.tabular.columns.canonical import kernel_type
from portal.tabular.columns.casting import Caster, null_words
from portal.tabular.columns.column_types import ColumnType
from portal.tabular.columns.guess import ColumnGuess
from portal.tabular.columns.type_names import parse
from portal.tabular.options import ConvertOptions

quick = settings(max_examples=60, deadline=None)

DATES = st.dates() | st.dates(date(2013, 1, 1), date(2013, 12, 31))
TIMES = st.datetimes() | st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1))
ORDERS = {"%Y/%m/%d": "YYYY/MM/DD", "%d.%m.%Y": "DD.MM.YYYY", "%d/%m/%Y": "DD/MM/YYYY", "%m/%d/%Y": "MM/DD/YYYY", "%d-%m-%Y": "DD-MM-YYYY",
          "%m-%d-%Y": "MM-DD-YYYY", "%d-%b-%Y": "DD-Mon-YYYY", "%d %b %Y": "DD Mon YYYY", "%Y.%m.%d": "YYYY.MM.DD"}  # fmt: skip
FORMATS = {form: day for day, form in ORDERS.items()}


def four_digits(value: date, form: str) -> str:
    return value.strftime(form.replace("%Y", f"{value.year:04}"))


DAYS = [DATES.map(lambda day, form=form: four_digits(day, form)) for form in ORDERS]
CLOCKS = [
    TIMES.map(lambda moment, form=form: four_digits(moment, f"{form} %I:%M:%S.%f %p")) for form in ("%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d")
]  # fmt: skip
CELLS: list[st.SearchStrategy[str]] = [
    st.integers(-(10**20), 10**20).map(str), st.integers(-100, 100).map(str), st.integers(2**63 - 2, 2**63 + 1).map(str),
    st.floats().map(repr), st.floats(-1e3, 1e3).map("{:.17g}".format), st.floats(0, 1).map("{:.25f}".format),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**20), max_value=10**20).map(str),
    st.integers(0, 999).map("{:05}".format), st.sampled_from(["true", "false", "True", "FALSE"]),
    st.from_regex(r"-?(0|[1-9][0-9]{0,40})?(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.integers(-(10**12), 10**12).map("{:,}".format), st.integers(-(10**12), 10**12).map(lambda n: f"{n:,}".replace(",", ".") + ",5"),
    DATES.map(str), TIMES.map(datetime.isoformat), TIMES.map(str), TIMES.map("{}Z".format), TIMES.map("{}+02:00".format),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat), st.builds("{}.{}".format, TIMES.map(lambda moment: moment.replace(microsecond=0)),
    st.integers(0, 10**9 - 1)), TIMES.map(lambda moment: four_digits(moment, "%a, %d %b %Y %H:%M:%S GMT")), *DAYS, *CLOCKS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["NA", " ", "\n", "1\n", "+1", "-0", "-0.0", "1e5", "0x1F", "00.5", ".", "-", "2013-02-30", "29.02.2013", "12/12/2012", "1_0"]),
]  # fmt: skip
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "decimals": st.sampled_from(["decimal", "float"]), "smallest_integers": st.just(True), "full_scan": st.just(True),
        "date_order": st.sampled_from(["dmy", "mdy"]), "numbers": st.sampled_from([(".", ","), (",", "."), (",", ""), (".", " ")]),
    },
)  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> list[str | None]:
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=2))
    return draw(st.lists(st.one_of(*kinds, st.sampled_from(["", "NA", None])) if draw(st.booleans()) else st.one_of(*kinds), max_size=8))


def options_of(asked: dict[str, Any]) -> ConvertOptions:
    point, thousands = asked.pop("numbers", (".", ""))
    return ConvertOptions(decimal_point=point, thousands=thousands, **asked)


def number_in(text: str, options: ConvertOptions) -> str:
    plain = text.replace(options.thousands, "") if options.thousands else text
    return plain.replace(options.decimal_point, ".")


def nanoseconds_in(text: str, kind: ColumnType) -> int:
    """Read a timestamp as the form says, by Python's own means."""
    found = re.fullmatch(r"(.*?:\d\d(?::\d\d)?)(?:\.(\d+))?( ?[AP]M)?(Z|[+-]\d\d:?\d\d| GMT)?", text)
    assert found, text
    whole, fraction, half, zone = found.groups()
    if kind.form == "rfc2822":
        moment = datetime.strptime(whole, "%a, %d %b %Y %H:%M:%S")
    elif kind.form:
        day = FORMATS.get(kind.form.replace("12h", "").strip(), "%Y-%m-%d")
        moment = datetime.strptime(whole + (half or ""), f"{day} %I:%M:%S %p" if half else f"{day} %H:%M:%S")
    else:
        moment = datetime.fromisoformat(whole)
    offset = datetime.fromisoformat(f"2000-01-01T00:00:00{(zone or '').strip().replace('GMT', 'Z')}").utcoffset() or timedelta()
    assert bool(zone) == bool(kind.arrow.tz)
    return (moment - offset - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000 + int((fraction or "0").ljust(9, "0"))


def says(text: str, value: Any, kind: ColumnType, options: ConvertOptions) -> bool:
    """Whether a value is exactly what a text says."""
    if kind.kind == "string":
        return bool(text == value)
    if value is None:
        return text in null_words(options)
    if kind.kind == "boolean":
        return text.lower() == str(value).lower()
    if kind.kind == "integer":
        return number_in(text, options) == str(value)
    if kind.kind == "decimal":
        return Decimal(number_in(text, options)) == value
    if kind.kind == "float":
        number = float(number_in(text, options))
        same = number == value and math.copysign(1, number) == math.copysign(1, value)
        return (math.isnan(number) and math.isnan(value)) or (same and not (re.fullmatch("-?[0-9]+", text) and int(text) != int(value)))
    form = FORMATS.get(kind.form, "%Y-%m-%d")
    return bool(datetime.strptime(text, form).date() == value)


def moments(values: Any) -> list[int | None]:
    factor = {"ms": 10**6, "us": 1000, "ns": 1}[values.type.unit]
    return [None if number is None else number * factor for number in pc.cast(values, pa.int64()).to_pylist()]


@quick
@given(columns(), OPTIONS, st.integers(0, 8))
@example(["1", "NA"], {}, 1)
@example(["-0", "0.5"], {"decimals": "decimal"}, 0)
@example(["1.5", "18446744073709551616"], {}, 1)
@example(["03/04/2013", "13/04/2013"], {}, 1)
@example(["0001-01-01 00:00:00", "2013-01-01 00:00:00.123456789"], {}, 1)
@example(["2013-01-01T00:00:00Z", "2013-01-01T00:00:00+00:00"], {}, 1)
def test_every_text_that_was_seen_comes_back(cells: list[str | None], asked: dict[str, Any], cut: int) -> None:
    options = options_of(dict(asked))
    guess = ColumnGuess(options)
    chunks = [pa.array(cells[:cut], pa.string()), pa.array(cells[cut:], pa.string())]
    for chunk in chunks:
        guess.update(chunk)
    kind = guess.finish().type
    caster = Caster.make("a", kind, options)
    values = pa.concat_arrays([caster.cast(chunk) for chunk in chunks])
    assert values.type == kind.arrow
    if kind.kind == "timestamp":
        expected = [None if text is None or text in null_words(options) else nanoseconds_in(text, kind) for text in cells]
        assert moments(values) == expected
    else:
        pairs = zip(cells, values.to_pylist(), strict=True)
        wrong = [(text, value) for text, value in pairs if text is not None and not says(text, value, kind, options)]
        assert not wrong, kind
    assert not caster.problems(pa.array(cells, pa.string()))


@quick
@given(columns(), st.randoms(use_true_random=False), OPTIONS)
def test_the_type_depends_on_no_order(cells: list[str | None], random: Any, asked: dict[str, Any]) -> None:
    options = options_of(dict(asked))
    found = set()
    for _ in range(3):
        random.shuffle(cells)
        guess = ColumnGuess(options)
        for cell in cells:
            guess.update(pa.array([cell], pa.string()))
        found.add(guess.finish().type)
    assert len(found) == 1


@quick
@given(columns(), columns())
def test_casting_finds_exactly_what_does_not_fit(seen: list[str | None], others: list[str | None]) -> None:
    options = ConvertOptions()
    guess = ColumnGuess(options)
    guess.update(pa.array(seen, pa.string()))
    kind = guess.finish().type
    caster = Caster.make("a", kind, options)
    values = pa.array(others, pa.string())
    wrong = {place for place, _ in caster.problems(values)}
    fitting = pa.array([text for place, text in enumerate(others) if place not in wrong], pa.string())
    caster.cast(fitting)
    for place in wrong:
        with pytest.raises(pa.ArrowInvalid):
            caster.cast(values.slice(place, 1))


def test_the_kernel_reads_what_has_one_form_only() -> None:
    from_name = {
        "int64": True, "float64": True, "float32": False, "uint8": False, "decimal(38,2)": True, "decimal(60,2)": False, "date": True,
        "date(DD.MM.YYYY)": False, "timestamp(ns)": True, "timestamp[UTC]": True, "timestamp[-03:30]": True, "timestamp[Europe/Berlin]": False,
        "timestamp(epoch_ms)": False, "json": False, "string": True, "list<int64>": False, "boolean": True,
    }  # fmt: skip
    for name, read in from_name.items():
        kind = parse(name, "a")
        assert kernel_type(kind, ConvertOptions()) == (kind.arrow if read else None), name
    comma = ConvertOptions(decimal_point=",")
    assert [kernel_type(parse(name, "a"), comma) for name in ("float64", "decimal(5,2)", "int64")] == [None, None, pa.int64()]
