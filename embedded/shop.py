"""A file's whole way, without anybody who starts a job: dropped into a folder → S3 → notice → fetched elsewhere; and its evidence.

Two triggers do it: one watches the folder, one the queue. What is proved is read apart from the portal: the folders, the bucket, the queue.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from awscrt.checksums import crc64nvme

from embedded import data
from embedded.commands import Commands

BUCKET = "demo-shop"
QUEUE = "demo-shop-notices"
UP, DOWN = "shop-up", "shop-down"
STILL_S = 1.0
_PATIENCE_S = 90.0
_LARGE_BYTES = 10 << 20
_KEY = "Raw/Shop/CSV"


@dataclass(frozen=True)
class Way:
    """Where one file was found in the end: its CRC64NVME at each place, -1 where it is not."""

    name: str
    size_bytes: int
    dropped: int
    uploaded: int
    put_away: int
    fetched: int
    seconds: float
    """From the last byte that was dropped to the file that was fetched."""

    @property
    def whole(self) -> bool:
        return self.dropped == self.uploaded == self.put_away == self.fetched


class Shop:
    """The folders, the bucket and the queue of one demo."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.box = home / "data" / "shop"
        self.watched, self.put_away, self.fetched = (self.box / name for name in ("Watch", "UploadedToS3", "DownloadedFromS3"))
        self._s3 = data.s3_client(env)
        self._sqs = boto3.client(
            "sqs", endpoint_url=env["AWS_ENDPOINT_URL"], region_name=env["AWS_REGION"], aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        self._files = dict(_files())
        self._dropped_at: dict[str, float] = {}

    def open(self, portal: Commands) -> None:
        """Make folder, queue and both triggers; the bucket is made by the first job."""
        self.watched.mkdir(parents=True)
        self._sqs.create_queue(QueueName=QUEUE)
        portal.json(
            "triggers", "add", "folder", UP, "--folder", f"file://{self.watched}/", "--still-s", str(STILL_S), "--run", "upload",
            "--target", f"s3://{BUCKET}/", "--create-bucket", "--source-name", "Shop", "--dataset", "demo", "--moment", "2026-01-02T03:04:05Z",
            "--queue", QUEUE,
        )  # fmt: skip
        portal.json(
            "triggers", "add", "sqs", DOWN, "--queue", QUEUE, "--poll-s", "1", "--run", "download", "--target", f"file://{self.fetched}/",
            "--sources", f"s3://{BUCKET}/", "--layout", "flat", "--wait-s", "1",
        )  # fmt: skip

    def drop(self) -> None:
        """Write the files; the last one half, and the rest of it only after longer than the folder waits."""
        *quick, slow = self._files
        with (self.watched / slow).open("wb") as file:
            half = len(self._files[slow]) // 2
            file.write(self._files[slow][:half])
            file.flush()
            for name in quick:
                (self.watched / name).write_bytes(self._files[name])
                self._dropped_at[name] = time.monotonic()
            time.sleep(1.5 * STILL_S)
            file.write(self._files[slow][half:])
        self._dropped_at[slow] = time.monotonic()

    def ways(self) -> Iterator[Way]:
        """Yield each file's way as it ends, or when nobody waits for it any more."""
        left, until = dict(self._files), time.monotonic() + _PATIENCE_S
        while left:
            late = time.monotonic() > until
            for name in [name for name in left if late or (self.fetched / name).exists()]:
                yield self._way(name, left.pop(name))
            time.sleep(0.1)

    def _way(self, name: str, content: bytes) -> Way:
        seconds = time.monotonic() - self._dropped_at[name]
        return Way(
            name, len(content), crc64nvme(content), self._uploaded(f"{_KEY}/demo/2026/01/02/{name}"), _sum_of(self.put_away / name),
            _sum_of(self.fetched / name), seconds,
        )  # fmt: skip

    def _uploaded(self, key: str) -> int:
        try:
            return crc64nvme(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except self._s3.exceptions.ClientError:
            return -1

    def left(self) -> list[str]:
        """What is still where it must not be in the end: files that wait, messages that nobody took, files that nobody dropped."""
        places = (self.watched, self.box / "QueuedForUpload", self.box / "DeadLetters")
        found = [str(path.relative_to(self.box)) for place in places for path in place.rglob("*") if path.is_file()]
        found += [str(path.relative_to(self.box)) for path in self.fetched.rglob("*") if path.is_file() and path.name not in self._files]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self._sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        waiting = sum(int(value) for value in self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())
        return [*found, *([f"{waiting} messages"] if waiting else [])]

    def jobs(self, portal: Commands) -> list[dict[str, Any]]:
        """Return the jobs that the triggers made, when all of them have ended."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            found = [job for job in portal.json("jobs", "--limit", "200") if job["labels"].get("trigger") in (UP, DOWN)]
            if all(job["status"] not in ("queued", "running") for job in found) or time.monotonic() > until:
                return found
            time.sleep(0.2)

    def close(self, portal: Commands) -> None:
        for name in (UP, DOWN):
            portal.json("triggers", "remove", name)


def _files() -> Iterator[tuple[str, bytes]]:
    """The real tables that are CSV files, one that takes several requests, and one with a name that is awkward at every place."""
    tables = [(key.rpartition("/")[2], content) for key, content in data.objects() if key.endswith(".csv") and len(content) < 1 << 20]
    yield from tables
    yield "large.csv", b"".join(b"%09d,a line of a large file\n" % number for number in range(_LARGE_BYTES // 36))
    yield "Größe & 100% + x.csv", tables[0][1]
    yield "slow.csv", tables[-1][1]


def _sum_of(path: Path) -> int:
    return crc64nvme(path.read_bytes()) if path.exists() else -1
