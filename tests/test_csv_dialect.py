"""How a CSV file is written, told from its beginning, with the evidence and what is doubtful."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.csv_format.dialect import Dialect, detect
from portal.tabular.csv_format.names import column_names
from portal.tabular.options import ConvertOptions


def found(text: str, name: str = "file.csv", *, whole: bool = True, **options: Any) -> Dialect:
    return detect(text.encode(), ConvertOptions(**options), name, whole=whole)


DELIMITERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "commas": ("a,b\n1,2\n", {}, ","),
    "semicolons, with commas in the values": ("a;b\n1;2,5\n3;4,5\n", {}, ";"),
    "tabs": ("a\tb\n1\tx,y\n", {}, "\t"),
    "bars": ("a|b\n1|2\n", {}, "|"),
    "Hive's": ("a\x01b\n1\x012\n", {}, "\x01"),
    "a rare one": ("a^b\n1^2\n", {}, "^"),
    "a usual one before a rare one": ("a^b,c\n1^2,3\n", {}, ","),
    "within quotes none counts": ('"a;b",c\n"1;2",3\n', {}, ","),
    "one column": ("name\nx y\n", {}, ","),
    "decimal commas leave the semicolon": ("1,5;2,5\n3,5;4,5\n", {"decimal_point": ","}, ";"),
    "as asked for": ("a;b\n1;2\n", {"delimiter": ","}, ","),
    "Excel's line": ("sep=|\na,b|c\n", {}, "|"),
    "Excel's line in quotes": ('"sep=;"\r\na,b;c\r\n', {}, ";"),
    "the comment character is none": ("a|b,c\n|x\n1|2,3\n", {"comment": "|"}, ","),
}  # fmt: skip


@pytest.mark.parametrize("name", DELIMITERS)
def test_delimiter(name: str) -> None:
    text, options, delimiter = DELIMITERS[name]
    assert found(text, **options).form.delimiter.decode() == delimiter


def test_excels_line_is_no_record() -> None:
    assert found("sep=|\na|b\n").start == 6
    assert found("sep=|\na|b\n", delimiter="|").start == 0


def test_a_name_in_tsv_speaks_for_tabs_where_others_do_as_well() -> None:
    assert found("a\tb,c\n1\t2,3\n", "file.tsv.gz").form.delimiter == b"\t"
    assert found("a\tb,c\n1\t2,3\n", "file.csv").form.delimiter == b","


def test_what_reads_as_well_another_way_is_doubtful() -> None:
    assert "as well with the delimiters ',' and ';'" in found("a,b;c\n1,2;3\n").doubts[0]
    assert "looks like data" in found("1,2\n3,4\n").doubts[0]
    assert found("1,2\n3,4\n", header="no").doubts == ()
    assert found("a,b\n1,2\n").doubts == ()


HEADERS: dict[str, tuple[str, bool]] = {
    "names above numbers": ("a,b\n1,2\n", True),
    "numbers above numbers": ("1,2\n3,4\n", False),
    "dates above dates": ("2013-01-31,x\n2013-02-01,y\n", False),
    "German dates and numbers": ("31.01.2013;1,5\n01.02.2013;2,5\n", False),
    "texts above texts": ("a,b\nc,d\n", True),
    "a year above texts": ("2013,name\nx,y\n", True),
    "years above numbers, and a name": ("name,2013\nx,1\n", False),
    "only a row of names": ("a,b\n", True),
    "only a row of numbers": ("1,2\n", False),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_header(name: str) -> None:
    text, header = HEADERS[name]
    dialect = found(text)
    assert dialect.header is header
    assert ("is a header" in dialect.evidence) is header


def test_evidence_counts_rows() -> None:
    assert found("a;b\n1;2\n3\n").evidence == "';' gives 2 columns in 2 of the first 3 rows; the first row is a header"
    assert found("a;b\n", delimiter=";", header="no").evidence == "delimiter as asked for; header=no as asked for"
    assert "no usual delimiter" in found("a\nb\n").evidence


def test_skipped_lines_are_lines_whatever_their_ends() -> None:
    assert found("x\r\ny\rz\na,b\n1,2\n", skip_lines=3).start == len("x\r\ny\rz\n")


def test_a_record_that_is_cut_by_the_end_of_the_head_does_not_count() -> None:
    assert found("a;b\n1;2\n3;4\n5,6", whole=False).form.delimiter == b";"
    assert found("a;b;c", whole=False).form.delimiter == b";"


@pytest.mark.parametrize(("options", "reason"), [({"delimiter": "\n"}, "delimiter"), ({"quote": "é"}, "quote"), ({"escape": "\0"}, "escape")])
def test_characters_that_cannot_be_used(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ConversionFailed, match=f"The {reason} "):
        found("a\n", **options)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["", "a", "a_2", "b", "column_1", "column_2"]), min_size=1, max_size=8))
def test_names_are_there_and_differ_and_those_given_once_stay(cells: list[str]) -> None:
    names, changes = column_names(cells)
    assert all(names)
    assert len(set(names)) == len(names) == len(cells)
    assert len(changes) == sum(name != cell for name, cell in zip(names, cells, strict=True))
    assert all(names[place] == cell for place, cell in enumerate(cells) if cell and cells.index(cell) == place)


def test_a_delimiter_that_does_not_occur_is_doubted() -> None:
    asked = ConvertOptions(delimiter=";")
    (doubt,) = detect(b"a,b\n1,2\n3,4\n", asked, whole=True).doubts
    assert "';' that was asked for does not occur; ',' gives 2 columns" in doubt
    assert not detect(b"a\n1\n3\n", asked, whole=True).doubts and not detect(b"a;b\n1,2;3\n", asked, whole=True).doubts
