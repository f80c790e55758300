"""The CSV reader: whatever the blocks, with the kernel and without it, the same rows, misfits and errors come out, and all that went in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed, explain
from portal.native.library import library
from portal.tabular.columns.schema import Schema
from portal.tabular.csv_format import reading
from portal.tabular.csv_format.parsing import first_long
from portal.tabular.csv_format.reader import CsvReader
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Misfit
from tests.texts import text_of

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def without_kernel() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "library", lambda: None)
        yield


@dataclass
class Found:
    """All that a reader makes of a text."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    records: int = 0
    counted: int = 0
    error: str = ""
    schema: Any = None
    warnings: tuple[str, ...] = ()
    chunks: int = 0

    @property
    def outcome(self) -> tuple[Any, ...]:
        return self.rows, self.misfits, self.remarks, self.records, self.error, self.schema


def read(data: bytes | str, chunk_bytes: int = 4 << 20, *, look: bool = True, **options: Any) -> Found:
    text, found = text_of(data, **options), Found()
    try:
        reader = CsvReader(text, ConvertOptions(**options), chunk_bytes=chunk_bytes)
        if look:
            for chunk in reader.sampled(text.samples()):
                reader.look(chunk)
        schema = reader.schema()
        found.schema = schema.arrow
        parse, counter = reader.parser(schema), reader.counter()
        with text.open() as stream:
            for number, chunk in enumerate(reader.chunks(stream)):
                assert chunk.number == number
                add(found, parse(chunk))
        with text.open() as stream:
            while block := stream.read(7):
                counter.update(block)
        found.counted = counter.finish()
        found.warnings = tuple(reader.warnings)
    except ConversionFailed as error:
        found.error = explain(error)
    return found


def add(found: Found, parsed: Any) -> None:
    assert parsed.records == parsed.batch.num_rows + len(parsed.misfits)
    found.chunks += 1
    found.records += parsed.records
    found.rows += parsed.batch.to_pylist()
    found.misfits += parsed.misfits
    found.remarks = {**parsed.remarks, **found.remarks}


CELLS = st.one_of(
    st.sampled_from(["", "1", "-2.5", "2013-01-31", "true", "NA", "007", 'x"y', "a,b", "p\nq", "é", "\0", "#c", " z ", "a\\b", "1e400", "p\r\nq"]),
    st.floats(allow_nan=False).map(repr), st.integers().map(str), st.text(max_size=6).map(lambda text: text.encode("utf-8", "ignore").decode()),
)  # fmt: skip
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8))


@quick
@given(
    TABLES, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(['"', "'"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(),
    st.integers(4, 60),
)  # fmt: skip
@example([["", ""], ["é", ""]], ",", '"', "\n", True, 5)
def test_any_table_in_any_dialect_comes_back_whatever_the_blocks(
    table: list[list[str]], delimiter: str, quote: str, line_end: str, escaped: bool, block: int
) -> None:
    escape = {"escapechar": "\\", "doublequote": False} if escaped else {}
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, quotechar=quote, lineterminator=line_end, quoting=csv.QUOTE_ALL, **escape).writerows(table)
    options: dict[str, Any] = {"delimiter": delimiter, "quote": quote, "header": "no", "escape": "\\" if escaped else ""}
    options["types"] = {f"column_{n + 1}": "string" for n in range(len(table[0]))}
    found = read(buffer.getvalue(), block, **options)
    assert [list(row.values()) for row in found.rows] == table
    assert found.counted == found.records == len(table)


PIECES = ["a", "1", "2.5", ",", ",", "\n", "\n", "\r\n", '"x"', '"', '""', '"1\n"', "NA", "#", "é", "007", "2013-01-31", "0.123456789012345678", " "]
ANY_OPTIONS = st.fixed_dictionaries(
    {"header": st.sampled_from(["yes", "no"])},
    optional={
        "escape": st.just("\\"), "comment": st.just("#"), "trim": st.just(True), "ragged": st.just("pad"), "quote": st.sampled_from(["", "'"]),
        "null_values": st.sampled_from([("",), (), ("NA", "")]), "types": st.just({}),
    },
)  # fmt: skip


@pytest.mark.skipif(library() is None, reason="the kernel is not built here")
@settings(quick, max_examples=200)
@given(st.lists(st.sampled_from([*PIECES, "\\"]), max_size=40).map("".join), ANY_OPTIONS, st.integers(4, 50))
def test_kernel_and_python_make_the_same_of_any_text(text: str, options: dict[str, Any], block: int) -> None:
    ours = read(text, block, delimiter=",", **options)
    with without_kernel():
        theirs = read(text, block, delimiter=",", **options)
    assert repr(ours.outcome) == repr(theirs.outcome)
    assert ours.counted == theirs.counted
    assert ours.error or ours.counted == ours.records


@settings(quick, max_examples=150)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(4, 50))
def test_the_size_of_blocks_changes_nothing(text: str, block: int) -> None:
    small, large = read(text, block, delimiter=",", header="yes"), read(text, delimiter=",", header="yes")
    assert small.error == large.error
    if not small.error:
        assert repr((small.rows, small.misfits, small.records)) == repr((large.rows, large.misfits, large.records))


@pytest.fixture(params=["kernel", "python"])
def either(request: pytest.FixtureRequest) -> Iterator[str]:
    """With the kernel, if it is built here, and without."""
    if request.param == "kernel":
        yield "kernel"
    else:
        with without_kernel():
            yield "python"


MISFITS: dict[str, tuple[str, dict[str, Any], list[Misfit]]] = {
    "ragged": ("a,b\n1,2\n3\n\n4,5,6\n", {}, [
        Misfit(3, 8, "", "1 values, where the header has 2", "3"), Misfit(5, 11, "", "3 values, where the header has 2", "4,5,6"),
    ]),
    "too long where short ones are padded": ("a,b\n1\n4,5,6\n", {"ragged": "pad"}, [Misfit(3, 6, "", "3 values, where the header has 2", "4,5,6")]),
    "no header": ("1,2\n3\n", {"header": "no"}, [Misfit(2, 4, "", "1 values, where the first row has 2", "3")]),
    "behind values with line ends": ('a,b\r\n1,"x\r\ny"\r\nz,w\r\n', {"types": {"a": "int64"}}, [Misfit(4, 15, "a", "'z' is not an integer", "z,w")]),
    "the first column that does not fit": (
        "a,b\nx,y\n", {"types": {"a": "int64", "b": "int64"}}, [Misfit(2, 4, "a", "'x' is not an integer", "x,y")],
    ),
    "quoted, with umlauts before": ('ä,b\n1,2\n"z","ü"\n', {"types": {"ä": "int64"}}, [Misfit(3, 9, "ä", "'z' is not an integer", '"z","ü"')]),
    "in order": ("a,b\nx,1\n2\ny,3\n", {"types": {"a": "int64"}}, [
        Misfit(2, 4, "a", "'x' is not an integer", "x,1"), Misfit(3, 8, "", "1 values, where the header has 2", "2"),
        Misfit(4, 10, "a", "'y' is not an integer", "y,3"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("block", [5, 4 << 20])
def test_misfits_tell_line_byte_column_reason_and_raw_text(name: str, block: int, either: str) -> None:
    data, options, misfits = MISFITS[name]
    found = read(data, block, **options)
    assert found.misfits == misfits
    assert found.counted == found.records


BROKEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "open": ('a,b\n1,2\n3,"4\n5,6\n', {}, 'Line 3: a quote (") opens a value here (byte 10) and is never closed.'),
    "open within a record": ('a,b\n"x\ny","4\n5,6\n', {}, 'Line 3: a quote (") opens a value here (byte 10) and is never closed.'),
    "open in the header": ('a,"b\n1,2\n', {}, "Line 1: a quote"),
    "text after a quote": ('a,b\n1,"x\ny"z\n3,4\n', {}, 'Line 3: text follows a closing quote ("); the value begins in line 2 (byte 6).'),
    "escape": ("a\n1\n2\\", {"escape": "\\"}, "Line 3: the file ends with an escape character (\\) that has nothing to escape."),
    "a record beyond the limit": ("a\n1\n" + "x" * 3000, {"max_record_bytes": 1024}, "Line 3: the record that begins here (byte 4) is longer"),
    "a quote beyond the limit": ('a\n1\n"\n' + "x\n" * 3000, {"max_record_bytes": 1024}, "A quote that opens in line 3 is not closed by then"),
    "a long record among others": (
        "a,b\n" + "1,2\r\n" * 9 + '1,"' + "x\n" * 700 + '"\n1,2\n', {"max_record_bytes": 1024}, "Line 11: the record that begins here",
    ),
    "a long record among others with escapes and comments": (
        "a,b\n#" + "y" * 900 + '\n1,\\"\n1,' + "x" * 1025 + "\n1,2\n", {"max_record_bytes": 1024, "escape": "\\", "comment": "#"},
        "Line 4: the record that begins here (byte 911) is longer than 1024 bytes",
    ),
    "a long header in a long sample": ("x" * 1025 + "\n1\n", {"max_record_bytes": 1024}, "Line 1: the first record is longer than"),
    "a first record beyond the limit": ("x" * 30_000, {"max_record_bytes": 1024, "sample_bytes": 1024}, "Line 1: the first record is longer than"),
    "only comments": ("#a\n#b\n", {"comment": "#"}, "only blank lines and comments"),
    "only blank lines": ("\n\r\n\r", {}, "only blank lines"),
    "nothing behind skipped lines": ("a\nb\n", {"skip_lines": 2}, "only blank lines"),
    "a delimiter that is also the quote": ("a\n", {"delimiter": '"'}, "do not go together"),
    "a comment that is no character": ("a\n", {"comment": "é"}, "The comment 'é' cannot be used"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_text_that_cannot_be_read_on_says_where_and_why(name: str, either: str) -> None:
    data, options, reason = BROKEN[name]
    for block in (64, 512):
        assert reason in read(data, block, look=False, **options).error


def test_a_broken_record_fails_when_it_is_looked_at_too(either: str) -> None:
    assert "Line 2: a quote" in read('a,b\n1,"2\n').error


def test_nulls_are_unquoted_words_and_in_typed_columns_quoted_ones_too(either: str) -> None:
    data = 'n,t\n1,x\n"",""\nNA,NA\n"NA","NA"\n,\n'
    assert read(data).rows == [
        {"n": 1, "t": "x"}, {"n": None, "t": ""}, {"n": None, "t": "NA"}, {"n": None, "t": "NA"}, {"n": None, "t": None},
    ]  # fmt: skip
    assert [row["t"] for row in read(data, null_values=("NA",)).rows] == ["x", "", None, "NA", ""]


@quick
@given(st.lists(st.none() | st.from_regex(r"[+-]?0{0,3}[0-9]{0,20}[.,]?[0-9]{0,20}(e-?[0-9]{1,3})?|NaN|-Infinity", fullmatch=True), max_size=8))
@example([None, "0.12345678901234567", "123456789012345678"])
@example(["-0.00123456789012345678", "1234567890123456789"])
@example(["12345678901234567.0", "12345678901234567.1"])
def test_the_first_number_of_many_digits_is_found(texts: list[str | None]) -> None:
    digits = [re.sub("[eE].*$", "", text or "").translate(str.maketrans("", "", "+-.,")).strip("0") for text in texts]
    wanted = next((place for place, found in enumerate(digits) if len(found) > 17 and found.isdigit()), None)
    assert first_long(pa.array(texts, pa.string())) == wanted


@pytest.mark.parametrize("size", [1022, 1023])
def test_the_limit_of_a_record_is_that_of_its_bytes(size: int, either: str) -> None:
    content = "a,b\n" + "1,2\n" * 500 + f"{'x' * size},2\r\n" + "1,2\n" * 500 + "#" + "y" * 3000 + "\n"
    assert ("Line 502" in read(content, max_record_bytes=1024, comment="#").error) is (size == 1023)


def test_digits_beyond_a_float_are_told(either: str) -> None:
    found = read("a,b\n1.5,x\n0.12345678901234567891,y\n", types={"a": "float64"})
    assert found.remarks == {"a": "correctly rounded: '0.12345678901234567891' has more digits than a 64-bit float keeps"}
    assert read("a\n1234567890.1234567\n1.00000000000000000000\n", types={"a": "float64"}).remarks == {}


def test_what_only_a_caster_reads_is_read(either: str) -> None:
    found = read("a;b\n1.234,5;+7\n-2,5;007\n", delimiter=";", decimal_point=",", thousands=".", types={"a": "float64", "b": "int32"})
    assert found.rows == [{"a": 1234.5, "b": 7}, {"a": -2.5, "b": 7}]
    assert found.schema.types == [pa.float64(), pa.int32()]


def test_a_schema_in_another_order_is_followed_and_one_with_other_names_refused() -> None:
    text = text_of("a,b\n1,x\n")
    reader = CsvReader(text, ConvertOptions())
    given = Schema.from_arrow(pa.schema([("b", pa.string()), ("a", pa.int32())]))
    with text.open() as stream:
        [parsed] = map(reader.parser(given), reader.chunks(stream))
    assert parsed.batch.schema == given.arrow
    assert parsed.batch.to_pylist() == [{"b": "x", "a": 1}]
    with pytest.raises(ConversionFailed, match="'c'"):
        reader.parser(Schema.from_arrow(pa.schema([("c", pa.string())])))


def test_bytes_before_the_data_do_not_count() -> None:
    found = read("Report\n#x\n\na,b\n1,2\n3,4,5\n", skip_lines=1, comment="#")
    assert found.rows == [{"a": 1, "b": 2}]
    assert [(misfit.line, misfit.offset) for misfit in found.misfits] == [(6, 19)]
    assert found.counted == 2


def test_a_header_longer_than_a_sample_is_read(either: str) -> None:
    names = ",".join(f"column {n}" for n in range(2000))
    found = read(f"{names}\n{','.join('1' for _ in range(2000))}\n", sample_bytes=1024)
    assert len(found.schema) == 2000
    assert found.counted == len(found.rows) == 1


def test_more_lines_than_a_sample_holds_are_skipped() -> None:
    assert read("note\n" * 1000 + "a,b\n1,2\n", sample_bytes=1024, skip_lines=1000).rows == [{"a": 1, "b": 2}]


def table(rows: int, value: Callable[[int], str] = str) -> str:
    return "id,text,n\n" + "".join(f'{n},"some, text\nof {n}, ""quoted""\n{n},x,y",{value(n)}\n' for n in range(rows))


@pytest.mark.parametrize("name", ["plain", "quoted newlines", "one column", "quoted one column"])
def test_samples_from_the_middle_hold_whole_records_of_the_text(name: str, either: str) -> None:
    content = {
        "plain": "a,b\n" + "".join(f"{n},{n * 7}\r\n" for n in range(5000)), "quoted newlines": table(3000),
        "one column": "a\n" + "".join(f"row {n}\n" for n in range(9000)),
        "quoted one column": "a\n" + "".join(f'"row ""{n}"""\n' for n in range(9000)),
    }[name]  # fmt: skip
    text = text_of(content, sample_bytes=4096)
    reader = CsvReader(text, ConvertOptions(sample_bytes=4096))
    chunks = reader.sampled(text.samples())
    assert len(chunks) == 3
    schema = reader.schema()
    parse = reader.parser(schema)
    with text.open() as stream:
        known = {tuple(row.items()) for chunk in reader.chunks(stream) for row in parse(chunk).batch.to_pylist()}
    for chunk in chunks:
        assert content.encode()[chunk.offset :].startswith(chunk.data)
        rows = parse(chunk).batch.to_pylist()
        assert len(rows) > 10
        assert {tuple(row.items()) for row in rows} <= known
    assert chunks[-1].data.endswith(content[-20:].encode())


def test_a_sample_without_one_whole_record_is_left_out() -> None:
    text = text_of("a,b\n1,2\n" + "x" * 9000 + ',"' + "y\n" * 9000 + '"\n', sample_bytes=1024)
    reader = CsvReader(text, ConvertOptions(sample_bytes=1024))
    chunks = reader.sampled(text.samples())
    assert [chunk.data[:8] for chunk in chunks] == [b"1,2\n"]


EMBEDDED = "id,t\n" + "".join(f"{n},x\n" for n in range(300)) + '999,"' + "".join(f"{n},y\n" for n in range(2000)) + '\n"\n'


@pytest.mark.parametrize("sample_bytes", [1024, 2048, 4096, 8192])
def test_a_sample_that_begins_within_a_value_of_lines_like_records_refuses_nothing(sample_bytes: int, either: str) -> None:
    content = EMBEDDED + "".join(f'{n},"z"\n' for n in range(10))
    found = read(content, sample_bytes=sample_bytes)
    assert (found.error, found.counted, len(found.rows)) == ("", 311, 311)
    assert found.rows[300]["t"].endswith("1999,y\n\n")


@pytest.mark.parametrize("rows", [10, 400])
def test_what_follows_such_a_value_is_looked_at(rows: int) -> None:
    text = text_of(EMBEDDED + "".join(f'{n},"z"\n' for n in range(rows)), sample_bytes=4096)
    chunks = CsvReader(text, ConvertOptions(sample_bytes=4096)).sampled(text.samples())
    assert chunks[-1].data.endswith(f'{rows - 1},"z"\n'.encode()) and b",y" not in chunks[-1].data


def test_a_text_that_is_broken_near_its_end_is_told_by_who_reads_it_all(either: str) -> None:
    body = "a,b\n" + "1,2\n" * 5000
    assert "Line 5002: text follows a closing quote" in read(f'{body}1,"x"y\n{body[4:400]}', sample_bytes=1024).error
    assert "a quote (\") opens a value here" in read(f'{body}1,"x\n{body[4:400]}', sample_bytes=1024).error


def test_facts_name_the_dialect_and_its_evidence() -> None:
    reader = CsvReader(text_of("a;b\n1;2\n"), ConvertOptions())
    assert reader.facts["delimiter"] == ";"
    assert reader.facts["names"] == ["a", "b"]
    assert "';' gives 2 columns in 2 of the first 2 rows" in reader.facts["dialect_evidence"]


def test_line_ends_that_mix_and_blank_lines_are_told_once_counted() -> None:
    found = read("a,b\n1,2\r3,4\n\n5,6\n")
    assert found.warnings == (
        "1 blank lines were passed over.", "1 rows end in a carriage return alone, others do not: were these parts of values?",
    )  # fmt: skip
    assert read("a,b\r1,2\r").warnings == ()


@pytest.mark.parametrize(("offset", "line", "told"), [
    (100, 7, 'Line 8: text follows a closing quote ("); the value begins in line 8 (byte 106).'),
    (100, 0, 'Byte 109: text follows a closing quote ("); the value begins in byte 106.'),
    (-1, 0, 'Somewhere in the middle: text follows a closing quote (").'),
])  # fmt: skip
def test_a_broken_record_is_told_by_what_is_known_of_its_place(offset: int, line: int, told: str) -> None:
    reader = CsvReader(text_of("a,b\n1,2\n"), ConvertOptions())
    with pytest.raises(ConversionFailed) as caught:
        reader.look(Chunk(0, b'1,2\n1,"x" y\n', offset, line))
    assert caught.value.message == told
