"""Steering the queue from the pages: pausing, priorities, draining, and why jobs wait; the right to it is asked where it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from portal import clock
from portal.jobs import Job
from portal.settings import Settings
from portal.spool import Spool, claiming, workers
from portal.ui import access, actions, health
from portal.ui.access import AccessRefused, Person
from portal.ui.accounts import Role
from portal.ui.components.job_table import Click
from tests.test_ui_pages import opened, words

JOB = "01M7YZ6HXDWKZ0NY9XTY10402E"


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


@pytest.fixture
def worker(spool: Spool) -> Iterator[workers.Registration]:
    entry = workers.register(spool.layout, 2, "first")
    yield entry
    entry.leave()


def waiting(spool: Spool, number: int = 0, **changes: object) -> Job:
    return spool.submit(Job(f"{JOB[:-3]}{number:03d}", "list", {"source": "s3://b/"}, clock.iso(clock.now_ms())).evolve(**changes))


def is_a(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "person", lambda settings: Person("pat", role))


def button(app: AppTest, label: str) -> Button:
    return next(item for item in app.button if item.label == label)


def test_a_pause_is_on_every_page_with_who_when_and_why(home: Path, spool: Spool, worker: workers.Registration) -> None:
    job = waiting(spool)
    spool.pause(by="ann", why="the *lake* moves")
    spool.pause("migrate", by="bob", why="its bucket is full")
    for app in (opened(), opened("jobs"), opened("job", id=job.id)):
        text = words(app)
        assert "The queue is paused" in text and "By ann since" in text and ": the *lake* moves" in text and "Nothing new starts" in text
    assert "None of them starts" in words(opened()), "the others do"
    assert "Jobs of migrate are paused" in words(opened()) and "Jobs of migrate are paused" not in words(opened("job", id=job.id))


def test_resuming_ends_the_pause(home: Path, spool: Spool) -> None:
    spool.pause(by="ann", why="x")
    app = opened()
    button(app, "Resume").click().run()
    assert spool.pauses() == [] and "The queue is paused" not in words(app)


def pause_dialog() -> None:
    from portal.ui import pauses

    pauses.ask()


def priority_dialog() -> None:
    from portal.ui import state
    from portal.ui.job_search import Filters
    from portal.ui.views import jobs

    jobs.prioritize(jobs.waiting_ids(state.spool(), Filters(engine="generate")))


def dialog(page: Callable[[], None]) -> AppTest:
    """A dialog alone: in a whole page only a browser keeps it open over a click in it."""
    app = AppTest.from_function(page, default_timeout=60).run()
    assert not app.exception
    return app


def test_pausing_takes_a_reason(home: Path, spool: Spool) -> None:
    app = dialog(pause_dialog)
    next(box for box in app.selectbox if box.label == "What").select("list")
    button(app, "Pause").click().run()
    assert "Say why" in words(app) and spool.pauses() == []
    next(box for box in app.text_input if box.label == "Why").input("the warehouse is down")
    button(app, "Pause").click().run()
    (held,) = spool.pauses()
    assert (held.engine, held.why) == ("list", "the warehouse is down") and held.by


@pytest.mark.parametrize(
    ("role", "act"),
    [
        (Role.VIEWER, lambda: actions.pause(None, "x")), (Role.VIEWER, lambda: actions.resume(None)), (Role.VIEWER, lambda: actions.priority(JOB, 0)),
        (Role.OPERATOR, lambda: actions.drain("first")), (Role.OPERATOR, lambda: actions.undrain("first")),
    ],
)  # fmt: skip
def test_the_action_itself_asks_for_the_right(
    home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, role: Role, act: Callable[[], object]
) -> None:
    is_a(role, monkeypatch)
    with pytest.raises(AccessRefused, match=f"pat is {role}"):
        act()


def test_a_viewer_sees_the_pause_and_cannot_end_it(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    is_a(Role.VIEWER, monkeypatch)
    spool.pause(by="ann", why="x")
    app = opened("jobs")
    assert "The queue is paused" in words(app) and button(app, "Resume").disabled and button(app, "Pause…").disabled


def test_a_job_says_which_jobs_hold_what_it_waits_for(home: Path, spool: Spool, worker: workers.Registration) -> None:
    first, second = (waiting(spool, number, limits=("table:sales",)) for number in (1, 2))
    claim = next(iter(claiming.claims(spool.layout)))
    assert claim.job.id == first.id
    text = words(opened("job", id=second.id))
    assert "The limit 'table:sales' has 1 place, held by " + first.id in text
    app = opened()
    assert "table:sales" in words(app) and "1 of 1 place held by" in words(app)
    claim.let_go()


def test_the_priority_of_a_waiting_job_is_changed_on_its_page(home: Path, spool: Spool) -> None:
    job = waiting(spool)
    app = opened("job", id=job.id)
    next(box for box in app.selectbox if box.label == "Priority").select(1).run()
    (changed,) = spool.waiting()
    assert changed.priority == 1
    assert [box.value for box in app.selectbox if box.label == "Priority"] == [1]


def test_the_priority_that_was_chosen_in_the_table_counts(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    job, clicks = waiting(spool), [Click("priority", JOB[:-3] + "000", 7)]
    monkeypatch.setattr("portal.ui.views.jobs.job_table", lambda rows, key: clicks.pop() if clicks else None)
    opened("jobs")
    assert [(item.id, item.priority) for item in spool.waiting()] == [(job.id, 7)]


def test_all_that_fit_the_filters_get_another_priority(home: Path, spool: Spool) -> None:
    for number in range(3):
        waiting(spool, number, engine="generate" if number else "list")
    app = dialog(priority_dialog)
    next(box for box in app.selectbox if box.label == "Priority").select(2).run()
    button(app, "Change").click().run()
    assert "2 jobs changed." in "".join(item.value for item in app.success)
    assert sorted((job.engine, job.priority) for job in spool.waiting()) == [("generate", 2), ("generate", 2), ("list", 5)]


def test_the_overview_shows_workers_and_drains_them(home: Path, spool: Spool, worker: workers.Registration) -> None:
    waiting(spool)
    app = opened()
    text = words(app)
    assert "first" in text and "0 of 2 slots busy" in text and "heartbeat" in text
    assert "Oldest waiting" in [metric.label for metric in app.metric]
    button(app, "Drain").click().run()
    assert worker.draining and "No worker takes jobs: first is being drained." in words(app)
    button(app, "Undo").click().run()
    assert not worker.draining


def test_only_an_admin_drains(home: Path, spool: Spool, worker: workers.Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    is_a(Role.OPERATOR, monkeypatch)
    assert button(opened(), "Drain").disabled


def test_a_queue_that_is_paused_is_not_looked_at_all_the_time(home: Path, spool: Spool, worker: workers.Registration, config: Settings) -> None:
    waiting(spool)
    assert health.look(config, spool).active
    spool.pause(by="ann", why="x")
    assert not health.look(config, spool).active
