"""Where a chain runs: its home, its box of folders, its bucket and its queue; and the triggers that make a chain of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from portal import settings
from portal.settings import Settings
from portal.triggers import book
from portal.triggers.trigger import Trigger
from tests.chain import drops
from tests.war.field import Field

SETTINGS = {
    "PORTAL_MIN_FREE_MB": "1", "PORTAL_MIN_FREE_INODES": "1", "PORTAL_RETRY_BASE_S": "0.05", "PORTAL_RETRY_MAX_S": "0.5",
    "PORTAL_KILL_AFTER_S": "0.3", "PORTAL_POLL_S": "0.3", "PORTAL_MAX_INTERRUPTIONS": "200",
}  # fmt: skip
PREFIX = "in/"
_ATTEMPTS = 200
"""A killed engine is a failed attempt: with fewer, chance would end a job for good."""
_VISIBLE_S = 15
"""A message in the hands of a job that was killed comes back after this time."""


@dataclass(frozen=True)
class Service:
    """An S3 or SQS: where it is and what it takes."""

    url: str
    access_key: str = "testing"
    secret_key: str = "testing-secret"

    def client(self, kind: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 6})
        keys = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key, "region_name": "us-east-1"}
        return boto3.client(kind, endpoint_url=self.url, config=config, **keys)


@dataclass(frozen=True)
class Places:
    base: Path
    s3: Service
    sqs: Service
    name: str
    """Of the bucket and of the queue."""

    @property
    def field(self) -> Field:
        return Field(self.base / "home")

    @property
    def settings(self) -> Settings:
        return settings.load(self.field.home)

    @property
    def watched(self) -> Path:
        return self.base / "box" / "Watch"

    @property
    def queued(self) -> Path:
        return self.base / "box" / "QueuedForUpload"

    @property
    def uploaded(self) -> Path:
        return self.base / "box" / "UploadedToS3"

    @property
    def fetched(self) -> Path:
        return self.base / "box" / "DownloadedFromS3"

    @property
    def dead(self) -> Path:
        return self.base / "box" / "DeadLetters"

    def make(self, batch: int) -> None:
        """Make all of it, and both triggers; the bucket keeps every version of an object."""
        self.field.make()
        self.watched.mkdir(parents=True)
        lines = {
            **SETTINGS, "PORTAL_LOCAL_ROOTS": self.base / "box", "AWS_ENDPOINT_URL": self.s3.url, "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.s3.access_key, "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
        }  # fmt: skip
        (self.field.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        (self.field.home / "connections.toml").write_text(
            f'[notices]\nkind = "s3"\nregion = "us-east-1"\nendpoint_url = "{self.sqs.url}"\n'
            f'access_key_id = "{self.sqs.access_key}"\nsecret_access_key = "{self.sqs.secret_key}"\n'
        )
        s3 = self.s3.client("s3")
        s3.create_bucket(Bucket=self.name)
        s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        self.sqs.client("sqs").create_queue(QueueName=self.name)
        for trigger in self._triggers(batch):
            book.save(self.settings, trigger, "ann")

    def _triggers(self, batch: int) -> list[Trigger]:
        upload = {"target": f"s3://{self.name}/", "template": f"{PREFIX}{{path}}", "queue": self.name, "queue_connection": "notices"}
        download = {
            "source_connection": "", "sources": [f"s3://{self.name}/{PREFIX}"], "target": f"file://{self.fetched}/", "layout": "key", "wait_s": 1.0,
            "max_tries": _ATTEMPTS, "retry_s": 0.5, "visible_s": _VISIBLE_S,
        }  # fmt: skip
        on = {"folder": f"file://{self.watched}/", "still_s": drops.STILL_S, "max_files": batch}
        return [
            Trigger(name="up", kind="folder", on=on, engine="upload", params=upload, overlap="allow", max_attempts=_ATTEMPTS),
            Trigger(
                name="down", kind="sqs", on={"queue": self.name, "connection": "notices", "poll_s": 1.0}, engine="download", params=download,
                max_attempts=_ATTEMPTS,
            ),
        ]  # fmt: skip

    def waiting(self) -> int:
        """Messages that are in the queue, those in somebody's hands too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        sqs = self.sqs.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=self.name)["QueueUrl"], AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file of a folder by its path in it."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
