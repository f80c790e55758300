"""What people see of a conversion: the preview before it, in the form and of a dry run, and the report after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from portal import catalog
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool
from portal.ui import access, conversion_preview, conversion_view, drafts, form_needs, wording
from portal.ui.access import Person
from portal.ui.accounts import Role
from tests.test_ui_pages import opened, words
from tests.test_ui_search import archived

READING = {
    "format": "csv", "encoding": "cp1252", "encoding_evidence": "bytes above 7F are letters", "delimiter": ";",
    "dialect_evidence": "';' gives 3 columns", "header": True, "quote": '"', "plain": False, "names": ["id"], "comments": 0,
}  # fmt: skip
COLUMNS = [
    {"name": "id", "type": "int64", "nulls": 0, "note": ""}, {"name": "zip", "type": "string", "nulls": 1, "note": "text, to keep leading zeros"},
]  # fmt: skip
ROWS = [{"id": "1", "zip": None}, {"id": "2", "zip": "00501"}]
PREVIEW = {
    "source": "in/a.csv", "target": "out/a.parquet", "bytes": 2048, "columns": COLUMNS, "rows": ROWS,
    "rows_in": 300, "rows_filtered": 4, "rows_rejected": 7, "whole": False, "warnings": ["Column [x](http://evil) has more digits."],
    "reading": READING,
    "misfits": [{"line": 3, "offset": 17, "column": "id", "reason": "'x' is no int64", "raw": "x;1"}], "schema": {"columns": []},
}  # fmt: skip
BROKEN = {"source": "in/b.csv", "target": "out/b.parquet", "bytes": 0, "error": "The file is empty.", "hint": "Leave it out."}
DONE = {
    "source": "s3://b/a.csv", "target": "abfss://l@a/a.parquet", "rows_in": 9, "rows_out": 7, "rows_rejected": 2, "rows_filtered": 0,
    "columns": [{**item, "checksum": "0123456789abcdef"} for item in COLUMNS], "source_crc64": "00ff", "source_checksum": "crc64nvme:00ff",
    "read_back": True, "warnings": [], "reading": READING, "widened": {"zip": "int64 → string"}, "rejects": "rejects-0.ndjson", "parts": [],
    "sources": [{}],
}  # fmt: skip


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def dry(spool: Spool, *previews: Any) -> Job:
    report = {"dry_run": {"actions": {"convert": {"objects": 2, "bytes": 2048}}, "previews": list(previews)}}
    return archived(spool, 51, engine="convert", labels={"dry_run": "yes"}, result={"counts": {"listed": 2}, "report": report})


def done(spool: Spool, *files: Any) -> Job:
    made = archived(spool, 52, engine="convert", result={"counts": {"listed": 2, "converted": 2}, "report": {"files": list(files)}})
    folder = spool.folder(made.id)
    folder.mkdir(parents=True)
    (folder / "columns.ndjson").write_text("".join(json.dumps({**file, "schema": {"columns": []}}) + "\n" for file in files))
    kept = [{"line": n, "offset": n * 9, "column": "id", "reason": "no int64", "raw": f"x{n}"} for n in range(2, 4)]
    (folder / "rejects-0.ndjson").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return made


def frame(app: AppTest, column: str) -> list[Any]:
    return next(list(item.value[column]) for item in app.dataframe if column in item.value)


def test_a_dry_run_shows_columns_rows_evidence_and_what_would_not_fit(home: Path, spool: Spool) -> None:
    app = opened("job", id=dry(spool, PREVIEW).id, tab="Result")
    text = words(app)
    assert frame(app, "Type") == ["int64", "string"] and frame(app, "Example") == ["1", "00501"]
    assert frame(app, conversion_view._WHY) == ["every value fits it", "text, to keep leading zeros"]
    assert frame(app, "As it stands in the file") == ["x;1"] and frame(app, "Line") == [3]
    assert "7 rows that do not fit**, the first 1" in text and "300 rows of samples looked at, 4 left out by where" in text
    assert "Encoding **cp1252**: bytes above 7F are letters" in text and "Delimiter **semicolon**: ';' gives 3 columns" in text
    assert "Column [x](http://evil) has more digits" in text and "Comments" not in text


def test_what_comes_from_files_is_shown_letter_by_letter(home: Path, spool: Spool) -> None:
    app = opened("job", id=dry(spool, PREVIEW).id, tab="Result")
    assert any(wording.plain("[x](http://evil)") in str(item.value) for item in app.warning)


def test_a_file_that_could_not_be_converted_says_so_beside_the_others(home: Path, spool: Spool) -> None:
    app = opened("job", id=dry(spool, PREVIEW, BROKEN).id, tab="Result")
    assert {tab.label.replace("\\", "") for tab in app.tabs} >= {"a.csv", "b.csv"}
    assert "The file is empty." in words(app) and "Leave it out." in words(app)


def test_a_dry_run_that_only_converts_does_not_speak_of_copies(home: Path, spool: Spool) -> None:
    assert [metric.label for metric in opened("job", id=dry(spool, PREVIEW).id, tab="Result").metric] == ["Convert"]


def test_the_report_of_a_file_tells_rows_columns_proof_and_rejects(home: Path, spool: Spool) -> None:
    app = opened("job", id=done(spool, DONE).id, tab="Result")
    text = words(app)
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Rows in"], figures["Rows out"], figures["Rejected"]) == ("9", "7", "2") and "Files" not in figures
    assert "compared with crc64nvme:00ff, which the source stores · read back from the target and equal" in text
    assert frame(app, "Checksum") == ["0123456789abcdef"] * 2 and frame(app, "Nulls") == [0, 1]
    assert frame(app, "Line") == [2, 3] and frame(app, "Byte") == [18, 27]
    assert "**zip**: int64 → string" in text


def test_the_rows_balance_in_words(home: Path, spool: Spool) -> None:
    counts = {"listed": 1, "converted": 1, "rows_in": 9, "rows_out": 5, "rows_rejected": 1, "rows_filtered": 3}
    told = archived(spool, 53, engine="convert", result={"counts": counts})
    assert "So do the rows: 9 read = 5 written + 1 rejected + 3 left out." in words(opened("job", id=told.id, tab="Result"))
    told = archived(spool, 54, engine="convert", result={"counts": {**counts, "rows_in": 10}})
    assert "The rows do not balance" in words(opened("job", id=told.id, tab="Result"))


def test_another_file_is_a_choice_away(home: Path, spool: Spool) -> None:
    other = {**DONE, "source": "s3://b/c.csv", "rows_in": 77, "rejects": "", "rows_rejected": 0, "rows_out": 77, "source_checksum": ""}
    app = opened("job", id=done(spool, DONE, other).id, tab="Result")
    app = app.selectbox[0].set_value(1).run()
    assert not app.exception and {metric.label: metric.value for metric in app.metric}["Rows in"] == "77"
    assert "none is stored with it to compare" in words(app)


def test_a_data_set_tells_of_its_sources_and_parts(home: Path, spool: Spool) -> None:
    told = {**DONE, "sources": [{"compared": "md5:1"}, {"compared": ""}], "parts": [{}, {}, {}], "rejects": "../../secret"}
    app = opened("job", id=done(spool, told).id, tab="Result")
    assert "2 sources, 1 of them compared" in words(app) and {metric.label: metric.value for metric in app.metric}["Files"] == "3"


@pytest.mark.parametrize(
    ("compared", "told"),
    [(["", ""], "2 sources, the CRC64 of each taken as it was read; no checksums are stored with them to compare"),
     (["md5:1", "md5:2"], "2 sources, all compared with the checksums that are stored with them"),
     (["md5:1", ""], "2 sources, 1 of them compared with the checksum that is stored with it, which the others have none of")],
)  # fmt: skip
def test_sources_without_a_stored_checksum_are_no_reproach(compared: list[str], told: str, home: Path, spool: Spool) -> None:
    sources = [{"compared": each, "rows_read_twice": 4} for each in compared]
    text = words(opened("job", id=done(spool, {**DONE, "sources": sources}).id, tab="Result"))
    assert told in text and "8 rows read by two readers, which agree" in text


def test_fields_are_shown_where_they_mean_something() -> None:
    needs = {engine: form_needs.needs_of(catalog.engine(engine)) for engine in ("convert", "migrate", "list")}
    assert needs["list"] == {}
    assert needs["convert"]["delimiter"] == {"format": ("json", "ndjson", "parquet")} and "types" not in needs["convert"]
    assert needs["migrate"]["types"] == {"convert": ("none",)} and "verify" not in needs["migrate"]
    assert "output" not in needs["migrate"]["compression"]
    assert needs["migrate"]["delete_extra"] == {"mirror": ()}


def form(values):
    """A page that is a form of the convert engine; it runs as a script of its own."""
    import streamlit as st

    from portal import catalog
    from portal.ui import form_needs, forms

    spec = catalog.engine("convert")
    fields = [item for item in spec.fields if item.kind not in ("url", "connection")]
    given = forms.Form(values, "toy", lambda *arguments: "", needs=form_needs.needs_of(spec)).show(fields)
    st.session_state["made"] = forms.parameters(fields, given)


def test_a_format_hides_what_it_has_not_and_a_hidden_field_has_its_default() -> None:
    app = AppTest.from_function(form, kwargs={"values": {"delimiter": ";"}}, default_timeout=30).run()
    assert app.session_state["made"] == {"delimiter": ";"} and "Delimiter" in [item.label for item in app.text_input]
    app = app.selectbox(key="toy.format").set_value("json").run()
    assert app.session_state["made"] == {"format": "json"} and "Delimiter" not in [item.label for item in app.text_input]
    app = app.selectbox(key="toy.output").set_value("csv").run()
    assert not {"Compression", "Bloom filters"} & {item.label for item in (*app.selectbox, *app.multiselect)}


def filled(home: Path, **params: Any) -> AppTest:
    """The form of a new conversion, as an earlier job filled it in."""
    folder = home / "data"
    app = AppTest.from_file(str(Path(__file__).parent.parent / "app.py"), default_timeout=60)
    app._page_hash = calc_hash("new")
    values = {"source": f"file://{folder}/in/", "target": f"file://{folder}/out/", **params}
    app.session_state[drafts._KEY] = drafts.Draft("d1", "convert", values)
    app.run()
    assert not app.exception
    return app


def preview(app: AppTest) -> AppTest:
    app = next(button for button in app.button if button.label == "Preview").click().run()
    assert not app.exception
    return app


@pytest.fixture
def files(home: Path) -> Path:
    folder = home / "data" / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("id;zip\n1;00501\nx\n")
    (folder / "b.txt").write_text("no")
    (folder / "_a.parquet.schema.json").write_text("{}")
    return folder


def test_the_form_previews_a_file_by_samples_and_writes_nothing(home: Path, files: Path) -> None:
    app = preview(filled(home))
    assert frame(app, "Column") == ["id", "zip"] and frame(app, "Example") == ["1", "00501"]
    assert frame(app, "As it stands in the file") == ["x"] and "**a.csv**" in words(app) and "Nothing is written" in words(app)
    assert sorted(path.name for path in (home / "data").rglob("*")) == ["_a.parquet.schema.json", "a.csv", "b.txt", "in"]


def test_the_preview_follows_the_parameters(home: Path, files: Path) -> None:
    app = preview(filled(home, types={"id": "string"}, columns=["id"], full_scan=True))
    assert frame(app, "Column") == ["id"] and frame(app, "Type") == ["string"] and "the job itself looks at every value" in words(app)
    assert "There is" not in words(app) and "nobody knows" in words(preview(filled(home, types={"id": "integre"})))


def test_a_preview_of_nothing_and_of_nonsense_is_told(home: Path, files: Path) -> None:
    assert "No file to convert here" in words(preview(filled(home, include=["*.json"])))
    assert "where, character 5" in words(preview(filled(home, where="id >")))


def test_a_preview_that_takes_too_long_points_to_the_dry_run(home: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_preview, "_WAIT_S", -1.0)
    assert "Submit a dry run instead" in words(preview(filled(home)))


def test_a_viewer_may_not_preview(home: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = filled(home)
    monkeypatch.setattr(access, "person", lambda config: Person("vera", Role.VIEWER))
    shown = next(button for button in app.button if button.label == "Preview").click().run()
    assert not shown.exception and not [item for item in shown.dataframe if "Column" in item.value]


def test_only_what_converts_has_a_preview() -> None:
    convert, migrate, listing = (catalog.engine(name) for name in ("convert", "migrate", "list"))
    assert conversion_preview.is_for(convert, {"source": "s3://a/"}) and not conversion_preview.is_for(convert, {"source": None})
    assert not conversion_preview.is_for(migrate, {"source": "s3://a/", "convert": "none"})
    assert not conversion_preview.is_for(listing, {"source": "s3://a/"})
    assert conversion_preview.is_for(migrate, {"source": "s3://a/", "convert": "parquet"})
