"""Form, flags, documentation and validation come from one Params model."""

from __future__ import annotations

import argparse
from datetime import date
from typing import Literal

import pytest

from portal import catalog
from portal.errors import BadParameters, explain
from portal.params import EngineParams, param
from portal.stores.url import StoreURL


class Params(EngineParams):
    source: StoreURL = param(help="Where from", group="Source", placeholder="s3://bucket/prefix")
    source_connection: str = param("", help="Connection", group="Source")
    keys: tuple[str, ...] = param((), help="Chosen keys")
    formats: tuple[Literal["csv", "json"], ...] = param(("csv",), help="Formats")
    verify: Literal["none", "md5"] = param("md5", help="How to prove it; 100% of the bytes")
    rows: int = param(10, help="Rows", ge=1, le=99, unit="rows")
    ratio: float | None = param(None, help="Ratio", advanced=True)
    replace: bool = param(False, help="Replace")
    types: dict[str, str] = param(default_factory=dict, help="Types")
    day: date | None = param(None, help="Day")


SPEC = catalog.describe("sample", "Do a thing.\n\nAt length.", Params)


def by_name(name: str) -> catalog.FieldSpec:
    return next(item for item in SPEC.fields if item.name == name)


def test_the_docstring_gives_summary_and_description() -> None:
    assert (SPEC.summary, SPEC.description) == ("Do a thing.", "At length.")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("source", "url"), ("source_connection", "connection"), ("keys", "list"), ("formats", "list"), ("verify", "choice"), ("rows", "integer"),
     ("ratio", "number"), ("replace", "boolean"), ("types", "json"), ("day", "date")],
)  # fmt: skip
def test_each_type_has_its_kind_of_field(name: str, kind: str) -> None:
    assert by_name(name).kind == kind


def test_a_field_carries_what_a_form_shows() -> None:
    rows, ratio, source = by_name("rows"), by_name("ratio"), by_name("source")
    assert (rows.minimum, rows.maximum, rows.unit, rows.default, rows.required) == (1, 99, "rows", 10, False)
    assert (ratio.optional, ratio.advanced, ratio.default) == (True, True, None)
    assert (source.required, source.group, source.placeholder) == (True, "Source", "s3://bucket/prefix")
    assert by_name("formats").choices == ("csv", "json")


def parse(*flags: str) -> dict[str, object]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    catalog.add_flags(parser, SPEC)
    return catalog.from_flags(parser.parse_args(flags), SPEC)


def test_flags_give_the_same_values_as_json() -> None:
    given = parse("--source", "s3://b/p", "--keys", "a", "b c", "--rows", "7", "--replace", "--types", '{"id": "string"}', "--day", "2026-01-02")
    read = catalog.read_params(Params, given)
    same = {"source": "s3://b/p", "keys": ["a", "b c"], "rows": 7, "replace": True, "types": {"id": "string"}, "day": "2026-01-02"}
    assert read == catalog.read_params(Params, same)
    assert read.day == date(2026, 1, 2)


def test_flags_not_given_are_left_to_the_defaults() -> None:
    assert parse("--no-replace") == {"replace": False}


def test_help_shows_defaults_and_survives_a_percent_sign(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert "100% of the bytes" in text and "(default: md5)" in text and "(required)" in text


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(BadParameters) as caught:
        catalog.read_params(Params, {"rows": "many", "verify": "maybe", "typo": 1})
    text = explain(caught.value)
    assert "source is missing: Where from" in text
    assert "rows" in text and "many" in text and "verify" in text and "typo is not a parameter" in text


def test_a_list_whose_items_are_wrong_is_not_called_too_short_as_well() -> None:
    class Lists(EngineParams):
        names: tuple[StoreURL, ...] = param(help="Names", min_length=1)

    with pytest.raises(BadParameters) as caught:
        catalog.read_params(Lists, {"names": ["bucket/prefix"]})
    assert "names.0" in str(caught.value) and "at least" not in str(caught.value)
    with pytest.raises(BadParameters, match="at least 1 item"):
        catalog.read_params(Lists, {"names": []})


def test_a_wrong_url_says_how_to_write_it() -> None:
    with pytest.raises(BadParameters, match="s3://bucket/prefix"):
        catalog.read_params(Params, {"source": "bucket/prefix"})


def test_flags_that_must_be_json_say_so() -> None:
    with pytest.raises(BadParameters, match="--types must be JSON"):
        parse("--types", "{")


def test_an_unknown_engine_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadParameters) as caught:
        catalog.engine("../../etc")
    assert "migrate" in caught.value.hint or "list" in caught.value.hint


def test_the_reference_page_names_every_parameter() -> None:
    page = catalog.markdown(SPEC)
    assert all(f"`{item.name}`" in page for item in SPEC.fields)


@pytest.mark.parametrize("name", catalog.names())
def test_every_engine_documents_itself(name: str) -> None:
    spec = catalog.engine(name)
    assert spec.summary.endswith(".") and spec.description
    assert all(item.help for item in spec.fields)


def test_values_of_a_list_may_begin_with_a_hyphen() -> None:
    parser = catalog.FlagParser()
    catalog.add_flags(parser, catalog.engine("convert"))
    given = catalog.from_flags(parser.parse_args(["--sort-by", "id", "-amount", "-height", "--on-reject", "keep"]), catalog.engine("convert"))
    assert given == {"sort_by": ["id", "-amount", "-height"], "on_reject": "keep"}


def test_choices_that_are_no_words_are_quoted() -> None:
    parser = catalog.FlagParser()
    catalog.add_flags(parser, catalog.engine("convert"))
    assert "{'.',','}" in parser.format_help() and "{'',dmy,mdy}" in parser.format_help()


def test_the_engine_that_was_meant_is_named() -> None:
    with pytest.raises(BadParameters, match="There is no engine 'lsit'") as caught:
        catalog.engine("lsit")
    assert caught.value.hint.startswith("Did you mean list? Engines: audit_export, ")
    with pytest.raises(BadParameters) as caught:
        catalog.engine("zzz")
    assert caught.value.hint.startswith("Engines: ")
