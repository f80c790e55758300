"""What a record is: the grammar in Python, the kernel, Arrow where it is used, and the count, held against each other and Python's csv module."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.native import csv_kernel
from portal.native.csv_kernel import ColumnSpec, CsvForm
from portal.native.library import library
from portal.tabular.csv_format import counting, reading, texts
from portal.tabular.csv_format.counting import CsvCounter
from portal.tabular.csv_format.line_ends import count_lines, last_end, record_ends
from portal.tabular.csv_format.reading import whole
from portal.tabular.csv_format.records import Walk, grammar_of

quick = settings(max_examples=150, deadline=None)
needs_kernel = pytest.mark.skipif(library() is None, reason="the kernel is not built here")

FORMS = st.builds(
    CsvForm, st.sampled_from([b",", b";", b"\t", b" ", b"|"]), st.sampled_from([b'"', b"'", b""]), st.sampled_from([b"", b"\\"]),
    st.sampled_from([b"", b"#"]), st.booleans(),
)  # fmt: skip
PIECES = ["a", "b", ",", ";", "\t", " ", "|", '"', '""', "'", "\\", "#", "\n", "\r", "\r\n", "NA", "é", "\0", ',"', '",', '"\n', "\n#", "\\\n"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=24).map("".join).map(str.encode)
VALUES = st.sampled_from(["", "a", "1", '"q"', '"x,y"', '"p\nq"', '"d""q"', '""', "NA", '"NA"', "é"])
LINES = st.lists(st.lists(VALUES, min_size=1, max_size=4), max_size=8)
REGULAR = st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r", "\n\n"])).map(lambda one: "".join(",".join(row) + one[1] for row in one[0]).encode())


def records(data: bytes, form: CsvForm) -> tuple[list[list[str]], str]:
    """All records, and what is wrong after them."""
    grammar = grammar_of(form)
    walk = Walk(grammar, data, final=True)
    found = [[cell.text.decode() for cell in grammar.cells(data, span)] for span in walk]
    return found, walk.problem.kind if walk.problem else ""


@quick
@given(TEXTS, st.sampled_from([b",", b";", b"\t"]), st.sampled_from([b'"', b"'", b""]))
@example(b'a,"b""', b",", b'"')
@example(b'"a"\rb', b",", b'"')
def test_records_are_those_of_pythons_strict_reader(data: bytes, delimiter: bytes, quote: bytes) -> None:
    options: dict[str, Any] = {"quotechar": quote.decode()} if quote else {"quoting": csv.QUOTE_NONE}
    theirs: list[list[str]] = []
    broken = False
    try:
        for row in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter.decode(), strict=True, **options):
            theirs += [row] if row else []
    except csv.Error:
        broken = True
    ours, problem = records(data, CsvForm(delimiter, quote))
    assert (ours, bool(problem)) == (theirs, broken)


@pytest.mark.parametrize(
    ("data", "form", "rows"),
    [
        (b"a\\,b,c\n", CsvForm(escape=b"\\"), [["a,b", "c"]]),
        (b'"a\\"b","c\\\\"\n', CsvForm(escape=b"\\"), [['a"b', "c\\"]]),
        (b'"a""b"\n', CsvForm(escape=b"\\"), [['a"b']]),
        (b"a\\\nb,c\n", CsvForm(escape=b"\\"), [["a\nb", "c"]]),
        (b"#no\na#,1\n#no,\"\n", CsvForm(comment=b"#"), [["a#", "1"]]),
        (b"a,b\n#last", CsvForm(comment=b"#"), [["a", "b"]]),
        (b' a , "b " ,c d\t\n', CsvForm(trim=True), [["a", "b ", "c d"]]),
        (b"a\\ ,\\ b \n", CsvForm(escape=b"\\", trim=True), [["a ", " b"]]),
        (b" a , \tb\n", CsvForm(b"\t", trim=True), [["a ,", "b"]]),
        (b'a,"b""c"\n', CsvForm(escape=b'"'), [["a", 'b"c']]),
        (b'x, "y"\n', CsvForm(), [["x", ' "y"']]),
    ],
)
def test_escapes_comments_and_blanks(data: bytes, form: CsvForm, rows: list[list[str]]) -> None:
    assert records(data, form) == (rows, "")


def columns(found: Any) -> list[list[str | None]]:
    return [column.to_pylist() for column in found.columns]


def same(one: Any, other: Any) -> None:
    assert columns(one) == columns(other)
    assert one.starts.tolist() == other.starts.tolist()
    assert one.ragged.tolist() == other.ragged.tolist()
    assert (one.broken and one.broken[0]) == (other.broken and other.broken[0])


@needs_kernel
@settings(quick, max_examples=400)
@given(TEXTS | REGULAR, FORMS, st.integers(1, 3), st.booleans(), st.sampled_from([(b"",), (b"", b"NA"), (b"\\N",), ()]))
@example(b"\\N,\\\\N", CsvForm(escape=b"\\"), 2, False, (b"\\N",))
def test_kernel_and_python_read_the_same(data: bytes, form: CsvForm, width: int, pad: bool, nulls: tuple[bytes, ...]) -> None:
    theirs = csv_kernel.parse(data, form, [ColumnSpec(pa.string(), nulls)] * width, pad=pad)
    same(theirs, texts.parse_texts(data, grammar_of(form), width, nulls, pad=pad))


@settings(quick, max_examples=300)
@given(TEXTS | REGULAR, FORMS, st.integers(1, 3), st.sampled_from([(b"",), (b"", b"NA"), ()]))
@example(b',"",', CsvForm(), 3, (b"",))
def test_arrow_is_used_only_where_it_reads_what_the_grammar_says(data: bytes, form: CsvForm, width: int, nulls: tuple[bytes, ...]) -> None:
    arrow = texts.through_arrow(data, grammar_of(form), width, nulls)
    if arrow is not None:
        same(arrow, texts.one_by_one(data, grammar_of(form), width, frozenset(nulls), False))


def test_arrow_is_used_for_plain_files() -> None:
    data = b'a,"b,\nc"\r\n1,""\n'
    assert texts.through_arrow(data, grammar_of(CsvForm()), 2, (b"",)) is not None
    assert texts.through_arrow(b'a,5" x\n"b""",5"\n', grammar_of(CsvForm()), 2, (b"",)) is not None
    assert texts.through_arrow(b'a,"x" \n', grammar_of(CsvForm()), 2, (b"",)) is None
    assert texts.through_arrow(b'a,"x\n', grammar_of(CsvForm()), 2, (b"",)) is None


@settings(quick, max_examples=300)
@given(TEXTS | REGULAR, FORMS)
@example(b"a\r", CsvForm())
@example(b'"a"\n"', CsvForm())
@example(b'a,5" x\n"b', CsvForm())
def test_whole_records_end_at_the_same_place_however_they_are_found(data: bytes, form: CsvForm) -> None:
    grammar = grammar_of(form)
    walk = Walk(grammar, data, final=False)
    spans = list(walk)
    if records(data, form)[1] != "text":  # after a broken record everybody is lost in a way of their own
        found = whole(grammar, data, final=False)
        assert found == walk.end
        if library() is not None:
            assert csv_kernel.whole(data, form, final=False) == (walk.end, len(spans))
        if (ends := record_ends(data, form)) is not None:
            assert last_end(ends.mask, data, final=False) == walk.end


def counted(data: bytes, form: CsvForm, sizes: Sequence[int], skip: int = 0) -> CsvCounter:
    counter = CsvCounter(grammar_of(form), skip)
    at = 0
    for size in [*sizes, len(data)]:
        counter.update(data[at : at + size])
        at += size
    counter.finish()
    return counter


@settings(quick, max_examples=300)
@given(TEXTS | REGULAR, FORMS, st.lists(st.integers(0, 9), max_size=9))
@example(b"a\r\nb", CsvForm(), [2])
def test_count_is_that_of_the_reader_whatever_the_blocks(data: bytes, form: CsvForm, sizes: list[int]) -> None:
    rows, problem = records(data, form)
    if not problem:
        assert counted(data, form, sizes).records == len(rows)


@settings(quick, max_examples=400)
@given(TEXTS | REGULAR, FORMS, st.lists(st.integers(0, 9), max_size=9), st.integers(1, 6))
@example(b'a,"b\n\n""\n\n\n",\n', CsvForm(), [], 2)
def test_count_is_that_of_the_reader_where_records_are_longer_than_what_is_looked_at(data: bytes, form: CsvForm, sizes: list[int], most: int) -> None:
    rows, problem = records(data, form)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_WINDOW", most)
        patch.setattr(counting, "_MOST_MASKED", most)
        if not problem:
            assert counted(data, form, sizes).records == len(rows)


@pytest.mark.parametrize("value", [b'"' + b"x\n" * 4_000_000, b'5","' + b'\n""x' * 2_000_000, b"x, " * 3_000_000, b'"a""b",' * 1_000_000])
def test_count_holds_little_of_a_long_record(value: bytes) -> None:
    counter = CsvCounter(grammar_of(CsvForm()), 0)
    tracemalloc.start()
    try:
        for at in range(0, len(value), 1 << 20):
            counter.update(value[at : at + (1 << 20)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
    assert counter.records == 0


def test_count_tells_blank_lines_comments_and_bare_returns() -> None:
    for data in (b"\n#x\na,b\r\n\r\n\nc,d\re", b'\n#x\na,"b"\r\n\r\n\nc,d\re', b'\n#x\na,5"\r\n\r\n\nc,d\re'):
        counter = counted(data, CsvForm(comment=b"#"), [5, 3])
        assert (counter.records, counter.blank_lines, counter.comments, counter.bare_returns) == (3, 3, 1, 1)


def test_count_of_what_is_read_value_by_value_tells_the_same() -> None:
    counter = counted(b'\n#x\na, "b"\r\n\r\n\nc,d\re', CsvForm(comment=b"#", trim=True), [5, 3])
    assert (counter.records, counter.blank_lines, counter.comments, counter.bare_returns) == (3, 3, 1, 1)


def test_escaped_line_ends_and_quotes_end_nothing() -> None:
    assert counted(b'a\\\nb\n\\"c\n"d\\"\n"\n', CsvForm(escape=b"\\"), []).records == 3


def test_count_skips_the_lines_before_the_data() -> None:
    assert counted(b"x\ny\na,b\n", CsvForm(), [1, 1], skip=4).records == 1


def test_a_record_longer_than_a_window_is_counted_once_and_not_kept() -> None:
    data = b'a,"' + b"x\n" * 400_000 + b'"\nb,c\n'
    assert counted(data, CsvForm(), [300_000, 300_000]).records == 2
    counter = CsvCounter(grammar_of(CsvForm()), 0)
    counter.update(data)
    assert counter.records == 2


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (b'"a""b\n",c\n', [9]), (b'"""a\n""",""\n', [11]), (b'5" x\n"a\n"\n', [4, 9]), (b'x,5"\n6",y\n', [4, 9]),
        (b'x,5"\n"a\n",y\n""\n', [4, 11, 14]), (b'5""\n"a\n"""\n', [3, 10]), (b'5"\n",",6"\n",\n"\n', [2, 9, 14]),
    ],
)  # fmt: skip
def test_ends_are_found_at_once_where_quotes_are_doubled_or_mean_nothing(data: bytes, ends: list[int]) -> None:
    found = record_ends(data, CsvForm())
    assert found is not None
    assert found.mask.nonzero()[0].tolist() == ends
    assert found.sound
    assert found.closed


@quick
@given(st.text(st.sampled_from("a\r\n"), max_size=12))
def test_lines_are_counted_as_an_editor_counts_them(text: str) -> None:
    ends = text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    assert count_lines(text.encode()) == ends


def test_without_the_kernel_python_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "library", lambda: None)
    monkeypatch.setattr(csv_kernel, "parse", lambda *_: pytest.fail("the kernel is off"))
    found = reading.read(b'a,"b"\n', grammar_of(CsvForm()), [ColumnSpec(pa.int64())] * 2, (b"",), pad=False)
    assert columns(found) == [["a"], ["b"]]


def test_characters_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConversionFailed, match="do not go together"):
        CsvForm(b",", b",")
