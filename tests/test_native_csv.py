"""The kernel's CSV equals what Python reads: records, values, 'no value', canonical forms; and what is none comes back as text."""

from __future__ import annotations

import csv
import io
import math
import mmap
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import csv_reference as reference
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from csv_reference import Machine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native import built, needs_compiler

from portal.errors import ConversionFailed
from portal.native.csv_kernel import LARGEST, ColumnSpec, CsvForm, CsvParsed, parse, reads, whole

pytestmark = needs_compiler
built()

FORM = CsvForm()
TEXT = ColumnSpec(pa.string(), ())
NULLS = (b"", b"NA", b"null", rb"\N")
MARKS = st.text("aé,;\"\"\\#\n\n\r \t\0N", max_size=40) | st.lists(
    st.sampled_from(["a", '"a"', '"b""c"', '"\n"', ",", ",", "\n", "\r\n", "\r", "#c", "x" * 70, f'"{"y" * 70}"', "NA", '"NA"', "\\N", "\\,", " "]),
    max_size=40,
).map("".join)  # fmt: skip
FORMS = st.builds(
    CsvForm, st.sampled_from([b",", b";", b"\t", b" "]), st.sampled_from([b'"', b"'", b""]), st.sampled_from([b"", b"\\"]),
    st.sampled_from([b"", b"#"]), st.booleans(),
)  # fmt: skip


def rows_of(parsed: CsvParsed) -> list[list[Any]]:
    columns = [column.to_pylist() for column in parsed.columns]
    return [list(row) for row in zip(*columns, strict=True)] if columns else []


def typed(kind: pa.DataType, *texts: str, nulls: tuple[bytes, ...] = (b"",)) -> CsvParsed:
    return parse("\n".join(texts).encode(), CsvForm(b"\x01", b""), [ColumnSpec(kind, nulls, True)])


@settings(max_examples=120, deadline=None)
@given(MARKS, st.integers(1, 4))
@example('a,"b\nc"\r"d""e",\r\n\n"",', 2)
def test_records_are_those_of_pythons_strict_csv(text: str, width: int) -> None:
    expected: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    broken = False
    try:
        expected.extend(filter(None, reader))
    except csv.Error:
        broken = True
    parsed = parse(text.encode(), FORM, [TEXT] * width)
    assert rows_of(parsed) == [row for row in expected if len(row) == width]
    assert [count for _, _, count in parsed.ragged] == [len(row) for row in expected if len(row) != width]
    assert (parsed.broken is not None) == broken


@settings(max_examples=200, deadline=None)
@given(MARKS, FORMS, st.integers(0, 4), st.booleans(), st.booleans())
@example('a\\,"b",c\n', CsvForm(escape=b"\\"), 2, False, False)
@example(' "a" , b\\  \n', CsvForm(escape=b"\\", trim=True), 2, False, False)
def test_every_form_is_read_as_one_character_at_a_time_reads_it(text: str, form: CsvForm, width: int, typed_nulls: bool, pad: bool) -> None:
    text = text.replace("é", "e")  # places are bytes
    spec = ColumnSpec(pa.string(), NULLS, typed_nulls)
    expected = Machine(text, form).read()
    parsed = parse(text.encode(), form, [spec] * width, pad=pad)
    good = [place for place, values in enumerate(expected.records) if len(values) == width or (pad and len(values) < width)]
    values = [[None if reference.is_null(value, spec) else value.text for value in expected.records[place]] for place in good]
    assert parsed.rows == len(good)
    assert width == 0 or rows_of(parsed) == [row + [None] * (width - len(row)) for row in values]
    assert parsed.starts.tolist() == [expected.starts[place] for place in good]
    odd = [place for place in range(len(expected.records)) if place not in set(good)]
    assert list(map(tuple, parsed.ragged.tolist())) == [(expected.starts[place], expected.ends[place], len(expected.records[place])) for place in odd]
    assert (parsed.broken and parsed.broken[0]) == expected.broken


@settings(max_examples=120, deadline=None)
@given(MARKS, FORMS, st.lists(st.integers(1, 30), max_size=8))
def test_a_text_cut_where_whole_says_has_the_same_records(text: str, form: CsvForm, steps: list[int]) -> None:
    data = text.encode()
    expected = parse(data, form, [TEXT] * 2)
    rows, records, place = [], 0, 0
    ends = [sum(steps[: count + 1]) for count in range(len(steps))]
    for limit in [*(end for end in ends if end < len(data)), len(data)]:
        end, count = whole(data[place:limit], form, final=limit == len(data))
        part = parse(data[place : place + end], form, [TEXT] * 2)
        rows += rows_of(part)
        assert part.broken is not None or part.rows + len(part.ragged) == count
        records, place = records + count, place + end
        if part.broken:
            assert expected.broken is not None and expected.broken[0] >= part.broken[0] + place - end
            break
    else:
        assert place == len(data) and (expected.broken is not None or records == expected.rows + len(expected.ragged))
    assert rows == rows_of(expected)[: len(rows)] and (expected.broken is not None or rows == rows_of(expected))


def test_whole_waits_for_the_line_feed_behind_a_carriage_return() -> None:
    assert whole(b"a\r", FORM, final=False) == (0, 0)
    assert whole(b"a\r", FORM, final=True) == (2, 1)
    assert whole(b"a\r\nb", FORM, final=False) == (3, 1)
    assert whole(b'a\n"b\n', FORM, final=False) == (2, 1)
    assert whole(b"\n\n#c\n", CsvForm(comment=b"#"), final=False) == (5, 0)


def test_whole_takes_only_quotes_where_a_value_begins_for_quotes() -> None:
    assert whole(b'a"b\n', FORM, final=False) == (4, 1)
    assert whole(b'a,"b\n', FORM, final=False) == (0, 0)
    assert whole(b'a\\,"b\n', CsvForm(escape=b"\\"), final=False) == (6, 1)
    assert whole(b'a, "b\n', FORM, final=False) == (6, 1)
    assert whole(b'a, "b\n', CsvForm(trim=True), final=False) == (0, 0)


DIGITS = st.text("0123456789", max_size=25)
ODD_NUMBERS = [
    "NaN", "nan", "inf", "-inf", "+inf", "Infinity", "-Infinity", "infinity", "1_0", "0x1", "1.", ".5",
    "5e", "--1", ".", "-", "1e5 ", "-0", "٣", "-nan",
]  # fmt: skip
NUMBERS = st.one_of(
    st.builds("{}{}{}{}".format, st.sampled_from(["", "-", "+", "0"]), DIGITS, st.sampled_from(["", "."]), DIGITS),
    st.builds("{}{}.{}e{}".format, st.sampled_from(["", "-"]), DIGITS, DIGITS, st.integers(-400, 400)), st.floats().map(repr),
    st.floats(-1e6, 1e6).map(repr), st.integers(-(2**70), 2**70).map(str), st.text("0123456789.-+eE", max_size=12), st.sampled_from(ODD_NUMBERS),
)  # fmt: skip
DAYS = ["0000-01-01", "0001-01-01", "2023-02-29", "2024-02-29", "1900-02-29", "1677-09-21", "2262-04-11", "9999-12-31"]
TIMES = ["00:00", "24:00", "23:60", "23:59:60", "7:00", "00:12:43.145224193", ""]
ZONES = ["", "Z", "z", "+00:00", "-00:00", "+0000", "-05:30", "-0530", "-5:30", "+05:30"]
MOMENTS = st.one_of(
    st.builds("{}{}{}{}{}".format, st.dates().map(str) | st.sampled_from(DAYS), st.sampled_from(["T", " ", "t", ""]),
              st.times().map(str) | st.sampled_from(TIMES), st.sampled_from(["", "", "1", "123", "."]), st.sampled_from(ZONES)),
    st.dates().map(str), st.text("0123456789-T: .Z+", max_size=26),
)  # fmt: skip
KINDS = [
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64(), pa.float64(), pa.decimal128(38, 10), pa.decimal128(5, 2),
    pa.decimal128(3, 3), pa.decimal128(38, 0), pa.date32(), pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"),
    pa.timestamp("us", "UTC"), pa.timestamp("ns", "-05:30"), pa.timestamp("us", "+00:00"),
]  # fmt: skip


def is_left_to_others(text: str, kind: pa.DataType) -> bool:
    """Canonical texts that the kernel hands back all the same."""
    if pa.types.is_float64(kind):
        return re.fullmatch("-?[0-9]{20,}", text) is not None or bool(re.fullmatch("-?[0-9]+", text) and abs(int(text)) >= 2**64)
    return pa.types.is_decimal(kind) and text.startswith("-") and not Decimal(text)


def same(ours: Any, expected: Any, kind: pa.DataType) -> bool:
    if pa.types.is_float64(kind):
        return struct.pack("d", ours) == struct.pack("d", expected) or (math.isnan(ours) and math.isnan(expected))
    return bool(ours == expected)


@settings(max_examples=400, deadline=None)
@given(st.one_of(NUMBERS, MOMENTS, st.sampled_from(["true", "True", "TRUE", "tRUE", "false", "False", "FALSE", "t", "yes"])), st.sampled_from(KINDS))
@example("9223372036854775808", pa.int64())
@example("-9223372036854775808", pa.int64())
@example("18446744073709551615", pa.uint64())
@example("9007199254740993", pa.float64())
@example("1677-09-21T00:12:43.145224193", pa.timestamp("ns"))
@example("1677-09-21T00:12:43.145224192", pa.timestamp("ns"))
@example("0.5", pa.decimal128(3, 3))
@example("-0", pa.int64())
@example("0000-01-01", pa.date32())
@example("2024-01-01T00:00:00.1234567", pa.timestamp("us"))
@example("2024-01-01 00:00-00:00", pa.timestamp("us", "UTC"))
@example("2024-01-01T00:00:00Z", pa.timestamp("us", "UTC"))
@example("2024-01-01T00:00:00-0530", pa.timestamp("ns", "-05:30"))
@example("2024-01-01T00:00:00+05:30", pa.timestamp("ns", "-05:30"))
@example("5e-324", pa.float64())
@example("2e-324", pa.float64())
@example("0.000000000000000000000000000000000000000000000000000000000001234567890123456789012345678901234567890", pa.float64())
def test_a_value_is_read_exactly_or_handed_back(text: str, kind: pa.DataType) -> None:
    parsed = typed(kind, text, "")
    expected = reference.canonical(text, kind) if text else None
    if expected is None or is_left_to_others(text, kind):
        assert parsed.as_text == ({0} if text else set())
        assert parsed.columns[0].to_pylist()[: parsed.rows] == ([text] if text else [])
        return
    assert not parsed.as_text
    stored = {pa.date32(): pa.int32()}.get(kind, pa.int64() if pa.types.is_timestamp(kind) else kind)
    assert same(parsed.columns[0].view(stored)[0].as_py(), expected, kind)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
    st.sampled_from(["{!r}", "{:.17g}", "{:.3f}", "{:.25e}", "{:.15f}"]),
)
def test_floats_are_those_of_python(values: list[float], form: str) -> None:
    texts = [form.format(value) for value in values]
    texts = [text for text in texts if reference.canonical(text, pa.float64()) is not None and not is_left_to_others(text, pa.float64())]
    parsed = typed(pa.float64(), *texts)
    assert not parsed.as_text
    assert struct.pack(f"{len(texts)}d", *parsed.columns[0].to_pylist()) == struct.pack(f"{len(texts)}d", *map(float, texts))


def test_floats_halfway_between_two_are_rounded_to_the_even_one() -> None:
    halves = [2**53 + 1, 2**53 + 3, 2**60 + 128, 2**60 + 384, 5**22 * 2 + 1]
    tails = [".0", f".{'0' * 30}1", *(f"e-{power}" for power in range(0, 64, 7))]
    texts = [f"{value}{tail}" for value in halves for tail in tails]
    assert typed(pa.float64(), *texts).columns[0].to_pylist() == [float(text) for text in texts]


@pytest.mark.parametrize(("text", "told"), [("0.12345678901234567", False), ("0.123456789012345678", True), ("123456789012345678.0", True),
                                            ("1.0000000000000000000", False), ("1.00000000000000000001", True), ("0.00000000000000000000001", False),
                                            ("100000000000000000000.5", True), ("10000000000000000000.0", False)])  # fmt: skip
def test_digits_beyond_17_are_remarked_with_their_row(text: str, told: bool) -> None:
    assert typed(pa.float64(), "1.5", text, text).remarks == ({0: 1} if told else {})


def test_arrow_reads_the_same_canonical_columns() -> None:
    texts = {pa.float64(): [f"{n / 7!r}" for n in range(2000)], pa.int64(): [str(n * 10**14) for n in range(2000)],
             pa.timestamp("us"): [f"20{n % 90 + 10}-01-{n % 28 + 1:02}T{n % 24:02}:00:{n % 60:02}.{n:06}" for n in range(2000)],
             pa.decimal128(20, 3): [f"{n}.{n % 1000:03}" for n in range(2000)], pa.date32(): [f"{n + 1:04}-02-28" for n in range(2000)]}  # fmt: skip
    for kind, column in texts.items():
        assert typed(kind, *column).columns[0].equals(pc.cast(pa.array(column), kind)), kind


def test_no_value_is_told_by_words_and_by_quotes() -> None:
    data = b'NA,NA\n"NA","NA"\n"",""\n,\n1,1\n'
    text, number = ColumnSpec(pa.string(), (b"", b"NA")), ColumnSpec(pa.int64(), (b"", b"NA"), True)
    assert rows_of(parse(data, FORM, [text, number])) == [[None, None], ["NA", None], ["", None], [None, None], ["1", 1]]
    assert rows_of(parse(data, FORM, [ColumnSpec(pa.string(), ()), number]))[3] == ["", None]
    escaped = CsvForm(escape=b"\\")
    assert rows_of(parse(rb"\N" + b"\n", escaped, [ColumnSpec(pa.string(), (rb"\N",))])) == [[None]]
    assert rows_of(parse(rb"\N" + b"\n", escaped, [TEXT])) == [["N"]]


def test_a_column_with_one_odd_value_comes_back_as_text_and_the_others_do_not() -> None:
    rows = 5000
    data = "".join(f'{n},{n},"{n}"\n' if n != rows - 1 else f'007,{n},"a""b"\n' for n in range(rows)).encode() + b"NA,NA,NA\n"
    parsed = parse(data, FORM, [ColumnSpec(kind, (b"NA",), True) for kind in (pa.int64(), pa.int64(), pa.int32())])
    assert parsed.as_text == {0, 2}
    assert parsed.columns[0].to_pylist() == [*map(str, range(rows - 1)), "007", None]
    assert parsed.columns[1].to_pylist() == [*range(rows), None]
    assert parsed.columns[2].to_pylist() == [*map(str, range(rows - 1)), 'a"b', None]


def test_a_type_the_kernel_does_not_know_comes_back_as_text() -> None:
    for kind in (pa.float32(), pa.timestamp("us", "Europe/Berlin"), pa.list_(pa.int64()), pa.decimal256(50, 2), pa.large_string()):
        assert not reads(kind)
        assert parse(b"1\n", FORM, [ColumnSpec(kind)]).columns[0].to_pylist() == ["1"]
    assert all(map(reads, [*KINDS, pa.string()]))


def test_nothing_at_all_is_no_rows() -> None:
    for data in (b"", b"\n", b"\r\n\r\r\n"):
        parsed = parse(data, FORM, [TEXT, ColumnSpec(pa.float64())])
        assert (parsed.rows, rows_of(parsed), parsed.ragged.tolist(), parsed.broken) == (0, [], [], None)
        assert [column.type for column in parsed.columns] == [pa.string(), pa.float64()]
        for column in parsed.columns:
            column.validate(full=True)


def test_a_record_of_many_mebibytes_is_one_record() -> None:
    value = b"x" * (40 << 20)
    parsed = parse(b'"' + value + b'","' + value[:-2] + b'""",1\n', FORM, [TEXT, TEXT, ColumnSpec(pa.int8())])
    assert [parsed.columns[0][0].as_buffer().size, parsed.columns[1][0].as_buffer().size] == [40 << 20, (40 << 20) - 1]
    parsed = parse(b"," * (8 << 20) + b"\n1,2\n", FORM, [TEXT, TEXT])
    assert parsed.ragged.tolist() == [[0, 8 << 20, (8 << 20) + 1]] and parsed.rows == 1


def test_more_than_offsets_of_32_bits_hold_is_refused() -> None:
    with mmap.mmap(-1, LARGEST + 1) as huge, pytest.raises(ConversionFailed, match="2147483647 bytes"):
        parse(memoryview(huge), FORM, [TEXT])


def test_forms_that_contradict_themselves_are_refused() -> None:
    for marks in ((b"",), (b"\n",), (b",", b","), (b",", b'"', b","), (b",", b'"', b"", b'"'), ("é".encode(),), (b"\xe9",)):
        with pytest.raises(ConversionFailed, match="do not go together"):
            CsvForm(*marks)
    assert parse(b'"a""b"', CsvForm(escape=b'"'), [TEXT]).columns[0].to_pylist() == ['a"b']


def test_the_arrays_are_sound_and_outlive_the_text() -> None:
    data = bytearray(b'a,1,true,2.5\n"b",,false,\n,3,,1\n')
    columns = parse(data, FORM, [ColumnSpec(kind, (b"",), True) for kind in (pa.string(), pa.int16(), pa.bool_(), pa.float64())]).columns
    data[:] = b"\xff" * len(data)
    for column in columns:
        column.validate(full=True)
    assert [column.to_pylist() for column in columns] == [["a", "b", None], [1, None, 3], [True, False, None], [2.5, None, 1.0]]


def test_rows_that_become_shorter_than_those_before_them_are_all_there() -> None:
    data = b"NA," + b"x" * 90 + b"\n" + b"".join(b"%d,%s\n" % (n, b"x" * 90) for n in range(5000)) + b"1,\n" * 100_000
    number, text = parse(data, FORM, [ColumnSpec(pa.int64(), (b"NA",), True), TEXT]).columns
    for column in (number, text):
        column.validate(full=True)
    assert number.null_count == pc.sum(number.is_null()).as_py() == 1
    assert pc.sum(number).as_py() == sum(range(5000)) + 100_000 and pc.sum(pc.binary_length(text)).as_py() == 90 * 5001


def test_booleans_do_not_shine_through_from_memory_used_before() -> None:
    for word, value in ((b"true\n", True), (b"false\n", False)) * 3:
        assert pc.unique(parse(word * 20_001, FORM, [ColumnSpec(pa.bool_())]).columns[0]).to_pylist() == [value]


def test_threads_read_beside_each_other() -> None:
    data = b"".join(b"%d,%d.5,t%d\n" % (n, n, n) for n in range(20_000))
    specs = [ColumnSpec(pa.int64()), ColumnSpec(pa.float64()), TEXT]
    expected = rows_of(parse(data, FORM, specs))
    with ThreadPoolExecutor(4) as pool:
        assert all(rows_of(found) == expected for found in pool.map(lambda _: parse(data, FORM, specs), range(8)))
