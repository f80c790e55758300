"""What Azure's refusals become. A server of the test answers as the service does where the box has no such state."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from portal import errors
from portal.errors import PortalError, explain
from portal.wire.blob_end import BlobEnd
from portal.wire.dfs_end import DfsEnd
from portal.wire.ends import About, Access, Pin

SECRET = "sv=2024-11-04&sp=rw&sig=verysecret%3D"
URL = "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=alsosecret"


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], Access]]:
    """Gives an Access to a server that answers every request with the same bytes."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> Access:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=_serve, args=(listener, answer), daemon=True).start()
            return Access("blob", "cont", "http", "127.0.0.1", listener.getsockname()[1], "/acct", sas=SECRET, account="acct")

        yield start


def _serve(listener: socket.socket, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                while head := list(iter(stream.readline, b"\r\n")) if stream.peek(1) else []:
                    length = next((int(line[15:]) for line in head if line.lower().startswith(b"content-length:")), 0)
                    stream.read(length)
                    connection.sendall(answer)


def refusal(status: int, code: str, message: str = "No.", extra: str = "", detail: str = "") -> bytes:
    body = f'\ufeff<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}\nRequestId:1</Message>{detail}</Error>'.encode()
    head = f"HTTP/1.1 {status} No\r\nx-ms-error-code: {code}\r\nContent-Type: application/xml\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextlib.contextmanager
def refused(access: Access, act: Callable[[BlobEnd], object]) -> Iterator[list[PortalError]]:
    found: list[PortalError] = []
    with contextlib.closing(BlobEnd(access)) as end:
        with pytest.raises(PortalError) as caught:
            act(end)
        found.append(caught.value)
        assert "secret" not in explain(caught.value)
        yield found


def write(end: BlobEnd) -> object:
    return end.put("k", memoryview(b"x"), About(), overwrite=False, crc64=0)


@pytest.mark.parametrize(
    ("status", "code", "kind", "why"),
    [
        (412, "LeaseIdMissing", errors.TargetLeased, "somebody holds a lease"),
        (412, "LeaseIdMismatchWithBlobOperation", errors.TargetLeased, "somebody holds a lease"),
        (409, "BlobAlreadyExists", errors.AlreadyExists, "exists already"),
        (412, "ConditionNotMet", errors.AlreadyExists, "exists already"),
        (412, "TargetConditionNotMet", errors.AlreadyExists, "exists already"),
        (503, "ServerBusy", errors.Throttled, "asks to slow down"),
        (500, "OperationTimedOut", errors.Throttled, "asks to slow down"),
        (429, "TooManyRequests", errors.Throttled, "asks to slow down"),
        (503, "", errors.Throttled, "asks to slow down"),
        (500, "InternalError", errors.Unreachable, "failed for now"),
        (502, "", errors.Unreachable, "failed for now"),
        (409, "AccountBeingCreated", errors.Unreachable, "failed for now"),
        (403, "InsufficientAccountPermissions", errors.AccessDenied, "SAS that allows create and write"),
        (403, "AuthorizationPermissionMismatch", errors.AccessDenied, "SAS that allows create and write"),
        (403, "AuthorizationFailure", errors.AccessDenied, "a firewall"),
        (403, "AuthenticationFailed", errors.AccessDenied, "wrong or have expired"),
        (401, "NoAuthenticationInformation", errors.AccessDenied, "wrong or have expired"),
        (403, "AccountIsDisabled", errors.AccessDenied, "is disabled"),
        (409, "BlobUsesCustomerSpecifiedEncryption", errors.AccessDenied, "a key that only its owner has"),
        (400, "Md5Mismatch", errors.ProofFailed, "did not arrive as it was sent"),
        (400, "Crc64Mismatch", errors.ProofFailed, "did not arrive as it was sent"),
        (400, "InvalidBlockList", errors.UploadGone, "no longer there"),
        (404, "ContainerNotFound", errors.NotFound, "no container 'cont' in the account 'acct'"),
        (409, "ContainerBeingDeleted", errors.NotFound, "no container 'cont'"),
        (400, "InvalidUri", errors.NameNotAllowed, "cannot be a name"),
        (400, "MetadataTooLarge", errors.NameNotAllowed, "refuses the metadata"),
        (409, "BlobArchived", errors.Archived, "is archived"),
        (507, "", errors.StoreFull, "no room left"),
        (403, "AccountQuotaExceeded", errors.StoreFull, "no room left"),
        (409, "QuotaExceeded", errors.StoreFull, "no room left"),
        (400, "InvalidBlobOrBlock", errors.StoreError, "another program began to upload it"),
        (400, "InvalidHeaderValue", errors.StoreError, "Writing abfss://cont@acct/k failed"),
        (500, "FeatureNotSupported", errors.StoreError, "Writing abfss://cont@acct/k failed"),
        (301, "", errors.StoreError, "Writing abfss://cont@acct/k failed"),
    ],
)
def test_a_refusal_says_what_it_means(
    answering: Callable[[bytes], Access], status: int, code: str, kind: type[PortalError], why: str
) -> None:
    with refused(answering(refusal(status, code)), write) as (error,):
        assert type(error) is kind or kind is errors.NotFound
        text = explain(error)
        assert isinstance(error, kind) and why in text and f"Azure answered {status} {code}".strip() in text


@pytest.mark.parametrize(
    ("extra", "seconds"), [("Retry-After: 7\r\n", 7), ("x-ms-retry-after-ms: 1500\r\nRetry-After: 7\r\n", 1.5), ("", 0)],
)
def test_how_long_to_wait_is_told(answering: Callable[[bytes], Access], extra: str, seconds: float) -> None:
    with refused(answering(refusal(503, "ServerBusy", extra=extra)), write) as (error,):
        assert isinstance(error, errors.Throttled) and error.retry_after_s == seconds


def test_addresses_in_what_the_service_says_are_left_out(answering: Callable[[bytes], Access]) -> None:
    with refused(answering(refusal(400, "InvalidInput", f"Bad {URL}")), write) as (error,):
        assert "amazonaws" not in explain(error)


def test_an_answer_that_is_no_error_document_is_told_all_the_same(answering: Callable[[bytes], Access]) -> None:
    with refused(answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n<html"), write) as (error,):
        assert isinstance(error, errors.Unreachable) and "Azure answered 502" in explain(error)


def pull(end: BlobEnd) -> object:
    return end.put_block_from_url("k", "0" * 16, 0, URL, start=0, size_bytes=5)


@pytest.mark.parametrize(
    ("status", "code", "extra", "detail", "kind", "why"),
    [
        (404, "CannotVerifyCopySource", "", "", errors.SourceRefused, "(404 CannotVerifyCopySource)"),
        (403, "CannotVerifyCopySource", "", "", errors.SourceRefused, "(403 CannotVerifyCopySource)"),
        (409, "CannotVerifyCopySource", "x-ms-copy-source-status-code: 403\r\nx-ms-copy-source-error-code: AccessDenied\r\n", "",
         errors.SourceRefused, "the source answered 403 AccessDenied"),
        (409, "CannotVerifyCopySource", "x-ms-copy-source-status-code: 412\r\n", "", errors.SourceChanged, "replaced or deleted"),
        (409, "PublicAccessNotPermitted", "", "", errors.SourceRefused, "PublicAccessNotPermitted"),
        (404, "BlobNotFound", "", "", errors.SourceRefused, "could not read the source"),
        (501, "APINotImplemented", "", "", errors.SourceRefused, "could not read the source"),
        (400, "InvalidHeaderValue", "", "<HeaderName>x-ms-copy-source</HeaderName>", errors.SourceRefused, "could not read the source"),
        (400, "InvalidHeaderValue", "", "<HeaderName>x-ms-meta-a</HeaderName>", errors.StoreError, "failed"),
        (412, "SourceConditionNotMet", "", "", errors.SourceChanged, "replaced or deleted"),
        (416, "InvalidRange", "", "", errors.SourceChanged, "replaced or deleted"),
        (400, "Crc64Mismatch", "", "", errors.ProofFailed, "not the checksum that the source stores"),
        (404, "ContainerNotFound", "", "", errors.NotFound, "no container 'cont'"),
        (403, "AuthorizationFailure", "", "", errors.AccessDenied, "not allowed"),
        (503, "ServerBusy", "", "", errors.Throttled, "slow down"),
        (412, "LeaseIdMissing", "", "", errors.TargetLeased, "lease"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_source_is_told_apart(
    answering: Callable[[bytes], Access], status: int, code: str, extra: str, detail: str, kind: type[PortalError], why: str
) -> None:
    with refused(answering(refusal(status, code, extra=extra, detail=detail)), pull) as (error,):
        assert isinstance(error, kind) and why in explain(error) and "amazonaws" not in explain(error)
        assert type(error) is kind or kind is errors.NotFound


def test_a_checksum_that_is_not_told_proves_nothing_and_a_wrong_one_is_no_success(answering: Callable[[bytes], Access]) -> None:
    made = b'HTTP/1.1 201 Created\r\nETag: "0x1"\r\n%bContent-Length: 0\r\n\r\n'
    with contextlib.closing(BlobEnd(answering(made % b""))) as end:
        assert end.put_block_from_url("k", "0" * 16, 0, URL, start=0, size_bytes=5)[1] == -1
        assert not end.put("k", memoryview(b"x"), About(), overwrite=True, crc64=5).checked
    with contextlib.closing(BlobEnd(answering(made % b"x-ms-content-crc64: BQAAAAAAAAA=\r\n"))) as end:
        assert end.put("k", memoryview(b"x"), About(), overwrite=True, crc64=5).checked
    with refused(answering(made % b"x-ms-content-crc64: AAAAAAAAAAA=\r\n"), write_crc) as (error,):
        assert isinstance(error, errors.ProofFailed) and "got other bytes" in explain(error)


def write_crc(end: BlobEnd) -> object:
    return end.put("k", memoryview(b"x"), About(), overwrite=True, crc64=5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 4-7/9\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 4-6\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 4-6/9\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    ],
)
def test_other_bytes_than_were_asked_for_are_never_taken(answering: Callable[[bytes], Access], answer: bytes) -> None:
    with contextlib.closing(BlobEnd(answering(answer))) as end, pytest.raises(errors.Unreachable):
        end.read(Pin("k", 9), memoryview(bytearray(3)), start=4)


def test_a_hidden_file_that_was_flushed_by_somebody_else_is_gone(answering: Callable[[bytes], Access]) -> None:
    for code in ("InvalidFlushPosition", "InvalidQueryParameterValue"):
        with contextlib.closing(DfsEnd(answering(refusal(400, code)))) as end, pytest.raises(errors.UploadGone):
            end.put_block("k", ".portal-0123456789abcdef.part", 0, 0, memoryview(b"x"), crc64=0)


def test_a_body_of_unknown_length_must_end_where_the_listing_said(answering: Callable[[bytes], Access]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with contextlib.closing(BlobEnd(answering(chunked))) as end:
        end.read(Pin("k", 5), memoryview(bytearray(5)))
        with pytest.raises(errors.SourceChanged, match="has more than the 4 bytes"):
            end.read(Pin("k", 4), memoryview(bytearray(4)))
        with pytest.raises(errors.Unreachable):
            end.read(Pin("k", 6), memoryview(bytearray(6)))


@pytest.mark.parametrize("header", ["x-ms-properties: a=A", "x-ms-tag-count: many"])
def test_headers_that_are_none_of_azures_are_told(answering: Callable[[bytes], Access], header: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 1\r\n\r\nx".encode()
    with refused(answering(answer), lambda end: end.read(Pin("k", 1), memoryview(bytearray(1)))) as (error,):
        assert isinstance(error, errors.Unreachable) and "cannot be read" in explain(error)


def test_below_a_file_there_is_nothing_to_list(answering: Callable[[bytes], Access]) -> None:
    for code in ("PathConflict", "ResourceTypeMismatch"):
        for kind in (BlobEnd, DfsEnd):
            with contextlib.closing(kind(answering(refusal(409, code)))) as end:
                assert end.list_page("a/file/").keys == []


ECHOES = [
    "https://b.s3.amazonaws.com/k?X-Amz-Signature=alsosecret", "https%3A%2F%2Fb%3FX-Amz-Signature%3Dalsosecret", "sv%3D1%26sig%3Dverysecret%253D",
    f"Headers {SECRET}", "verysecret= is no signature", "verysecret%3D", "token is alsosecret",
]  # fmt: skip


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("act", [write, pull, lambda end: end.list_page("x/")], ids=["write", "pull", "list"])
def test_whatever_a_service_quotes_no_secret_is_told(answering: Callable[[bytes], Access], act: Callable[[BlobEnd], object], echo: str) -> None:
    told = f"x-ms-copy-source-status-code: 403\r\nx-ms-copy-source-error-code: {echo}\r\n"
    access = replace(answering(refusal(403, echo, echo.replace("&", "&amp;"), extra=told)), bearer="alsosecret")
    with refused(access, act) as (error,):
        assert "could not read the source" in str(error) or "Azure answered 403" in explain(error)


def test_no_name_drives_a_terminal_or_begins_a_line(answering: Callable[[bytes], Access]) -> None:
    answer = refusal(403, "AuthorizationFailure", "\x9b31mNo.")
    with refused(answering(answer), lambda end: end.delete("a\x1b[2J\nwhat to do: pay\u202e")) as (error,):
        assert "/a\\x1b[2J\\nwhat to do: pay\\u202e" in str(error) and "\\x9b31mNo." in explain(error)
