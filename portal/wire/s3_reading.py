"""Reading and describing the objects of a bucket, each held to the version that is meant."""

from __future__ import annotations

import re

from portal.errors import AlreadyExists, NotFound, PortalError, SourceChanged, StoreError, Throttled, Unreachable
from portal.stores.s3_answers import NoBucket, OutOfRange
from portal.wire.connection import Answer
from portal.wire.ends import Found, Listed, Pin
from portal.wire.s3_about import found_of
from portal.wire.s3_listing import after, listed, part_sizes, refuse_standstill, tags
from portal.wire.s3_requests import Refused, S3Requests, changed

_RANGE = re.compile("bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_CHECKSUMS = ("x-amz-checksum-mode", "ENABLED")
_LISTED_PARTS = 1000
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _NO_SUCH_PART = 400, 403, 404, 416


class S3Reading(S3Requests):
    """See `portal.wire.ends.End`."""

    def read(self, pin: Pin, buffer: memoryview, *, start: int = 0) -> Found:
        wanted = len(buffer)
        whole = start == 0 and wanted == pin.size_bytes
        if not wanted and not whole:
            return Found(pin.size_bytes, pin.etag, pin.version_id)
        parameters, headers = _pinned(pin)
        headers.append(_CHECKSUMS if whole else ("range", f"bytes={start}-{start + wanted - 1}"))
        answer = self._send("GET", pin.key, parameters, headers)
        if answer.status >= 300:
            raise self._unreadable(Refused(answer, self.access), pin.key)
        self._check(answer, pin, start, wanted, whole)
        answer.into(buffer)
        if answer.length is None and answer.content():
            raise self._changed(pin.key, f"has more than the {pin.size_bytes} bytes now that were listed")
        return found_of(answer.headers(), pin.size_bytes) if whole else Found(pin.size_bytes, pin.etag, pin.version_id)

    def _check(self, answer: Answer, pin: Pin, start: int, wanted: int, whole: bool) -> None:
        """Raises SourceChanged for another object than the pinned one, Unreachable when these are other bytes than were asked for."""
        etag = answer.header("etag").strip('"')
        if pin.etag and etag and etag != pin.etag:
            raise self._changed(pin.key, "was replaced after it was listed")
        size = pin.size_bytes if answer.length is None else answer.length
        if not whole:
            found = _RANGE.fullmatch(answer.header("content-range"))
            if answer.status != 206 or not found or (int(found[1]), int(found[2])) != (start, min(start + wanted, int(found[3])) - 1):
                raise Unreachable(f"Reading {self._name(pin.key)}: the service answered with another range than was asked for.", hint="Try again.")
            size = int(found[3])
        if size != pin.size_bytes:
            if pin.etag and etag == pin.etag:  # the same object cannot have another size: the answer is wrong
                raise Unreachable(f"Reading {self._name(pin.key)}: {size} bytes were announced; it has {pin.size_bytes}.", hint="Try again.")
            raise self._changed(pin.key, f"has {size} bytes now; {pin.size_bytes} were listed")

    def _unreadable(self, refused: Refused, key: str) -> PortalError:
        return self._of_source(self._error(refused, "Reading", key), key)

    def _of_source(self, error: PortalError, key: str) -> PortalError:
        """What an error means for an object that was there when it was listed."""
        if isinstance(error, AlreadyExists | OutOfRange):
            return self._changed(key, "was replaced after it was listed", error)
        if isinstance(error, NotFound) and not isinstance(error, NoBucket):
            return self._changed(key, "was deleted after it was listed", error)
        return error

    def _changed(self, key: str, how: str, error: PortalError | None = None) -> SourceChanged:
        return changed(self._name(key), how, error.__cause__ if error else None)

    def find(self, key: str, *, version_id: str = "") -> Found:
        answer = self._send("HEAD", key, _of_version(version_id), [_CHECKSUMS])
        if answer.status >= 300:
            raise self._why(answer, key, version_id)
        self._bucket_seen = True
        return found_of(answer.headers(), answer.length or 0)

    def _why(self, head: Answer, key: str, version_id: str) -> PortalError:
        """A HEAD's answer says no more than its status: whether it is the bucket that is missing, or the key that is wrong, other requests tell."""
        refused = Refused(head, self.access)
        if head.status == _NOT_FOUND and not self._bucket_seen:
            bucket = self._send("HEAD", "")
            if bucket.status == _NOT_FOUND:
                refused.code = "NoSuchBucket"
            self._bucket_seen = bucket.status < 300
        elif head.status in (_BAD_REQUEST, _FORBIDDEN):
            answer = self._send("GET", key, _of_version(version_id), [("range", "bytes=0-0")])
            if answer.status >= 300:
                refused = Refused(answer, self.access)
            answer.drain()
        return self._error(refused, "Looking at", key)

    def part_sizes(self, pin: Pin, parts: int) -> list[int]:
        """By one request for a thousand parts where the store keeps checksums of them, else by one for each."""
        try:
            sizes = self._attributes(pin, parts)
        except Throttled:
            raise
        except StoreError:  # nobody is obliged to tell
            sizes = []
        if len(sizes) != parts or sum(sizes) != pin.size_bytes:
            sizes = self._heads(pin, parts)
        return sizes if len(sizes) == parts and sum(sizes) == pin.size_bytes else []

    def _attributes(self, pin: Pin, parts: int) -> list[int]:
        """Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html."""
        found: dict[int, int] = {}
        while len(found) < parts:
            headers = [("x-amz-object-attributes", "ObjectParts"), ("x-amz-max-parts", str(_LISTED_PARTS))]
            if found:
                headers.append(("x-amz-part-number-marker", str(max(found))))
            answer = self._ask("Looking at the parts of", "GET", pin.key, [("attributes", ""), *_of_version(pin.version_id)], headers)
            more = dict(part_sizes(answer.content()))
            if not more.keys() - found.keys():
                break
            found.update(more)
        return [found[number] for number in sorted(found)]

    def _heads(self, pin: Pin, parts: int) -> list[int]:
        """Not held to the ETag, which some servers compare with the part's: what changed meanwhile shows when the bytes are read.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (partNumber)."""
        sizes: list[int] = []
        for number in range(1, parts + 1):
            answer = self._send("HEAD", pin.key, [*_of_version(pin.version_id), ("partNumber", str(number))])
            if answer.status == _NO_SUCH_PART:
                break
            if answer.status >= 300:
                self._raise_if_it_matters(self._unreadable(Refused(answer, self.access), pin.key))
                break
            if answer.header("x-amz-mp-parts-count") not in ("", str(parts)) or (parts > 1 and answer.length == pin.size_bytes):
                break  # the store knows nothing of parts
            sizes.append(answer.length or 0)
        return sizes

    def _raise_if_it_matters(self, error: PortalError) -> None:
        if isinstance(error, Unreachable | SourceChanged):
            raise error from error.__cause__

    def tags(self, pin: Pin) -> dict[str, str]:
        """Raises AccessDenied where reading tags is not allowed."""
        try:
            answer = self._ask("Reading the tags of", "GET", pin.key, [("tagging", ""), *_of_version(pin.version_id)])
        except StoreError as error:
            raise self._of_source(error, pin.key) from error.__cause__
        return tags(answer.content())

    def list_page(self, prefix: str, *, continuation: str | None = None, limit: int = 5000) -> Listed:
        """At most 1,000 objects: S3 gives no more."""
        parameters = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(min(limit, 1000)))]
        if prefix:
            parameters.append(("prefix", prefix))
        if continuation:
            parameters.append(after(continuation))
        page = listed(self._ask("Listing", "GET", "", parameters).content())
        if continuation and page.keys:
            refuse_standstill(continuation, page.keys[0])
        return page

    def presigned(self, pin: Pin, *, expires_s: int) -> str:
        """Return a URL that reads the object for `expires_s` seconds (at most a week), held to its version where it has one."""
        target = self._signer.presigned(self._path(pin.key), _of_version(pin.version_id), expires_s=expires_s)
        return f"{self.access.scheme}://{self._connection.host}{target}"


def _of_version(version_id: str) -> list[tuple[str, str]]:
    return [("versionId", version_id)] if version_id else []


def _pinned(pin: Pin) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    if pin.version_id:
        return [("versionId", pin.version_id)], []
    return [], [("if-match", f'"{pin.etag}"')] if pin.etag else []
