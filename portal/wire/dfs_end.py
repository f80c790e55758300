"""Azure's dfs endpoint on the thin path: bytes go to a hidden file beside the target, which is flushed and then renamed to its name.

The rename is atomic. Blocks may be appended by several connections at once, each at its position; the flush names the length, and fails when
anything is missing below it. Source: https://learn.microsoft.com/rest/api/storageservices/datalakestoragegen2/path.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote

from portal.errors import AlreadyExists, NotFound, PortalError, ProofFailed, StoreError, TargetLeased, Unreachable, UploadGone
from portal.stores.azure_answers import ConditionFailed, NoContainer
from portal.stores.partial import partial_name
from portal.wire.answer import Answer
from portal.wire.azure_about import path_lines
from portal.wire.azure_end import AzureEnd, crc_text
from portal.wire.azure_errors import Refused, error_of
from portal.wire.azure_listing import nothing_listed, paths_listed
from portal.wire.ends import UNCHECKED, About, Block, Listed, Pin, Written

_NEW_ONLY = "If-None-Match: *\r\n"
_WRITE = "create, write and move (c, w, m)"
_BEHIND = {"InvalidFlushPosition", "InvalidQueryParameterValue"}
"""The hidden file is not what we left there: blocks are missing, or it was flushed already."""


class DfsEnd(AzureEnd):
    """See `portal.wire.ends.End`. What blocks are gathered under is the hidden file's path."""

    def tags(self, pin: Pin) -> dict[str, str]:
        """{}: there are none on an account with a hierarchical namespace."""
        return {}

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        """The service lists folders: of the folder that the prefix lies in, what begins with the prefix is kept."""
        folder = prefix.rpartition("/")[0]
        where = f"&directory={quote(folder, safe='')}" if folder else ""
        after = f"&continuation={quote(continuation, safe='')}" if continuation else ""
        query = f"?resource=filesystem&recursive=true&maxResults={min(limit, 5000)}{where}{after}{self._and}"
        answer = self._send("GET", self._root + query)
        if answer.status < 300:
            return paths_listed(answer.content(), prefix, answer.header("x-ms-continuation"))
        error = self._refused(answer, "Listing", folder, "list (l)")
        if isinstance(error, NoContainer) or not isinstance(error, NotFound | AlreadyExists):
            raise error
        return nothing_listed()  # no such folder, or a file in its place

    def put(self, key: str, body: memoryview, about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """Three requests and a look at what is there then."""
        upload = self.begin(key, about, len(body), overwrite=overwrite)
        try:
            checked = not body or self._appended(key, upload, 0, body, crc64)
            return self._placed(key, upload, len(body), overwrite, md5, checked)
        except PortalError:
            self.abort(key, upload, len(body))
            raise

    def begin(self, key: str, about: About, size_bytes: int, *, overwrite: bool) -> str:
        if about.storage_class or about.tags:
            what = "access tier" if about.storage_class else "tags"
            raise StoreError(f"The dfs endpoint stores no {what}: {self._place(key)} was not written.", hint="Write through the blob endpoint.")
        folder, slash, _ = key.rpartition("/")
        upload = folder + slash + partial_name()
        self._path(key)
        target = f"{self._path(upload)}?resource=file{self._and}"
        try:
            self._ask("PUT", target, path_lines(about), b"", what="Writing", key=key, needs=_WRITE)
        except Unreachable:  # it may be there all the same, and nobody else knows its name
            self.abort(key, upload, size_bytes)
            raise
        return upload

    def put_block(self, key: str, upload: str, number: int, start: int, body: memoryview, *, crc64: int, md5: bytes = b"") -> str:
        return "" if self._appended(key, upload, start, body, crc64) else UNCHECKED

    def _appended(self, key: str, upload: str, start: int, body: memoryview, crc64: int) -> bool:
        """Append; tells whether the service said that it got what we sent."""
        target = f"{self._path(upload)}?action=append&position={start}{self._and}"
        answer = self._step("PATCH", target, f"x-ms-content-crc64: {crc_text(crc64)}\r\n", body, key=key)
        return self._checked(answer, crc64, key)

    def commit(self, key: str, upload: str, blocks: Sequence[Block], about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        size_bytes = sum(block.size_bytes for block in blocks)
        return self._placed(key, upload, size_bytes, overwrite, md5, not any(block.unchecked for block in blocks))

    def _placed(self, key: str, upload: str, size_bytes: int, overwrite: bool, md5: bytes, checked: bool) -> Written:
        if size_bytes or md5:
            lines = f"x-ms-content-md5: {b64encode(md5).decode()}\r\n" if md5 else ""
            self._step("PATCH", f"{self._path(upload)}?action=flush&position={size_bytes}{self._and}", lines, b"", key=key)
        if overwrite:
            self._refuse_leased(key)
        source = f"/{quote(self.access.container)}/{quote(upload, safe='/~')}{self._only}"
        lines = f"x-ms-rename-source: {source}\r\n{'' if overwrite else _NEW_ONLY}"
        self._step("PUT", f"{self._path(key)}?mode=legacy{self._and}", lines, b"", key=key)
        found = self.find(key)
        if found.size_bytes != size_bytes:
            raise ProofFailed(f"{self._place(key)} holds {found.size_bytes} bytes instead of the {size_bytes} that were sent.", hint="Try again.")
        return Written(found.etag, found.version_id, checked)

    def _refuse_leased(self, key: str) -> None:
        """A rename over a file breaks the lease that somebody has on it ("Path - Create" of the API's reference), so it is looked at first."""
        answer = self._send("HEAD", self._path(key) + self._only)
        leased = answer.status < 300 and answer.header("x-ms-lease-status") == "locked"
        answer.drain()
        if leased:
            what = f"Writing {self._place(key)} is not possible: somebody holds a lease on it."
            raise TargetLeased(what, hint="Wait until it is released, or break it.")

    def _step(self, method: str, target: str, lines: str, body: bytes | memoryview, *, key: str) -> Answer:
        """A request about the hidden file. Raises UploadGone when it is not there."""
        answer = self._send(method, target, lines, body)
        if answer.status >= 300:
            raise self._failed(Refused(answer, self.access), key)
        answer.drain()
        return answer

    def _failed(self, refused: Refused, key: str) -> PortalError:
        error = error_of(refused, self.access, "Writing", key, _WRITE)
        if isinstance(error, ConditionFailed):
            found: PortalError = AlreadyExists(f"{self._place(key)} exists already.", hint="Choose another name or allow overwriting.")
        elif refused.code in _BEHIND or (isinstance(error, NotFound) and not isinstance(error, NoContainer)):
            found = UploadGone(f"Writing {self._place(key)}: what was written of it is no longer there.", hint="It is written again.")
        else:
            return error
        found.__cause__ = refused.said
        return found

    def abort(self, key: str, upload: str, size_bytes: int) -> None:
        with contextlib.suppress(PortalError):
            self._deleted(f"{self._path(upload)}?recursive=false{self._and}", upload, "")

    def delete(self, key: str, *, etag: str = "") -> None:
        self._deleted(f"{self._path(key)}?recursive=false{self._and}", key, etag)
