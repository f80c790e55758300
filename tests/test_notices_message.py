"""Bodies of notices: what is written is read back, what others write is understood, and nothing else is taken for a notice."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.notices.message import BadNotice, Notice, body, read
from portal.stores.url import StoreURL

KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{1,20}\.?[a-z0-9]", fullmatch=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6)
OWN = {"schema", "job", "trigger", "url", "crc64nvme", "source"}

NOTICES = st.builds(
    Notice, st.builds(StoreURL, st.just("s3"), NAMES, st.just(""), KEYS) | st.builds(StoreURL, st.just("abfss"), NAMES, NAMES, KEYS),
    size_bytes=st.none() | st.integers(0, 2**62), etag=st.from_regex(r"[0-9a-f-]{0,34}", fullmatch=True),
    crc64nvme=st.just("") | st.from_regex(r"[0-9a-f]{16}", fullmatch=True), moment=WORDS, version_id=WORDS,
    event=st.sampled_from(["ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload"]), region=WORDS, job=WORDS, trigger=WORDS, source=WORDS,
    facts=st.dictionaries(WORDS.filter(lambda name: name not in OWN), JSON, max_size=3),
)  # fmt: skip


def s3_event(key: str = "2026/a+b.csv", *, event: str = "ObjectCreated:Put", bucket: str = "sales", **told: Any) -> dict[str, Any]:
    """As S3 sends it; `key` as it is encoded there."""
    return {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": "2026-11-21T10:00:00.000Z", "eventName": event,
        "userIdentity": {"principalId": "AWS:EXAMPLE"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "all", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
               "object": {"key": key, "size": 7, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055AED6DCD90281E5", **told}},
    }  # fmt: skip


@given(NOTICES)
def test_what_is_written_is_read_back(notice: Notice) -> None:
    text = body(notice)
    assert text.isascii() and len(text.splitlines()) == 1
    assert read(text) == ((notice,), ())


@given(KEYS)
def test_keys_are_encoded_as_s3_does(key: str) -> None:
    """Whatever reads S3's notifications decodes ours."""
    told = json.loads(body(Notice(StoreURL("s3", "sales", "", key))))["Records"][0]["s3"]["object"]["key"]
    assert told == quote_plus(key, safe="/*")
    assert read(json.dumps({"Records": [s3_event(told)]})).notices[0].key == key


def test_an_event_of_s3_is_read() -> None:
    (notice,), ignored = read(json.dumps({"Records": [s3_event(versionId="v1")]}))
    assert (str(notice.url), notice.size_bytes) == ("s3://sales/2026/a b.csv", 7)
    assert (notice.etag, notice.version_id) == ("d41d8cd98f00b204e9800998ecf8427e", "v1")
    assert (notice.region, notice.job, ignored) == ("eu-west-1", "", ())


def test_records_of_other_events_are_ignored_each_with_a_reason() -> None:
    records = [s3_event("a"), s3_event("b", event="ObjectRemoved:Delete"), s3_event("c", event="s3:ObjectCreated:Copy")]
    found = read(json.dumps({"Records": records}))
    assert [notice.key for notice in found.notices] == ["a", "c"]
    assert found.ignored == ("ObjectRemoved:Delete is no event of an object that has come",)


def test_the_test_event_of_s3_is_ignored() -> None:
    found = read(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-21T10:00:00Z", "Bucket": "sales"}))
    assert found.notices == () and "test event" in found.ignored[0]


@pytest.mark.parametrize("depth", [1, 2])
def test_the_envelope_of_a_topic_is_opened(depth: int) -> None:
    text = json.dumps({"Records": [s3_event("a")]})
    for _ in range(depth):
        text = json.dumps({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:topic", "Message": text})
    assert read(text).notices[0].key == "a"


def test_envelopes_without_end_are_no_notice() -> None:
    text = json.dumps({"Records": [s3_event("a")]})
    for _ in range(5):
        text = json.dumps({"Type": "Notification", "Message": text})
    with pytest.raises(BadNotice):
        read(text)


def test_an_event_of_event_bridge_is_read_and_its_key_is_taken_as_it_is() -> None:
    event = {
        "version": "0", "detail-type": "Object Created", "source": "aws.s3", "time": "2026-11-21T10:00:00Z", "region": "eu-west-1",
        "detail": {"version": "0", "bucket": {"name": "sales"}, "reason": "PutObject",
                   "object": {"key": "a+b%20c.csv", "size": 5, "etag": "e1", "version-id": "v1", "sequencer": "00"}},
    }  # fmt: skip
    (notice,), _ = read(json.dumps(event))
    assert (notice.key, notice.size_bytes, notice.etag, notice.version_id) == ("a+b%20c.csv", 5, "e1", "v1")
    assert read(json.dumps({**event, "detail-type": "Object Deleted"})).ignored


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hello", "it is not JSON"), ("[1]", "no JSON object"), ("{}", "neither Records"), ('{"Records": []}', "empty"),
        ('{"Records": [7]}', "names no bucket"), (json.dumps({"Records": [s3_event("")]}), "names no key"),
        (json.dumps({"Records": [s3_event("a%FF")]}), "not UTF-8"), (json.dumps({"Records": [s3_event("a", bucket="x/y")]}), "cannot be a bucket"),
        (json.dumps({"Records": [s3_event("x" * 1025)]}), "longer than S3 takes"),
        (json.dumps({"Records": [s3_event(eTag="\ud800")]}), "not valid Unicode"),
        (json.dumps({"Records": [s3_event("a", bucket="\ud800")]}), "not valid Unicode"),
        ("[" * 100_000, "it is not JSON"), ('{"Type": "SubscriptionConfirmation", "Message": "hello"}', "neither Records"),
    ],
)  # fmt: skip
def test_what_is_no_notice_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadNotice, match=told):
        read(text)


@pytest.mark.parametrize(
    "bucket",
    [
        "a--x-s3", "arn:aws:s3:us-east-1:123456789012:accesspoint:x", "evil.com?x=", "a\r\nHost: evil", "ab", ".abc", "abc-", "a..b", "sales@",
        "x" * 256,
    ],
)  # fmt: skip
def test_what_cannot_be_the_bucket_of_an_event_is_refused(bucket: str) -> None:
    """Each of them would be asked for in vain, and be taken for trouble with the connection."""
    with pytest.raises(BadNotice, match="bucket"):
        read(json.dumps({"Records": [s3_event("a", bucket=bucket)]}))


@pytest.mark.parametrize("bucket", ["abc", "sales.example.com", "Old_Bucket", "x" * 63])
def test_buckets_of_any_age_are_read(bucket: str) -> None:
    assert read(json.dumps({"Records": [s3_event("a", bucket=bucket)]})).notices[0].bucket == bucket


@pytest.mark.parametrize("size", [2**63, 2**70, -1, "9223372036854775808", "9" * 30, 1.5, True, [], "x"])
def test_a_size_that_no_object_has_is_not_told(size: Any) -> None:
    assert read(json.dumps({"Records": [s3_event(size=size)]})).notices[0].size_bytes is None


@pytest.mark.parametrize("etag", ["x\r\nHost: evil", "a b", "é", "x" * 256, 'W/"x', "\x1b[31m", 7])
def test_an_etag_that_no_header_holds_is_not_told(etag: Any) -> None:
    """It would go into a request as it is."""
    assert read(json.dumps({"Records": [s3_event(eTag=etag)]})).notices[0].etag == ""


@given(JSON)
def test_any_other_json_is_refused_and_nothing_else_happens(value: Any) -> None:
    with pytest.raises(BadNotice):
        read(json.dumps(value))


@given(st.dictionaries(st.sampled_from(["s3", "eventName", "portal"]), JSON), JSON)
def test_records_of_any_shape_are_read_or_refused(record: dict[str, Any], ours: Any) -> None:
    try:
        read(json.dumps({"Records": [record], "portal": ours}))
    except BadNotice:
        pass


def test_a_key_that_is_not_unicode_is_refused_when_it_is_sent() -> None:
    with pytest.raises(BadNotice, match="not valid Unicode"):
        body(Notice(StoreURL("s3", "sales", "", "a\udcff")))


def test_what_the_sender_adds_cannot_pretend_to_be_ours() -> None:
    notice = Notice(StoreURL("s3", "sales", "", "a"), job="J", facts={"job": "other", "layer": "Raw"})
    (found,), _ = read(body(notice))
    assert (found.job, found.facts) == ("J", {"layer": "Raw"})
