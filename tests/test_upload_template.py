"""Keys from templates: what a template may say, and that the keys it makes are good ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.transfer.uploading.template import DEFAULT, FIELDS, TELLING, Template, format_name, parsed, refuse_folders, stem_and_ending

AT = datetime(2026, 11, 21, 23, 30, 5, tzinfo=UTC)
_CHARACTERS = st.characters(exclude_characters="/\0", exclude_categories=[])
FILENAMES = st.text(_CHARACTERS, min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(FILENAMES, min_size=1, max_size=4).map("/".join)
PARTS = st.lists(st.sampled_from([*(f"{{{name}}}" for name in FIELDS), "a", "year=", "-", "{{", "}}"]), min_size=1, max_size=3).map("".join)
TEMPLATES = st.builds(
    lambda parts, telling: "/".join([*parts, f"{{{telling}}}"]), st.lists(PARTS, max_size=4), st.sampled_from(TELLING)
)  # fmt: skip


def key(name: str, text: str = DEFAULT, modified: str = "2026-01-02T03:04:05.000006Z", **options: object) -> str:
    return Template(text, **{"moment": AT, **options}).key(name, modified)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sales.csv", "Raw/Local/CSV/sales/2026/11/21/sales.csv"),
        ("eu/sales.tsv.gz", "Raw/Local/CSV/eu/2026/11/21/sales.tsv.gz"),
        ("eu/north/a.NDJSON", "Raw/Local/JSON/eu/2026/11/21/a.NDJSON"),
        ("report.final.pdf", "Raw/Local/PDF/report.final/2026/11/21/report.final.pdf"),
        ("README", "Raw/Local/OTHER/README/2026/11/21/README"),
        ("t.parquet", "Raw/Local/PARQUET/t/2026/11/21/t.parquet"),
    ],
)
def test_the_usual_template(name: str, wanted: str) -> None:
    assert key(name) == wanted


def test_the_data_set_is_the_one_that_is_named() -> None:
    assert key("eu/a.csv", dataset="sales/daily", layer="Bronze", source="Tills") == "Bronze/Tills/CSV/sales/daily/2026/11/21/a.csv"


def test_date_parts_are_those_of_the_zone() -> None:
    assert key("a", "{yyyy}-{mm}-{dd}T{hh}{min}{ss}/{yy}/{date}/{week}/{path}") == "2026-11-21T233005/26/2026-11-21/2026-W47/a"
    assert key("a", "{date}/{hh}/{path}", moment=AT.astimezone(ZoneInfo("Asia/Tokyo"))) == "2026-11-22/08/a"


def test_date_parts_may_be_those_of_the_file() -> None:
    assert key("a", "{date}/{hh}/{path}", of_file=True) == "2026-01-02/03/a"
    assert key("a", "{date}/{path}", of_file=True, modified="") == "2026-11-21/a"


def test_a_part_that_only_names_what_is_empty_is_left_out() -> None:
    assert key("a.csv", "in/{folder}/{stem}-x{ext}") == "in/a-x.csv"
    assert key("b/c/a.csv", "in/{folder}/{stem}-x{ext}") == "in/b/c/a-x.csv"


def test_braces_stand_for_themselves_twice() -> None:
    assert key("a", "{{{layer}}}/{path}") == "{Raw}/a"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "neither begins"), ("/{path}", "neither begins"), ("{path}/", "neither begins"), ("a//{path}", "neither begins"), ("a/b", "must be in"),
        ("{name}/{path}", "nobody knows {name}"), ("{path!r}", "nobody knows {path!r}"), ("{yyyy:04}/{path}", "nobody knows {yyyy:04}"),
        ("{}/{path}", "nobody knows {}"), ("{path", "brace"), ("path}/{path}", "brace"), ("../{path}", "no '.' or '..'"), ("{a/b}/{path}", "brace"),
        ("{path.x}", "nobody knows {path.x}"),
    ],
)  # fmt: skip
def test_what_is_no_template_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        parsed(text)
    assert told in str(error.value)


@pytest.mark.parametrize("value", ["/a", "a/", "a//b", ".", "a/../b"])
def test_values_that_make_bad_folders_are_refused(value: str) -> None:
    with pytest.raises(ValueError):
        refuse_folders(value)


@given(PATHS, TEMPLATES)
@example("a/\udcff.csv", DEFAULT)
def test_a_key_has_no_empty_part_and_is_the_same_each_time(name: str, text: str) -> None:
    made = key(name, text)
    assert made
    assert "" not in made.split("/")
    assert made == key(name, text)


@given(PATHS, PATHS, st.lists(st.sampled_from(["{layer}", "{date}", "in"]), max_size=3))
def test_files_of_other_paths_have_other_keys_where_the_path_is_named(one: str, other: str, before: list[str]) -> None:
    text = "/".join([*before, "{path}"])
    assert (key(one, text) == key(other, text)) == (one == other)


@given(FILENAMES, FILENAMES)
def test_files_of_one_folder_have_keys_of_their_own_where_the_name_is_told(one: str, other: str) -> None:
    for last in ("{filename}", "{stem}{ext}"):
        text = f"{{layer}}/{{source}}/{{date}}/{last}"
        assert (key(f"x/{one}", text) == key(f"x/{other}", text)) == (one == other)


@given(FILENAMES)
def test_stem_and_ending_are_the_name(name: str) -> None:
    stem, ending = stem_and_ending(name)
    assert stem + ending == name
    assert stem
    assert format_name(name)


def test_the_documentation_lists_what_a_template_may_name() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "uploading.md").read_text("utf-8")
    table = page.split("| name | what it stands for |")[1].split("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`\{(\w+)\}`", row.split("|")[1] if "|" in row else "")}
    assert told == set(FIELDS)
