"""What is told: signatures as the standard has them, bodies within Slack's limits, mails that any reader shows, facts without secrets."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.connections import SmtpConnection
from portal.errors import BadParameters, NotTold
from portal.jobs import Attempt, Job, Status
from portal.notifying import bodies, facts, signing, wording
from portal.notifying.facts import WORDS, Facts
from portal.notifying.mail import mail

MOMENT = "2026-11-21T06:30:02.120Z"
LINK = "https://portal.example.com/job?id=01KA"
JOB = Job(
    "01KA0000000000000000000000", "migrate", {"source": "s3://sales/in/", "target": "abfss://raw@lake/in/"}, "2026-11-21T06:29:00.000Z",
    submitted_by="trigger:sales", labels={"name": "sales", "trigger": "sales", "event": "2026-11-21T06:30"}, status=Status.FAILED,
    attempts=(Attempt(1, "w", "h", "2026-11-21T06:30:00.000Z"),), finished_at="2026-11-21T07:33:20.500Z", error="No object arrived.",
    result={"counts": {"listed": 10, "failed": 10, "copied": 0}, "bytes": 5_000_000, "warnings": ["slow"]},
)  # fmt: skip
TEXTS = st.text(max_size=3000) | st.sampled_from(["<!channel> & co", "*bold* `x` ```y```", "a\r\nBcc: x@example.com", "&" * 2999, "", "💥" * 500])
CHANNEL = SmtpConnection(host="mail.example.com", sender="Portäl <portal@example.com>", to=("Öps <ops@example.com>", "b@example.com"))  # type: ignore[call-arg]


def of_end(job: Job = JOB) -> Facts:
    return facts.of_end(job.to_json().encode(), job)


def told(event: str, text: str, number: int = 1) -> Facts:
    """Facts with one text everywhere, cleaned as every text is."""
    clean = facts._text(text)
    line = facts._line(text)
    return Facts(
        event, "2026-11-21T06:30:02.120Z", job_id=JOB.id, name=line or "x", engine="list", submitted_by=line, source=line, target=line, trigger=line,
        trigger_event=line, duration_s=float(number), attempts=2, counts={line or "x": number + 1}, bytes=number, error=clean, warnings=(line,) * 5,
        usual={"runs": 5, "median_s": 1.0, "p95_s": 2.0, "limit_s": 3.0} if event == "slower" else {},
    )  # fmt: skip


def test_the_signature_is_that_of_the_standard() -> None:
    """Source: the example that the libraries of Standard Webhooks (and Svix before them) are tested with."""
    made = signing.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }  # fmt: skip


def test_both_secrets_sign_while_receivers_change_over() -> None:
    first, second = (signing.headers("m", 1, b"x", [secret])["webhook-signature"] for secret in ("A" * 32, "B" * 32))
    assert signing.headers("m", 1, b"x", ["A" * 32, "whsec_" + "B" * 32])["webhook-signature"] == f"{first} {second}"


def test_an_end_is_told_by_what_the_archive_says() -> None:
    found = of_end()
    assert (found.event, found.title, found.key) == ("failed", "sales failed", f"{JOB.id}-failed")
    assert (found.duration_s, found.bytes, found.counts) == (3800.5, 5_000_000, {"listed": 10, "failed": 10})
    assert dict(wording.rows(found)) == {
        "Job": JOB.id, "Engine": "migrate", "Submitted by": "trigger:sales", "Trigger": "sales", "Event": "2026-11-21T06:30",
        "From": "s3://sales/in/", "To": "abfss://raw@lake/in/", "Ended": "2026-11-21 07:33:20 UTC", "Duration": "1 h 3 min",
        "Counts": "listed 10, failed 10", "Moved": "4.8 MiB",
    }  # fmt: skip


def test_secrets_in_texts_are_blanked() -> None:
    job = JOB.evolve(error="GET https://x/?sig=AbCdEfGhIjKlMnOp failed", params={"source": "https://me:hunter22@example.com/"})
    shown = bodies.as_json(of_end(job), "").decode()
    assert "AbCdEf" not in shown and "hunter22" not in shown and "•••" in shown


def test_json_has_the_shape_of_the_standard() -> None:
    body = json.loads(bodies.as_json(of_end(), LINK))
    assert set(body) == {"type", "timestamp", "data"}
    assert (body["type"], body["timestamp"], body["data"]["url"]) == ("job.failed", "2026-11-21T07:33:20.500Z", LINK)
    assert datetime.fromisoformat(body["timestamp"]).tzinfo == UTC
    assert body["data"]["job"]["id"] == JOB.id and body["data"]["job"]["status"] == "failed" and body["data"]["job"]["trigger"] == "sales"


@given(st.sampled_from(list(WORDS)), TEXTS, st.integers(0, 10**15))
def test_slack_takes_every_message(event: str, text: str, number: int) -> None:
    """Source of the limits: docs.slack.dev, Block Kit: header, section, actions; 50 blocks."""
    body = json.loads(bodies.as_slack(told(event, text, number), LINK))
    assert body["text"] and len(body["blocks"]) <= 50
    for block in body["blocks"]:
        for shown in [block.get("text"), *block.get("fields", [])]:
            limit = 150 if block["type"] == "header" else 3000 if "fields" not in block else 2000
            assert shown is None or 0 < len(shown["text"]) <= limit
            assert shown is None or shown["type"] == "plain_text" or not {"<", ">"} & set(shown["text"])
        assert len(block.get("fields", [None])) <= 10
    assert "<!" not in body["text"]


@given(TEXTS | st.text("[]()@:a!`\n<> ", max_size=60) | st.just("@all [click](http://evil.example) [click][1]\n[1]: http://evil.example"))
def test_those_who_show_no_blocks_get_the_error_and_nobody_elses_mentions_or_links(text: str) -> None:
    """Mattermost and Rocket.Chat read `text` as Markdown, and `@all` in it as a mention."""
    found = told("failed", text)
    said = json.loads(bodies.as_slack(found, LINK))["text"]
    assert re.search(r"@\w|\][(:\[]", said) is None and said.count("`") == (2 if found.error.strip() else 0)
    shown = html.unescape(said).replace("\u200b", "")
    first = found.error.strip().partition("\n")[0].replace("`", "'")
    assert f"({JOB.id}" not in shown and f"<{LINK}|{JOB.id}>" in shown and first.replace("\u200b", "")[:60] in shown


@given(st.sampled_from(list(WORDS)), TEXTS, st.integers(0, 10**15))
def test_mails_say_the_same_in_text_and_html_whatever_is_in_the_facts(event: str, text: str, number: int) -> None:
    found = told(event, text, number)
    read: Any = message_from_bytes(mail(CHANNEL, found, LINK).as_bytes(), policy=default)
    assert set(read.keys()) == {
        "Subject", "From", "To", "Date", "Message-ID", "References", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert not read.defects
    plain, page = (read.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for title, _ in wording.rows(found):
        assert title in plain and title in page
    assert LINK in plain and LINK in page and "<!channel>" not in page
    assert [address.addr_spec for address in read["To"].addresses] == ["ops@example.com", "b@example.com"]


CHARSETS = st.sampled_from(["utf-8", "us-ascii", "x"])
HIDDEN = st.sampled_from(["=0D=0AReply-To:_evil=40x.org", "=0A=0A<h1>hi</h1>", "DQpCY2M6IGV2aWxAeC5vcmc=", "=00", "a_b"])
ENCODED = st.builds("{}=?{}?{}?{}?={}".format, st.text(max_size=9), CHARSETS, st.sampled_from("qbQB"), HIDDEN, st.text(max_size=90))


@given(ENCODED | st.lists(ENCODED, max_size=9).map("".join) | st.text("=?qbQ utf-8_0DA\r\n<é", max_size=300))
@example("=?utf-8?q?Invoice=0D=0AReply-To:_evil=40x.org=0D=0AContent-Type:_text/html=0D=0A=0D=0A<h1>phish</h1>?=")
def test_no_name_of_a_job_makes_a_header_or_a_part_of_a_mail(name: str) -> None:
    """A mail program decodes `=?…?=`, and so does the library that writes mails."""
    found = told("failed", name)
    sent = mail(CHANNEL, found, LINK).as_bytes()
    bare: Any = message_from_bytes(sent)
    assert bare.keys() == [
        "Subject", "From", "To", "Date", "Message-ID", "References", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert [part.get_content_type() for part in bare.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    read: Any = message_from_bytes(sent, policy=default)
    subject = str(read["Subject"])
    assert subject and not {"\r", "\n", "\0"} & set(subject)
    assert "".join(found.title.split()).startswith("".join(subject.split()).rstrip("…"))
    assert [item.addr_spec for item in read["From"].addresses + read["To"].addresses] == ["portal@example.com", "ops@example.com", "b@example.com"]
    assert html.escape(found.title) in read.get_body(("html",)).get_content()


@pytest.mark.parametrize("address", ["=?utf-8?q?=0D=0ABcc:_x=40x.org?= <a@example.com>", "=?utf-8?b?DQo=?=@x.org", '"=?utf-8?q?=0A?=" <a@x.org>'])
def test_no_address_makes_a_header(address: str) -> None:
    for fields in ({"sender": address, "to": "a@example.com"}, {"sender": "a@example.com", "to": (address,)}):
        with pytest.raises(ValueError, match="is no mail address"):
            SmtpConnection(host="mail.example.com", **fields)


def test_a_mail_with_a_header_of_two_lines_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.notifying.mail._subject", lambda facts: "=?utf-8?q?a=0D=0ABcc:_x=40x.org?=")
    with pytest.raises(NotTold, match="Subject would not be one line"):
        mail(CHANNEL, told("failed", ""), LINK)


def test_the_same_news_have_the_same_message_id_and_others_another() -> None:
    ids = {mail(CHANNEL, told(event, ""), "")["Message-ID"] for event in WORDS}
    assert len(ids) == len(WORDS) and mail(CHANNEL, told("failed", ""), "")["Message-ID"] in ids


@given(st.sampled_from(list(WORDS)), TEXTS, st.integers(0, 10**15))
def test_facts_survive_being_the_parameter_of_a_job(event: str, text: str, number: int) -> None:
    found = told(event, text, number)
    assert Facts.from_dict(json.loads(json.dumps(found.asdict()))) == found


@pytest.mark.parametrize("strange", [
    {"event": "moon"}, {"event": None}, {"attempts": "many"}, {"strange": 1}, {"at": None}, {"at": "x"}, {"job_id": "a\r\nX-Y: z"}, {"usual": [1]},
], ids=str)  # fmt: skip
def test_facts_of_another_shape_are_refused(strange: dict[str, Any]) -> None:
    good = {"event": "failed", "at": MOMENT}
    assert Facts.from_dict(good).event == "failed"
    for given_facts in ({**good, **strange}, {}):
        with pytest.raises(BadParameters, match="facts"):
            Facts.from_dict(given_facts)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 10**400, -(10**5000), 2**63], ids=range(6))
def test_no_number_without_an_end_is_told(number: float) -> None:
    for name, value in [("duration_s", number), ("usual", {"runs": 5, "median_s": number})]:
        with pytest.raises(BadParameters, match=f"a number in '{name}' is not finite"):
            Facts.from_dict({"event": "slower", "at": MOMENT, name: value})
    for name, value in [("bytes", number), ("attempts", number), ("counts", {"a": number}), ("name", number), ("warnings", {"x": number})]:
        with pytest.raises(BadParameters, match=f"'{name}'"):
            Facts.from_dict({"event": "failed", "at": MOMENT, name: value})


def test_counts_of_a_job_that_are_no_figures_are_left_out() -> None:
    job = JOB.evolve(result={"counts": {"a": 10**400, "b": 2, "c": -(2**63)}})
    assert of_end(job).counts == {"b": 2}


def test_facts_that_somebody_else_wrote_are_made_tame() -> None:
    texts = {"name": "x\r\nBcc: y\x1b[31m", "error": "password=hunter22" + "e" * 9000}
    found = Facts.from_dict({"event": "failed", "at": MOMENT, **texts, "counts": {"a": "b", "c": 1}})
    assert (found.name, found.counts) == (r"x\r Bcc: y\x1b[31m", {"c": 1})
    assert "hunter22" not in found.error and len(found.error) <= 2000
    assert mail(CHANNEL, found, "")["Bcc"] is None


@pytest.mark.parametrize(("seconds", "said"), [
    (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (100_800, "1 d 4 h"),
    (86_400, "1 d"),
])  # fmt: skip
def test_durations_are_told_in_two_units(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said
