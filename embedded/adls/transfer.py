"""Bodies coming in with their digests checked, and bytes going out by range."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

from awscrt.checksums import crc64nvme

from embedded.adls.content import Incoming, Piece, cut
from embedded.adls.errors import StorageError
from embedded.adls.request import Request
from embedded.adls.schema import Segment
from embedded.adls.store import Store
from embedded.adls.wire import Response

HASHED_RANGE_BYTES = 4 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def crc64_text(value: int) -> str:
    """As headers carry it: base64 of the eight bytes, least significant first."""
    return base64.b64encode(value.to_bytes(8, "little")).decode()


def receive(request: Request, store: Store, limit: int, *, md5: bool = False) -> Piece:
    """Stream the body into a piece and check it against the digests the client sent.

    Args:
        limit: largest body in bytes.
        md5: compute the MD5 even if the client sent none.

    Raises:
        StorageError: MissingContentLengthHeader, RequestBodyTooLarge, Md5Mismatch, Crc64Mismatch and what malformed digests give;
            nothing is kept then.
    """
    body = request.body
    if body.declared is None and not body.chunked:
        raise StorageError("MissingContentLengthHeader")
    if body.declared is not None and body.declared > limit:
        raise StorageError("RequestBodyTooLarge", detail={"MaxLimit": str(limit)})
    return _received(store, body, _wanted(request), limit, md5=md5)


def receive_fetched(request: Request, store: Store, source: Incoming, limit: int, *, md5: bool = False) -> Piece:
    """The same for bytes that a From URL operation fetches: x-ms-source-content-md5 and x-ms-source-content-crc64 say what they must be."""
    wanted = _wanted(request, md5_name="x-ms-source-content-md5", crc_name="x-ms-source-content-crc64")
    if source.remaining is not None and source.remaining > limit:
        raise StorageError("RequestBodyTooLarge", detail={"MaxLimit": str(limit)})
    return _received(store, source, wanted, limit, md5=md5)


def _received(store: Store, body: Incoming, wanted: tuple[bytes | None, bytes | None], limit: int, *, md5: bool) -> Piece:
    piece = store.content.receive(body, md5=md5 or wanted[0] is not None, limit=limit)
    try:
        _compare(*wanted, piece)
    except StorageError:
        store.content.discard([piece.file])
        raise
    return piece


def receive_small(request: Request, limit: int) -> tuple[bytes, Piece]:
    """A body that is read whole (a block list), checked likewise; the piece has no file."""
    wanted_md5, wanted_crc = _wanted(request)
    data = request.body.read(limit)
    if data is None:
        raise StorageError("RequestBodyTooLarge", detail={"MaxLimit": str(limit)})
    piece = Piece("", len(data), hashlib.md5(data, usedforsecurity=False).digest(), crc64nvme(data))
    _compare(wanted_md5, wanted_crc, piece)
    return data, piece


def digest_headers(request: Request, piece: Piece) -> dict[str, str]:
    """What the service computed: the MD5 when the client sent one, else the CRC64."""
    if piece.md5 is not None and "content-md5" in request.head.headers:
        return {"Content-MD5": base64.b64encode(piece.md5).decode()}
    return {"x-ms-content-crc64": crc64_text(piece.crc64)}


def _wanted(request: Request, *, md5_name: str = "content-md5", crc_name: str = "x-ms-content-crc64") -> tuple[bytes | None, bytes | None]:
    if "x-ms-structured-body" in request.head.headers:
        raise StorageError("UnsupportedHeader", detail={"HeaderName": "x-ms-structured-body"})
    md5, crc = request.header(md5_name), request.header(crc_name)
    if md5 and crc:
        raise StorageError("BothCrc64AndMd5HeaderPresent")
    wanted_md5 = _decoded(md5, 16) if md5 else None
    wanted_crc = _decoded(crc, 8) if crc else None
    if md5 and wanted_md5 is None:
        raise StorageError("InvalidMd5")
    if crc and wanted_crc is None:
        raise StorageError("InvalidHeaderValue", detail={"HeaderName": crc_name, "HeaderValue": crc})
    return wanted_md5, wanted_crc


def _decoded(text: str, size: int) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return value if len(value) == size else None


def _compare(md5: bytes | None, crc: bytes | None, piece: Piece) -> None:
    if md5 is not None and md5 != piece.md5:
        shown = {"UserSpecifiedMd5": md5, "ServerCalculatedMd5": piece.md5 or b""}
        raise StorageError("Md5Mismatch", detail={name: base64.b64encode(value).decode() for name, value in shown.items()})
    if crc is not None and crc != piece.crc64.to_bytes(8, "little"):
        detail = {"UserSpecifiedCrc": base64.b64encode(crc).decode(), "ServerCalculatedCrc": crc64_text(piece.crc64)}
        raise StorageError("Crc64Mismatch", detail=detail)


def wanted_range(request: Request, size: int) -> tuple[int, int] | None:
    """Offset and length in bytes that x-ms-range, or else Range, asks for; None for the whole.

    Raises:
        StorageError: InvalidRange when it starts behind the end.
    """
    match = _RANGE.fullmatch(request.header("x-ms-range") or request.header("range"))
    if not match:
        return None
    first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    if match[2] and int(match[2]) < first:
        return None
    if first >= size:
        raise StorageError("InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    return first, last - first + 1


def outgoing(request: Request, store: Store, segments: Sequence[Segment], size: int, headers: dict[str, str]) -> Response:
    """The bytes asked for, as 200 or 206. The pieces must be pinned by the caller; the response releases them.

    Raises:
        StorageError: InvalidRange, OutOfRangeInput (digest of more than 4 MiB), InvalidHeaderValue (digest without a range).
    """
    span = wanted_range(request, size)
    offset, length = span or (0, size)
    cuts = cut(((segment.file, segment.size) for segment in segments), offset, length)
    files = [(store.content.path(part.file), part.offset, part.length) for part in cuts]
    headers = {**headers, "Accept-Ranges": "bytes"}
    if span:
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{size}"
        if "Content-MD5" in headers:
            headers["x-ms-blob-content-md5"] = headers.pop("Content-MD5")
    headers |= _range_digest(request, files, span)
    return Response(206 if span else 200, headers, files=files)


def _range_digest(request: Request, files: Sequence[tuple[str, int, int]], span: tuple[int, int] | None) -> dict[str, str]:
    md5 = request.header("x-ms-range-get-content-md5").lower() == "true"
    crc = request.header("x-ms-range-get-content-crc64").lower() == "true"
    if not (md5 or crc):
        return {}
    if span is None or (md5 and crc):
        raise StorageError("InvalidHeaderValue")
    if span[1] > HASHED_RANGE_BYTES:
        raise StorageError("OutOfRangeInput")
    data = b"".join(_bytes(*part) for part in files)
    if md5:
        return {"Content-MD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
    return {"x-ms-content-crc64": crc64_text(crc64nvme(data))}


def _bytes(path: str, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
