"""AWS S3 and what speaks like it, on boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from portal.connections import S3Connection
from portal.errors import AlreadyExists, NotFound, SourceChanged, Unreachable
from portal.stores import checksums, s3_client, s3_copy
from portal.stores.base import ObjectInfo, Page
from portal.stores.s3_answers import NoBucket, OutOfRange, name_of
from portal.stores.s3_errors import status_of, translated
from portal.stores.s3_write import S3Writer
from portal.stores.url import StoreURL

_MD5 = re.compile(r"[0-9a-f]{32}")


class S3Reader:
    """An open read; see `portal.stores.base.Reader`."""

    def __init__(self, store: S3Store, key: str, body: Any, info: ObjectInfo, expected: int) -> None:
        self._store, self._key, self._body, self._left, self.info = store, key, body, expected, info

    def read(self, size: int = -1, /) -> bytes:
        with self._store.translated("Reading", self._key):
            block: bytes = self._body.read(None if size < 0 else size)
        self._left -= len(block)
        if not block and size != 0 and self._left > 0:
            raise Unreachable(f"Reading {self._store.url.at(self._key)} was cut off {self._left} bytes before the end.", hint="Try again.")
        return block

    def close(self) -> None:
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.close()


class S3Store:
    """One bucket. Safe for use from many threads."""

    def __init__(self, url: StoreURL, client: Any, expires_at: str = "") -> None:
        self.url, self.client, self._expires_at = url.root, client, expires_at

    def translated(self, what: str, key: str = "") -> AbstractContextManager[None]:
        return translated(what, bucket=self.url.container, key=key, expires_at=self._expires_at)

    def list_page(self, prefix: str = "", *, recursive: bool = True, continuation: str | None = None, limit: int = 1000) -> Page:
        more = {"ContinuationToken": continuation} if continuation else {}
        level = {} if recursive else {"Delimiter": "/"}
        with self.translated("Listing"):
            answer = self.client.list_objects_v2(Bucket=self.url.container, Prefix=prefix, MaxKeys=min(limit, 1000), **more, **level)
        return Page(
            tuple(_listed(item) for item in answer.get("Contents", ())),
            tuple(item["Prefix"] for item in answer.get("CommonPrefixes", ())),
            answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
        )

    def stat(self, key: str) -> ObjectInfo:
        try:
            with self.translated("Looking at", key):
                answer = self.client.head_object(Bucket=self.url.container, Key=key, ChecksumMode="ENABLED")
        except NotFound:
            self._refuse_missing_bucket()
            raise
        return _described(key, answer, answer["ContentLength"])

    def _refuse_missing_bucket(self) -> None:
        """A HEAD that finds nothing does not say what is missing, the object or its bucket."""
        try:
            self.client.head_bucket(Bucket=self.url.container)
        except ClientError as error:
            if status_of(error) == 404:
                hint = "Check the bucket's name, and that the connection leads to its account."
                raise NoBucket(f"There is no bucket {self.url.container!r}.", hint=hint) from None

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> S3Reader:
        wanted: dict[str, Any] = {"Bucket": self.url.container, "Key": key, "ChecksumMode": "ENABLED"}
        if start or length is not None:
            wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
        if pin and pin.version_id:
            wanted["VersionId"] = pin.version_id
        elif pin and pin.etag:
            wanted["IfMatch"] = f'"{pin.etag}"'
        if length == 0:
            return self._read_nothing(key, pin)
        try:
            with self.translated("Reading", key):
                answer = self.client.get_object(**wanted)
        except OutOfRange:
            return self._read_nothing(key, pin)
        except (NotFound, AlreadyExists) as error:
            raise self._changed(key, error, pin) from None
        expected = int(answer["ContentLength"])
        total = answer.get("ContentRange", "").rpartition("/")[2]
        return S3Reader(self, key, answer["Body"], _described(key, answer, int(total) if total.isdecimal() else expected), expected)

    def _read_nothing(self, key: str, pin: ObjectInfo | None) -> S3Reader:
        info = self.stat(key)
        if pin and pin.etag and pin.etag != info.etag:
            raise SourceChanged(f"{name_of(self.url.container, key)} was replaced after it was listed.")
        return S3Reader(self, key, _Nothing(), info, 0)

    def _changed(self, key: str, error: NotFound | AlreadyExists, pin: ObjectInfo | None) -> Exception:
        if pin is None or isinstance(error, NoBucket):
            return error
        what = "deleted" if isinstance(error, NotFound) else "replaced"
        return SourceChanged(
            f"{name_of(self.url.container, key)} was {what} after it was listed.", hint="Run the job again to take what is there now."
        )

    def open_write(
        self, key: str, *, overwrite: bool = False, size_bytes: int | None = None, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> S3Writer:
        if not overwrite:
            self._refuse_existing(key)
        return S3Writer(self, key, overwrite=overwrite, size_bytes=size_bytes, content_type=content_type, metadata=metadata or {})

    def _refuse_existing(self, key: str) -> None:
        """Early, before any byte moves; the commit's condition is what decides."""
        try:
            self.stat(key)
        except NoBucket:
            raise
        except NotFound:
            return
        raise AlreadyExists(f"{self.url.at(key)} exists already.", hint="Choose another name or allow overwriting.")

    def copy(self, pin: ObjectInfo, new_key: str) -> ObjectInfo:
        """See `portal.stores.base.Copies`."""
        try:
            s3_copy.copy(self, pin, new_key)
        except AlreadyExists as error:  # a condition that does not hold, which is the source's here
            raise self._changed(pin.key, error, pin) from None
        return self.stat(new_key)

    def delete(self, key: str) -> None:
        with self.translated("Deleting", key):
            self.client.delete_object(Bucket=self.url.container, Key=key)

    def presign_read(self, key: str, *, expires_s: int, version_id: str | None = None) -> str:
        """Return a URL that reads the object for `expires_s` seconds (at most a week), without credentials."""
        version = {"VersionId": version_id} if version_id else {}
        with self.translated("Signing", key):
            signed: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.url.container, "Key": key, **version}, ExpiresIn=expires_s
            )
        return signed

    def close(self) -> None:
        self.client.close()


class _Nothing:
    """The body of an empty read."""

    def read(self, size: int | None = None) -> bytes:
        return b""

    def close(self) -> None: ...


class S3Account:
    """The buckets of an account."""

    def __init__(self, connection: S3Connection) -> None:
        self._client, self._expires_at = s3_client.client(connection), s3_client.expiry(connection)

    def containers(self) -> list[str]:
        with translated("Listing the buckets of", bucket="", expires_at=self._expires_at):
            return [item["Name"] for item in self._client.list_buckets()["Buckets"]]

    def create_container(self, name: str) -> None:
        region = self._client.meta.region_name
        # us-east-1 is the one region that S3 refuses as a location constraint.
        place = {} if region == s3_client.DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with translated("Creating", bucket=name, expires_at=self._expires_at):
            try:
                self._client.create_bucket(Bucket=name, **place)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
                    raise

    def store(self, container: str) -> S3Store:
        return S3Store(StoreURL("s3", container), self._client, self._expires_at)

    def close(self) -> None:
        self._client.close()


def open_store(url: StoreURL, connection: S3Connection) -> S3Store:
    return S3Store(url, s3_client.client(connection), s3_client.expiry(connection))


def open_account(connection: S3Connection) -> S3Account:
    return S3Account(connection)


def _listed(item: Mapping[str, Any]) -> ObjectInfo:
    key, size = item["Key"], int(item["Size"])
    return ObjectInfo(
        key, size, etag=item.get("ETag", "").strip('"'), modified=item.get("LastModified"), storage_class=item.get("StorageClass", ""),
        is_folder=size == 0 and key.endswith("/"),
    )  # fmt: skip


def _described(key: str, answer: Mapping[str, Any], size: int) -> ObjectInfo:
    etag, version = answer.get("ETag", "").strip('"'), answer.get("VersionId")
    stored = checksums.of_s3(answer)
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256" and not answer.get("SSECustomerAlgorithm")
    if plain and _MD5.fullmatch(etag):
        stored["md5"] = etag
    return ObjectInfo(
        key, size, etag=etag, modified=answer.get("LastModified"), storage_class=answer.get("StorageClass", "STANDARD"),
        is_folder=size == 0 and key.endswith("/"), version_id=None if version == "null" else version,
        content_type=answer.get("ContentType", ""), checksums=stored, metadata=answer.get("Metadata", {}),
    )  # fmt: skip
