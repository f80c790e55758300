"""Sending over loopback: a real HTTP server and real mail servers, with TLS and without, that take, refuse and go away."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal import probe
from portal.connections import Connections, SmtpConnection, WebhookConnection
from portal.errors import NotTold, PortalError, SettingError, Throttled, Unreachable, explain
from portal.notifying import mailing, sending
from portal.notifying.facts import Facts
from portal.notifying.mail import mail
from portal.settings import Settings
from tests.receivers import PASSWORD, PATH, USER, MailServer, Receiver, authority, mail_server, receiver

__all__ = ["authority"]

NEWS = Facts("failed", "2026-11-21T06:30:02.120Z", job_id="01KA0000000000000000000000", name="sales", engine="list")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TWO = ("ops@example.com", "boss@example.com")


@pytest.fixture(autouse=True)
def no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def to(hook: Receiver, **more: Any) -> WebhookConnection:
    return WebhookConnection.model_validate({"url": hook.url, "timeout_s": 5, **more})


def by(server: MailServer, **more: Any) -> SmtpConnection:
    given = {"host": "localhost", "port": server.port, "security": "none", "from": "portal@example.com", "to": TWO, "timeout_s": 5}
    return SmtpConnection.model_validate({**given, **more})


def test_a_webhook_gets_the_message_signed(hook: Receiver) -> None:
    sent = sending.send(to(hook, signing_secret=SECRET, bearer_token="a-token-nobody-sees"), NEWS, "")
    assert sent.text == "localhost took the message (200)."
    [request] = hook.requests
    assert request.path == PATH and request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["authorization"] == "Bearer a-token-nobody-sees"
    assert request.headers["webhook-id"] == f"msg_{NEWS.key}"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    expected = sending.posting.signing.headers(f"msg_{NEWS.key}", int(request.headers["webhook-timestamp"]), request.body, [SECRET])
    assert request.headers["webhook-signature"] == expected["webhook-signature"]


def test_nothing_is_signed_without_a_secret(hook: Receiver) -> None:
    sending.send(to(hook, format="slack"), NEWS, "")
    assert "webhook-signature" not in hook.requests[0].headers and hook.requests[0].body.startswith(b'{"text"')


@pytest.mark.parametrize(("status", "kind"), [
    (429, Throttled), (503, Throttled), (500, Unreachable), (408, Unreachable), (400, NotTold), (403, NotTold), (404, NotTold), (410, NotTold),
    (301, NotTold), (308, NotTold),
])  # fmt: skip
def test_an_answer_says_whether_it_is_worth_trying_again(hook: Receiver, status: int, kind: type[PortalError]) -> None:
    hook.answers = [(status, {"Retry-After": "7", "Location": "/elsewhere"}, b"no_service")]
    with pytest.raises(kind) as refused:
        sending.send(to(hook), NEWS, "")
    assert f"localhost answered {status}: no_service." in explain(refused.value)
    assert refused.value.retryable is (kind is not NotTold) and (kind is not NotTold or refused.value.hint)
    assert len(hook.requests) == 1, "an answer led it elsewhere"
    if isinstance(refused.value, Throttled):
        assert refused.value.retry_after_s == 7


def test_a_receiver_that_is_silent_is_given_up(hook: Receiver) -> None:
    hook.answers = [lambda: time.sleep(3) or 200]  # type: ignore[func-returns-value, list-item]
    with pytest.raises(Unreachable, match="did not answer within 1 s"):
        sending.send(to(hook, timeout_s=1), NEWS, "")


def a_free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_no_error_tells_more_of_an_address_than_its_host(hook: Receiver) -> None:
    hook.answers = [(500, {}, f"POST http://localhost{PATH} failed".encode())]
    nobody = WebhookConnection(url=f"http://localhost:{a_free_port()}{PATH}")  # type: ignore[arg-type]
    for connection, said in ((nobody, "localhost cannot be reached: Connection refused."), (to(hook), "localhost answered 500.")):
        with pytest.raises(Unreachable) as refused:
            sending.send(connection, NEWS, "")
        assert "a-part-nobody-sees" not in explain(refused.value) and said in explain(refused.value)


def test_an_endless_answer_is_not_read_to_its_end(hook: Receiver) -> None:
    hook.answers = [(301, {"Content-Length": str(1 << 40), "Location": "/elsewhere"}, b"x" * 100_000)]
    with pytest.raises(NotTold, match=r"localhost answered 301: x{200}"):
        sending.send(to(hook, timeout_s=3), NEWS, "")


def test_a_certificate_is_checked(authority: Path) -> None:
    with receiver(authority) as hook:
        with pytest.raises(NotTold, match="certificate of localhost is not accepted"):
            sending.send(to(hook), NEWS, "")
        sending.send(to(hook, ca_file=str(authority / "ca.pem")), NEWS, "")
        with pytest.raises(NotTold, match=r"certificates in .*nowhere\.pem cannot be read"):
            sending.send(to(hook, ca_file=str(authority / "nowhere.pem")), NEWS, "")
    assert len(hook.requests) == 1


def test_a_netrc_of_the_worker_is_not_sent(hook: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine hooks.example.com login worker password a-netrc-passw0rd\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", hook.url.removesuffix(PATH))
    sending.send(to(hook, url="http://hooks.example.com/portal", plain_http=True), NEWS, "")
    assert "authorization" not in hook.requests[0].headers


def test_a_proxy_of_the_environment_is_used_but_not_to_this_machine(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", hook.url.removesuffix(PATH))
    sending.send(to(hook, url="http://hooks.example.com/portal", plain_http=True), NEWS, "")
    with pytest.raises(Unreachable, match="localhost cannot be reached"):
        sending.send(to(hook, url=f"http://localhost:{a_free_port()}/"), NEWS, "")
    assert [request.path for request in hook.requests] == ["http://hooks.example.com/portal"]


def test_a_mail_reaches_each_recipient(tmp_path: Path) -> None:
    with mail_server() as server:
        sent = sending.send(by(server), NEWS, "https://portal.example.com/job?id=1")
    assert sent.taken == TWO and sent.text == "localhost took the mail for 2 of 2 recipients."
    assert server.envelopes == [list(TWO)]
    assert server.mails[0]["Subject"] == "sales failed"
    assert "https://portal.example.com/job?id=1" in server.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize("from_the_start", [False, True], ids=["starttls", "tls"])
def test_mail_is_encrypted_and_signed_in(authority: Path, from_the_start: bool) -> None:
    with mail_server(authority, from_the_start=from_the_start, signing_in=not from_the_start) as server:
        safe = {"security": "tls" if from_the_start else "starttls", "ca_file": str(authority / "ca.pem")}
        who = {} if from_the_start else {"user": USER, "password": PASSWORD}
        sending.send(by(server, **safe, **who), NEWS, "")
        with pytest.raises(NotTold, match=r"certificate of localhost.* is not accepted"):
            sending.send(by(server, **{**safe, "ca_file": ""}, **who), NEWS, "")
        if who:
            with pytest.raises(NotTold, match=f"refused the sign-in of {USER}: 535"):
                sending.send(by(server, **safe, user=USER, password="wrong-Passw0rd"), NEWS, "")
            with pytest.raises(NotTold, match="did not take the mail: 530"):
                sending.send(by(server, ca_file=""), NEWS, "")
    assert server.encrypted == [True]


def test_a_server_without_encryption_gets_no_mail_when_that_is_asked_for(authority: Path) -> None:
    with mail_server() as server, pytest.raises(NotTold, match="STARTTLS"):
        sending.send(by(server, security="starttls", ca_file=str(authority / "ca.pem")), NEWS, "")
    assert server.mails == []


def test_recipients_are_told_of_apart() -> None:
    with mail_server() as server:
        server.answers = {TWO[0]: ["550 no such user"], "later@example.com": ["450 greylisted"]}
        sent = sending.send(by(server, to=(*TWO, "later@example.com")), NEWS, "")
        assert (sent.taken, sent.refused, sent.later) == ((TWO[1],), (f"{TWO[0]}: 550 no such user",), ("later@example.com: 450 greylisted",))
        again = sending.send(by(server, to=(*TWO, "new@example.com")), NEWS, "", without=[TWO[1]])
        assert again.taken == ("new@example.com",)
    assert server.envelopes == [[TWO[1]], ["new@example.com"]]


def test_a_server_that_breaks_off_has_taken_nothing() -> None:
    """421 to the second recipient: the first was taken by no one, though it was not refused."""
    with mail_server() as server:
        server.answers = {TWO[1]: ["421 going down"]}
        handed = mailing.send(by(server), mail(by(server), NEWS, ""), TWO)
    assert (handed.taken, list(handed.later), handed.refused) == ([], list(TWO), {})


@pytest.mark.parametrize(("answer", "kind"), [("451 later", Unreachable), ("554 never", NotTold)])
def test_a_mail_refused_as_a_whole_says_whether_it_is_worth_trying_again(answer: str, kind: type[PortalError]) -> None:
    with mail_server() as server:
        server.data_answers = [answer]
        with pytest.raises(kind, match=f"did not take the mail: {answer}"):
            sending.send(by(server), NEWS, "")


def test_a_mail_server_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        sending.send(by(MailServer(a_free_port())), NEWS, "")


def test_a_port_that_speaks_no_tls_is_told() -> None:
    with mail_server() as server, pytest.raises(NotTold, match="speaks no TLS"):
        sending.send(by(server, security="tls"), NEWS, "")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "webhook", "url": "ftp://example.com/secret-part"}, "must be a URL"),
    ({"kind": "webhook", "url": "http://example.com/secret-part"}, "plain_http"),
    ({"kind": "webhook", "url": "https://x/", "signing_secret": "whsec_short"}, "24 to 64 bytes"),
    ({"kind": "webhook", "url": "https://x/", "bearer_token": "a\r\nX-Y: z"}, "one word"),
    ({"kind": "smtp", "host": "x", "from": "a@example.com"}, "to"),
    ({"kind": "smtp", "host": "x", "from": "nobody", "to": "a@example.com"}, "no mail address"),
    ({"kind": "smtp", "host": "x", "from": "a@example.com", "to": ["b@example.com\nBcc: c@example.com"]}, "no mail address"),
    ({"kind": "smtp", "host": "x", "from": "a@example.com", "to": "b@x", "user": "me"}, "password is missing"),
    ({"kind": "smtp", "host": "x", "from": "a@x", "to": "b@x", "user": "m", "password": "secret-part", "security": "none"}, "unencrypted"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), BAD, ids=[said for _, said in BAD])
def test_wrong_connections_are_refused_without_their_secrets(config: Settings, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said) as refused:
        Connections.load(config, {"mine": fields})
    assert "secret-part" not in explain(refused.value)


def test_connections_are_read_with_their_secrets_from_the_environment(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config.connections_file.write_text(
        '[ops]\nkind = "webhook"\nurl = "env:OPS_URL"\nformat = "slack"\n'
        '[smtp]\nkind = "smtp"\nhost = "mail.example.com"\nfrom = "p@example.com"\nto = "env:MAIL_TO"\nuser = "p"\npassword = "env:MAIL_PASSWORD"\n'
    )
    url = "https://hooks.example.com/services/T0/B0/abcdefgh"
    for name, value in (("OPS_URL", url), ("MAIL_TO", "a@x.org, b@x.org"), ("MAIL_PASSWORD", "pw-secret")):
        monkeypatch.setenv(name, value)
    loaded = Connections.load(config)
    assert loaded.channels() == ["ops", "smtp"] and loaded.channel("smtp").to == ("a@x.org", "b@x.org")  # type: ignore[union-attr]
    assert {"/services/T0/B0/abcdefgh", url, "pw-secret"} <= set(loaded.secrets())
    assert loaded.channel("ops").label == "https://hooks.example.com (slack)"
    assert loaded.channel("smtp").label == "a@x.org, b@x.org by mail.example.com:587"
    for wrong in ("", "default", "s3"):
        with pytest.raises(SettingError):
            loaded.channel(wrong)


TRIED: list[tuple[Callable[[Receiver], None], bool, str]] = [
    (lambda hook: None, True, "A test message was sent: localhost took the message (200)."),
    (lambda hook: hook.answers.insert(0, 404), False, "localhost answered 404"),
]


@pytest.mark.parametrize(("before", "ok", "said"), TRIED, ids=["taken", "refused"])
def test_a_test_of_a_webhook_sends_a_message(config: Settings, hook: Receiver, before: Callable[[Receiver], None], ok: bool, said: str) -> None:
    before(hook)
    config.connections_file.write_text(f'[ops]\nkind = "webhook"\nurl = "{hook.url}"\n')
    found = probe.probe(config, "webhook", "ops")
    assert found.ok is ok and said in found.text
    assert b'"type": "test"' in hook.requests[0].body and "a-part-nobody-sees" not in str(found)


def test_a_test_of_a_mail_connection_sends_a_mail(config: Settings) -> None:
    with mail_server() as server:
        server.answers = {TWO[1]: ["550 no such user"]}
        fields = f'host = "localhost"\nport = {server.port}\nsecurity = "none"\nfrom = "p@example.com"'
        config.connections_file.write_text(f'[team]\nkind = "smtp"\n{fields}\nto = ["{TWO[0]}", "{TWO[1]}"]\n')
        found = probe.probe(config, "smtp", "team")
    assert not found.ok and "1 of 2 recipients. boss@example.com: 550 no such user." in found.text
    assert "Test message" in server.mails[0]["Subject"]
