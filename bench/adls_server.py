"""How fast the ADLS server of the box takes uploads: one connection, CRC64 checked, no client in the way.

`python -m bench.adls_server [--mib 1024] [--block-mib 8] [--small 2000] [--rounds 3]` prints MB/s, and wall and CPU seconds of the
server, a line a round: the first one pays for memory that the machine has not touched before.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from awscrt.checksums import crc64nvme

ACCOUNT, KEY = "benchaccount", base64.b64encode(b"k" * 64).decode()


def request(connection: http.client.HTTPConnection, method: str, target: str, body: bytes = b"", **headers: str) -> int:
    """One signed request; its status."""
    fields = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2026-10-06"} | {n.replace("_", "-"): v for n, v in headers.items()}
    path, _, query = target.partition("?")
    canonical = "".join(f"{name}:{fields[name]}\n" for name in sorted(fields) if name.startswith("x-ms-"))
    resource = f"/{ACCOUNT}{path}" + "".join("\n" + pair.replace("=", ":", 1) for pair in sorted(query.split("&")) if pair)
    length = str(len(body)) if body else ""
    text = f"{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{canonical}{resource}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    connection.request(method, target, body, {**fields, "Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": str(len(body))})
    response = connection.getresponse()
    answer = response.read()
    if response.status >= 300:
        raise RuntimeError(f"{method} {target}: {response.status} {answer.decode(errors='replace')[:300]}")
    return response.status


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, name: str, work: Callable[[], None]) -> tuple[float, float]:
    started, cpu = time.perf_counter(), cpu_s(pid)
    work()
    wall, used = time.perf_counter() - started, cpu_s(pid) - cpu
    print(f"{name:<34} {wall:7.2f} s wall {used:7.2f} s server CPU", end="")
    return wall, used


def run(port: int, pid: int, mib: int, block_mib: int, small: int, number: int) -> None:
    """One round, in a container of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, blocksize=1 << 20)
    base = f"/{ACCOUNT}/bench{number}"
    request(connection, "PUT", f"{base}?restype=container")
    block = os.urandom(block_mib << 20)
    crc = base64.b64encode(crc64nvme(block).to_bytes(8, "little")).decode()
    count = max(1, mib // block_mib)

    def blocks() -> None:
        names = [base64.b64encode(b"%06d" % number).decode() for number in range(count)]
        for name in names:
            request(connection, "PUT", f"{base}/big?blockid={name}&comp=block", block, x_ms_content_crc64=crc)
        body = "<BlockList>" + "".join(f"<Latest>{name}</Latest>" for name in names) + "</BlockList>"
        request(connection, "PUT", f"{base}/big?comp=blocklist", body.encode())

    def appends() -> None:
        request(connection, "PUT", f"{base}/appended?resource=file")
        for number in range(count):
            target = f"{base}/appended?action=append&position={number * len(block)}"
            request(connection, "PATCH", target, block, x_ms_content_crc64=crc)
        request(connection, "PATCH", f"{base}/appended?action=flush&position={count * len(block)}")

    def puts() -> None:
        for number in range(small):
            request(connection, "PUT", f"{base}/small/{number}", b"x" * 1024, x_ms_blob_type="BlockBlob")

    for name, work in (("Put Block, CRC64", blocks), ("dfs append + flush, CRC64", appends)):
        wall, _ = measure(pid, f"{name}, {count} x {block_mib} MiB", work)
        print(f" {count * len(block) / 1e6 / wall:8.0f} MB/s")
    wall, _ = measure(pid, f"Put Blob, {small} x 1 KiB", puts)
    print(f" {small / wall:8.0f} /s")
    request(connection, "DELETE", f"{base}?restype=container")
    connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="MiB of the large upload")
    parser.add_argument("--block-mib", type=int, default=8, help="MiB of a block")
    parser.add_argument("--small", type=int, default=2000, help="number of small blobs")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "embedded.adls", "--root", root, "--account", f"{ACCOUNT}={KEY}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                line = server.stdout.readline() if server.stdout else ""
                for number in range(arguments.rounds):
                    run(int(line.rpartition(":")[2]), server.pid, arguments.mib, arguments.block_mib, arguments.small, number)
            finally:
                server.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
