"""Signing in with OpenID Connect, against a real provider and in a real browser."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from portal import settings, submission
from portal.jobs import Job
from portal.spool import Spool
from portal.ui import accounts
from portal.ui.accounts import Account, Role
from tests import launcher as launchers
from tests.launcher import Launcher

VERA, OLGA = "vera@example.org", "olga@example.org"
SUBJECTS = {"subject-1": VERA, "subject-2": OLGA}
_TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that vouches for two people; returns its address."""
    port = launchers.free_port()
    people = [json.dumps({"sub": sub, "email": mail, "email_verified": True}) for sub, mail in SUBJECTS.items()]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), *(f"--user-claims={item}" for item in people)]
    with (tmp_path_factory.mktemp("provider") / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(f"http://127.0.0.1:{port}/.well-known/openid-configuration", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(15)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The provider did not start.")


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[Launcher]:
    """A launcher that leaves signing in to the provider; only Olga is in its users.toml."""
    home = launchers.make_home(tmp_path_factory.mktemp("oidc") / "home", {})
    (home / "data" / "a.csv").write_text("a\n1\n")
    set_olga(home, Role.OPERATOR)
    port = launchers.free_port()
    secrets = home / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{"0123456789abcdef" * 4}"\n'
        f'client_id = "portal"\nclient_secret = "of-the-portal"\nserver_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    running = launchers.start(home, worker=False, port=port, options=["--secrets.files", str(secrets)])
    yield running
    running.stop()


@pytest.fixture(scope="module")
def job(portal: Launcher) -> Job:
    """A job that waits, since no worker runs."""
    config = settings.load(portal.home)
    return Spool(config).submit(submission.new_job(config, "list", {"source": f"file://{portal.home}/data/"}, by=OLGA, name="look around"))


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def set_olga(home: Path, role: Role) -> None:
    accounts.write(settings.load(home), [Account(OLGA, role)])


def vouch(page: Page, provider: str, mail: str) -> None:
    """Wait for the provider's page and be the person there."""
    page.wait_for_url(f"{provider}/oauth2/authorize**")
    page.get_by_role("button", name=next(sub for sub, of in SUBJECTS.items() if of == mail)).click()


def signed_in_as(page: Page, mail: str, role: Role) -> None:
    expect(page.get_by_text(f"{mail} · {role}")).to_be_visible(timeout=_TIMEOUT_MS)


def test_a_deep_link_leads_over_the_provider_and_back_to_a_viewer_until_signing_out(page: Page, portal: Launcher, provider: str, job: Job) -> None:
    link = f"{portal.url}/job?id={job.id}"
    page.goto(link)
    vouch(page, provider, VERA)
    page.wait_for_url(link)
    signed_in_as(page, VERA, Role.VIEWER)
    expect(page.get_by_role("button", name="Cancel job")).to_be_disabled()
    cookies = {item["name"]: item for item in page.context.cookies(portal.url)}
    assert cookies["_streamlit_user"]["httpOnly"] and cookies["_streamlit_user"]["sameSite"] == "Lax"
    page.goto(f"{portal.url}/new?engine=list")
    expect(page.get_by_text("You can look, but not submit")).to_be_visible()

    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="End session").click()
    page.wait_for_url(f"{portal.url}/sign-in**")
    assert "_streamlit_user" not in {item["name"] for item in page.context.cookies(portal.url)}
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.goto(link)
    page.wait_for_url(f"{provider}/**")


def test_an_operator_of_the_users_file_submits_until_the_role_is_taken(page: Page, portal: Launcher, provider: str, job: Job) -> None:
    page.goto(portal.url)
    page.get_by_role("link", name="Sign in").click()
    vouch(page, provider, OLGA)
    page.wait_for_url(f"{portal.url}/")
    signed_in_as(page, OLGA, Role.OPERATOR)
    page.goto(f"{portal.url}/new?from={job.id}")
    page.get_by_role("button", name="Review and submit").click()
    submit = page.get_by_role("button", name="Submit", exact=True)
    expect(submit).to_be_enabled(timeout=_TIMEOUT_MS)
    set_olga(portal.home, Role.VIEWER)
    try:
        submit.click()
        expect(page.get_by_text(f"{OLGA} is viewer; to submit jobs takes operator.")).to_be_visible(timeout=_TIMEOUT_MS)
        assert waiting(portal) == {job.id}
    finally:
        set_olga(portal.home, Role.OPERATOR)
    page.reload()
    page.goto(f"{portal.url}/new?from={job.id}")
    page.get_by_role("button", name="Review and submit").click()
    submit.click()
    page.wait_for_url(re.compile(r"/job\?id="))
    submitted = waiting(portal) - {job.id}
    assert [Spool(settings.load(portal.home)).find(item).submitted_by for item in submitted] == [OLGA]


def waiting(portal: Launcher) -> set[str]:
    return {item.id for item in Spool(settings.load(portal.home)).waiting()}


def test_a_sign_in_that_the_provider_refuses_ends_at_the_sign_in_page(page: Page, portal: Launcher, provider: str) -> None:
    page.goto(f"{portal.url}/jobs?status=failed")
    page.wait_for_url(f"{provider}/oauth2/authorize**")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_have_text("The sign-in did not work. Please try again.")
    page.get_by_role("link", name="Sign in").click()
    vouch(page, provider, VERA)
    page.wait_for_url(f"{portal.url}/jobs?status=failed")
    signed_in_as(page, VERA, Role.VIEWER)


@pytest.mark.parametrize("cookie", ["", "_streamlit_user=forged", "portal_session=forged"])
def test_who_is_not_signed_in_gets_no_file_and_no_websocket(portal: Launcher, cookie: str) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert status(portal, "/media/a.csv", Cookie=cookie) == 401
    assert status(portal, "/jobs", Cookie=cookie) == 401
    assert status(portal, "/jobs", Cookie=cookie, Accept="text/html") == 303
    assert status(portal, "/_stcore/stream", Cookie=cookie, Origin=portal.url, **upgrade) == 403


def status(portal: Launcher, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(portal.url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
