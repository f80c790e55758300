"""Where to: the null server, which measures the client alone, and SeaweedFS, which keeps what it gets and checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bench.transfer.null_server import serving
from bench.transfer.racing import WrongResult
from bench.transfer.real import seaweed
from bench.upload.files import Files
from portal.connections import S3Connection
from portal.movers import sums
from portal.stores.url import StoreURL
from portal.wire.ends import End, Found, Pin
from portal.wire.opening import open_end
from portal.wire.s3_access import access

_LOOKING = 4
_WEED_KEYS = ("weedkey", "weedsecret")
_NULL_KEYS = ("bench", "bench-secret")


@dataclass(frozen=True)
class Target:
    """An S3. `keeps`: objects can be read back; otherwise only what it was told of them."""

    title: str
    url: str
    keys: tuple[str, str]
    keeps: bool
    ca_file: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The well-known variables, which all contestants read."""
        trust = {name: self.ca_file for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")} if self.ca_file else {}
        found = {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", **trust}
        return {**found, "AWS_ACCESS_KEY_ID": self.keys[0], "AWS_SECRET_ACCESS_KEY": self.keys[1]}

    @contextmanager
    def bucket(self, name: str) -> Iterator[str]:
        """A bucket that is there for as long as the block lasts."""
        client = self._client()
        client.create_bucket(Bucket=name)
        try:
            yield name
        finally:
            with suppress(ClientError, BotoCoreError):  # what went wrong in the block is to be told, not that tidying up failed too
                _empty(client, name, keeps=self.keeps)

    def _client(self) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 8})
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id=self.keys[0], aws_secret_access_key=self.keys[1], config=config,
            verify=self.ca_file or None,
        )  # fmt: skip

    def look(self, bucket: str, files: Files, folder: Path) -> None:
        """Hold every object to its file. Raises WrongResult for what is missing, other, or one too many."""
        there = sum(page["KeyCount"] for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=bucket))
        if there != files.count:
            raise WrongResult(f"{there:,} objects are in the bucket instead of {files.count:,}.")
        compare = _same_bytes if self.keeps else _same_sums
        with ThreadPoolExecutor(_LOOKING) as threads:
            list(threads.map(lambda first: self._looked_at(bucket, files, folder, first, compare), range(min(_LOOKING, files.count))))

    def _looked_at(self, bucket: str, files: Files, folder: Path, first: int, compare: Callable[[End, str, bytes], str]) -> None:
        connection = S3Connection(endpoint_url=self.url, region="us-east-1", access_key_id=self.keys[0], secret_access_key=self.keys[1])
        end = open_end(access(StoreURL.parse(f"s3://{bucket}/"), connection))
        try:
            for number in range(first, files.count, _LOOKING):
                if why := compare(end, files.key(number), (folder / files.key(number)).read_bytes()):
                    raise WrongResult(f"{files.key(number)} {why}.")
        finally:
            end.close()


def _empty(client: Any, name: str, *, keeps: bool) -> None:
    if keeps:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            if keys := [{"Key": item["Key"]} for item in page.get("Contents", ())]:
                client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=name)


def _same_bytes(end: End, key: str, wanted: bytes) -> str:
    """Read the object again."""
    found = end.find(key)
    if found.size_bytes != len(wanted):
        return f"has {found.size_bytes:,} bytes instead of {len(wanted):,}"
    view = memoryview(bytearray(found.size_bytes))
    end.read(Pin(key, found.size_bytes, found.etag), view)
    return "" if sums.of("crc64nvme", view) == sums.of("crc64nvme", wanted) else "has other bytes than its file"


def _same_sums(end: End, key: str, wanted: bytes) -> str:
    """Nothing was kept: its size and the checksums that its sender told must be the file's."""
    found: Found = end.find(key)
    if found.size_bytes != len(wanted):
        return f"has {found.size_bytes:,} bytes instead of {len(wanted):,}"
    wrong = [name for name, value in found.checksums.items() if not sums.is_composite(name) and sums.of(name, wanted) != value]
    return f"was sent with another {wrong[0]} than its file has" if wrong else ""


@contextmanager
def null_target(folder: Path) -> Iterator[Target]:
    with serving(folder, []) as server:
        yield Target("null server", server.url, _NULL_KEYS, keeps=False)


@contextmanager
def weed_target(memory: Path) -> Iterator[Target]:
    with seaweed(memory) as url:
        yield Target("SeaweedFS", url, _WEED_KEYS, keeps=True)
