"""AzCopy's upload leg: from files in memory to the sink. Its S3 source takes hosts of AWS alone, so it cannot copy from the null source."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from bench.queue.measuring import ROOT
from bench.transfer.contestants import Contestant, Task
from bench.transfer.measuring import Command
from bench.transfer.null_server import Bucket

PACKAGE = "@azure-tools/azcopy-linux@10.32.2"
HOME = ROOT / ".venv" / "azcopy"
_SAS = "sv=2026-10-06&sr=c&sp=racwl&se=2099-01-01T00:00:00Z&sig=nobody-checks"


def installed() -> Path | None:
    """The program: on the PATH, or from npm into the environment; None (and said why) when it cannot be had."""
    if found := shutil.which("azcopy"):
        return Path(found)
    here = HOME / "node_modules/@azure-tools/azcopy-linux/dist/bin" / f"azcopy_linux_{'arm64' if platform.machine() == 'aarch64' else 'amd64'}"
    try:
        if not here.exists():
            HOME.mkdir(parents=True, exist_ok=True)
            quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(["npm", "install", *quiet, "--prefix", HOME, PACKAGE], check=True, capture_output=True)
        here.chmod(0o755)
        subprocess.run([here, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"AzCopy is left out: {error}. It needs npm and Debian's libsecret-1-0.", file=sys.stderr, flush=True)
        return None
    return here


class AzCopy(Contestant):
    """`files` is a folder with a folder of files for each bucket, in memory. Its empty run takes 2 s, in which it could have copied."""

    name, title = "azcopy", "AzCopy, upload leg, MD5, with start-up"
    start_up_apart = False
    binary: ClassVar[Path] = Path("azcopy")

    def __init__(self, files: Path) -> None:
        self.files = files

    def command(self, task: Task) -> Command:
        files = self.files / f"{task.bucket.count}x{task.bucket.size_bytes}"
        _make(files, task.bucket, self.files.parent / "known-bytes")
        words = [str(self.binary), "copy", str(files), f"{task.place.azure_url}/{task.container}?{_SAS}", "--from-to", "LocalBlob", "--recursive"]
        words += ["--as-subdir=false", "--put-md5", "--log-level", "NONE", "--output-level", "essential"]
        logs = str(task.folder / "azcopy")
        places = {"AZCOPY_LOG_LOCATION": logs, "AZCOPY_JOB_PLAN_LOCATION": logs, "AZCOPY_DISABLE_SYSLOG": "true"}
        return Command(words, {**places, **({"SSL_CERT_FILE": task.place.ca_file} if task.place.ca_file else {})})

    @classmethod
    def versions(cls) -> str:
        told = subprocess.run([cls.binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        return f"{told}: --put-md5, its own choice of concurrency"


def _make(folder: Path, bucket: Bucket, data: Path) -> None:
    """The objects of a bucket as files; made once."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    with data.open("rb") as file:
        known = file.read(bucket.size_bytes)
    for number in range(bucket.count):
        (folder / f"part-{number:08d}.bin").write_bytes(known)
