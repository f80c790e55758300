"""The Triggers page: what it shows of triggers that are well and that are not, who may change them, and the form that makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from portal import catalog, clock, settings
from portal.errors import BadParameters
from portal.notifying import wish
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import book, history
from portal.triggers.history import Happened
from portal.triggers.state import Problem, State
from portal.triggers.trigger import Trigger
from portal.ui import access, places, trigger_actions, trigger_quotes, trigger_rows
from portal.ui.access import AccessRefused, Person
from portal.ui.accounts import Role
from portal.ui.views import triggers as page_of_triggers
from tests import launcher as launchers
from tests.launcher import Launcher
from tests.queues import a_job
from tests.test_ui_pages import opened, words
from tests.test_ui_search import archived

QUOTE = {"$event": "/due_at", "format": "s3://sales/%Y/%m/%d/", "days": -1}
_SLOW_MS = 45_000


@pytest.fixture
def spool(config: Settings) -> Spool:
    trigger_rows.forget()
    return Spool(config)


def saved(config: Settings, name: str = "nightly", **changes: Any) -> Trigger:
    order = {"name": name, "kind": "cron", "on": {"schedule": "30 6 * * *", "time_zone": "Europe/Berlin"}, "engine": "list",
             "params": {"source": "s3://sales/"}, **changes}  # fmt: skip
    return book.save(config, Trigger.from_json(json.dumps(order)), "ann", new=True)


def write(spool: Spool, trigger: Trigger, *events: Happened, **state: Any) -> None:
    """What the service would have written."""
    folder = spool.layout.triggers / trigger.name
    (folder / "state.json").write_text(State(uid=trigger.uid, **state).to_json())
    (folder / "history.json").write_bytes(history.with_more(spool.layout, trigger.name, trigger.uid, events))


def click(app: AppTest, label: str) -> AppTest:
    app.button[[button.label for button in app.button].index(label)].click().run()
    assert not app.exception
    return app


def rows_of(monkeypatch: pytest.MonkeyPatch, **query: str) -> list[dict[str, Any]]:
    """What the table of the page is given."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(page_of_triggers, "trigger_table", lambda rows, key: given.extend(rows))
    opened("triggers", **query)
    return given


def test_an_empty_page_says_what_a_trigger_is(home: Path, spool: Spool) -> None:
    app = opened("triggers")
    assert "No triggers yet" in words(app) and "New trigger" in [button.label for button in app.button]


def test_the_table_tells_how_each_is_the_troubled_ones_first(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(config, "well", params={"source": QUOTE})
    held, broken = saved(config, "held"), saved(config, "troubled")
    book.pause(spool.layout, held.name, "ann", "the disk is changed")
    now = clock.iso(clock.now_ms())
    write(
        spool,
        broken,
        Happened(event="a", due_at=now, at=now, outcome="refused", reason="No such bucket."),
        problem=Problem(text="No such bucket.", since=now),
    )
    first, second, third = rows_of(monkeypatch)
    assert (first["name"], first["state"], first["note"], first["last"]) == ("troubled", "problem", "No such bucket.", "Refused")
    assert (second["name"], second["state"], second["note"], second["next"], second["paused"]) == ("held", "paused", "the disk is changed", "–", True)
    assert (third["name"], third["state_word"], third["does"]) == ("well", "Active", "list from s3://sales/%Y/%m/%d/")
    assert third["waits"] == "30 6 * * *, Europe/Berlin" and third["next"].startswith("in ") and "CE" in third["next_at"]


def test_the_address_filters_by_words_kind_and_state(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    saved(config, "nightly")
    (home / "data" / "Watch").mkdir()
    saved(config, "shop", kind="folder", on={"folder": f"file://{home}/data/Watch/"}, params={})
    assert [row["name"] for row in rows_of(monkeypatch, text="BERLIN")] == ["nightly"]
    assert [row["name"] for row in rows_of(monkeypatch, kind="Watched folder")] == ["shop"]
    assert rows_of(monkeypatch, state="Problem") == []


def test_hundreds_are_shown_a_page_at_a_time(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = saved(config, "t-000")
    for number in range(1, 120):
        folder = spool.layout.triggers / f"t-{number:03}"
        folder.mkdir()
        (folder / "trigger.json").write_text(first.model_copy(update={"name": folder.name}).to_json())
    trigger_rows.forget()
    assert [row["name"] for row in rows_of(monkeypatch, page="3")] == [f"t-{number:03}" for number in range(100, 120)]
    assert "Page 3 of 3 · 120 triggers" in words(opened("triggers", page="3"))


def test_a_definition_that_nobody_can_read_is_told(config: Settings, spool: Spool) -> None:
    saved(config)
    (spool.layout.triggers / "torn").mkdir()
    (spool.layout.triggers / "torn" / "trigger.json").write_text("{")
    assert "The trigger torn cannot be read" in words(opened("triggers"))
    app = opened("triggers", name="torn")
    assert "This is no trigger" in words(app) and [button.label for button in app.button] == ["All triggers", "Remove…"]
    assert "torn" in "".join(link.label for link in opened().get("page_link"))


@pytest.mark.parametrize("name", ["moon", "../../etc/passwd", "<b>"])
@pytest.mark.parametrize("query", ["name", "edit"])
def test_a_trigger_that_is_not_there_is_said_so(home: Path, spool: Spool, query: str, name: str) -> None:
    assert "Trigger not found" in words(opened("triggers", **{query: name}))


def test_one_trigger_tells_what_is_next_what_was_and_what_is_wrong(config: Settings, spool: Spool) -> None:
    trigger = saved(config, params={"source": QUOTE, "formats": ["csv"]})
    job = archived(spool, 8, engine="list", labels={"trigger": "nightly", "name": "nightly"})
    now = clock.iso(clock.now_ms())
    past = [Happened(event="a", due_at=now, at=now, outcome="submitted", job=job.id),
            Happened(event="b", due_at=now, at=now, outcome="skipped", reason=f"The job {job.id} had not ended.")]  # fmt: skip
    write(spool, trigger, *past, problem=Problem(text="No [bucket](http://evil).\n  what to do: Make it.", since=now, times=3))
    app = opened("triggers", name="nightly")
    text = words(app)
    assert "No [bucket](http://evil)." in text and "Make it." in text and "3 times since" in text
    tables = {column: list(item.value[column]) for item in app.dataframe for column in item.value}
    assert len(tables["Due"]) == 8 and all("06:30 CE" in due for due in tables["Due"])
    assert tables["Outcome"] == ["Left out", "Job submitted"] and tables["Job"] == ["", job.id[-8:]]
    assert "of the event: due_at -1 days as s3://sales/%Y/%m/%d/" in tables["Value"]


def test_a_watched_folder_tells_what_stays_in_it_and_which_jobs_go_on(config: Settings, spool: Spool, home: Path) -> None:
    (home / "data" / "Watch").mkdir()
    trigger = saved(config, kind="folder", on={"folder": f"file://{home}/data/Watch/"}, params={})
    goes_on, ended = spool.submit(a_job("list")), archived(spool, 8)
    left = [{"why": "it is a link", "count": 30, "first": ["a", "b"], "jobs": [], "passing": False},
            {"why": "the job ended without them", "count": 1, "first": [f"c of job {ended.id}"], "jobs": [ended.id], "passing": False}]  # fmt: skip
    write(spool, trigger, told={"files": 1234, "waiting": 0, "left": left, "nothing": []}, jobs=(goes_on.id, ended.id), looked_at=clock.iso(0))
    app = opened("triggers", name="nightly")
    told = next(dict(zip(item.value["What"], item.value[""], strict=True)) for item in app.dataframe if "What" in item.value)
    assert told == {"Files in the folder": "1,234", "Waiting for a job": "0"}
    assert "1 job under way" in words(app)
    assert "**Left in the folder: 30**  \na, b, …  \n:gray[because it is a link]" in words(app)
    assert "**Left behind by 1 job**" in words(app) and f"Job {ended.id[-8:]}" in [link.label for link in app.get("page_link")]


def test_a_paused_trigger_says_by_whom_and_why_and_is_resumed(config: Settings, spool: Spool) -> None:
    saved(config)
    book.pause(spool.layout, "nightly", "ann", "the *disk* is changed")
    app = opened("triggers", name="nightly")
    assert "Paused: it makes no jobs" in words(app) and "By ann since" in words(app) and "the *disk* is changed" in words(app)
    assert "Nothing, while it is paused." in words(app) and not any("Due" in item.value for item in app.dataframe)
    click(app, "Resume")
    assert book.load(spool.layout, "nightly").paused is None


def test_run_now_asks_once(config: Settings, spool: Spool) -> None:
    saved(config)
    app = click(opened("triggers", name="nightly"), "Run now")
    assert book.is_asked(spool.layout, "nightly") and "Asked to run now." in words(app)
    assert next(button for button in app.button if button.label == "Run now").disabled


def test_an_overview_points_at_what_has_a_problem(config: Settings, spool: Spool) -> None:
    trigger = saved(config)
    write(spool, trigger, problem=Problem(text="No such bucket.\nMore.", since=clock.iso(0)))
    app = opened()
    assert {metric.label: metric.value for metric in app.metric}["Triggers"] == "1"
    assert "No such bucket." in words(app) and "nightly" in "".join(link.label for link in app.get("page_link"))


def test_a_job_leads_to_its_trigger_and_its_jobs_are_a_filter(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = spool.submit(a_job("list", labels={"trigger": "nightly"}))
    spool.submit(a_job("list"))
    assert "Trigger nightly" in "".join(link.label for link in opened("job", id=mine.id).get("page_link"))
    shown: list[str] = []
    monkeypatch.setattr("portal.ui.views.jobs.job_table", lambda rows, key: shown.extend(row["id"] for row in rows))
    opened("jobs", trigger="nightly")
    assert shown == [mine.id]


def test_a_viewer_looks_and_changes_nothing(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(config)
    monkeypatch.setattr(access, "person", lambda settings: Person("vera", Role.VIEWER))
    assert "New trigger" not in [button.label for button in opened("triggers").button]
    assert all(button.disabled for button in opened("triggers", name="nightly").button if button.label != "All triggers")
    assert not rows_of(monkeypatch)[0]["enabled"]
    for query in ({"new": "yes"}, {"edit": "nightly"}):
        app = opened("triggers", **query)
        assert "You can look, but not change" in words(app) and not app.text_input


@pytest.mark.parametrize("action", [
    lambda: trigger_actions.save({"name": "n", "kind": "cron", "on": {"schedule": "@daily"}, "engine": "list"}, new=True),
    lambda: trigger_actions.pause("nightly", ""), lambda: trigger_actions.resume("nightly"), lambda: trigger_actions.run_now("nightly"),
    lambda: trigger_actions.remove("nightly"),
])  # fmt: skip
def test_each_action_asks_for_the_right_itself(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    before = saved(config)
    monkeypatch.setattr(access, "person", lambda settings: Person("vera", Role.VIEWER))
    with pytest.raises(AccessRefused, match="vera is viewer"):
        action()
    assert book.load(spool.layout, "nightly") == before and not book.is_asked(spool.layout, "nightly")


def test_the_form_tells_when_a_schedule_is_due_or_what_is_wrong_with_it(config: Settings, spool: Spool) -> None:
    app = opened("triggers", new="yes")
    schedule = next(box for box in app.text_input if box.label == "Schedule *")
    schedule.set_value("0 6 1 1 *").run()
    assert "Next:" in words(app) and "Jan 01" in words(app)
    next(box for box in app.text_input if box.label == "Schedule *").set_value("61 * * * *").run()
    assert "The schedule '61 * * * *' cannot be read" in words(app) and not app.exception


def test_editing_changes_what_was_touched_and_nothing_else(config: Settings, spool: Spool) -> None:
    before = saved(
        config, params={"source": QUOTE, "formats": ["csv"]}, labels={"team": "data"}, priority=3, timeout_s=60.0, then=[{"engine": "audit_export"}]
    )
    book.pause(spool.layout, "nightly", "ann", "why not")
    (config.home / "connections.toml").write_text('[ops]\nkind = "webhook"\nurl = "https://hooks.example/a-long-secret-path"\n')
    then = [*before.then, *wish.entries(["ops:failed,slower"])]
    book.save(config, book.load(spool.layout, "nightly").model_copy(update={"then": tuple(then)}), "ann")
    app = opened("triggers", edit="nightly")
    next(box for box in app.text_input if box.label == "Schedule *").set_value("0 7 * * *").run()
    click(app, "Save")
    after = book.load(spool.layout, "nightly")
    assert dict(after.on) == {"schedule": "0 7 * * *", "time_zone": "Europe/Berlin"} and after.paused is not None
    same = ("uid", "params", "labels", "priority", "timeout_s", "overlap", "engine", "limits", "max_attempts", "job_name")
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert list(map(dict, after.then)) == then


def test_what_somebody_else_changed_meanwhile_is_not_written_over(config: Settings, spool: Spool) -> None:
    before = saved(config)
    app = opened("triggers", edit="nightly")
    next(box for box in app.text_input if box.label == "Schedule *").set_value("0 7 * * *").run()
    theirs = book.save(config, before.model_copy(update={"priority": 1}), "bob")
    click(app, "Save")
    assert "bob has changed this trigger meanwhile" in words(app) and book.load(spool.layout, "nightly") == theirs


def test_a_time_zone_that_is_gone_is_told_and_stays_in_the_form(config: Settings, spool: Spool) -> None:
    saved(config)
    file = spool.layout.triggers / "nightly" / "trigger.json"
    order = {**json.loads(file.read_text()), "on": {"schedule": "@daily", "time_zone": "Mars/Base"}}
    file.write_text(json.dumps(order))
    app = opened("triggers", name="nightly")
    assert "There is no time zone 'Mars/Base'." in words(app) and "It has had no event yet." in words(app)
    app = opened("triggers", edit="nightly")
    zone = next(box for box in app.selectbox if box.label == "Time zone")
    assert zone.value == "Mars/Base" and "This machine knows no time zone 'Mars/Base'" in words(app)
    click(app, "Save")
    assert "There is no time zone 'Mars/Base'" in words(app) and json.loads(file.read_text()) == order
    next(box for box in app.selectbox if box.label == "Time zone").set_value("Europe/Berlin").run()
    click(app, "Save")
    assert book.load(spool.layout, "nightly").waits_for().time_zone == "Europe/Berlin"


def test_all_that_is_missing_in_the_form_is_told_at_once_and_nothing_is_saved(config: Settings, spool: Spool) -> None:
    app = click(opened("triggers", new="yes"), "Create trigger")
    assert "Not filled in: Name, Schedule, Source." in words(app)
    next(box for box in app.text_input if box.label == "Name *").set_value("Bad Name").run()
    next(box for box in app.text_input if box.label == "Schedule *").set_value("@daily").run()
    assert "Not filled in: Source." in words(click(app, "Create trigger"))
    assert book.names(spool.layout) == []


def test_a_name_that_cannot_be_is_told_by_its_field(config: Settings, spool: Spool) -> None:
    with pytest.raises(BadParameters, match=r"^Name: small letters, digits"):
        trigger_actions.save({"name": "Bad Name", "kind": "cron", "on": {"schedule": "@daily"}, "engine": "list"}, new=True)


@pytest.mark.parametrize(("engine", "field"), list(places._TAKEN))
def test_stores_that_an_engine_does_not_take_are_not_offered(engine: str, field: str, home: Path) -> None:
    samples = {"s3": "s3://b/", "adls": "abfss://c@a/", "local": f"file://{home}/"}
    usual = {"source": samples["local" if engine == "upload" else "s3"], "target": samples["s3"]}
    refused = places.KIND_WORDS.keys() - places.kinds(engine, field)
    assert refused
    for kind in refused:
        with pytest.raises(BadParameters, match=field):
            catalog.validate(engine, {**usual, field: samples[kind]})


def test_what_quotes_the_event_anywhere_is_parted_from_what_is_fixed() -> None:
    params = {"a": 1, "source": QUOTE, "keys": ["x", {"$event": "/name"}], "deep": {"x": {"y": {"$event": "/event"}}}, "plain": {"x": 1}}
    fixed, quoted = trigger_quotes.split(params)
    assert set(fixed) == {"a", "plain"} and {**fixed, **quoted} == params


def form_of_quotes(kind, old):
    """What the test app shows; it runs as a script of its own."""
    import streamlit as st

    from portal import errors
    from portal.triggers import telling
    from portal.ui import trigger_quotes as quotes

    try:
        st.session_state["quoted"] = quotes.show(kind, telling.spec("folder").fields, old, "form")
    except errors.BadParameters as problem:
        st.error(problem.message)


@pytest.mark.parametrize("old", [
    {}, {"folder": {"$event": "/due_at"}}, {"folder": {"$event": "/previous_due_at", "format": "%Y", "days": -2, "hours": 3}},
    {"include": ["x", {"$event": "/name"}], "folder": {"$event": "/event"}},
])  # fmt: skip
def test_quotes_come_back_as_they_were(old: dict[str, Any]) -> None:
    app = AppTest.from_function(form_of_quotes, kwargs={"kind": "cron", "old": old}, default_timeout=30).run()
    assert not app.exception and app.session_state["quoted"] == old


def test_quotes_that_are_no_json_are_told() -> None:
    app = AppTest.from_function(form_of_quotes, kwargs={"kind": "cron", "old": {"include": [{"$event": "/name"}]}}, default_timeout=30).run()
    app.text_area[0].set_value("{").run()
    assert "is not JSON" in app.error[0].value


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    home = launchers.make_home(tmp_path_factory.mktemp("triggers") / "home", {})
    (home / "data" / "a.csv").write_text("a\n1\n")
    running = launchers.start(home, worker=True)
    yield running
    running.stop()


def settled(page: Page) -> None:
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(timeout=_SLOW_MS)


def fill(page: Page, label: str, text: str) -> None:
    box = page.get_by_role("textbox", name=label)
    box.fill(text)
    box.press("Enter")
    settled(page)


def test_a_trigger_is_made_run_followed_paused_and_removed(page: Page, portal: Launcher) -> None:
    layout = Spool(settings.load(portal.home)).layout
    page.goto(f"{portal.url}/triggers")
    page.get_by_role("button", name="New trigger").click()
    fill(page, "Name *", "yearly")
    fill(page, "Schedule *", "0 6 1 1 *")
    page.get_by_role("radio", name="Files").first.click()
    settled(page)
    page.get_by_role("button", name="Create trigger").click()
    expect(page.get_by_role("heading", name="yearly")).to_be_visible(timeout=_SLOW_MS)
    assert dict(book.load(layout, "yearly").params) == {"source": f"file://{portal.home}/data/"}
    page.get_by_role("button", name="Run now").click()
    table = page.get_by_role("table", name="Jobs")
    expect(table.get_by_role("row").nth(1)).to_contain_text("Succeeded", timeout=_SLOW_MS)  # nobody reloads: the page follows
    table.get_by_role("link").click()
    page.wait_for_url(re.compile(r"/job\?id="))
    page.get_by_role("link", name="All jobs").click(trial=True)  # nothing lies over what stands at the top
    page.get_by_role("link", name="Trigger yearly").click()
    page.wait_for_url(re.compile(r"/triggers\?name=yearly"))
    page.get_by_role("button", name="All triggers").click()
    row = page.get_by_role("table", name="Triggers").get_by_role("row").nth(1)
    expect(row).to_contain_text("Job submitted")
    row.get_by_role("button", name="Pause yearly").click()
    page.get_by_role("textbox", name="Why").fill("no need")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("no need")
    row.get_by_role("button", name="Resume yearly").click()
    expect(row).to_contain_text("Active")
    row.get_by_role("link", name="yearly").click()
    page.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove yearly").click()
    expect(page.get_by_text("No triggers yet")).to_be_visible(timeout=_SLOW_MS)
    assert book.names(layout) == []
