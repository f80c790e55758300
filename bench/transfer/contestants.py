"""Who is measured, and how each is started: with the flags that were fastest here, at the integrity that its row names."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from bench.transfer.measuring import Command
from bench.transfer.null_server import ACCOUNT, KEY, Bucket


@dataclass(frozen=True)
class Place:
    """Where the two ends are: URLs of S3 and of an Azure account (the account included), and what leads there."""

    s3_url: str
    azure_url: str
    account: str = ACCOUNT
    account_key: str = KEY
    s3_keys: tuple[str, str] = ("bench", "bench-secret")
    ca_file: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The well-known variables, which SDKs and our portal read."""
        trust = {name: self.ca_file for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")} if self.ca_file else {}
        return {
            "AWS_ENDPOINT_URL": self.s3_url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": self.s3_keys[0],
            "AWS_SECRET_ACCESS_KEY": self.s3_keys[1], "AZURE_STORAGE_ACCOUNT": self.account, "AZURE_STORAGE_KEY": self.account_key,
            "AZURE_STORAGE_ENDPOINT": self.azure_url, **trust,
        }  # fmt: skip


@dataclass(frozen=True)
class Task:
    """Copy a bucket into a container."""

    place: Place
    bucket: Bucket
    container: str
    folder: Path
    """For the contestant's own files."""
    changed_only: bool = False
    """Leave what is there already and has not changed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Parameters for our engine alone."""
    attempt: int = 1
    dry_run: bool = False


class Contestant:
    """How one copies. `name` is for the command line and the containers, `title` for the tables."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    start_up_apart: ClassVar[bool] = True
    """What an empty run takes is taken off; not where it overlaps with the work."""

    def command(self, task: Task) -> Command:
        raise NotImplementedError

    def said(self, task: Task) -> str:
        """What it says it proved, if it says so."""
        return ""

    @classmethod
    def versions(cls) -> str:
        raise NotImplementedError


class Ours(Contestant):
    """The engine as a runner starts it: listing, plan, preflight, journal, ledger and proof included."""

    name, title = "ours", "ours, CRC64"
    options: ClassVar[dict[str, Any]] = {"mode": "stream"}

    def command(self, task: Task) -> Command:
        task.folder.mkdir(parents=True, exist_ok=True)
        params = {
            "source": f"s3://{task.bucket.name}/", "target": f"abfss://{task.container}@{task.place.account}/", "formats": ["any"],
            "allow_empty": True, **({"overwrite": "different"} if task.changed_only else {}), **self.options, **task.options,
        }  # fmt: skip
        job_id = "01BENCH" + hashlib.md5(task.container.encode()).hexdigest().upper()[:19]
        job = {"id": job_id, "params": params, "labels": {"dry_run": "1"} if task.dry_run else {}}
        order = task.folder / "order.json"
        order.write_text(json.dumps({"job": job, "folder": str(task.folder), "attempt": task.attempt}))
        home = task.folder / "home"
        home.mkdir(exist_ok=True)
        return Command([sys.executable, "-m", "engines.migrate", "--job-fd", "0"], {**task.place.environment, "PORTAL_HOME": str(home)}, order)

    def result(self, task: Task) -> dict[str, Any]:
        """What the engine reported; {} when it was killed before."""
        path = task.folder / f"result-{task.attempt}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def said(self, task: Task) -> str:
        result = self.result(task)
        proofs = Counter(result.get("report", {}).get("proof", {}))
        return ", ".join(f"{count:,} {level}" for level, count in proofs.most_common())

    @classmethod
    def versions(cls) -> str:
        optimized = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
        built = "" if optimized else " (built without --enable-optimizations: slower by a fifth or more)"
        return f"ours on Python {sys.version.split()[0]}{built}, awscrt {version('awscrt')}"


class OursMd5(Ours):
    name, title = "ours-md5", "ours, CRC64 and MD5"
    options: ClassVar[dict[str, Any]] = {"mode": "stream", "md5": True}


_RCLONE_CONFIG = """\
[source]
type = s3
provider = AWS
force_path_style = true
region = us-east-1
access_key_id = {0.s3_keys[0]}
secret_access_key = {0.s3_keys[1]}
endpoint = {0.s3_url}
[target]
type = azureblob
account = {0.account}
key = {0.account_key}
endpoint = {0.azure_url}
"""


class Rclone(Contestant):
    """MD5 of each block, and the MD5 of the listing compared with the target's: as it comes. It cannot do less and still compare."""

    name, title = "rclone", "rclone, MD5"
    large: ClassVar[list[str]] = ["--transfers", "8", "--azureblob-upload-concurrency", "4", "--buffer-size", "0", "--use-mmap"]
    small: ClassVar[list[str]] = ["--transfers", "32", "--checkers", "8", "--fast-list", "--buffer-size", "0"]

    def command(self, task: Task) -> Command:
        task.folder.mkdir(parents=True, exist_ok=True)
        config = task.folder / "rclone.conf"
        config.write_text(_RCLONE_CONFIG.format(task.place))
        flags = [*(self.large if task.bucket.size_bytes > 8 << 20 else self.small), *(["--checksum"] if task.changed_only else [])]
        flags += ["--ca-cert", task.place.ca_file] if task.place.ca_file else []
        flags += ["--dry-run", "--log-level", "ERROR"] if task.dry_run else []
        words = [program("rclone"), "copy", f"source:{task.bucket.name}", f"target:{task.container}", "--config", str(config), *flags]
        return Command(words, {})

    @classmethod
    def versions(cls) -> str:
        told = subprocess.run([program("rclone"), "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
        return f"{told}: {' '.join(cls.large)} (large), {' '.join(cls.small)} (small)"


class Sdks(Contestant):
    """boto3 and azure-storage-blob, two processes of threads: what one writes with the SDKs alone."""

    name, title = "sdks", "boto3 + azure-storage-blob, MD5"

    def command(self, task: Task) -> Command:
        words = [sys.executable, "-m", "bench.transfer.sdk_copy", task.bucket.name, task.container, str(task.bucket.size_bytes)]
        return Command(words, task.place.environment)

    @classmethod
    def versions(cls) -> str:
        return f"boto3 {version('boto3')}, azure-storage-blob {version('azure-storage-blob')}: 2 processes of 8 threads"


def program(name: str) -> str:
    """A program that came with the environment or is on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"There is no {name}: `make bench-transfer` installs it.")
    return found

