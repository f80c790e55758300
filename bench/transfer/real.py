"""The same work between servers that keep what they get: from SeaweedFS to the ADLS of the box."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
from azure.storage.blob import BlobServiceClient
from botocore.config import Config

from bench.queue.table import Figure
from bench.transfer.contestants import Contestant, Ours, OursMd5, Place, Rclone, Task, program
from bench.transfer.copying import large_figures, small_figures
from bench.transfer.measuring import told
from bench.transfer.null_server import Bucket
from bench.transfer.racing import Line, Track, WrongResult, say

_ACCOUNT, _KEY = "realaccount", "cmVhbCBhY2NvdW50IGtleSBvZiB0aGUgYm94IEFETFM="
_KEYS = ("weedkey", "weedsecret")
_START_S = 40.0


def real(track: Track, big: Bucket, little: Bucket) -> Iterator[Figure]:
    """Full copies by turns, as between the null ends; the target is asked what it has by its own listing."""
    with ExitStack() as stack:
        weed = stack.enter_context(seaweed(track.memory))
        box = stack.enter_context(box_adls(track.memory))
        place = Place(weed, f"{box}/{_ACCOUNT}", _ACCOUNT, _KEY, _KEYS)
        for bucket in (big, little, track.empty):
            _fill(place, bucket, track.memory / "known-bytes")
        for bucket, figures in ((big, large_figures), (little, small_figures)):
            row = f"{bucket.count:,} × {bucket.size_bytes >> 10:,} KiB, SeaweedFS → box ADLS"
            lines = _race(track, row, bucket, place, (Ours(), Rclone(), OursMd5()))
            yield from figures(row, lines)  # type: ignore[operator]


def _race(track: Track, row: str, bucket: Bucket, place: Place, starters: Sequence[Contestant]) -> dict[str, Line]:
    service = BlobServiceClient(place.azure_url, credential={"account_name": place.account, "account_key": place.account_key})
    service.get_container_client("empty").exists() or service.create_container("empty")
    lines = {one.name: Line(row, one.title, bucket.count, bucket.total_bytes, track.start_up(one, place)) for one in starters}
    for number in range(track.rounds):
        for one in starters:
            target = service.create_container(f"{bucket.name}-{one.name}-{number}")
            task = Task(place, bucket, target.container_name, track.folder / f"real-{bucket.name}-{one.name}-{number}")
            run = track.run(one, task)
            sizes = [blob.size for blob in target.list_blobs()]
            if (len(sizes), sum(sizes)) != (bucket.count, bucket.total_bytes):
                raise WrongResult(f"{one.title} left {len(sizes):,} objects of {sum(sizes):,} bytes. It said:\n{told(task.folder)}")
            lines[one.name].runs.append(run)
            lines[one.name].said = one.said(task)
            say(f"{row}, {one.title}: {run.wall_s:.2f} s, {run.cpu_s:.2f} s CPU")
            target.delete_container()
    track.lines += lines.values()
    return lines


def _fill(place: Place, bucket: Bucket, data: Path) -> None:
    s3 = boto3.client(
        "s3", endpoint_url=place.s3_url, region_name="us-east-1", aws_access_key_id=_KEYS[0], aws_secret_access_key=_KEYS[1],
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=16),
    )  # fmt: skip
    s3.create_bucket(Bucket=bucket.name)
    with data.open("rb") as file:
        known = file.read(bucket.size_bytes)
    with ThreadPoolExecutor(16) as threads:
        put = [threads.submit(s3.put_object, Bucket=bucket.name, Key=f"part-{number:08d}.bin", Body=known) for number in range(bucket.count)]
        for one in put:
            one.result()


@contextmanager
def seaweed(memory: Path) -> Iterator[str]:
    """SeaweedFS with an S3 gateway, its files in memory; yields its URL."""
    folder = memory / "weed"
    folder.mkdir()
    ports = {name: _free_port() for name in ("master", "volume", "filer", "s3")}
    words = [program("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=300", "-master.volumeSizeLimitMB=1024"]
    words += ["-master.telemetry=false", "-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    words += [*(f"-{name}.port={port}" for name, port in ports.items())]
    words += [f"-{name}.port.grpc={_free_port()}" for name in ports]
    keys = {"AWS_ACCESS_KEY_ID": _KEYS[0], "AWS_SECRET_ACCESS_KEY": _KEYS[1]}
    with (memory / "weed.log").open("wb") as log:
        process = subprocess.Popen(words, env={**os.environ, **keys}, stdout=log, stderr=log)
    try:
        _until_open(ports["s3"], process)
        yield f"http://127.0.0.1:{ports['s3']}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def box_adls(memory: Path) -> Iterator[str]:
    """The ADLS of the box, its files in memory; yields its URL."""
    folder = memory / "adls"
    folder.mkdir()
    words = [sys.executable, "-m", "embedded.adls", "--port", "0", "--root", str(folder), "--account", f"{_ACCOUNT}={_KEY}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield (process.stdout.readline() if process.stdout else "").split()[1]
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("SeaweedFS did not start.")
