"""Every page, empty and full, without a browser: what it says, where it leads, and that no error shows its insides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from portal import clock
from portal.errors import StoreError
from portal.jobs import Job, Status
from portal.settings import CODE_ROOT, Settings
from portal.spool import Spool
from portal.ui import access, health, listing
from portal.ui.access import Person
from portal.ui.accounts import Role
from portal.ui.components.job_table import Click
from portal.ui.wording import APART
from tests.test_ui_search import archived

ENV = "SNOWFLAKE_ACCOUNT=myorg\nSNOWFLAKE_USER=portal\nSNOWFLAKE_PASSWORD=not-to-be-seen-anywhere\n"


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def opened(path: str = "", **query: str) -> AppTest:
    """Open a page by its address."""
    app = AppTest.from_file(str(CODE_ROOT / "app.py"), default_timeout=60)
    app._page_hash = calc_hash(path)  # how Streamlit names the page of an address
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.warning, app.error, app.info, app.subheader, app.text)
    found = [str(item.value) for kind in kinds for item in kind]
    titles = [str(item.proto.title) for item in (*app.error, *app.warning)]
    return "\n".join(found + titles).replace("\\", "").replace(APART, "")


def test_without_a_worker_the_overview_says_so(home: Path) -> None:
    app = opened()
    assert health.NO_WORKER in words(app)
    assert {metric.label: metric.value for metric in app.metric}["Running"] == "0"


def test_corrupt_job_files_are_listed_with_their_reason(home: Path, spool: Spool) -> None:
    (home / "queue" / "corrupt" / "5-x.json").write_text("{")
    app = opened()
    assert "1 job file in the queue cannot be read" in words(app)
    assert list(app.dataframe[0].value["File"]) == ["5-x.json"]


def test_a_full_disk_is_said(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: SimpleNamespace(total=100 << 30, used=100 << 30, free=1000))
    assert "The disk of the queue is full" in words(opened())


@pytest.mark.parametrize(
    ("path", "says"), [("new", "New job"), ("jobs", "No jobs yet"), ("audit", "No finished job fits"), ("connections", "Connections")]
)
def test_an_empty_portal_says_what_to_do(home: Path, path: str, says: str) -> None:
    assert says in words(opened(path))


@pytest.mark.parametrize("job_id", ["", "nonsense", "../../etc/passwd", "01M7YZ6HXDWKZ0NY9XTY10402E"])
def test_a_job_that_is_not_there_is_said_so(home: Path, job_id: str) -> None:
    assert "Job not found" in words(opened("job", id=job_id))


def test_a_failed_job_shows_what_to_do_and_its_files(home: Path, spool: Spool) -> None:
    job = archived(spool, 7, status=Status.FAILED, error="There is no bucket [x](http://evil).\n  what to do: Make it.")
    app = opened("job", id=job.id)
    assert "There is no bucket [x](http://evil)." in words(app) and "Make it." in words(app)
    assert {button.label for button in app.button} >= {"Retry", "Edit and rerun"}


def test_a_job_that_waits_says_why(home: Path, spool: Spool) -> None:
    job = spool.submit(
        Job("01M7YZ6HXDWKZ0NY9XTY10402E", "list", {"source": "s3://b/"}, clock.iso(clock.now_ms()), labels={"name": "a `name` *here*"})
    )
    app = opened("job", id=job.id)
    assert "No worker is running on this queue: start one with python worker.py." in words(app) and "a `name` *here*" in words(app)
    app.button[[button.label for button in app.button].index("Cancel job")].click().run()
    assert spool.cancel_requested(job.id)


def test_a_filled_audit_shows_figures_and_rows(home: Path, spool: Spool) -> None:
    for number in range(3):
        archived(spool, number + 1, result={"bytes": 1 << 20, "counts": {"listed": 2, "copied": 2}, "report": {"proof": {"read-back": 2}}})
    archived(spool, 9, status=Status.FAILED, error="no")
    app = opened("audit")
    figures = {metric.label: metric.value for metric in app.metric}
    assert (figures["Jobs"], figures["Succeeded"], figures["Objects"], figures["With proof"]) == ("4", "75.0%", "6", "6")
    assert len(app.dataframe[0].value) == 4
    assert len(opened("audit", status="failed").dataframe[0].value) == 1


def test_connections_show_where_they_lead_and_never_a_secret(home: Path) -> None:
    with (home / ".env").open("a") as file:
        file.write(ENV)
    (home / "connections.toml").write_text('[lake]\nkind = "adls"\naccount = "mylake"\naccount_key = "an-account-key-nobody-sees"\n')
    app = opened("connections")
    assert "https://mylake.dfs.core.windows.net" in words(app) and "portal@myorg" in words(app) and "account key" in words(app)
    assert "nobody-sees" not in str(app) and "not-to-be-seen" not in str(app)


def test_a_broken_connections_file_is_an_error_box_not_a_traceback(home: Path) -> None:
    (home / "connections.toml").write_text("[lake]\nkind = 'moon'\n")
    app = opened("connections")
    assert "The connection 'lake' is wrong" in words(app) and "Traceback" not in words(app)


def test_a_form_is_filled_in_from_the_job_that_the_address_names(home: Path, spool: Spool) -> None:
    old = archived(spool, 5, engine="generate", labels={"name": "sample"})
    app = opened("new", **{"from": old.id})
    assert f"Filled in from job `{old.id}`" in words(app)
    assert [box.value for box in app.text_input if box.label == "Job name"] == ["sample"]


def test_a_viewer_sees_no_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "person", lambda settings: Person("vera", Role.VIEWER))
    app = opened("new")
    assert "You can look, but not submit" in words(app)
    assert "Review and submit" not in [button.label for button in app.button]


def test_nobody_signed_in_sees_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "person", lambda settings: None)
    assert not opened().metric


def test_a_store_that_fails_is_told_in_a_box(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> list[str]:
        raise StoreError("The endpoint answers nothing.", hint="Look at its address.")

    monkeypatch.setattr(listing, "containers", refuse)
    assert "The endpoint answers nothing." in words(opened("new", engine="list"))


def test_an_error_nobody_foresaw_shows_no_traceback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(health, "look", fail)
    text = words(opened("jobs"))
    assert "ZeroDivisionError: division by zero" in text and "File " not in text


def test_a_setting_that_cannot_be_used_is_named(home: Path) -> None:
    (home / ".env").write_text("PORTAL_SLOTS=many\n")
    assert "PORTAL_SLOTS='many' cannot be used" in words(opened())


def test_a_click_that_comes_as_the_last_job_ends_is_not_lost(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page then runs anew, to poll more slowly; what was clicked came with the run before."""
    job = archived(spool, 7, status=Status.FAILED, error="There is no bucket.")
    looks: list[health.Health] = []
    look = health.look

    def ended_meanwhile(config: Settings, spool: Spool) -> health.Health:
        found = look(config, spool)
        looks.append(replace(found, counts={**found.counts, "running": 1}) if not looks else found)
        return looks[-1]

    monkeypatch.setattr(health, "look", ended_meanwhile)
    monkeypatch.setattr("portal.ui.views.jobs.job_table", lambda rows, key: Click("open", job.id) if len(looks) == 2 else None)
    assert "There is no bucket." in words(opened("jobs"))
