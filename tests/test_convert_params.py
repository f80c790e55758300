"""The parameters of conversions: every option there is, the same in convert and migrate, old job files valid, nonsense refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal import catalog
from portal.errors import BadParameters
from portal.stores.url import StoreURL
from portal.tabular import params_check
from portal.tabular.options import ConvertOptions, written_name
from portal.tabular.params import ConversionParams

PLACES = {"source": "s3://a/", "target": "abfss://b@c/d/"}


def read(engine: str = "convert", **params: Any) -> Any:
    return catalog.read_params(catalog.engine(engine).params, {**PLACES, **params})


def test_every_option_is_a_parameter_of_both_engines_with_the_same_default() -> None:
    plain = ConvertOptions()
    for engine, missing in (("convert", set()), ("migrate", {"output"})):
        fields = {item.name: item for item in catalog.engine(engine).fields}
        assert set(ConvertOptions.model_fields) - set(fields) == missing
        options = read(engine).options
        assert options == (plain if engine == "convert" else plain.model_copy(update={"write_schema": False}))


@pytest.mark.parametrize("engine", ["convert", "migrate"])
def test_every_parameter_has_help_and_a_group(engine: str) -> None:
    groups = {"Reading", "Types", "Rows and columns", "Writing"}
    fields = [item for item in catalog.engine(engine).fields if item.name in ConversionParams.model_fields]
    assert {item.group for item in fields} == groups and all(len(item.help) > 15 for item in fields)


OLD_JOBS: dict[str, dict[str, Any]] = {
    "convert": {
        "format": "csv", "encoding": "cp1252", "delimiter": "\\t", "quote": "'", "header": "no", "skip_lines": 2, "null_values": ["", "-"],
        "typed_null_values": ["NA"], "types": {"zip": "string", "total": "decimal(12,2)"}, "dates": False, "on_reject": "keep", "max_rejects": 5,
        "compression": "snappy", "row_group_rows": 5000, "concurrency": 4, "overwrite": "skip", "keys": ["a.csv"], "formats": ["csv"],
    },
    "migrate": {"convert": "parquet", "compression": "gzip", "on_reject": "keep", "max_rejects": 7, "concurrency": 8, "verify": "md5"},
}  # fmt: skip


@pytest.mark.parametrize("engine", OLD_JOBS)
def test_job_files_of_earlier_versions_are_valid_and_mean_the_same(engine: str) -> None:
    job = OLD_JOBS[engine]
    checked = catalog.validate(engine, {**PLACES, **job})
    assert {name: checked[name] for name in job} == {**job, **({"delimiter": "\t"} if engine == "convert" else {})}
    assert catalog.validate(engine, checked) == checked


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an encoding that is none": ({"encoding": "latin-17"}, "'latin-17' is no encoding; write a name like utf-8"),
    "an encoding of bytes": ({"encoding": "base64"}, "encodes bytes, not text"),
    "two characters": ({"delimiter": "||"}, "it is one character"),
    "a line break between values": ({"delimiter": "\n"}, "a line break ends records"),
    "one character for two things": ({"delimiter": "'", "quote": "'"}, 'delimiter and quote are both "\'"'),
    "digits nobody could read": ({"decimal_point": ",", "thousands": ","}, "decimal_point and thousands are both ','"),
    "a level that gzip has not": ({"compression": "gzip", "compression_level": 12}, "gzip has levels from 1 to 9"),
    "a level of snappy": ({"compression": "snappy", "compression_level": 1}, "snappy has no levels"),
    "a column twice": ({"columns": ["a", "b", "a"]}, "columns names 'a' twice"),
    "a sort key twice": ({"sort_by": ["a", "-a"]}, "sort_by names 'a' twice"),
    "a sort key that is not written": ({"columns": ["a"], "sort_by": ["-b"]}, "'-b', which is not among the columns that are written: a"),
    "a partition by the old name": ({"columns": ["a", "b"], "rename": {"a": "c"}, "partition_by": ["a"]}, "partition_by names 'a'"),
    "nothing but folders": ({"columns": ["a"], "partition_by": ["a"]}, "none would be left for the files"),
    "two columns of one name": ({"rename": {"a": "c"}, "constants": {"c": "x"}}, "give two columns the name 'c'"),
    "a column without a name": ({"rename": {"a": ""}}, "a column needs a name"),
    "a rename of what is left out": ({"columns": ["a"], "rename": {"b": "c"}}, "rename names 'b', which columns leaves out"),
    "a place that nobody fills": ({"constants": {"at": "{when}"}}, "'at' names {when}; there are {source}, {source_name}, {job}, {loaded_at}"),
    "a condition cut short": ({"where": "amount >"}, "where, character 9"),
    "a schema that is no JSON": ({"schema_document": "{"}, "schema_document: it is no JSON"),
    "a schema that is a list": ({"schema_document": "[]"}, "_NAME.schema.json"),
    "two schemas": ({"schema_document": "{}", "schema_from": "s3://a/x.schema.json"}, "give one of them"),
    "bloom filters in CSV": ({"output": "csv", "bloom_filters": ["a"]}, "bloom_filters is for Parquet files"),
    "a compression of CSV": ({"output": "csv", "compression": "gzip"}, "compression is for Parquet files"),
    "a file as target": ({"target": "abfss://b@c/x.ndjson"}, "target is the folder"),
    "a data set without a folder": ({"dataset": True, "target": "abfss://b@c/"}, "needs a folder of its own"),
    "half a data set": ({"dataset": True, "overwrite": "skip"}, "a data set is written whole"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused_before_anything_runs(case: str) -> None:
    params, told = WRONG[case]
    with pytest.raises(BadParameters) as caught:
        read(**params)
    assert told in caught.value.message


def test_what_is_hard_to_type_can_be_written_in_words() -> None:
    assert [read(delimiter=given).options.delimiter for given in ("\\t", "tab", "\t", ";")] == ["\t", "\t", "\t", ";"]


@pytest.mark.parametrize(
    ("key", "output", "folder", "name"),
    [("a/b.csv.gz", "parquet", False, "a/b.parquet"), ("b.parquet", "csv", False, "b.csv"), ("b.parquet", "parquet", False, "b.parquet"),
     ("a/b.csv", "parquet", True, "a/b/_SUCCESS"), ("notes.txt", "ndjson", False, "notes.txt.ndjson"), ("a/.csv", "csv", False, "a/.csv.csv"),
     ("X.PARQUET", "ndjson", False, "X.ndjson")],
)  # fmt: skip
def test_results_are_named_after_their_source(key: str, output: Any, folder: bool, name: str) -> None:
    assert written_name(key, output, folder=folder) == name


NAMES = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=80, deadline=None)
@given(
    st.builds(
        ConvertOptions, columns=st.lists(NAMES).map(tuple), rename=st.dictionaries(NAMES, NAMES), partition_by=st.lists(NAMES, max_size=2).map(tuple),
        constants=st.dictionaries(NAMES, st.sampled_from(["x", "{job}", "{", "{nobody}"]), max_size=2),
    )
)  # fmt: skip
def test_what_is_let_through_names_each_column_once(options: ConvertOptions) -> None:
    if params_check.refusal(options) or not options.columns:
        return
    written = [*(options.rename.get(name, name) for name in options.columns), *options.constants]
    assert len(set(options.columns)) == len(options.columns) and set(options.partition_by) <= set(written)
    assert set(options.partition_by) != set(written) and not any("{nobody}" in text for text in options.constants.values())


def test_a_schema_of_a_url_is_a_parameter() -> None:
    assert read(schema_from="s3://a/_x.schema.json").schema_from == StoreURL.parse("s3://a/_x.schema.json")
