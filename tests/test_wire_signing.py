"""Signatures of the thin path: those of botocore, for anything that can be signed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from unittest import mock
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import StoreError
from portal.wire.signing import Signer, quoted_path, quoted_query

HOST = "bucket.s3.eu-central-1.amazonaws.com"
UNICODE = st.characters(exclude_categories=["Cs"])
KEYS = st.text(UNICODE, min_size=1, max_size=30) | st.sampled_from(
    ["a b+c%20d~e", "//x//", "ü/日本/😀", "a/../b/./c", "?&=#;:@!$'()*,[]", "\x01\x7f"]
)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
HEADERS = st.dictionaries(
    st.sampled_from(["range", "if-match", "content-type", "x-amz-meta-a", "x-amz-meta-a-b", "x-amz-checksum-mode", "x-amz-tagging"]),
    st.lists(VALUES, max_size=3).map("  ".join),
)
QUERIES = st.lists(st.tuples(st.text(UNICODE, min_size=1, max_size=6), st.text(UNICODE, max_size=8)), max_size=4, unique_by=lambda pair: pair[0])
CREDENTIALS = st.tuples(st.text("AKI7", min_size=1), st.text(UNICODE, min_size=1, max_size=20), st.sampled_from(["", "tok/en+=="]))
MOMENTS = st.integers(0, 4_000_000_000)
METHODS = st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"])
REGIONS = st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"])


def _request(method: str, key: str, query: list[tuple[str, str]], headers: dict[str, str], moment: int) -> AWSRequest:
    tail = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    request = AWSRequest(method, f"https://{HOST}/{quote(key, safe='/~')}{'?' if tail else ''}{tail}", headers)
    request.context["client_config"] = SimpleNamespace(s3={"payload_signing_enabled": False})
    request.context["timestamp"] = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
    return request


def _credentials(keys: tuple[str, str, str]) -> Credentials:
    return Credentials(keys[0], keys[1], keys[2] or None)


@settings(deadline=None)
@given(METHODS, KEYS, QUERIES, HEADERS, CREDENTIALS, REGIONS, st.lists(MOMENTS, min_size=1, max_size=3))
def test_signed_headers_are_those_of_botocore(
    method: str, key: str, query: list[tuple[str, str]], headers: dict[str, str], keys: tuple[str, str, str], region: str, moments: list[int]
) -> None:
    signer = Signer(keys, region, HOST)
    for moment in moments:
        request = _request(method, key, query, headers, moment)
        with mock.patch("botocore.auth.get_current_datetime", lambda moment=moment: datetime.fromtimestamp(moment, UTC)):
            S3SigV4Auth(_credentials(keys), "s3", region).add_auth(request)
        with mock.patch.object(time, "time", lambda moment=moment: moment + 0.5):
            lines = signer.lines(method, quoted_path(f"/{key}"), quoted_query(query), headers.items())
        ours = dict(line.split(": ", 1) for line in lines.split("\r\n")[:-1])
        assert {name.lower(): value for name, value in ours.items()} == {name.lower(): value for name, value in request.headers.items()}


@settings(deadline=None)
@given(KEYS, QUERIES, CREDENTIALS, REGIONS, MOMENTS, st.integers(1, 604_800))
def test_presigned_urls_are_those_of_botocore(
    key: str, query: list[tuple[str, str]], keys: tuple[str, str, str], region: str, moment: int, expires_s: int
) -> None:
    request = _request("GET", key, query, {}, moment)
    with mock.patch("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(moment, UTC)):
        S3SigV4QueryAuth(_credentials(keys), "s3", region, expires=expires_s).add_auth(request)
    with mock.patch.object(time, "time", lambda: moment):
        target = Signer(keys, region, HOST).presigned(quoted_path(f"/{key}"), query, expires_s=expires_s)
    theirs, ours = urlsplit(request.url), urlsplit(f"https://{HOST}{target}")
    assert ours.path == theirs.path
    assert sorted(parse_qsl(ours.query, True)) == sorted(parse_qsl(theirs.query, True))


def test_without_keys_nothing_is_signed() -> None:
    signer = Signer(None, "us-east-1", HOST)
    assert signer.lines("GET", "/k", "", [("range", "bytes=0-1")]) == "range: bytes=0-1\r\n"
    assert signer.presigned("/k", [("versionId", "a b")], expires_s=60) == "/k?versionId=a%20b"
    assert signer.presigned("/k", expires_s=60) == "/k"


@pytest.mark.parametrize("keys", [None, ("AKIA", "secret", ""), ("AKIA", "secret", "token")])
@pytest.mark.parametrize("mark", ["\r\n", "\r", "\n", "\0", "\x7f", "\ud800"])
def test_no_value_of_a_header_ends_its_line(keys: tuple[str, str, str] | None, mark: str) -> None:
    with pytest.raises(StoreError, match="control character"):
        Signer(keys, "us-east-1", HOST).lines("GET", "/k", "", [("if-match", f'"a"{mark}{mark}GET /other HTTP/1.1{mark}x: "')])


@pytest.mark.parametrize("keys", [("AKIA\r\nx: y", "secret", ""), ("AKIA", "secret", "token\r\nx: y")])
def test_no_credential_ends_its_line(keys: tuple[str, str, str]) -> None:
    with pytest.raises(StoreError, match="control character"):
        Signer(keys, "us-east-1", HOST).lines("GET", "/k", "")


def test_a_signature_costs_little() -> None:
    """10 microseconds are the budget on the machine it was measured on; a slower or busy one gets the tenfold."""
    signer = Signer(("AKIAIOSFODNN7EXAMPLE", "secret", ""), "us-east-1", HOST)
    begun = time.process_time()
    for number in range(2000):
        signer.lines("GET", quoted_path(f"/some/folder/object-{number}"), "", [("if-match", '"abc"'), ("x-amz-checksum-mode", "ENABLED")])
    assert time.process_time() - begun < 2000 * 100e-6
