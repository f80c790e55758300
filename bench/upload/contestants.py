"""Who uploads, and how each is started: with the flags that were fastest here of those tried."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.transfer.contestants import program
from bench.transfer.measuring import Command
from bench.upload.files import Files
from bench.upload.targets import Target

AWS_CLI = "awscli==1.46.3"
"""The newest on PyPI; it pins a botocore of its own, so it has an environment of its own."""


@dataclass(frozen=True)
class Task:
    """Upload a folder into an empty bucket."""

    target: Target
    bucket: str
    files: Files
    source: Path
    folder: Path
    """For the contestant's own files."""


class Contestant:
    """`name` is for buckets and folders, `title` for the tables."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def command(self, task: Task) -> Command:
        raise NotImplementedError

    def versions(self) -> str:
        raise NotImplementedError

    def said(self, task: Task) -> str:
        """What it says it proved, if it says so. Raises RuntimeError when it says that it failed."""
        return ""


class Ours(Contestant):
    """The engine as a runner starts it: listing, plan, preflight, journal on the disk, ledger and proof included."""

    name, title = "ours", "ours, CRC64 proved"

    def command(self, task: Task) -> Command:
        task.folder.mkdir(parents=True, exist_ok=True)
        params = {
            "source": f"file://{task.source}/", "target": f"s3://{task.bucket}/", "template": "{path}", "allow_empty": True,
        }  # fmt: skip
        job_id = "01BENCH" + hashlib.md5(task.bucket.encode()).hexdigest().upper()[:19]
        order = task.folder / "order.json"
        order.write_text(json.dumps({"job": {"id": job_id, "params": params, "labels": {}}, "folder": str(task.folder), "attempt": 1}))
        home = task.folder / "home"
        home.mkdir(exist_ok=True)
        more = {"PORTAL_HOME": str(home), "PORTAL_LOCAL_ROOTS": str(task.source)}
        return Command([sys.executable, "-m", "engines.upload", "--job-fd", "0"], {**task.target.environment, **more}, order)

    def said(self, task: Task) -> str:
        path = task.folder / "result-1.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if result.get("outcome") != "succeeded":
            raise RuntimeError(f"it says {result.get('outcome', 'nothing')}: {result.get('summary', '')}")
        proofs = Counter(result.get("report", {}).get("proof", {}))
        return ", ".join(f"{count:,} {level}" for level, count in proofs.most_common())

    def versions(self) -> str:
        return f"ours: engines.upload on Python {sys.version.split()[0]}"


_RCLONE = """\
[target]
type = s3
provider = SeaweedFS
force_path_style = true
region = us-east-1
access_key_id = {keys[0]}
secret_access_key = {keys[1]}
endpoint = {url}
list_version = 2
"""


class Rclone(Contestant):
    """It sends and compares the MD5 of small objects. For the provider AWS it cannot sign what it sends without TLS: it is told SeaweedFS."""

    name, title = "rclone", "rclone, MD5"
    small: ClassVar[Sequence[str]] = ("--transfers", "32", "--checkers", "16", "--s3-no-check-bucket", "--no-traverse", "--buffer-size", "0")
    large: ClassVar[Sequence[str]] = (
        "--transfers", "4", "--s3-upload-concurrency", "4", "--s3-chunk-size", "16M", "--s3-no-check-bucket", "--buffer-size", "0",
    )  # fmt: skip

    def command(self, task: Task) -> Command:
        task.folder.mkdir(parents=True, exist_ok=True)
        config = task.folder / "rclone.conf"
        config.write_text(_RCLONE.format(keys=task.target.keys, url=task.target.url))
        flags = self.large if task.files.size_bytes > 8 << 20 else self.small
        words = [program("rclone"), "copy", str(task.source), f"target:{task.bucket}", "--config", str(config), *flags]
        return Command(words, {})

    def versions(self) -> str:
        told = subprocess.run([program("rclone"), "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
        return f"{told}: {' '.join(self.small)} (small), {' '.join(self.large)} (large)"


class S5cmd(Contestant):
    """Without TLS its library signs every byte it sends (SHA-256)."""

    name, title = "s5cmd", "s5cmd"
    small: ClassVar[Sequence[str]] = ("--numworkers", "64")
    large: ClassVar[Sequence[str]] = ("--concurrency", "4", "--part-size", "16")

    def command(self, task: Task) -> Command:
        large = task.files.size_bytes > 8 << 20
        words = [program("s5cmd"), "--endpoint-url", task.target.url, "--log", "error", *(() if large else self.small), "cp"]
        words += [*(self.large if large else ()), f"{task.source}/", f"s3://{task.bucket}/"]
        return Command(words, task.target.environment)

    def versions(self) -> str:
        told = subprocess.run([program("s5cmd"), "version"], capture_output=True, text=True, check=True).stdout.strip()
        return f"s5cmd {told}: {' '.join(self.small)} (small), {' '.join(self.large)} (large)"


_AWS_CONFIG = """\
[default]
region = us-east-1
s3 =
    addressing_style = path
    max_concurrent_requests = {concurrency}
    multipart_chunksize = 16MB
    max_queue_size = 10000
"""


class Aws(Contestant):
    """CRC32 of every request; without TLS it signs every byte it sends too (SHA-256)."""

    name, title = "aws", "aws s3 cp --recursive"

    def __init__(self, binary: Path) -> None:
        self.binary = binary

    def command(self, task: Task) -> Command:
        task.folder.mkdir(parents=True, exist_ok=True)
        config = task.folder / "aws.conf"
        config.write_text(_AWS_CONFIG.format(concurrency=10 if task.files.size_bytes > 8 << 20 else 16))
        words = [str(self.binary), "s3", "cp", str(task.source), f"s3://{task.bucket}/", "--recursive", "--only-show-errors"]
        return Command([*words, "--endpoint-url", task.target.url], {**task.target.environment, "AWS_CONFIG_FILE": str(config)})

    def versions(self) -> str:
        told = subprocess.run([self.binary, "--version"], capture_output=True, text=True, check=True)
        return f"{(told.stdout or told.stderr).strip()}: 16 requests at a time (small), 10 (large), parts of 16 MB"


def installed_aws(folder: Path) -> Path:
    """Return the AWS CLI of an environment that is made in `folder`, unless it is there."""
    binary = folder / "bin" / "aws"
    if not binary.exists():
        print(f"installing {AWS_CLI} …", file=sys.stderr, flush=True)
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([program("uv"), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], **quiet)  # type: ignore[call-overload]
        install = [program("uv"), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), AWS_CLI]
        subprocess.run(install, env={**os.environ, "UV_COMPILE_BYTECODE": "1"}, **quiet)  # type: ignore[call-overload]
    return binary
