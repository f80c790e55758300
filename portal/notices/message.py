"""A notice as a value, and the bodies of messages that it is written to and read from. No I/O.

What we send is an S3 event notification with one record and, beside it, what S3 does not tell (`portal`), so that whatever reads S3's events
reads ours. What we read: our own, S3's, either of them in the envelope of an SNS topic, S3's by EventBridge, and S3's test event.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html and https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote_plus, unquote_to_bytes

from portal.errors import PortalError
from portal.stores.url import StoreURL

SCHEMA = 1
CREATED = "ObjectCreated:"
_EVENT_VERSION = "2.1"
_SOURCES = {"s3": "aws:s3", "abfss": "portal:adls"}
_ENVELOPES = 3
"""A topic that gets from a topic: more of them, one in the other, are no message for us."""
_OWN = {"schema", "job", "trigger", "url", "crc64nvme", "source"}
_CRC = re.compile(r"[0-9a-f]{16}")
_ETAG = re.compile(r"[!#-~]{1,255}")
"""What RFC 9110 lets stand between its quotes, in ASCII: it goes into the header of a request."""
_BUCKET = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
"""Those of before 2018 too. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
_DIRECTORY_BUCKET = "--x-s3"
_LONGEST_KEY = 1024
"""Bytes that S3 takes; as many has the id of a version at most."""
_MOST_BYTES = 2**63
_SHOWN = 100
"""Characters of what a message says that are shown of what is wrong."""


class BadNotice(PortalError):
    """The message is no notice of an object."""


@dataclass(frozen=True)
class Notice:
    """An object that has come."""

    url: StoreURL
    """The object's: s3://bucket/key, or abfss://container@account/key."""
    size_bytes: int | None = None
    etag: str = ""
    """Without quotes."""
    crc64nvme: str = ""
    """Of the whole object, 16 hexadecimal digits; '' nobody told."""
    moment: str = ""
    """When it came (RFC 3339, UTC)."""
    version_id: str = ""
    event: str = "ObjectCreated:Put"
    region: str = ""
    job: str = ""
    """Id of the job that wrote the object."""
    trigger: str = ""
    """Name of the trigger that made the job."""
    source: str = ""
    """URL of the file that the object was made from."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the sender tells (layer, data set …): JSON values."""

    @property
    def bucket(self) -> str:
        """Bucket, or container@account."""
        return f"{self.url.container}@{self.url.account}" if self.url.account else self.url.container

    @property
    def key(self) -> str:
        return self.url.key


class Read(NamedTuple):
    """What a message says."""

    notices: tuple[Notice, ...]
    ignored: tuple[str, ...]
    """Why other records of it, or the message, are none of our business: one reason each."""


def body(notice: Notice) -> str:
    """Return the message: JSON in ASCII. Raises BadNotice for a key that is not valid Unicode."""
    try:
        key = quote_plus(notice.key, safe="/*")
    except UnicodeEncodeError:
        raise BadNotice(f"The key {notice.key!r} is not valid Unicode, so no message can name it.") from None
    return json.dumps({"Records": [_record(notice, key)], "portal": _ours(notice)}, separators=(",", ":"))


def _record(notice: Notice, key: str) -> dict[str, Any]:
    told: dict[str, Any] = {"key": key}
    optional = {"size": notice.size_bytes, "eTag": notice.etag or None, "versionId": notice.version_id or None}
    told |= {name: value for name, value in optional.items() if value is not None}
    return {
        "eventVersion": _EVENT_VERSION, "eventSource": _SOURCES.get(notice.url.scheme, "portal"), "awsRegion": notice.region,
        "eventTime": notice.moment, "eventName": notice.event,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": notice.bucket, "arn": f"arn:aws:s3:::{notice.bucket}"}, "object": told},
    }  # fmt: skip


def _ours(notice: Notice) -> dict[str, Any]:
    told = {"job": notice.job, "trigger": notice.trigger, "url": str(notice.url), "crc64nvme": notice.crc64nvme, "source": notice.source}
    facts = {name: value for name, value in notice.facts.items() if name not in _OWN}
    return {"schema": SCHEMA, **{name: value for name, value in told.items() if value}, **facts}


def read(text: str) -> Read:
    """Return what a message says. Raises BadNotice when it is none that is known, or says nothing that can be used."""
    found = _json(text)
    for _ in range(_ENVELOPES):
        if found.get("Type") != "Notification" or not isinstance(found.get("Message"), str):
            break
        found = _json(found["Message"])
    if found.get("Event") == "s3:TestEvent":
        return Read((), ("it is the test event that S3 sends when notifications are set up",))
    if isinstance(found.get("Records"), list):
        return _of_records(found["Records"], _mapping(found.get("portal")))
    if isinstance(found.get("detail"), dict) and found.get("source") == "aws.s3":
        return _of_event_bridge(found)
    raise BadNotice("The message is no notice: it has neither Records, as S3 sends them, nor the detail of an event of EventBridge.")


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadNotice("The message is no notice: it is not JSON.") from None
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):  # half of a surrogate pair: neither a file, nor a ledger, nor a request takes it
        raise BadNotice("The message is no notice: it is not valid Unicode.") from None
    if not isinstance(found, dict):
        raise BadNotice("The message is no notice: it is no JSON object.")
    return found


def _of_records(records: list[Any], ours: Mapping[str, Any]) -> Read:
    if not records:
        raise BadNotice("The message is no notice: its Records are empty.")
    notices: list[Notice] = []
    ignored: list[str] = []
    for record in map(_mapping, records):
        event = _text(record.get("eventName")).removeprefix("s3:")
        if event and not event.startswith(CREATED):
            ignored.append(_ignored(event))
        else:
            notices.append(_of_record(record, event, ours if len(records) == 1 else {}))
    return Read(tuple(notices), tuple(ignored))


def _of_record(record: Mapping[str, Any], event: str, ours: Mapping[str, Any]) -> Notice:
    place = _mapping(record.get("s3"))
    told = _mapping(place.get("object"))
    crc = _text(ours.get("crc64nvme"))
    return Notice(
        _url(_text(_mapping(place.get("bucket")).get("name")), _decoded(_text(told.get("key")))), _size(told.get("size")),
        _etag(told.get("eTag")), crc if _CRC.fullmatch(crc) else "", _text(record.get("eventTime")), _version(told.get("versionId")),
        event or f"{CREATED}Put", _text(record.get("awsRegion")), _text(ours.get("job")), _text(ours.get("trigger")), _text(ours.get("source")),
        {name: value for name, value in ours.items() if name not in _OWN},
    )  # fmt: skip


def _of_event_bridge(found: Mapping[str, Any]) -> Read:
    """Keys in these are written as they are."""
    kind, detail = _text(found.get("detail-type")), _mapping(found["detail"])
    if kind != "Object Created":
        return Read((), (_ignored(kind or "an event without a type"),))
    told = _mapping(detail.get("object"))
    notice = Notice(
        _url(_text(_mapping(detail.get("bucket")).get("name")), _text(told.get("key"))), _size(told.get("size")),
        _etag(told.get("etag")), "", _text(found.get("time")), _version(told.get("version-id")),
        f"{CREATED}{_text(detail.get('reason')) or 'Put'}", _text(found.get("region")),
    )  # fmt: skip
    return Read((notice,), ())


def dead_letter_queue(policy: str) -> str:
    """Return the name of the queue that a redrive policy (JSON) leads to, '' when it names none."""
    try:
        arn = _text(_mapping(json.loads(policy)).get("deadLetterTargetArn"))
    except ValueError:
        return ""
    return arn.rpartition(":")[2]


def _url(bucket: str, key: str) -> StoreURL:
    if not bucket or not key:
        raise BadNotice(f"The message is no notice: it names no {'key' if bucket else 'bucket'}.")
    container, at, account = bucket.partition("@")
    if not (container and account and "/" not in bucket if at else _BUCKET.fullmatch(bucket)):
        hint = "It must be the name of one, as S3's events have it: no ARN, no address."
        raise BadNotice(f"The message is no notice: {bucket[:_SHOWN]!r} cannot be a bucket.", hint=hint)
    if bucket.endswith(_DIRECTORY_BUCKET):
        raise BadNotice(f"{bucket} is a directory bucket (S3 Express One Zone), whose objects are not fetched.")
    if not at and len(key.encode()) > _LONGEST_KEY:
        raise BadNotice(f"The message is no notice: its key {key[:_SHOWN]!r}… is longer than S3 takes, {_LONGEST_KEY:,} bytes.")
    return StoreURL("abfss" if at else "s3", container, account, key)


def _decoded(key: str) -> str:
    try:
        return unquote_to_bytes(key.replace("+", " ")).decode("utf-8")
    except UnicodeError:
        raise BadNotice(f"The message is no notice: its key {key[:_SHOWN]!r} is not UTF-8.") from None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _ignored(event: str) -> str:
    return f"{event[:_SHOWN]} is no event of an object that has come"


def _etag(value: Any) -> str:
    """Without quotes; '' for what no service gives."""
    text = _text(value).strip('"')
    return text if _ETAG.fullmatch(text) else ""


def _version(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= _LONGEST_KEY else ""


def _size(value: Any) -> int | None:
    """None for what is no number of bytes that an object can have."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_BYTES else None
