"""What people see of a transfer: proofs that do not flatter, causes with what to do, objects page by page, dry runs, and confirmed deletions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from streamlit.testing.v1 import AppTest

from portal import submission
from portal.catalog import FieldSpec
from portal.comparing.evidence import LEVELS
from portal.comparing.report import TABLE_FILE
from portal.jobs import Job, Status
from portal.ledger import view as ledger_view
from portal.settings import Settings
from portal.spool import Spool
from portal.transfer.proof import Level
from portal.ui import access, dry_run, ledger_table, mirror, proofs
from portal.ui.access import Person
from portal.ui.accounts import Role
from portal.ui.actions import Order
from tests import ledgers
from tests.test_ui_pages import opened, words
from tests.test_ui_search import archived

COUNTS = {"listed": 39, "copied": 30, "skipped": 1, "failed": 7, "excluded": 1, "deleted": 1}
PARAMS = {"source": "s3://sales/2026/", "target": "abfss://lake@account/sales/"}
DRY = {
    "actions": {"copy": {"objects": 1203, "bytes": 5 << 20}, "unchanged": {"objects": 8, "bytes": 0}, "delete": {"objects": 17, "bytes": 99}},
    "conflicts": ["a/x.csv and b/x.csv would both become [raw](http://evil)/x.csv"], "occupied": ["abfss://lake@account/sales/1.csv"],
    "renames": [{"source": "dot.", "target": "dot%2E"}], "deletions": {"objects": 17, "sample": ["sales/old.csv"]}, "time_s": 812.0,
    "cost": {"currency": "USD", "total": 8.33, "lines": [{"what": "S3 GET", "count": 1203, "cost": 0.05}]}, "assumptions": ["Prices of us-east-1."],
}  # fmt: skip


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def job(spool: Spool) -> Job:
    made = archived(spool, 31, status=Status.PARTIAL, engine="migrate", result={"counts": COUNTS, "bytes": 4000})
    ledgers.give(spool, made.id, ledgers.some())
    return made


def planned(spool: Spool, **values: Any) -> Job:
    """A dry run that has ended."""
    labels = {"dry_run": "yes", "name": "to the lake"}
    made = archived(spool, 41, engine="migrate", labels=labels, result={"counts": {"listed": 1211}, "report": {"dry_run": DRY}}, **values)
    spool.archive_path(made).write_text(made.evolve(params=PARAMS).to_json())
    return made.evolve(params=PARAMS)


def click(app: AppTest, label: str, number: int = 0) -> AppTest:
    app = [button for button in app.button if button.label == label][number].click().run()
    assert not app.exception
    return app


def shown(app: AppTest) -> list[str]:
    """The sources in the table of objects."""
    frames = [frame.value for frame in app.dataframe if "source_key" in frame.value]
    return list(frames[0]["source_key"]) if frames else []


def keys(*numbers: int) -> list[str]:
    return [f"in/{n:03d}.csv" for n in numbers]


def test_proofs_are_told_in_words_and_length_alone_is_not_called_verified(home: Path, job: Job) -> None:
    text = words(opened("job", id=job.id, tab="Result"))
    for level, count in (("read-back", 1), ("end-to-end", 27), ("streamed", 1), ("size", 1)):
        look = proofs.level(level)
        assert f":{look.colour}-badge[:material/{look.icon}: {look.word}]" in text
        assert f"**{count}** object" in text
    assert "Length only: not verified" in text
    assert "3.3 KiB passed this machine, for 3.4 KiB that arrived" in text


def test_it_is_told_why_bytes_passed_this_machine(home: Path, spool: Spool, job: Job) -> None:
    why = "streamed: the source stores no CRC64NVME"
    ledgers.give(spool, job.id, [ledgers.row(1, mode="server", bytes_through=0), ledgers.row(2, reason=why)])
    assert "Not server-side, for example in/002.csv: the source stores no CRC64NVME." in words(opened("job", id=job.id, tab="Result"))
    ledgers.give(spool, job.id, [ledgers.row(2)])
    assert "Not server-side" not in words(opened("job", id=job.id, tab="Result"))


def test_only_what_was_compared_looks_verified() -> None:
    green = {name for name, look in proofs.LEVELS.items() if look.colour == "green"}
    assert green == {"read-back", "end-to-end", "converted", "read", "stored"}
    assert set(LEVELS) | set(get_args(Level)) == set(proofs.LEVELS)
    assert {
        name for name, look in proofs.LEVELS.items() if look.word.startswith("Verified") or look.icon == "verified" or look.letter == "✔"
    } == green
    assert proofs.level("of a later version").colour == "gray"


def test_the_books_and_what_was_deleted_are_told_apart(home: Path, job: Job) -> None:
    text = words(opened("job", id=job.id, tab="Result"))
    assert "The books balance: 39 listed = 30 copied + 1 skipped + 7 failed + 1 excluded." in text
    assert "Apart from what was listed, 1 object that the source no longer has was deleted at the target." in text


def test_a_click_on_a_cause_shows_its_objects(home: Path, job: Job) -> None:
    app = opened("job", id=job.id, tab="Result")
    text = words(app)
    assert "Access was refused" in text and "For example in/030.csv: The store refused the credentials." in text and "bad_names=rename" in text
    app = click(app, "Show these", 1)
    assert shown(app) == keys(35, 36)
    assert {box.label: box.value for box in app.selectbox} == {"Outcome": "failed", "Proof": "", "How": "", "Cause": "name"}
    assert len(shown(click(app, "Clear"))) == 40


FILTERS: list[tuple[dict[str, str], list[int]]] = [
    ({"outcome": "failed"}, [*range(30, 37)]), ({"proof": "size"}, [4]), ({"mode": "server"}, [4, 6, 7, 8]), ({"cause": "name"}, [35, 36]),
    ({"object": "BACKSLASH"}, [36]), ({"mode": "server", "proof": "end-to-end"}, [6, 7, 8]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "numbers"), FILTERS, ids=[" ".join(query.values()) for query, _ in FILTERS])
def test_an_address_names_the_objects_that_are_shown(home: Path, job: Job, query: dict[str, str], numbers: list[int]) -> None:
    assert shown(opened("job", id=job.id, tab="Objects", **query)) == keys(*numbers)


def test_an_address_that_fits_nothing_says_so(home: Path, job: Job) -> None:
    app = opened("job", id=job.id, tab="Objects", object="nowhere")
    assert "No object fits" in words(app) and shown(app) == []
    assert len(shown(click(app, "Show all"))) == 40
    assert shown(opened("job", id=job.id, tab="Objects", cause="no-such-cause")) == []


def test_objects_are_paged_and_counted(home: Path, spool: Spool, job: Job) -> None:
    ledgers.give(spool, job.id, [ledgers.row(n) for n in range(450)])
    app = opened("job", id=job.id, tab="Objects")
    assert "Objects 1 to 200 of 450 objects." in words(app)
    app.number_input[0].set_value(3).run()
    assert shown(app) == keys(*range(400, 450)) and "Objects 401 to 450 of 450 objects." in words(app)
    app = opened("job", id=job.id, tab="Objects", object="in/")
    assert "Objects 1 to 200; more follow." in words(app)


def test_a_page_of_a_long_ledger_reads_little_of_it(home: Path, spool: Spool, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    ledgers.give(spool, job.id, [ledgers.row(n) for n in range(3000)])
    app = opened("job", id=job.id, tab="Objects")
    read: list[int] = []
    whole = ledger_view.View._read

    def watched(self: Any, number: int, *arguments: Any, **options: Any) -> Any:
        read.append(number)
        return whole(self, number, *arguments, **options)

    monkeypatch.setattr(ledger_view.View, "_read", watched)
    app.number_input[0].set_value(2).run()
    assert shown(app)[0] == "in/200.csv" and set(read) <= set(range(28, 59)) and len(read) <= 31


def test_a_download_holds_the_objects_that_fit(home: Path, job: Job, spool: Spool) -> None:
    view = ledger_view.view(spool.folder(job.id) / "ledger.parquet")
    text = ledger_table._file(view, ledger_view.Chosen(cause=("name",)), "csv").decode()
    assert [line.split(",")[1] for line in text.splitlines()[1:]] == ['"in/035.csv"', '"in/036.csv"']


def test_more_than_a_browser_takes_is_left_to_the_command(home: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [button.disabled for button in opened("job", id=job.id, tab="Objects").get("download_button")] == [False, False]
    monkeypatch.setattr(ledger_table, "MOST_DOWNLOADED", 10)
    buttons = opened("job", id=job.id, tab="Objects").get("download_button")
    assert [button.disabled for button in buttons] == [True, True] and f"python -m portal ledger {job.id} -o ledger.csv" in buttons[0].help
    assert [button.disabled for button in opened("job", id=job.id, tab="Objects", cause="name").get("download_button")] == [False, False]


def test_a_ledger_of_an_earlier_version_shows(home: Path, spool: Spool, job: Job) -> None:
    ledgers.give(spool, job.id, ledgers.some(), schema=ledgers.OLD_SCHEMA)
    text = words(opened("job", id=job.id, tab="Result"))
    assert "No cause is told" in text and "Length only: not verified" in text and "How the bytes went" not in text
    assert len(shown(opened("job", id=job.id, tab="Objects"))) == 40


def test_a_comparison_shows_what_is_not_the_same(home: Path, spool: Spool) -> None:
    counts = {"listed": 5, "equal": 3, "different": 1, "only_source": 1, "only_target": 1, "errors": 0, "excluded": 0, "ignored": 0}
    job = archived(spool, 51, status=Status.PARTIAL, engine="verify", result={"counts": counts, "bytes": 30})
    ledgers.compared(spool.folder(job.id) / TABLE_FILE)
    app = opened("job", id=job.id, tab="Result")
    text = words(app)
    assert "The books balance: 5 listed = 3 equal + 1 different + 1 only source." in text and "What is not the same" in text
    assert "Verified: read now" in text and "Verified: stored checksums" in text and "Length only: not verified" in text
    assert "For example f: it is not at the source" in text and "migrate with mirror" in text
    assert shown(click(app, "Show these")) == ["d"]


def test_the_files_that_tell_more_are_offered_beside_the_result(home: Path, spool: Spool, job: Job) -> None:
    for name in ("names.csv", "extras.csv", "progress.json"):
        (spool.folder(job.id) / name).write_text("x")
    app = opened("job", id=job.id, tab="Result")
    assert [button.label for button in app.get("download_button")] == ["names.csv", "extras.csv"]
    assert "names that were changed because the target cannot hold them" in words(app) and "what only the target has" in words(app)


def test_the_proof_of_each_object_is_told_in_its_row(home: Path, job: Job) -> None:
    app = opened("job", id=job.id, tab="Objects")
    (frame,) = [frame.value for frame in app.dataframe if "source_key" in frame.value]
    told = dict(zip(frame["source_key"], frame["proof"], strict=True))
    assert [told[name] for name in keys(2, 3, 4, 5)] == ["✔ end to end", "≈ compared on the way", "▲ Length only: not verified", "✔ read back"]
    assert not isinstance(told["in/030.csv"], str) and dict(zip(frame["source_key"], frame["outcome"], strict=True))["in/030.csv"] == "✕ failed"


def test_a_damaged_ledger_does_not_hide_the_result(home: Path, spool: Spool, job: Job) -> None:
    (spool.folder(job.id) / "ledger.parquet").write_bytes(b"PAR1")
    text = words(opened("job", id=job.id, tab="Result"))
    assert "cannot be read" in text and "The books balance" in text and "Traceback" not in text


def test_retrying_says_that_it_does_only_what_failed(home: Path, spool: Spool, job: Job) -> None:
    spool.archive_path(job).write_text(job.evolve(params=PARAMS).to_json())
    click(opened("job", id=job.id), "Retry only the 7 that failed")
    (again,) = spool.waiting(5)
    assert again.retry_of == job.id


def test_a_dry_run_tells_what_would_be_done_and_what_it_would_cost(home: Path, spool: Spool) -> None:
    app = opened("job", id=planned(spool).id, tab="Result")
    figures = {metric.label.partition(": ")[2] or metric.label: metric.value for metric in app.metric}
    assert (figures["Copy"], figures["Unchanged"], figures["Delete at the target"], figures["About"]) == ("1,203", "8", "17", "13m 32s")
    assert figures["Cost"] == "8.33 USD"
    text = words(app)
    assert "2 things in the way" in text and "abfss://lake@account/sales/1.csv exists already" in text and "sales/old.csv" in text
    assert "It would delete 17 objects at the target" in text and "Prices of us-east-1." in text
    assert r"\[raw\]" in "\n".join(item.value for item in app.warning)


def test_what_is_in_the_way_keeps_a_planned_job_from_being_run(home: Path, spool: Spool) -> None:
    app = opened("job", id=planned(spool, status=Status.FAILED, error="Nothing was moved: targets that exist already").id)
    assert [button.disabled for button in app.button if button.label == "Run it now"] == [True] and "2 things in the way" in words(app)


def test_run_it_now_submits_the_same_job_for_good_and_once(home: Path, spool: Spool) -> None:
    plan = planned(spool)
    for _ in range(2):
        click(opened("job", id=plan.id, tab="Result"), "Run it now")
    (made,) = spool.waiting(5)
    assert (made.params, made.labels, made.parent) == (PARAMS, {"name": "to the lake"}, plan.id)


def test_a_viewer_cannot_run_what_was_planned(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "person", lambda settings: Person("vera", Role.VIEWER))
    app = opened("job", id=planned(spool).id, tab="Result")
    assert [button.disabled for button in app.button if button.label == "Run it now"] == [True]


def test_credentials_that_were_typed_in_are_asked_for_again(home: Path, spool: Spool) -> None:
    plan = planned(spool)
    spool.archive_path(plan).write_text(plan.evolve(labels={**plan.labels, submission.TYPED_LABEL: "typed"}).to_json())
    app = click(opened("job", id=plan.id, tab="Result"), "Run it now")
    assert f"Filled in from job `{plan.id}`" in words(app) and spool.waiting(5) == []


ORDER = Order("migrate", {**PARAMS, "mirror": True, "delete_extra": True, "max_deletes": 50}, key="form-1")


def asked(order):
    """What the test app shows: the confirmation, and whether the order may be submitted. It runs as a script of its own."""
    import streamlit as st

    from portal.ui import mirror

    st.session_state["made"] = mirror.confirmed(order, "typed")


@pytest.mark.parametrize(("typed", "fits"), [
    ("", False), ("abfss://lake@account/sales", False), ("abfss://lake@account/", False), ("yes", False), (" abfss://lake@account/sales/ ", True),
])  # fmt: skip
def test_deleting_wants_the_target_typed_again(typed: str, fits: bool) -> None:
    app = AppTest.from_function(asked, kwargs={"order": ORDER}, default_timeout=30).run()
    assert "abfss://lake@account/sales/" in words(app) and "50 objects at most" in words(app) and app.session_state["made"] is None
    made = app.text_input[0].set_value(typed).run().session_state["made"]
    assert (made is not None) == fits
    if fits:
        assert made.params == {**ORDER.params, "confirm_delete": "abfss://lake@account/sales/"} and made.key == ORDER.key


def test_what_deletes_nothing_asks_for_nothing() -> None:
    only_listing = replace(ORDER, params={**PARAMS, "mirror": True})
    planning = replace(ORDER, dry_run=True)
    for order, made in ((only_listing, only_listing), (planning, mirror.assumed(planning))):
        app = AppTest.from_function(asked, kwargs={"order": order}, default_timeout=30).run()
        assert not app.text_input and app.session_state["made"] == made and mirror.submit_label(order) == "Submit"
    assert mirror.submit_label(ORDER) == "Submit: delete up to 50 objects"


def test_what_a_dry_run_planned_is_confirmed_before_it_deletes(home: Path, spool: Spool) -> None:
    params = {**PARAMS, "mirror": True, "delete_extra": True}
    order = dry_run.for_good(planned(spool).evolve(params={**params, "confirm_delete": PARAMS["target"]}))
    assert mirror.deletes(order) and not order.dry_run and order.params == params


FIELDS = [
    FieldSpec("overwrite", "choice", "Overwrite", "", False, "fail", "Target", choices=("fail", "skip")),
    FieldSpec("mirror", "boolean", "Mirror", "", False, False, "Target"),
    FieldSpec("delete_extra", "boolean", "Delete extra", "", False, False, "Target"),
    FieldSpec("max_deletes", "integer", "Max deletes", "", False, 1000, "Target", advanced=True),
    *(
        FieldSpec(f"{group.lower()}_{n}", "integer", f"{group} {n}", "", False, n, group, advanced=True)
        for group in ("Speed", "How")
        for n in range(5)
    ),
]


def form(fields, values):
    """What the test app shows; it runs as a script of its own."""
    import streamlit as st

    from portal import catalog
    from portal.ui import form_needs, forms

    made = forms.Form(values, "toy", lambda *arguments: "", needs=form_needs.needs_of(catalog.engine("migrate"))).show(fields)
    st.session_state["made"] = forms.parameters(fields, made)


def test_deleting_is_offered_only_to_a_mirror_and_its_limit_only_to_deleting() -> None:
    app = AppTest.from_function(form, kwargs={"fields": FIELDS, "values": {"max_deletes": 5, "delete_extra": True}}, default_timeout=30).run()
    assert [toggle.label for toggle in app.toggle] == ["Mirror"] and app.session_state["made"] == {}
    app.toggle[0].set_value(True).run()
    assert [toggle.label for toggle in app.toggle] == ["Mirror", "Delete extra"] and "Max deletes" in [box.label for box in app.number_input]
    assert app.session_state["made"] == {"mirror": True, "delete_extra": True, "max_deletes": 5}
    app.toggle[1].set_value(False).run()
    assert app.session_state["made"] == {"mirror": True} and "Max deletes" not in [box.label for box in app.number_input]


def test_many_advanced_parameters_are_folded_away_under_their_headings() -> None:
    app = AppTest.from_function(form, kwargs={"fields": FIELDS, "values": {"speed_1": 9}}, default_timeout=30).run()
    (folded,) = app.expander
    assert folded.label == "Advanced (10), 1 set" and [item.value for item in folded.markdown] == ["**Speed**", "**How**"]
    assert [box.label for box in folded.number_input][:2] == ["Speed 0", "Speed 1"] and len(app.main.selectbox) == 1
