"""Making, changing, pausing, asking and removing triggers: what is refused, what is kept, what two do at once, and what is told of trouble."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import check, clock, health
from portal.backup import backup
from portal.errors import BadParameters, PortalError, TriggerNotFound
from portal.jobs import ID_PATTERN, id_ms
from portal.settings import Settings
from portal.spool import Spool, workers
from portal.spool.locks import is_held
from portal.triggers import book, checking, events, history, places, standing, state
from portal.triggers.events import Event
from portal.triggers.history import Happened
from portal.triggers.places import TriggerFolder
from portal.triggers.state import Problem
from portal.triggers.trigger import Trigger
from tests.queues import dies_at, unsynced
from tests.triggering import a_trigger, made


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


def test_what_is_saved_can_be_listed_loaded_and_removed(spool: Spool, home: Path) -> None:
    for name in ("b-second", "a-first"):
        saved = made(spool, name, on={"schedule": "@daily", "catch_up": "last"})
        assert saved.uid and saved.by == "ann" and saved.since == saved.at and saved.on == {"schedule": "@daily"}
        assert book.load(spool.layout, name) == saved
    assert [item.name for item in book.triggers(spool.layout)] == ["a-first", "b-second"]
    book.remove(spool.layout, "a-first")
    assert book.names(spool.layout) == ["b-second"] and sorted(path.name for path in spool.layout.triggers.iterdir() if path.is_dir()) == ["b-second"]
    with pytest.raises(TriggerNotFound, match="no trigger 'a-first'"):
        book.load(spool.layout, "a-first")
    assert made(spool, "a-first").uid != saved.uid


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"on": {"schedule": "61 * * * *"}}, "cannot be read"),
        ({"on": {"schedule": "@daily", "time_zone": "Mars/Base"}}, "no time zone"),
        ({"engine": "lst"}, "no engine 'lst'"),
        ({"params": {}}, "source is missing"),
        ({"params": {"source": "s3://sales/", "sauce": 1}}, "sauce is not a parameter"),
        ({"params": {"source": {"$event": "/files"}}}, "/files.* is nothing that is known of the event"),
        ({"params": {"source": {"$event": "/name", "format": "%Y"}}}, "no moment"),
        ({"params": {"source": {"$event": "/due_at", "format": "s4://%Y/"}}}, "s4://"),
        ({"params": {"source": {"$event": "/due_at", "format": "no directive %"}}}, "names nothing"),
        ({"params": {"source": {"$event": "/due_at", "days": 0.5, "format": "s3://a/%d"}}}, "must be numbers"),
        ({"params": {"source": {"$event": "/due_at", "weeks": 1}}}, "no 'weeks'"),
        ({"params": {"source": "s3://sales/", "source_connection": "shop"}}, "no connection 'shop'"),
        ({"labels": {"trigger": "other"}}, "cannot be set"),
        ({"labels": {"typed_connections": "shop"}}, "typed in"),
        ({"then": [{"engine": "list", "params": {"source": "s3://a/"}, "sealed": "x"}]}, "typed in"),
        ({"then": [{"engine": "list", "params": {"source": {"$event": "/nothing"}}}]}, "nothing that is known"),
        ({"then": [{"engine": "list", "params": {}}]}, "source is missing"),
        ({"kind": "sqs", "on": {"queue": " "}}, "queue is empty"),
        ({"kind": "sqs", "on": {"queue": "q", "connection": "shop"}}, "no connection 'shop'"),
        ({"kind": "folder", "on": {"folder": "s3://sales/"}, "params": {}}, "only a folder of this machine"),
        ({"kind": "folder", "on": {"folder": "file:///etc/"}, "params": {}}, "outside the folders"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_it_is_saved(spool: Spool, home: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadParameters, match=told):
        book.save(spool.settings, a_trigger(home, **changes), "ann")
    assert book.names(spool.layout) == []


def test_a_watched_folder_must_be_there_and_nobody_elses(spool: Spool, home: Path) -> None:
    data = home / "data" / "box"
    data.mkdir()

    def watching(name: str, folder: str, **on: Any) -> Trigger:
        given = {"kind": "folder", "engine": "list", "on": {"folder": f"file://{data}/{folder}", **on}, "params": {}}
        return book.save(spool.settings, a_trigger(home, name, **given), "ann")

    with pytest.raises(BadParameters, match="There is no folder"):
        watching("shop", "Watch/")
    (data / "Watch/in").mkdir(parents=True)
    (data / "link").symlink_to(data / "Watch")
    watching("shop", "Watch/")
    for folder in ("Watch", "Watch/in/", "link/", ""):
        with pytest.raises(BadParameters, match="'shop' takes the files"):
            watching("other", folder)
    watching("other", "", recursive=False)
    with pytest.raises(BadParameters, match="queued lies in the folder"):
        watching("shop", "Watch/", queued=f"file://{data}/Watch/queued")
    with pytest.raises(BadParameters, match="source cannot be set"):
        book.save(spool.settings, book.load(spool.layout, "shop").model_copy(update={"params": {"source": "s3://a/"}}), "ann")
    with pytest.raises(BadParameters, match=r"queued: .* outside the folders"):  # where it is unless somebody says
        book.save(spool.settings, a_trigger(home, "root", kind="folder", on={"folder": f"file://{home}/data/", "recursive": False}, params={}), "ann")
    (data / "out").symlink_to("/etc")
    with pytest.raises(BadParameters, match="outside the folders"):
        watching("third", "out/")


def test_what_its_jobs_would_write_outside_the_allowed_folders_is_refused(spool: Spool, home: Path) -> None:
    (home / "data" / "Watch").mkdir()
    (home / "data" / "out").symlink_to("/etc")
    folder = {"kind": "folder", "on": {"folder": f"file://{home}/data/Watch/"}, "engine": "upload"}
    queue = {"kind": "sqs", "on": {"queue": "arrivals"}, "engine": "download"}
    inside = f"file://{home}/data/x/"
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("done_folder", {**folder, "params": {"target": "s3://b/", "done_folder": "file:///etc/"}}),
        ("done_folder", {**folder, "params": {"target": "s3://b/", "done_folder": f"file://{home}/data/out/"}}),
        ("target", {**queue, "params": {"target": "file:///etc/x/"}}),
        ("dead_letters", {**queue, "params": {"target": inside, "dead_letters": "file:///etc/x/"}}),
        ("source", {"params": {"source": {"$event": "/due_at", "format": "file:///etc/%Y/"}}}),
        ("Follow-up list: source", {"then": [{"engine": "list", "params": {"source": "file:///etc/"}}]}),
        ("Follow-up list: Follow-up list: source", {"then": [
            {"engine": "list", "params": {"source": inside}, "then": [{"engine": "list", "params": {"source": "file:///etc/"}}]},
        ]}),
    ]  # fmt: skip
    for field, order in wrong:
        with pytest.raises(BadParameters, match=rf"^{field}: file:///.* is outside the folders that may be used") as refused:
            book.save(spool.settings, a_trigger(home, "x", **order), "ann")
        assert "PORTAL_LOCAL_ROOTS" in refused.value.hint and book.names(spool.layout) == []
    for order in ({**folder, "params": {"target": "s3://b/", "done_folder": inside}}, {**queue, "params": {"target": inside}}):
        book.save(spool.settings, a_trigger(home, "x", **order), "ann")
        book.remove(spool.layout, "x")


def test_what_has_been_done_is_not_put_where_it_would_be_taken_again(spool: Spool, home: Path) -> None:
    (home / "data" / "Watch").mkdir()
    (home / "data" / "link").symlink_to(home / "data" / "Watch")
    order = {"kind": "folder", "on": {"folder": f"file://{home}/data/Watch/"}, "engine": "upload"}
    for done, told in (
        (f"file://{home}/data/Watch/", "is the folder that is watched"), (f"file://{home}/data/link", "is the folder that is watched"),
        (f"file://{home}/data/QueuedForUpload/", "wait for their jobs"), (f"file://{home}/data/QueuedForUpload/done/", "wait for their jobs"),
        ({"$event": "/at", "format": f"file://{home}/data/Watch/%Y/"}, "quotes the event"), ({"$event": "/source"}, "wait for their jobs"),
    ):  # fmt: skip
        with pytest.raises(BadParameters, match=told) as refused:
            book.save(spool.settings, a_trigger(home, "x", **order, params={"target": "s3://b/", "done_folder": done}), "ann")
        assert f"{home}/data/NAME" in refused.value.hint and book.names(spool.layout) == []
    for done in (f"file://{home}/data/Watch/done/", {"$event": "/at", "format": f"file://{home}/data/done/%Y/"}):
        book.save(spool.settings, a_trigger(home, "x", **order, params={"target": "s3://b/", "done_folder": done}), "ann")


def test_what_does_not_name_a_queue_is_refused(spool: Spool, home: Path) -> None:
    order = {"kind": "sqs", "engine": "download", "params": {"target": f"file://{home}/data/x/"}}
    for name in ("a b", "ftp://host/1/q", "x" * 81):
        with pytest.raises(BadParameters, match=r"^queue: ") as refused:
            book.save(spool.settings, a_trigger(home, "x", on={"queue": name}, **order), "ann")
        assert "letters, digits" in refused.value.hint
    book.save(spool.settings, a_trigger(home, "x", on={"queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/q.fifo"}, **order), "ann")


def test_a_name_that_is_taken_or_was_removed_meanwhile_is_refused(spool: Spool, home: Path) -> None:
    first = made(spool)
    with pytest.raises(BadParameters, match="already"):
        book.save(spool.settings, a_trigger(home), "bob", new=True)
    book.remove(spool.layout, "nightly")
    with pytest.raises(TriggerNotFound, match="removed meanwhile"):
        book.save(spool.settings, first, "bob")
    made(spool)
    with pytest.raises(TriggerNotFound, match="removed meanwhile"):
        book.save(spool.settings, first, "bob")
    for name in ("../x", ".lock", "A", "", "x/y"):
        with pytest.raises(TriggerNotFound):
            book.load(spool.layout, name)
        with pytest.raises(TriggerNotFound):
            book.remove(spool.layout, name)


def test_a_pause_is_kept_with_its_reason_and_ended(spool: Spool) -> None:
    made(spool)
    book.pause(spool.layout, "nightly", "bob\x1b[2J", "because\nof maintenance")
    again = book.pause(spool.layout, "nightly", "eve", "other")
    assert again.paused and (again.paused.by, again.paused.why) == ("bob\N{REPLACEMENT CHARACTER}[2J", "because of maintenance")
    resumed = book.resume(spool.layout, "nightly", "eve")
    assert resumed.paused is None and resumed.since >= again.since and book.resume(spool.layout, "nightly", "eve") == resumed


def test_changes_at_the_same_time_are_all_made(spool: Spool) -> None:
    made(spool)
    errors: list[Exception] = []

    def toggle(act: Callable[[], object]) -> None:
        try:
            for _ in range(20):
                act()
        except Exception as error:
            errors.append(error)

    acts = [lambda: book.pause(spool.layout, "nightly", "a"), lambda: book.resume(spool.layout, "nightly", "b"),
            lambda: book.ask(spool.layout, "nightly", "c"), lambda: book.load(spool.layout, "nightly")]  # fmt: skip
    threads = [threading.Thread(target=toggle, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and book.load(spool.layout, "nightly").uid


def test_a_check_that_hangs_keeps_nobody_from_pausing(spool: Spool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(spool, "other")
    checked, held = checking.checked, []

    def slowly(*given: Any) -> Trigger:
        held.append(is_held(spool.layout.triggers / ".book"))
        return checked(*given)

    monkeypatch.setattr(checking, "checked", slowly)
    made(spool)
    assert held == [False]


def test_of_two_that_watch_one_folder_and_are_saved_at_once_one_is_refused(spool: Spool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "data" / "Watch").mkdir()
    folder: dict[str, Any] = {"kind": "folder", "on": {"folder": f"file://{home}/data/Watch/"}, "engine": "upload", "params": {"target": "s3://b/"}}
    checked = checking.checked

    def overtaken(settings: Settings, trigger: Trigger, others: Any) -> Trigger:
        found = checked(settings, trigger, others)
        if trigger.name == "late" and "early" not in book.names(spool.layout):
            book.save(spool.settings, a_trigger(home, "early", **folder), "ann")
        return found

    monkeypatch.setattr(checking, "checked", overtaken)
    with pytest.raises(BadParameters, match="'early' takes the files"):
        book.save(spool.settings, a_trigger(home, "late", **folder), "bob")
    assert book.names(spool.layout) == ["early"]


@pytest.mark.parametrize("act", ["save", "change", "remove", "ask", "pause"])
def test_a_change_that_dies_anywhere_leaves_the_old_or_the_new(spool: Spool, home: Path, act: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "save": lambda: book.save(spool.settings, a_trigger(home, "fresh"), "ann"),
        "change": lambda: book.save(spool.settings, book.load(spool.layout, "nightly").model_copy(update={"priority": 1}), "bob"),
        "remove": lambda: book.remove(spool.layout, "nightly"), "ask": lambda: book.ask(spool.layout, "nightly", "bob"),
        "pause": lambda: book.pause(spool.layout, "nightly", "bob"),
    }  # fmt: skip
    made(spool)
    number = 1
    while dies_at(number, acts[act]):
        number += 1
        assert book.damaged(spool.layout) == {}
        assert {item.name for item in book.triggers(spool.layout)} <= {"nightly", "fresh"}
        if act == "remove" or "nightly" not in book.names(spool.layout):
            made(spool)
    assert number > 2


@pytest.fixture
def served(spool: Spool) -> Iterator[None]:
    registration = workers.register(spool.layout, 1, None)
    yield
    registration.leave()


def test_trouble_is_told_by_health_and_check(spool: Spool, served: None, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = made(spool)
    made(spool, "broken")
    (spool.layout.triggers / "broken" / "trigger.json").write_text('{"name": 1}')
    home = TriggerFolder(spool.layout, "nightly", trigger.uid)
    home.change(problem=Problem(text="The folder has gone.", since="2026-11-21T10:00:00.000Z", times=3))
    (spool.layout.triggers / "What is this").touch()
    found = {item.kind: item for item in health.look(spool.settings).notes}
    assert "The folder has gone." in found["trigger-problem"].text and "3 times" in found["trigger-problem"].text
    assert "broken" in found["trigger-unreadable"].text
    kinds = {item.kind for item in check.inspect(spool.settings) if item.path.is_relative_to(spool.layout.triggers)}
    assert kinds == {"trigger-problem", "trigger-unreadable", "stray"}
    assert "triggers-unserved" not in {item.kind for item in health.look(spool.settings).problems}, "it was made just now"
    now = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now + 120_000)
    assert [item.kind for item in standing.troubles(spool.layout) if item.serious] == ["triggers-unserved"]
    assert "triggers-unserved" in {item.kind for item in health.look(spool.settings).problems}
    book.pause(spool.layout, "nightly", "ann")
    assert {item.kind for item in standing.troubles(spool.layout)} == {"trigger-unreadable"}


def test_a_state_of_an_earlier_trigger_of_the_name_counts_for_nothing(spool: Spool) -> None:
    old = made(spool)
    left = TriggerFolder(spool.layout, "nightly", old.uid)
    left.change(cursor="2036-01-01T00:00:00.000Z")
    book.remove(spool.layout, "nightly")
    with pytest.raises(FileNotFoundError):
        left.change(cursor="2037-01-01T00:00:00.000Z")
    fresh = made(spool)
    left.change(cursor="2038-01-01T00:00:00.000Z")
    left.tell(Happened(event="old", due_at=old.at, at=old.at, outcome="skipped"))
    now = TriggerFolder(spool.layout, "nightly", fresh.uid)
    assert now.state == state.State()
    now.tell(Happened(event="new", due_at=old.at, at=old.at, outcome="skipped"))
    assert [item.event for item in history.events(spool.layout, "nightly")] == ["new"]


def test_a_backup_holds_the_triggers_whole(spool: Spool, tmp_path: Path) -> None:
    trigger = made(spool)
    TriggerFolder(spool.layout, "nightly", trigger.uid).change(cursor="2026-11-21T10:00:00.000Z")
    batches = TriggerFolder(spool.layout, "nightly", trigger.uid).make_batches()
    (batches / "X.json").write_text("{}")
    backup(spool.settings, tmp_path / "copy")
    here, there = spool.layout.triggers / "nightly", tmp_path / "copy/queue/triggers/nightly"
    names = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()} == {"trigger.json", "state.json", "batches/X.json"}


def test_a_trigger_that_is_no_trigger_says_what_is_wrong() -> None:
    for text in ("", "[]", '{"name": "A"}', json.dumps({"name": "x", "kind": "cron", "on": {"shedule": "@daily"}, "engine": "list"})):
        with pytest.raises(BadParameters, match="This is no trigger"):
            Trigger.from_json(text)


def test_a_description_is_told_all_that_is_wrong_with_it_and_what_was_meant() -> None:
    order = {"name": "n", "kind": "cron", "on": {"schedule": "@daily"}, "engine": "list"}
    for changes, told in [
        ({"name": ""}, "Name: small letters"),
        ({"name": "A", "priority": 12}, "Name: small letters.*; priority: .*less than or equal to 9"),
        ({"notify": ["ops"]}, 'There is no notify; write {"engine": "notify"'),
        ({"priorty": 1}, "There is no priorty; did you mean priority"),
        ({"zzz": 1}, "There is no zzz; there are name, kind, on"),
        ({"on": {"shedule": "@daily"}}, "In `on`: schedule is missing; in `on`: there is no shedule; did you mean schedule"),
        ({"at": "yesterday"}, "At: 'yesterday' is no moment"),
    ]:  # fmt: skip
        with pytest.raises(BadParameters, match=rf"^{told}"):
            Trigger.of({**order, **changes})
    assert Trigger.of(order).name == "n"


@pytest.mark.parametrize(("field", "value", "told"), [
    ("since", "", "has no since"), ("at", "", "has no at"), ("uid", "", "has no uid"), ("since", "soon", "since: 'soon' is no moment"),
    ("at", "2026-11-21", "at: '2026-11-21' is no moment"), ("paused", {"by": "ann", "at": "", "why": ""}, "paused.at: '' is no moment"),
])  # fmt: skip
def test_a_definition_laid_by_hand_without_its_moments_cannot_be_read_and_is_told(spool: Spool, field: str, value: Any, told: str) -> None:
    made(spool)
    definition = spool.layout.triggers / "nightly" / "trigger.json"
    definition.write_text(json.dumps({**json.loads(definition.read_text()), field: value}))
    with pytest.raises(BadParameters, match=told):
        book.load(spool.layout, "nightly")
    assert told in book.damaged(spool.layout)["nightly"]
    assert [item.kind for item in standing.troubles(spool.layout)] == ["trigger-unreadable"]
    book.remove(spool.layout, "nightly")


facts = st.dictionaries(st.sampled_from(["due_at", "files", "source"]), st.just("2026-11-21T10:58:31.123Z"))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.builds(lambda name: {"$event": f"/{name}"}, st.text(max_size=8)),
              st.just({"$event": "/due_at", "format": "%Y"})),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)), max_leaves=8,
)  # fmt: skip


@given(values, facts)
def test_quotes_are_replaced_or_refused_and_nothing_else_is_changed(value: Any, known: dict[str, str]) -> None:
    asked = list(events.quotes(value))
    try:
        found = events.resolve(value, known)
    except BadParameters:
        assert any(str(item["$event"]).removeprefix("/") not in known or len(item) > 1 for item in asked)
        return
    assert list(events.quotes(found)) == []
    if not asked:
        assert found == value


@pytest.mark.parametrize(
    ("quote", "zone", "text"),
    [
        ({"$event": "/due_at"}, "Europe/Berlin", "2026-03-28T01:30:00.000Z"),
        ({"$event": "/due_at", "format": "%Y-%m-%d %H:%M"}, "Europe/Berlin", "2026-03-28 02:30"),
        ({"$event": "/due_at", "format": "%Y-%m-%d %H:%M", "days": 2}, "Europe/Berlin", "2026-03-30 02:30"),
        ({"$event": "/due_at", "format": "%Y-%m-%d %H:%M", "hours": 48}, "Europe/Berlin", "2026-03-30 03:30"),
        ({"$event": "/due_at", "hours": -1}, "UTC", "2026-03-28T00:30:00.000Z"),
        ({"$event": "/name"}, "UTC", "nightly"),
    ],
)
def test_moments_take_a_form_and_a_shift(quote: dict[str, Any], zone: str, text: str) -> None:
    event = Event("e", clock.parse_ms("2026-03-28T01:30:00.000Z"), {"due_at": "2026-03-28T01:30:00.000Z"})
    assert events.resolve(quote, events.all_facts("nightly", event), zone) == text


@given(st.text(), st.text(), st.integers(0, 2**47))
def test_ids_of_jobs_are_ids_that_follow_from_the_event(uid: str, event: str, moment: int) -> None:
    found = events.job_id(uid, event, moment)
    assert ID_PATTERN.fullmatch(found) and id_ms(found) == moment and found == events.job_id(uid, event, moment)
    assert found != events.job_id(uid + "x", event, moment) and found != events.job_id(uid, event + "x", moment)


def test_asking_tells_who_asked(spool: Spool) -> None:
    trigger = made(spool)
    book.ask(spool.layout, "nightly", "bob")
    asked = TriggerFolder(spool.layout, "nightly", trigger.uid).asked()
    assert isinstance(asked, places.Asked) and asked.by == "bob" and book.is_asked(spool.layout, "nightly")
    with pytest.raises(PortalError, match="no trigger"):
        book.ask(spool.layout, "weekly", "bob")
