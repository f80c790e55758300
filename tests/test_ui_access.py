"""Who may come in and who may do what: accounts, sessions, the gate, and the check at each action."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from streamlit import config as streamlit_config
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from portal.errors import BadParameters, SettingError
from portal.settings import CODE_ROOT, Settings
from portal.ui import access, accounts, actions, gate, provider, sessions, sign_in, users
from portal.ui.access import AccessRefused, Mode, Person
from portal.ui.accounts import Account, Role
from portal.ui.actions import Order
from tests.asgi import Answer, Client

HOST = "127.0.0.1:8501"
PASSWORD = "correct-horse-battery"


@pytest.fixture
def olga(config: Settings) -> Account:
    account = Account("olga", Role.OPERATOR, accounts.hashed(PASSWORD))
    accounts.write(config, [account])
    return account


@pytest.fixture
def client(config: Settings) -> Client:
    """The gate before a page, a file, the metrics and a WebSocket."""

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("in")
        await socket.close()

    def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("in")

    def back(request: Any) -> RedirectResponse:
        response = RedirectResponse("/", 302)
        if "code" in request.query_params:
            response.set_cookie(provider.COOKIE, vouched())
        return response

    paths = ("/", "/jobs", "/media/file.csv", "/_stcore/metrics", "/_stcore/health")
    inside = [Route("/oauth2callback", back), *(Route(path, page) for path in paths), WebSocketRoute("/_stcore/stream", echo)]
    app = Starlette(routes=[*gate.routes(), *inside], middleware=gate.middleware())
    return Client(app, HOST)


def signed_in(client: Client, name: str, password: str, wanted: str = "/jobs?text=a") -> Answer:
    token = client.get("/sign-in").text.partition('name="token" value="')[2].partition('"')[0]
    return client.post("/sign-in", {"name": name, "password": password, "next": wanted, "token": token})


def connects(client: Client, **headers: str) -> bool:
    return client.connects("/_stcore/stream", **headers)


def test_a_password_fits_only_its_own_account(config: Settings, olga: Account) -> None:
    assert accounts.check(config, "olga", PASSWORD) == olga
    assert accounts.check(config, "olga", PASSWORD + "x") is None
    assert accounts.check(config, "nobody", PASSWORD) is None


def test_users_file_is_private_and_holds_no_password(config: Settings, olga: Account) -> None:
    path = accounts.users_file(config)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()


def test_an_account_without_a_hash_never_signs_in_with_a_password(config: Settings) -> None:
    accounts.write(config, [Account("olga", Role.ADMIN)])
    assert accounts.check(config, "olga", "") is None
    assert accounts.check(config, "olga", "nobody has this password") is None


def test_the_command_adds_lists_and_removes(config: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert users.main(["add", "olga", "--role", "operator", "--password-stdin"]) == 0
    assert users.main(["add", "o.idc@example.org", "--role", "admin", "--no-password"]) == 0
    assert accounts.check(config, "olga", PASSWORD) is not None
    users.main(["list"])
    assert "olga\toperator\tpassword" in capsys.readouterr().out
    assert users.main(["remove", "olga"]) == 0 and list(accounts.read(config)) == ["o.idc@example.org"]
    assert users.main(["remove", "olga"]) == 2


def test_a_short_password_is_refused(config: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert users.main(["add", "olga", "--password-stdin"]) == 2
    assert "10 or more" in capsys.readouterr().err and not accounts.users_file(config).exists()


@pytest.mark.parametrize("given", ["", f"{PASSWORD}\n{PASSWORD}\n"], ids=["nothing", "answers"])
def test_without_a_terminal_the_password_is_asked_for_otherwise(config: Settings, given: str) -> None:
    """A session of its own has no terminal; what stands on standard input would be shown if there were one."""
    command = [sys.executable, "-m", "portal.ui.users", "add", "olga"]
    known = {**os.environ, "PORTAL_HOME": str(config.home)}
    done = subprocess.run(command, input=given, capture_output=True, text=True, start_new_session=True, cwd=CODE_ROOT, env=known)
    assert done.returncode == 2 and "--password-stdin" in done.stderr and "Traceback" not in done.stderr
    assert not accounts.users_file(config).exists()


@pytest.mark.parametrize("text", ["user = 3", "[[user]]\nname = 'a'", "[[user]]\nname = 'a'\nrole = 'king'", "not toml"])
def test_a_broken_users_file_is_named_and_lets_nobody_in(config: Settings, text: str) -> None:
    accounts.users_file(config).write_text(text)
    with pytest.raises(SettingError, match=r"users\.toml"):
        accounts.read(config)


def test_a_cookie_is_worth_nothing_forged_old_or_after_a_new_password(config: Settings, olga: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = sessions.issue(config, "olga")
    assert sessions.name_in(config, cookie) == "olga"
    assert sessions.name_in(config, cookie[:-2] + "xx") is None
    assert sessions.name_in(config, "") is None
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + sessions.LIFETIME_S + 60)
    assert sessions.name_in(config, cookie) is None
    monkeypatch.undo()
    accounts.write(config, [Account("olga", Role.OPERATOR, accounts.hashed("another-password"))])
    assert sessions.name_in(config, cookie) is None


def test_without_sign_in_only_this_machine_is_answered(client: Client) -> None:
    assert client.get("/jobs").text == "in"
    assert client.get("/jobs", host="portal.evil.example:8501").status == 403


def test_a_websocket_from_elsewhere_or_from_nowhere_is_refused(client: Client) -> None:
    assert connects(client, origin=f"http://{HOST}")
    assert not connects(client, origin="http://evil.example")
    assert not connects(client)


def test_metrics_are_closed_and_every_answer_carries_the_headers(client: Client) -> None:
    assert client.get("/_stcore/metrics").status == 404
    headers = client.get("/").headers
    assert "script-src 'self'" in headers["content-security-policy"] and "'unsafe-eval'" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"


def test_a_stranger_gets_the_form_and_nothing_else(client: Client, olga: Account) -> None:
    answer = client.get("/jobs?text=a", accept="text/html")
    assert answer.status == 303 and answer.headers["location"] == "/sign-in?next=/jobs%3Ftext%3Da"
    assert client.get("/media/file.csv").status == 401
    assert not connects(client, origin=f"http://{HOST}")
    assert client.get("/_stcore/health").status == 200


def test_signing_in_opens_files_and_websocket_and_leads_back(client: Client, olga: Account) -> None:
    answer = signed_in(client, "olga", PASSWORD)
    assert answer.status == 303 and answer.headers["location"] == "/jobs?text=a"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert client.get("/media/file.csv").status == 200
    assert connects(client, origin=f"http://{HOST}")


def test_a_removed_account_is_out_at_once(client: Client, config: Settings, olga: Account) -> None:
    signed_in(client, "olga", PASSWORD)
    accounts.write(config, [Account("other", Role.ADMIN, olga.hash)])
    assert client.get("/media/file.csv").status == 401


def test_a_users_file_that_goes_missing_does_not_open_the_portal(client: Client, config: Settings, olga: Account) -> None:
    signed_in(client, "olga", PASSWORD)
    accounts.users_file(config).unlink()
    assert client.get("/media/file.csv").status == 401 and not connects(client, origin=f"http://{HOST}")
    assert access.mode(config) is Mode.LOCAL


def test_wrong_passwords_are_slowed_down(client: Client, olga: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_attempts", defaultdict(deque))
    assert [signed_in(client, "olga", "wrong-password").status for _ in range(6)] == [401] * 5 + [429]
    assert signed_in(client, "olga", PASSWORD).status == 429


def test_guesses_sent_all_at_once_are_counted_too(client: Client, olga: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "_attempts", defaultdict(deque))
    meanwhile: list[int] = []

    def checking(*given: object) -> None:
        if len(meanwhile) < 8:
            meanwhile.append(0)
            with ThreadPoolExecutor(1) as other:
                other.submit(lambda: meanwhile.append(signed_in(client, "olga", "guess").status)).result()

    monkeypatch.setattr(accounts, "check", checking)
    monkeypatch.setattr(sign_in, "_hashing", asyncio.Semaphore(100))
    assert signed_in(client, "olga", "guess").status == 401
    assert meanwhile.count(429) == 1 and meanwhile.count(401) == 4


def test_guesses_for_many_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    old = defaultdict(deque, {("10.0.0.1", str(number)): deque([time.monotonic() - 400]) for number in range(20)})
    monkeypatch.setattr(sign_in, "_attempts", old)
    monkeypatch.setattr(sign_in, "_MOST_REMEMBERED", 10)
    assert not sign_in._too_many(("10.0.0.2", "olga")) and not old


def test_a_form_that_is_not_ours_is_refused(client: Client, olga: Account) -> None:
    data = {"name": "olga", "password": PASSWORD, "token": "guess"}
    assert client.post("/sign-in", data).status == 403
    assert client.post("/sign-in", data, origin="http://evil.example").status == 403
    for token in ("", "-"):
        assert client.post("/sign-in", {**data, "token": token}).status == 403
        client.cookies.clear()
        assert client.post("/sign-in", {**data, "token": token}).status == 403
    client.cookies["portal_form"] = ""
    assert client.post("/sign-in", {**data, "token": ""}).status == 403


AUTH = {
    "redirect_uri": f"http://{HOST}/oauth2callback", "cookie_secret": "0123456789abcdef" * 4, "client_id": "portal", "client_secret": "s",
    "server_metadata_url": "https://id.example.org/.well-known/openid-configuration",
}  # fmt: skip


@pytest.fixture
def oidc(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The [auth] of a secrets.toml; a test may change it."""
    auth = dict(AUTH)
    monkeypatch.setattr(st.secrets, "load_if_toml_exists", lambda: True)
    monkeypatch.setattr(st.secrets, "_secrets", {"auth": auth})
    return auth


def vouched(**claims: object) -> str:
    """The cookie that Streamlit signs once the provider has vouched for somebody."""
    origin = AUTH["redirect_uri"].removesuffix("/oauth2callback")
    told = {"is_logged_in": True, "origin": origin, "sub": "1", **claims}
    return create_signed_value(AUTH["cookie_secret"], provider.COOKIE, json.dumps(told)).decode()


def test_openid_connect_keeps_strangers_out_of_files_and_websocket(oidc: dict[str, Any], client: Client) -> None:
    assert client.get("/media/file.csv").status == 401 and not connects(client, origin=f"http://{HOST}")
    assert client.get("/", accept="text/html").headers["location"] == "/sign-in?next=/"
    client.cookies[provider.COOKIE] = vouched()
    assert client.get("/media/file.csv").status == 200 and connects(client, origin=f"http://{HOST}")


def test_openid_connect_leads_back_to_the_deep_link(oidc: dict[str, Any], client: Client) -> None:
    answer = client.get("/jobs?text=a&status=failed", accept="text/html")
    assert answer.headers["location"] == "/sign-in/start?next=/jobs%3Ftext%3Da%26status%3Dfailed"
    assert client.get(answer.headers["location"]).headers["location"].startswith("/auth/login?provider=")
    failed = client.get("/oauth2callback?error=access_denied").headers["location"]
    assert failed == "/sign-in?failed=1&next=/jobs%3Ftext%3Da%26status%3Dfailed"
    page = client.get(failed).text
    assert "did not work" in page and 'href="/sign-in/start?next=/jobs%3Ftext%3Da%26status%3Dfailed"' in page
    assert client.get("/oauth2callback?code=good").headers["location"] == "/jobs?text=a&status=failed"
    client.cookies.clear()
    assert client.get("/oauth2callback").headers["location"] == "/"


def test_a_password_is_of_no_use_with_openid_connect(oidc: dict[str, Any], client: Client, olga: Account) -> None:
    data = {"name": "olga", "password": PASSWORD, "token": "t"}
    client.cookies["portal_form"] = "t"
    assert sessions.COOKIE not in client.post("/sign-in", data).headers.get("set-cookie", "") and client.get("/jobs").status == 401


def test_what_the_provider_said_is_worth_nothing_forged_old_or_for_another_address(oidc: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = vouched(email="olga@example.org")
    found = provider.claims({provider.COOKIE: cookie})
    assert found and found["email"] == "olga@example.org"
    for wrong in ("", cookie[:-2] + "xx", vouched(origin="http://evil.example"), vouched(is_logged_in=False), "ä"):
        assert provider.claims({provider.COOKIE: wrong}) is None
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + sessions.LIFETIME_S + 60)
    assert provider.claims({provider.COOKIE: cookie}) is None


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [*((key, "", f"lacks {key}") for key in AUTH), ("cookie_secret", "short", "fewer than 32"), ("redirect_uri", "http://a/", "redirect_uri")],
)
def test_incomplete_settings_of_openid_connect_are_named(oidc: dict[str, Any], key: str, value: str, told: str) -> None:
    provider.check_settings()
    oidc[key] = value
    with pytest.raises(SettingError, match=told):
        provider.check_settings()


def test_a_secrets_file_that_cannot_be_read_does_not_open_the_portal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "secrets.toml"
    monkeypatch.setattr(st.secrets, "_secrets", None)
    monkeypatch.setattr(streamlit_config, "get_option", lambda name: [str(broken)])
    provider.check_settings()
    broken.write_text("[auth\n")
    with pytest.raises(SettingError, match="cannot be read"):
        provider.check_settings()


def test_roles_of_openid_connect_come_from_the_users_file(oidc: dict[str, Any], config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.write(config, [Account("olga@example.org", Role.ADMIN)])
    cookies: dict[str, str] = {}
    monkeypatch.setattr(access.st, "context", SimpleNamespace(cookies=cookies))
    assert access.person(config) is None
    cookies[provider.COOKIE] = vouched(email="olga@example.org")
    assert access.person(config) == Person("olga@example.org", Role.ADMIN)
    for unverified in (False, "false"):
        cookies[provider.COOKIE] = vouched(email="olga@example.org", email_verified=unverified)
        assert access.person(config) == Person("1", Role.VIEWER)


@pytest.mark.parametrize(
    "wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/jobs\r\nset-cookie: a=b", "javascript:alert(1)", ""]
)
def test_signing_in_never_leads_to_another_site(wanted: str) -> None:
    assert sign_in.local_path(wanted) == "/"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.7"])
def test_an_open_address_needs_sign_in(address: str) -> None:
    with pytest.raises(SettingError, match="no sign-in is configured"):
        gate.check_address(address, Mode.OPEN)
    gate.check_address(address, Mode.LOCAL)


def as_person(monkeypatch: pytest.MonkeyPatch, who: Person | None) -> None:
    monkeypatch.setattr(access, "person", lambda settings: who)


ACTIONS: list[Callable[[], object]] = [
    lambda: actions.submit(Order("generate", {}, key="k")),
    lambda: actions.cancel("01M7YZ6HXDWKZ0NY9XTY10402E"),
    lambda: actions.retry("01M7YZ6HXDWKZ0NY9XTY10402E"),
    lambda: actions.test_connection("local", ""),
    lambda: actions.many(actions.cancel, ["01M7YZ6HXDWKZ0NY9XTY10402E"]),
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("who", [None, Person("vera", Role.VIEWER)])
def test_every_action_refuses_whoever_has_not_the_role(
    action: Callable[[], object], who: Person | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_person(monkeypatch, who)
    with pytest.raises(AccessRefused):
        action()
    assert not list((home / "queue").glob("*.json"))


def test_the_same_form_is_submitted_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, Person("olga", Role.OPERATOR))
    order = Order("list", {"source": f"file://{home}/data/"}, key="form-1")
    assert actions.submit(order).id == actions.submit(order).id
    assert len(list((home / "queue").glob("*.json"))) == 1


def test_a_bad_order_is_named_before_anything_is_queued(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, Person("olga", Role.OPERATOR))
    with pytest.raises(BadParameters, match="source"):
        actions.prepared(Order("list", {"source": "nonsense"}, key="form-2"))
