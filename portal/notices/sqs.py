"""An SQS queue of notices: sends, receives, keeps in hand and deletes messages, up to ten by a request.

A queue may be used by several threads. Credentials, endpoint and region are those of a connection of kind s3, whose endpoint leads to SQS too.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from botocore.config import Config
from botocore.exceptions import BotoCoreError

from portal.connections import S3Connection
from portal.errors import AccessDenied, PortalError, SettingError
from portal.notices import message
from portal.notices.queue_name import QueueName
from portal.notices.sqs_errors import CredentialsEnded, NoQueue, translated
from portal.stores import s3_client

BATCH_MESSAGES = 10
BATCH_BYTES = 256 << 10
"""Of a request to send. AWS takes 1 MiB by now; what speaks like it, and older accounts, do not."""
LONGEST_POLL_S = 20
RETENTION_S = 14 * 86_400
"""How long a queue that we make keeps its messages: the most that there is. Four days, the default, do not outlive a long holiday."""
_TRIES, _AGAIN_S = 3, 0.2

Refused = list[tuple[int, str]]
"""(index of what was given, why it was refused)."""


class Received(NamedTuple):
    """A message in hand: nobody else gets it for `visible_s` seconds."""

    id: str
    body: str
    receipt: str
    times: int
    """How often it was received, this time included."""
    sent_ms: int
    """Since 1970; 0 unknown."""


class NoticeQueue:
    """One queue, opened."""

    def __init__(self, connection: S3Connection, client: Any, named: QueueName, url: str, check: Callable[[], None] = lambda: None) -> None:
        self._connection, self._client, self._named, self.url, self._check = connection, client, named, url, check
        self._expires_at = s3_client.expiry(connection)
        self._renewing = threading.Lock()

    @classmethod
    def open(cls, connection: S3Connection, name_or_url: str, *, create: bool = False, check: Callable[[], None] = lambda: None) -> Self:
        """Find the queue, or make it when it is missing and `create` allows that.

        `check` is called before every request; what it raises ends the work.

        Raises:
            BadParameters: this cannot name a queue
            NoQueue: there is none, and none may be made
            SettingError, AccessDenied, Unreachable, Throttled, StoreError
        """
        named = QueueName.parse(name_or_url)
        client = _client(connection, named)
        expires_at = s3_client.expiry(connection)
        try:
            check()
            url = _url(client, named, expires_at, create=create)
        except BaseException:
            client.close()
            raise
        return cls(connection, client, named, url, check)

    @property
    def name(self) -> str:
        return self._named.name

    @property
    def fifo(self) -> bool:
        return self._named.fifo

    def send(self, bodies: Sequence[str], attributes: Mapping[str, str] = MappingProxyType({})) -> Refused:
        """Send messages; returns those that were not taken, each tried three times. `attributes`: texts that go with every one of them.

        In a FIFO queue what tells of one object keeps its order, and the same text is not sent twice within five minutes.

        Raises AccessDenied, NoQueue, Unreachable, Throttled, StoreError: nothing is known then of the rest.
        """
        told = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items() if text}
        extra = {"MessageAttributes": told} if told else {}
        refused: Refused = []
        for batch in _batches(bodies):
            entries = [{"Id": str(n), "MessageBody": bodies[n], **extra, **self._fifo(bodies[n])} for n in batch]
            refused += self._in_batches("Sending to", "send_message_batch", entries)
        return refused

    def _fifo(self, body: str) -> dict[str, str]:
        if not self.fifo:
            return {}
        return {"MessageGroupId": _digest(_subject(body)), "MessageDeduplicationId": _digest(body)}

    def receive(self, most: int = BATCH_MESSAGES, *, wait_s: float = LONGEST_POLL_S, visible_s: int = 60) -> list[Received]:
        """Wait for messages up to `wait_s` seconds; returns at most ten of them, [] when none came."""
        self._check()
        answer = self._call(
            "Receiving from", "receive_message", MaxNumberOfMessages=min(most, BATCH_MESSAGES), WaitTimeSeconds=min(int(wait_s), LONGEST_POLL_S),
            VisibilityTimeout=visible_s, MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
        )  # fmt: skip
        return [_received(found) for found in answer.get("Messages", ())]

    def extend(self, receipts: Sequence[str], visible_s: int) -> Refused:
        """Keep messages in hand for so many seconds from now; 0 gives them back. Returns those that are no longer ours."""
        entries = [{"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": visible_s} for n, receipt in enumerate(receipts)]
        return self._all("Keeping messages of", "change_message_visibility_batch", entries)

    def delete(self, receipts: Sequence[str]) -> Refused:
        """Delete messages that are in hand; one that is gone already is no error."""
        entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
        return self._all("Deleting from", "delete_message_batch", entries)

    def waiting(self) -> int:
        """About how many messages wait to be received; those that are in somebody's hands or delayed do not."""
        return int(self._attributes("ApproximateNumberOfMessages").get("ApproximateNumberOfMessages", 0))

    def dead_letters(self) -> str:
        """Return the name of the queue that SQS itself moves messages to that were received too often; '' when it has none, or tells none."""
        try:
            policy = self._attributes("RedrivePolicy").get("RedrivePolicy", "")
        except AccessDenied:
            return ""
        return message.dead_letter_queue(policy)

    def _attributes(self, *names: str) -> dict[str, str]:
        self._check()
        found: dict[str, str] = self._call("Looking at", "get_queue_attributes", AttributeNames=list(names)).get("Attributes", {})
        return found

    def _all(self, what: str, operation: str, entries: list[dict[str, Any]]) -> Refused:
        refused: Refused = []
        for start in range(0, len(entries), BATCH_MESSAGES):
            refused += self._in_batches(what, operation, entries[start : start + BATCH_MESSAGES])
        return refused

    def _in_batches(self, what: str, operation: str, entries: list[dict[str, Any]]) -> Refused:
        """Try what fails on the service's side again."""
        final: dict[str, str] = {}
        again: dict[str, str] = {}
        for number in range(_TRIES):
            self._check()
            if number:
                time.sleep(_AGAIN_S * 2**number)
            failed = self._call(what, operation, Entries=entries).get("Failed", ())
            final |= {entry["Id"]: _why(entry) for entry in failed if entry.get("SenderFault")}
            again = {entry["Id"]: _why(entry) for entry in failed if not entry.get("SenderFault")}
            entries = [entry for entry in entries if entry["Id"] in again]
            if not entries:
                break
        return sorted((int(name), why) for name, why in {**final, **again}.items())

    def _call(self, what: str, operation: str, **given: Any) -> dict[str, Any]:
        """Send a request; once more with the credentials that are there now, when those of the client have ended."""
        client = self._client
        try:
            return self._sent(client, what, operation, given)
        except CredentialsEnded:
            if self._connection.access_key_id:  # typed in: there are no others
                raise
        return self._sent(self._renewed(client), what, operation, given)

    def _sent(self, client: Any, what: str, operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
        with translated(what, self.name, expires_at=self._expires_at):
            answer: dict[str, Any] = getattr(client, operation)(QueueUrl=self.url, **given)
        return answer

    def _renewed(self, ended: Any) -> Any:
        """Return a client that signs in anew; one for all threads whose requests found the same one ended. Raises what opening does."""
        with self._renewing:
            if self._client is ended:
                self._client, self._expires_at = _client(self._connection, self._named), s3_client.expiry(self._connection)
                ended.close()
            return self._client

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


def _client(connection: S3Connection, named: QueueName) -> Any:
    session, keys = s3_client.session(connection)
    if named.region and not connection.endpoint_url:
        keys = {**keys, "region_name": named.region}
    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=60, max_pool_connections=32)
    try:
        return session.client("sqs", endpoint_url=connection.endpoint_url or None, config=config, **keys)
    except (BotoCoreError, ValueError) as error:
        raise SettingError("The connection cannot be used for SQS.", hint="Check its endpoint (http://… or https://…) and region.") from error


def _url(client: Any, named: QueueName, expires_at: str, *, create: bool) -> str:
    owner = {"QueueOwnerAWSAccountId": named.account} if named.account else {}
    try:
        with translated("Looking for", named.name, expires_at=expires_at):
            return str(client.get_queue_url(QueueName=named.name, **owner)["QueueUrl"])
    except NoQueue:
        if not create:
            raise
    except AccessDenied:
        if not named.url:
            raise
        return named.url  # who may only send or receive need not be allowed to look for it
    attributes = {"MessageRetentionPeriod": str(RETENTION_S), **({"FifoQueue": "true"} if named.fifo else {})}
    with translated("Creating", named.name, expires_at=expires_at):
        return str(client.create_queue(QueueName=named.name, Attributes=attributes)["QueueUrl"])


def _batches(bodies: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of messages that go by one request."""
    batch: list[int] = []
    size = 0
    for n, body in enumerate(bodies):
        length = len(body.encode("utf-8", "surrogatepass"))
        if batch and (len(batch) == BATCH_MESSAGES or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(n)
        size += length
    if batch:
        yield batch


def _subject(body: str) -> str:
    """What a message tells of: its order is kept among its like."""
    try:
        notices = message.read(body).notices
    except PortalError:
        notices = ()
    return str(notices[0].url) if notices else body


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _why(failed: Mapping[str, Any]) -> str:
    return f"SQS refused it: {failed.get('Message') or failed.get('Code') or 'no reason told'}"


def _received(found: Mapping[str, Any]) -> Received:
    told = found.get("Attributes", {})
    return Received(
        str(found["MessageId"]), str(found["Body"]), str(found["ReceiptHandle"]), int(told.get("ApproximateReceiveCount", 1)),
        int(told.get("SentTimestamp", 0)),
    )  # fmt: skip
