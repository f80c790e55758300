"""The pages in a real browser, against real stores, a real worker and a real warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from playwright.sync_api import Page, expect

from portal import settings, submission
from portal.connections import Connections
from portal.spool import Spool
from portal.stores.opening import open_account
from portal.ui import accounts
from portal.ui.accounts import Account, Role
from portal.warehouse import Warehouse
from tests import launcher as launchers
from tests.conftest import box_variables
from tests.launcher import Launcher
from tests.servers import ADLS_ACCOUNT, Server

BUCKET, CONTAINER = "ui-bucket", "ui-lake"
PASSWORDS = {"vera": "a-viewer-password", "olga": "an-operator-password"}
_SLOW_MS = 45_000
expect.set_options(timeout=25_000)  # of a machine that runs other tests beside; nothing waits longer than it must


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, s3_server: Server, adls_server: Server, snowflake_server: Server) -> Iterator[Launcher]:
    """A launcher with a worker, before a bucket of small files and an empty container."""
    variables = box_variables(s3_server, adls_server, snowflake_server)
    home = launchers.make_home(tmp_path_factory.mktemp("ui") / "home", variables)
    client = boto3.client(
        "s3", endpoint_url=s3_server.url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing-secret"
    )
    client.create_bucket(Bucket=BUCKET)
    for name in [f"in/day-{number:02d}.csv" for number in range(1, 13)] + ["in/notes.json", "other/x.csv"]:
        client.put_object(Bucket=BUCKET, Key=name, Body=b"id,amount\n1,2.5\n2,3.5\n")
    client.close()
    running = launchers.start(home, worker=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """A launcher with local accounts and without a worker."""
    home = launchers.make_home(tmp_path_factory.mktemp("guarded") / "home", {})
    (home / "data" / "a.csv").write_text("a\n1\n")
    accounts.write(
        settings.load(home),
        [Account("vera", Role.VIEWER, accounts.hashed(PASSWORDS["vera"])), Account("olga", Role.OPERATOR, accounts.hashed(PASSWORDS["olga"]))],
    )
    running = launchers.start(home, worker=False)
    yield running
    running.stop()


def settled(page: Page) -> None:
    """Wait until the script of the page has run."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a select box by its words, or type it in."""
    box = page.get_by_role("combobox", name=re.compile(label)).first
    box.click()
    box.fill(option)
    page.keyboard.press("Enter")
    settled(page)


def start_migration(page: Page, portal: Launcher, name: str, folder: str) -> None:
    """Fill in a form: two objects picked under different filters, a folder, a name."""
    page.goto(f"{portal.url}/new?engine=migrate")
    choose(page, "Bucket", BUCKET)
    page.get_by_role("button", name="in/", exact=True).click()
    page.get_by_label("Select in/day-03.csv").check()
    page.get_by_role("searchbox", name="Filter objects").fill("day-1")
    expect(page.get_by_label("Select in/day-03.csv")).to_have_count(0)
    page.get_by_label("Select in/day-11.csv").check()
    page.get_by_role("searchbox", name="Filter objects").fill("")
    expect(page.get_by_label("Select in/day-03.csv")).to_be_checked()
    expect(page.get_by_label("Select in/day-11.csv")).to_be_checked()
    expect(page.get_by_label("Select in/day-10.csv")).not_to_be_checked()
    expect(page.get_by_text("2 objects", exact=True)).to_be_visible()
    choose(page, "Container", CONTAINER)
    target = page.get_by_role("textbox", name="Target: path")
    target.fill(folder)
    target.press("Enter")
    settled(page)
    page.get_by_text("Name, priority, dry run").click()
    title = page.get_by_role("textbox", name="Job name")
    title.fill(name)
    title.press("Enter")
    settled(page)


@pytest.fixture(scope="module")
def container(portal: Launcher) -> str:
    config = settings.load(portal.home)
    account = open_account(Connections.load(config).get("adls"))
    account.create_container(CONTAINER)
    return CONTAINER


def exported_rows(home: Path, job_id: str) -> int:
    """Count the rows of a job in the warehouse."""
    config = settings.load(home)
    connection = Connections.load(config).get("snowflake")
    with Warehouse.connect(connection) as session:
        return int(session.query("SELECT COUNT(*) FROM PORTAL.AUDIT.PORTAL_JOBS WHERE JOB_ID = %s", (job_id,)).rows[0][0])


def test_pick_objects_submit_watch_audit_export(page: Page, portal: Launcher, container: str) -> None:
    start_migration(page, portal, "two days", "picked/")
    page.get_by_text("Then export the audit rows to Snowflake").click()
    settled(page)
    page.get_by_role("button", name="Review and submit").click()
    expect(page.get_by_text("2 chosen objects")).to_be_visible()
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url(re.compile(r"/job\?id="))
    job_id = page.url.partition("id=")[2][:26]
    expect(page.get_by_text(re.compile("Queued|Running")).first).to_be_visible()
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=_SLOW_MS)  # nobody reloads: the page follows the job
    tab = page.get_by_role("tab", name="Log")
    expect(tab).to_have_count(1)  # while the page of a running job gives way to that of one that has ended, both are there
    tab.click()
    expect(page.get_by_role("log", name="Job log")).to_contain_text("2 objects listed")
    page.get_by_role("tab", name="Result").click()
    expect(page.get_by_text("The books balance: 2 listed = 2 copied.")).to_be_visible()
    spool = Spool(settings.load(portal.home))
    done = spool.find(job_id)
    assert done is not None and done.result is not None and done.params["keys"] == ["in/day-03.csv", "in/day-11.csv"]
    page.get_by_role("button", name=re.compile("audit_export")).click()
    page.wait_for_url(lambda url: job_id not in url)
    expect(page.get_by_text("Rows read back")).to_be_visible(timeout=_SLOW_MS)
    expect(page.get_by_text("Succeeded").first).to_be_visible()
    page.get_by_role("link", name="Audit", exact=True).click()
    page.get_by_role("searchbox", name="Search").fill(job_id)
    page.get_by_role("searchbox", name="Search").press("Enter")
    expect(page.get_by_text("1 row. Tick one to open its job.")).to_be_visible()
    assert exported_rows(portal.home, job_id) == 1


def test_deleting_at_the_target_is_confirmed_by_typing_it_and_told_apart(page: Page, portal: Launcher, container: str) -> None:
    account = open_account(Connections.load(settings.load(portal.home)).get("adls"))
    with account.store(container).open_write("mirrored/old.csv") as writer:
        writer.write(b"id\n9\n")
        writer.commit()
    account.close()
    page.goto(f"{portal.url}/new?engine=migrate")
    choose(page, "Bucket", BUCKET)
    page.get_by_role("button", name="other/", exact=True).click()
    choose(page, "Container", CONTAINER)
    target = page.get_by_role("textbox", name="Target: path")
    target.fill("mirrored/")
    target.press("Enter")
    settled(page)
    for label in ("Mirror", "Delete extra"):
        page.get_by_text(label, exact=True).click()
        settled(page)
    page.get_by_role("button", name="Review and submit").click()
    submit = page.get_by_role("button", name="Submit: delete up to 1,000 objects")
    expect(submit).to_be_disabled()
    typed = page.get_by_role("textbox", name="Type the target's URL to confirm")
    typed.fill(f"abfss://{CONTAINER}@{ADLS_ACCOUNT}/mirrored/")
    typed.press("Enter")
    submit.click()
    page.wait_for_url(re.compile(r"/job\?id="))
    expect(page.get_by_text("1 object that the source no longer has was deleted at the target.")).to_be_visible(timeout=_SLOW_MS)
    expect(page.get_by_text("The books balance: 1 listed = 1 copied.")).to_be_visible()


def test_however_fast_objects_are_ticked_none_is_lost(page: Page, portal: Launcher) -> None:
    page.goto(f"{portal.url}/new?engine=migrate")
    choose(page, "Bucket", BUCKET)
    page.get_by_role("button", name="in/", exact=True).click()
    expect(page.get_by_label("Select in/day-01.csv")).to_be_visible()
    ticks = page.locator("input[type=checkbox][aria-label^='Select in/day']")
    ticks.evaluate_all("boxes => boxes.slice(0, 7).forEach(box => box.click())")
    expect(page.get_by_text("7 objects", exact=True)).to_be_visible()
    page.get_by_label("Select in/day-07.csv").click()
    expect(page.get_by_text("6 objects", exact=True)).to_be_visible()
    settled(page)
    assert ticks.evaluate_all("boxes => boxes.map(box => box.checked)") == [True] * 6 + [False] * 6


def test_a_double_click_submits_once(page: Page, portal: Launcher) -> None:
    page.goto(f"{portal.url}/new?engine=list")
    choose(page, "Bucket", BUCKET)
    page.get_by_role("button", name="other/", exact=True).click()
    expect(page.get_by_text("x.csv")).to_be_visible()
    page.get_by_text("Name, priority, dry run").click()
    title = page.get_by_role("textbox", name="Job name")
    title.fill("clicked twice")
    title.press("Enter")
    settled(page)
    page.get_by_role("button", name="Review and submit").click()
    page.get_by_role("button", name="Submit", exact=True).dblclick()
    page.wait_for_url(re.compile(r"/job\?id="))
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=_SLOW_MS)
    page.goto(f"{portal.url}/jobs?text=clicked+twice")
    expect(page.get_by_role("table", name="Jobs").get_by_role("row")).to_have_count(2)  # the head and the one job


def test_an_address_keeps_filters_and_leads_to_a_job(page: Page, portal: Launcher) -> None:
    spool, config = Spool(settings.load(portal.home)), settings.load(portal.home)
    job = spool.submit(submission.new_job(config, "list", {"source": f"s3://{BUCKET}/nothing-here/"}, by="anna", name="<b>bold</b>", max_attempts=1))
    page.goto(f"{portal.url}/jobs?owner=anna&days=7")
    row = page.get_by_role("row", name=re.compile(job.id[-8:]))
    expect(row).to_contain_text("<b>bold</b>")
    expect(page.get_by_role("textbox", name="Owner")).to_have_value("anna")
    row.get_by_role("link").click()
    page.wait_for_url(re.compile(job.id))
    page.goto(f"{portal.url}/job?id={job.id}&tab=Parameters")
    expect(page.get_by_role("tab", name="Parameters")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("heading", name="<b>bold</b>")).to_be_visible()


def test_no_text_from_outside_is_a_link(page: Page, portal: Launcher) -> None:
    """Streamlit makes links of addresses after it has read the escapes."""
    text = "See http://evil.example/a?b=1, HTTPS://evil.example, www.evil.example and eve@evil.example"
    spool, config = Spool(settings.load(portal.home)), settings.load(portal.home)
    job = spool.submit(submission.new_job(config, "list", {"source": f"s3://{BUCKET}/nothing-here/"}, by="anna", name=text, max_attempts=1))
    page.goto(f"{portal.url}/job?id={job.id}")
    expect(page.get_by_role("heading", name=text)).to_be_visible()
    expect(page.locator("a[href*='evil.example']")).to_have_count(0)


def test_a_stranger_signs_in_and_a_viewer_only_looks(page: Page, guarded: Launcher) -> None:
    page.goto(f"{guarded.url}/new?engine=list")
    page.wait_for_url(re.compile(r"/sign-in\?next="))
    sign_in(page, "vera", "wrong-password")
    expect(page.get_by_role("alert")).to_have_text("Wrong user name or password.")
    sign_in(page, "vera", PASSWORDS["vera"])
    page.wait_for_url(re.compile(r"/new\?engine=list"))
    expect(page.get_by_text("You can look, but not submit")).to_be_visible()
    expect(page.get_by_role("button", name="Review and submit")).to_have_count(0)
    page.get_by_role("link", name="Sign out").click()
    page.wait_for_url("**/sign-in")


def test_an_operator_is_told_that_no_worker_runs_and_cancels_what_waits(page: Page, guarded: Launcher) -> None:
    page.goto(f"{guarded.url}/jobs")
    sign_in(page, "olga", PASSWORDS["olga"])
    page.wait_for_url("**/jobs")
    expect(page.get_by_text("No worker is running: start")).to_be_visible()
    config = settings.load(guarded.home)
    job = Spool(config).submit(submission.new_job(config, "list", {"source": f"file://{guarded.home}/data/"}, by="olga"))
    page.reload()
    page.get_by_role("button", name=f"Cancel {job.id}").click()
    expect(page.get_by_role("row", name=re.compile(job.id[-8:]))).to_contain_text("Cancel requested")
    assert Spool(config).cancel_requested(job.id)


def test_an_operator_pauses_and_resumes_the_queue_and_puts_a_job_first(page: Page, guarded: Launcher) -> None:
    config = settings.load(guarded.home)
    spool = Spool(config)
    last = [spool.submit(submission.new_job(config, "list", {"source": f"file://{guarded.home}/data/"}, by="olga")) for _ in range(2)][1]
    page.goto(f"{guarded.url}/jobs")
    sign_in(page, "olga", PASSWORDS["olga"])
    page.wait_for_url("**/jobs")
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("textbox", name="Why").fill("the disk is changed")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    expect(page.get_by_text("the disk is changed")).to_be_visible()
    (held,) = spool.pauses()
    assert (held.engine, held.by, held.why) == (None, "olga", "the disk is changed")
    expect(page.get_by_role("row", name=re.compile(last.id[-8:]))).to_contain_text("Paused with the whole queue")
    page.get_by_label(f"Priority of {last.id}").select_option("0")
    expect(page.get_by_role("table", name="Jobs").get_by_role("row").nth(1)).to_contain_text(last.id[-8:])
    assert spool.waiting(1)[0].id == last.id
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("The queue is paused")).to_have_count(0)
    assert spool.pauses() == []


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
