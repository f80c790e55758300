"""Queues of notices against a real SQS server: messages in batches, FIFO queues, names and URLs, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from portal.connections import S3Connection
from portal.errors import AccessDenied, BadParameters, Cancelled, NotFound, PortalError, Unreachable
from portal.notices import sqs
from portal.notices.message import Notice, body
from portal.notices.queue_name import QueueName
from portal.notices.sqs import NoticeQueue
from portal.stores.url import StoreURL
from tests.proxy import Proxy, Upstream
from tests.servers import Server


def connection(url: str) -> S3Connection:
    return S3Connection(endpoint_url=url, access_key_id="testing", secret_access_key="testing-secret")  # type: ignore[arg-type]


@pytest.fixture
def queue(s3_server: Server, unique: str) -> Iterator[NoticeQueue]:
    with NoticeQueue.open(connection(s3_server.url), unique, create=True) as found:
        yield found


@pytest.mark.parametrize("name", ["plain", "ordered.fifo"])
def test_messages_are_sent_received_kept_and_deleted(s3_server: Server, unique: str, name: str) -> None:
    bodies = [body(Notice(StoreURL("s3", "sales", "", f"{n}.csv"), n)) for n in range(23)]
    with NoticeQueue.open(connection(s3_server.url), f"{unique}-{name}", create=True) as found:
        assert found.send(bodies) == [] and found.waiting() == 23
        got = found.receive(visible_s=600)
        assert len(got) == 10 and {item.times for item in got} == {1} and {item.body for item in got} <= set(bodies)
        assert found.extend([item.receipt for item in got], 700) == []
        assert found.extend([got[0].receipt], 0) == [] and found.waiting() == 14, "given back"
        assert found.delete([item.receipt for item in got[1:]]) == []
        rest = []
        while more := found.receive(wait_s=0, visible_s=600):
            rest += more
        assert len(rest) == 14 and max(item.times for item in rest) == 2
        assert found.delete([item.receipt for item in rest]) == [] and found.waiting() == 0


def test_messages_of_one_object_keep_their_order_in_a_fifo_queue(s3_server: Server, unique: str) -> None:
    bodies = [body(Notice(StoreURL("s3", "sales", "", "a.csv"), n)) for n in range(30)]
    with NoticeQueue.open(connection(s3_server.url), f"{unique}.fifo", create=True) as found:
        found.send(bodies)
        assert found.send(bodies[:1]) == [] and found.waiting() == 30, "the same text within five minutes is one message"
        seen = []
        while got := found.receive(wait_s=0):
            seen += [item.body for item in got]
            found.delete([item.receipt for item in got])
    assert seen == bodies


@given(st.lists(st.integers(0, 300_000), max_size=40))
def test_batches_hold_at_most_what_a_request_may(sizes: list[int]) -> None:
    bodies = ["x" * size for size in sizes]
    batches = list(sqs._batches(bodies))
    assert [n for batch in batches for n in batch] == list(range(len(bodies)))
    for batch in batches:
        assert len(batch) <= 10 and (len(batch) == 1 or sum(sizes[n] for n in batch) <= sqs.BATCH_BYTES)


def test_a_message_that_is_not_taken_is_told_by_its_place(queue: NoticeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs, "_AGAIN_S", 0)
    send, calls = queue._client.send_message_batch, []

    def refusing(**given: object) -> dict[str, object]:
        calls.append([entry["Id"] for entry in given["Entries"]])  # type: ignore[attr-defined]
        bad = [entry for entry in given["Entries"] if entry["MessageBody"] in ("never", "later")]  # type: ignore[attr-defined]
        bad = [entry for entry in bad if entry["MessageBody"] == "never" or len(calls) == 1]
        good = [entry for entry in given["Entries"] if entry not in bad]  # type: ignore[attr-defined]
        if good:
            send(QueueUrl=queue.url, Entries=good)
        told = [{"Id": entry["Id"], "Message": "no", "SenderFault": entry["MessageBody"] == "never"} for entry in bad]
        return {"Failed": told}

    monkeypatch.setattr(queue._client, "send_message_batch", refusing)
    assert queue.send(["a", "never", "later"]) == [(1, "SQS refused it: no")]
    assert calls == [["0", "1", "2"], ["2"]], "what may go through later is tried again, nothing else"
    assert queue.waiting() == 2


def test_a_queue_is_made_only_when_that_is_allowed(s3_server: Server, unique: str) -> None:
    with pytest.raises(NotFound, match=f"no queue '{unique}'") as caught:
        NoticeQueue.open(connection(s3_server.url), unique)
    assert "create" in caught.value.hint
    with NoticeQueue.open(connection(s3_server.url), unique, create=True) as made:
        assert made._attributes("MessageRetentionPeriod") == {"MessageRetentionPeriod": str(14 * 86_400)}
    NoticeQueue.open(connection(s3_server.url), unique, create=True).close()


def test_a_queue_is_found_by_its_url(queue: NoticeQueue, s3_server: Server) -> None:
    with NoticeQueue.open(connection(s3_server.url), queue.url) as found:
        assert (found.url, found.name) == (queue.url, queue.name)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sales", ("sales", "", "")), ("sales.fifo", ("sales.fifo", "", "")),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/sales", ("sales", "123456789012", "eu-west-1")),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/sales", ("sales", "123456789012", "eu-west-1")),
        ("https://queue.amazonaws.com/123456789012/sales", ("sales", "123456789012", "us-east-1")),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/sales", ("sales", "123456789012", "cn-north-1")),
        ("http://127.0.0.1:4566/000000000000/sales.fifo", ("sales.fifo", "000000000000", "")),
        ("http://localhost:9324/queue/sales", ("sales", "", "")), ("https://sqs.amazonaws.com.example.net/123456789012/a", ("a", "123456789012", "")),
    ],
)  # fmt: skip
def test_names_and_urls_are_understood(text: str, wanted: tuple[str, str, str]) -> None:
    found = QueueName.parse(text)
    assert (found.name, found.account, found.region) == wanted and found.fifo == text.endswith(".fifo")


@pytest.mark.parametrize(
    "text", ["", "a b", "x" * 81, "https://host/", "ftp://host/123456789012/sales", "https://u:secret@host/1/sales", "a/b", "a.b"]
)  # fmt: skip
def test_what_names_no_queue_is_refused_without_a_secret_in_the_message(text: str) -> None:
    with pytest.raises(BadParameters) as caught:
        QueueName.parse(text)
    assert "secret" not in str(caught.value)


def test_the_region_of_a_url_wins_over_that_of_the_connection() -> None:
    named = QueueName.parse("https://sqs.eu-west-1.amazonaws.com/123456789012/sales")
    given = S3Connection(region="us-west-2", access_key_id="a", secret_access_key="b")  # type: ignore[arg-type]
    client = sqs._client(given, named)
    assert client.meta.region_name == "eu-west-1"
    client.close()


def test_a_service_that_does_not_answer_is_told(unique: str) -> None:
    with pytest.raises(Unreachable, match="did not answer"):
        NoticeQueue.open(connection("http://127.0.0.1:9"), unique)


def test_missing_credentials_are_told(s3_server: Server, unique: str) -> None:
    with pytest.raises(AccessDenied, match="needs credentials"):
        NoticeQueue.open(S3Connection(endpoint_url=s3_server.url, region="us-east-1"), unique)


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (403, "AccessDeniedException", "AccessDenied", "not allowed"), (403, "InvalidClientTokenId", "AccessDenied", "credentials are wrong"),
        (403, "ExpiredToken", "CredentialsEnded", "have ended"), (400, "AWS.SimpleQueueService.NonExistentQueue", "NoQueue", "no queue"),
        (400, "KmsAccessDenied", "AccessDenied", "key that encrypts"), (400, "OverLimit", "Throttled", "slow down"),
        (400, "QueueDeletedRecently", "Unreachable", "for now"), (500, "InternalFailure", "Unreachable", "for now"),
        (400, "SomethingElse", "StoreError", "failed"),
    ],
)  # fmt: skip
def test_what_sqs_answers_is_told_in_words(queue: NoticeQueue, status: int, code: str, kind: str, told: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X")  # type: ignore[typeddict-item]

    queue._client.receive_message = refuse
    with pytest.raises(PortalError, match=told) as caught:
        queue.receive()
    assert type(caught.value).__name__ == kind and (queue.name in str(caught.value) or "credentials" in str(caught.value))
    assert str(status) in str(caught.value.__cause__)


def expired(**_: object) -> None:
    raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "X")  # type: ignore[typeddict-item]


def credentials(path: Path, key: str) -> None:
    path.write_text(json.dumps({"AccessKeyId": key, "SecretAccessKey": "testing-secret", "SessionToken": "token"}))


def test_credentials_that_were_renewed_in_their_file_are_taken_when_the_others_end(s3_server: Server, unique: str, tmp_path: Path) -> None:
    """As those that objects are read with."""
    path = tmp_path / "credentials.json"
    credentials(path, "older")
    given = S3Connection(endpoint_url=s3_server.url, region="us-east-1", credentials_file=str(path))
    with NoticeQueue.open(given, unique, create=True) as found:
        found.send(["a"])
        ended = found._client
        ended.receive_message = ended.delete_message_batch = expired
        credentials(path, "newer")
        (got,) = found.receive(wait_s=0)
        assert found._client is not ended and found._client._request_signer._credentials.access_key == "newer"
        assert found.delete([got.receipt]) == []


def test_credentials_that_stay_ended_are_told_and_asked_for_once(s3_server: Server, unique: str, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "credentials.json"
    credentials(path, "older")
    given = S3Connection(endpoint_url=s3_server.url, region="us-east-1", credentials_file=str(path))
    with NoticeQueue.open(given, unique, create=True) as found:
        made: list[object] = []

        def ended(*_: object) -> SimpleNamespace:
            made.append(1)
            return SimpleNamespace(receive_message=expired, close=lambda: None)

        found._client.receive_message = expired
        monkeypatch.setattr(sqs, "_client", ended)
        with pytest.raises(AccessDenied, match="have ended"):
            found.receive()
    assert len(made) == 1


def test_a_cancel_ends_the_sending(s3_server: Server, unique: str) -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled

    with NoticeQueue.open(connection(s3_server.url), unique, create=True, check=check) as found, pytest.raises(Cancelled):
        found.send(["x"] * 100)
    with NoticeQueue.open(connection(s3_server.url), unique) as found:
        assert found.waiting() == 20


def test_secrets_do_not_show_when_a_request_fails(s3_server: Server, unique: str) -> None:
    with Proxy(Upstream.of(s3_server.url)) as proxy:
        with pytest.raises(PortalError) as caught:
            NoticeQueue.open(connection(proxy.url), unique)
    assert "testing-secret" not in f"{caught.value} {caught.value.__cause__} {caught.value.hint}"
