"""What both ends of a transfer can do on the thin path: values and the interface, no I/O.

An *end* is one thread's way to one container: it holds its own persistent connection and is used by one thread at a time. It moves bytes between a
connection and a buffer of its caller's, and says what the store answered. It never retries and never waits: who moves objects decides that.
Errors are those of `portal.errors`, each saying what happened to which object; a URL with a signature in it, a key or a token never
stands in a message. Throttled carries `retry_after_s`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one container, complete with credentials: what a process that moves objects is told. Never written anywhere.

    Made by `portal.wire.access`, from a named connection; made anew before `renew_at`.
    """

    kind: str
    """s3, blob, dfs or file."""
    container: str = ""
    scheme: str = "https"
    host: str = ""
    port: int = 443
    base_path: str = ""
    """What every request's path begins with, the container not included: '' or '/account' (an emulator), always without a '/' at its end."""
    region: str = ""
    path_style: bool = False
    """S3: the bucket stands in the path and not in the host."""
    keys: tuple[str, str, str] | None = field(default=None, repr=False)
    """S3: access key id, secret access key, session token or ''. None: requests are not signed."""
    sas: str = field(default="", repr=False)
    """Azure: a shared access signature for the container, without '?'."""
    bearer: str = field(default="", repr=False)
    """Azure: an OAuth token, when there is no SAS."""
    roots: tuple[str, ...] = ()
    """file: the folders that may be used."""
    account: str = ""
    """Azure: the storage account, as its URLs name it."""
    ca_file: str = ""
    """Certificates to trust instead of the system's."""
    stall_s: float = 60.0
    """Seconds without a byte after which a connection counts as stalled."""
    renew_at: float = float("inf")
    """Seconds since 1970 after which another Access must be made."""
    expires_at: str = ""
    """When the credentials end and cannot be renewed (RFC 3339), or ''."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: the keys, and of a SAS the signature too."""
        signature = self.sas.partition("sig=")[2].partition("&")[0]
        return tuple(filter(None, (*(self.keys or ()), self.sas, signature, unquote(signature), self.bearer)))


class Pin(NamedTuple):
    """The one version of an object that is meant: reading any other raises SourceChanged."""

    key: str
    size_bytes: int
    etag: str = ""
    version_id: str = ""


@dataclass(slots=True)
class About:
    """What belongs to an object besides its bytes, as it is read and as it is written."""

    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Encoding, Content-Language, Content-Disposition, Cache-Control, Expires: only those there are, names in lower case."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    """S3 storage class or Azure access tier; '' the store's default."""
    modified: str = ""
    """RFC 3339, UTC; '' unknown. A file gets it as its mtime."""


@dataclass(slots=True)
class Found:
    """What a store said of an object."""

    size_bytes: int
    etag: str = ""
    """Without quotes."""
    version_id: str = ""
    about: About = field(default_factory=About)
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Stored checksums as hexadecimal, by the names of `portal.stores.checksums.ALGORITHMS`, `…-composite` for those made of the parts'."""
    parts: int = 0
    """Number of parts of a multipart object, 0 when it is none or nobody knows."""
    tag_count: int = 0
    customer_key: bool = False
    """It is encrypted with a key that only its owner has."""
    archived: bool = False
    """It must be restored before it can be read."""
    crc64: int | None = None
    """CRC64 that Azure computed of the range that was asked for, if it was asked for."""


@dataclass(slots=True)
class Written:
    """What a store said of an object that it has now."""

    etag: str = ""
    version_id: str = ""
    checked: bool = True
    """The store compared what it got with the checksums that were sent."""


UNCHECKED = "!"
"""No block id has it."""


class Block(NamedTuple):
    """One block (Azure) or part (S3) of a large object that is at the target and waits for the commit."""

    number: int
    """From 0."""
    size_bytes: int
    crc64: int
    mark: str
    """What the commit must name it by: a block id, a part's ETag, or ''. It ends with UNCHECKED where the store, which tells what it got, did not."""

    @property
    def unchecked(self) -> bool:
        return self.mark.endswith(UNCHECKED)


@dataclass(slots=True)
class Listed:
    """One page of a listing, a column for each field, so that a million entries cost little. All columns have one length."""

    keys: list[str]
    sizes: list[int]
    etags: list[str]
    modified: list[str]
    """RFC 3339, UTC, as the store says it; '' unknown."""
    classes: list[str]
    """Storage class or access tier, '' unknown."""
    folders: list[bool]
    sources: list[str]
    """`source_etag` of the entry's own metadata, where a listing carries metadata (Azure blob), else ''."""
    md5s: list[str]
    """Content-MD5 as hexadecimal, where a listing carries it, else ''."""
    continuation: str | None = None
    """Leads to the next page; None at the end. Good for as long as the credentials, in another process too."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Why entries could not be looked at, by key (links of a file system); of those only the key is known."""


class End(Protocol):
    """One thread's way to a container. All methods may raise AccessDenied, NotFound (no such container), Unreachable and Throttled."""

    access: Access

    def read(self, pin: Pin, buffer: memoryview, *, start: int = 0) -> Found:
        """Fill the buffer with the object's bytes from `start`: never fewer. Reading all of it (start 0, as long as the pin's size) tells the
        stored checksums too. Raises SourceChanged (replaced, deleted, of another size), Unreachable when cut off."""
        ...

    def find(self, key: str, *, version_id: str = "") -> Found:
        """Describe an object, with every stored checksum. Raises NotFound."""
        ...

    def part_sizes(self, pin: Pin, parts: int) -> list[int]:
        """Return the sizes of an object's parts; [] when the store does not tell. Raises SourceChanged."""
        ...

    def tags(self, pin: Pin) -> dict[str, str]: ...

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        """List everything whose key begins with `prefix`, in the store's order. A container that has nothing there gives an empty page."""
        ...

    def put(self, key: str, body: memoryview, about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """Write a whole object by as few requests as the store allows; it appears whole. Raises AlreadyExists unless `overwrite`, ProofFailed
        when the store got other bytes, NameNotAllowed, TargetLeased, StoreFull."""
        ...

    def begin(self, key: str, about: About, size_bytes: int, *, overwrite: bool) -> str:
        """Begin a large object; returns what its blocks are gathered under ('' where none is needed). Nothing is visible yet."""
        ...

    def put_block(self, key: str, upload: str, number: int, start: int, body: memoryview, *, crc64: int, md5: bytes = b"") -> str:
        """Stage a block that begins at byte `start`; returns its mark. The same block may be put twice. Raises ProofFailed, UploadGone."""
        ...

    def commit(self, key: str, upload: str, blocks: Sequence[Block], about: About, *, overwrite: bool, crc64: int, md5: bytes = b"") -> Written:
        """Make the object of its blocks, in the order of their numbers; it appears whole. The store's list of blocks is compared with ours.
        Raises AlreadyExists unless `overwrite`, UploadGone when a block is no longer there, ProofFailed."""
        ...

    def abort(self, key: str, upload: str, size_bytes: int) -> None:
        """Take back what was begun. Never raises; what stays is harmless."""
        ...

    def delete(self, key: str, *, etag: str = "") -> None:
        """Delete an object if it is (still) there; with `etag`, only that one. Raises SourceChanged when it is another."""
        ...

    def close(self) -> None: ...


class PullingEnd(End, Protocol):
    """An end that fetches from a URL by itself: no byte passes through us. Raises SourceRefused when it could not read the source."""

    def put_from_url(self, key: str, url: str, about: About, *, overwrite: bool, md5: bytes = b"", bearer: str = "") -> Written: ...

    def put_block_from_url(
        self, key: str, upload: str, number: int, url: str, *, start: int, size_bytes: int, crc64: int | None = None, source_etag: str = ""
    ) -> tuple[str, int]:
        """Stage a range of the source as a block; returns its mark and the CRC64 that the store computed. With `crc64` the store compares."""
        ...


class SigningEnd(End, Protocol):
    """An end whose objects can be read by a URL alone."""

    def presigned(self, pin: Pin, *, expires_s: int) -> str: ...
