"""Azure's Blob endpoint on the thin path: a small object is one request, a large one is blocks and their list.

Azure compares every body with its CRC64 (x-ms-content-crc64) before it takes it. Blocks are named after their upload, so that those of two attempts
never mix; uncommitted ones go away by themselves after a week. Source: https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from urllib.parse import quote

from portal.errors import AccessDenied, AlreadyExists, PortalError, ProofFailed, SourceRefused
from portal.stores.azure_answers import ConditionFailed
from portal.stores.checksums import crc64 as crc64_of
from portal.wire.answer import Answer
from portal.wire.azure_about import blob_lines
from portal.wire.azure_end import AzureEnd, crc_text, if_match
from portal.wire.azure_errors import Refused, error_of, source_error
from portal.wire.azure_listing import blobs_listed, folders_listed, nothing_listed
from portal.wire.azure_lists import block_list, blocks_listed, tags_listed
from portal.wire.ends import UNCHECKED, About, Block, Listed, Pin, Written

MAX_URL_BYTES = 2048
_BLOB = "x-ms-blob-type: BlockBlob\r\n"
_NEW_ONLY = "If-None-Match: *\r\n"
_WRITE = "create and write (c, w)"


class BlobEnd(AzureEnd):
    """See `portal.wire.ends.End` and `PullingEnd`."""

    def tags(self, pin: Pin) -> dict[str, str]:
        """{} on an account with a hierarchical namespace: blobs have no tags there."""
        target = f"{self._path(pin.key)}?comp=tags{self._and}"
        answer = self._send("GET", target)
        if answer.status >= 300:
            refused = Refused(answer, self.access)
            if "HierarchicalNamespace" in refused.code:
                return {}
            raise error_of(refused, self.access, "Reading the tags of", pin.key, "tags (t)")
        return tags_listed(answer.content())

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        content = self._list(prefix, continuation, limit)
        return blobs_listed(content) if content is not None else nothing_listed()

    def list_level(self, prefix: str, *, continuation: str | None = None) -> tuple[Listed, list[str]]:
        """List what lies directly in a folder; returns its objects and its folders, whose names end in '/'."""
        content = self._list(prefix, continuation, 5000, "&delimiter=%2F")
        return (blobs_listed(content), folders_listed(content)) if content is not None else (nothing_listed(), [])

    def _list(self, prefix: str, continuation: str | None, limit: int, more: str = "") -> bytes | None:
        where = f"&prefix={quote(prefix, safe='')}" if prefix else ""
        after = f"&marker={quote(continuation, safe='')}" if continuation else ""
        query = f"?restype=container&comp=list&include=metadata&maxresults={min(limit, 5000)}{where}{after}{more}{self._and}"
        answer = self._send("GET", self._root + query)
        if answer.status < 300:
            return answer.content()
        error = self._refused(answer, "Listing", prefix, "list (l)")
        if isinstance(error, AlreadyExists):
            return None  # a file stands where the prefix has a folder: https://learn.microsoft.com/rest/api/storageservices/list-blobs
        raise error

    def put(self, key: str, body: memoryview, about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """`checked` is False when the service does not say what it got, as one that takes no notice of checksums (an emulator)."""
        lines = f"{_BLOB}{'' if overwrite else _NEW_ONLY}x-ms-content-crc64: {crc_text(crc64)}\r\n{blob_lines(about, md5)}"
        answer = self._written(self._path(key) + self._only, lines, body, key=key)
        return _about_written(answer, self._checked(answer, crc64, key))

    def begin(self, key: str, about: About, size_bytes: int, *, overwrite: bool) -> str:
        """No request: nothing need be there before the first block."""
        return secrets.token_hex(8)

    def put_block(self, key: str, upload: str, number: int, start: int, body: memoryview, *, crc64: int, md5: bytes = b"") -> str:
        """`md5` is not sent: Azure takes one checksum."""
        mark = block_id(upload, number)
        answer = self._written(self._block(key, mark), f"x-ms-content-crc64: {crc_text(crc64)}\r\n", body, key=key)
        return mark if self._checked(answer, crc64, key) else mark + UNCHECKED

    def _block(self, key: str, mark: str) -> str:
        return f"{self._path(key)}?comp=block&blockid={mark}{self._and}"

    def commit(self, key: str, upload: str, blocks: Sequence[Block], about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """`checked` is False when the credentials may not read the list of blocks back, and as for `put`."""
        ordered = sorted(blocks)
        body = block_list([block.mark.removesuffix(UNCHECKED) for block in ordered])
        crc = crc64_of(body)
        lines = f"{'' if overwrite else _NEW_ONLY}x-ms-content-crc64: {crc_text(crc)}\r\n{blob_lines(about, md5)}"
        answer = self._written(f"{self._path(key)}?comp=blocklist{self._and}", lines, body, key=key)
        written = _about_written(answer, self._checked(answer, crc, key) and not any(block.unchecked for block in blocks))
        try:
            self._compare(key, written.etag, ordered)
        except AccessDenied:
            written.checked = False
        return written

    def _compare(self, key: str, etag: str, blocks: Sequence[Block]) -> None:
        """Raises ProofFailed when the blob is not made of these blocks."""
        answer = self._send("GET", f"{self._path(key)}?comp=blocklist&blocklisttype=committed{self._and}")
        if answer.status >= 300:
            raise self._refused(answer, "Reading the list of blocks of", key, "read (r)")
        now = answer.header("etag").strip('"')
        found = blocks_listed(answer.content())
        if now != etag:
            raise ProofFailed(f"{self._place(key)} was replaced by somebody else as soon as it was written.", hint="Look who writes there.")
        if found != [(block.mark.removesuffix(UNCHECKED), block.size_bytes) for block in blocks]:
            raise ProofFailed(f"{self._place(key)} is not made of the {len(blocks)} blocks that were sent.", hint="Try again.")

    def abort(self, key: str, upload: str, size_bytes: int) -> None:
        """No request: to take blocks back would take a blob of no length in their place."""

    def delete(self, key: str, *, etag: str = "") -> None:
        self._deleted(self._path(key) + self._only, key, etag)

    def put_from_url(self, key: str, url: str, about: About, *, overwrite: bool, md5: bytes = b"", bearer: str = "") -> Written:
        """At most 5,000 MiB. `checked` is True only with `md5`, which the service then compares with what it fetched."""
        lines = f"{_BLOB}x-ms-copy-source-blob-properties: false\r\n{'' if overwrite else _NEW_ONLY}{self._source(url, key, bearer)}"
        if md5:
            lines += f"x-ms-source-content-md5: {b64encode(md5).decode()}\r\n"
        answer = self._written(self._path(key) + self._only, lines + blob_lines(about, md5), b"", key=key, pulled=True)
        return _about_written(answer, bool(md5))

    def put_block_from_url(
        self, key: str, upload: str, number: int, url: str, *, start: int, size_bytes: int, crc64: int | None = None, source_etag: str = ""
    ) -> tuple[str, int]:
        """The CRC64 is −1 when the service did not say it: what it fetched is then not proven."""
        mark = block_id(upload, number)
        lines = f"{self._source(url, key)}x-ms-source-range: bytes={start}-{start + size_bytes - 1}\r\n"
        if crc64 is not None:
            lines += f"x-ms-source-content-crc64: {crc_text(crc64)}\r\n"
        lines += if_match(source_etag, "x-ms-source-if-match")
        answer = self._written(self._block(key, mark), lines, b"", key=key, pulled=True)
        return mark, _crc_of(answer)

    def _source(self, url: str, key: str, bearer: str = "") -> str:
        if len(url) > MAX_URL_BYTES or not (url.isascii() and url.isprintable()) or " " in url:
            why = f"its URL has {len(url)} characters, and {MAX_URL_BYTES} is the limit" if len(url) > MAX_URL_BYTES else "its URL is none"
            raise SourceRefused(f"The service cannot fetch the source of {self._place(key)}: {why}.", hint="It can be copied through this machine.")
        return f"x-ms-copy-source: {url}\r\n" + (f"x-ms-copy-source-authorization: Bearer {bearer}\r\n" if bearer else "")

    def _written(self, target: str, lines: str, body: bytes | memoryview, *, key: str, pulled: bool = False) -> Answer:
        answer = self._send("PUT", target, lines, body)
        if answer.status >= 300:
            raise self._unwritable(Refused(answer, self.access), key, pulled)
        answer.drain()
        return answer

    def _unwritable(self, refused: Refused, key: str, pulled: bool) -> PortalError:
        if pulled and (about_source := source_error(refused, self._place(key))):
            return about_source
        error = error_of(refused, self.access, "Writing", key, _WRITE)
        if not isinstance(error, ConditionFailed):
            return error
        exists = AlreadyExists(f"{self._place(key)} exists already.", hint="Choose another name or allow overwriting.")
        exists.__cause__ = refused.said
        return exists


def block_id(upload: str, number: int) -> str:
    """Return the name of a block: base64 without '+', '/' and '=', of one length for all blocks, which Azure asks for."""
    return b64encode(f"{upload}{number:08x}".encode()).decode()


def _about_written(answer: Answer, checked: bool) -> Written:
    return Written(answer.header("etag").strip('"'), answer.header("x-ms-version-id"), checked)


def _crc_of(answer: Answer) -> int:
    """−1 when the service did not say it."""
    try:
        found = a2b_base64(answer.header("x-ms-content-crc64"))
    except Base64Error:
        return -1
    return int.from_bytes(found, "little") if len(found) == 8 else -1
