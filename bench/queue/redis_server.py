"""A real redis-server for the bench alone, on a Unix socket in its own folder, that forces each write to the disk before it answers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from bench.queue.measuring import until
from portal import processes

INSTALL = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "redis-server"])
HOW = "sudo apt-get update && sudo apt-get install -y redis-server"
OPTIONS = ("--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning")
_START_S = 20.0


def available() -> bool:
    """Tell whether there is a redis-server; as root, install it when it is missing."""
    if shutil.which("redis-server"):
        return True
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing redis-server for the comparison …", flush=True)
        try:
            for command in INSTALL:
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Installing redis-server failed: {error}.", file=sys.stderr)
    return shutil.which("redis-server") is not None


def socket_in(folder: Path) -> Path:
    return folder / "redis.sock"


@contextmanager
def serving(folder: Path, before: Sequence[str] = ()) -> Iterator[int]:
    """Run the server; yields its pid. `before` is put in front of its command: a tracer."""
    place = socket_in(folder)
    with (folder / "redis.log").open("ab") as output:
        command = [*before, "redis-server", *OPTIONS, "--unixsocket", str(place), "--dir", str(folder)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        if not until(lambda: server.poll() is not None or _answers(place), _START_S) or server.poll() is not None:
            raise RuntimeError(f"redis-server did not start:\n{(folder / 'redis.log').read_text('utf-8', 'replace')[-2000:]}")
        yield server.pid
    finally:
        # A tracer leaves when its command does, but not the other way round.
        processes.send(processes.descendants(server.pid) or {server.pid}, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(place: Path) -> bool:
    try:
        with closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(1)
            probe.connect(str(place))
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
    except OSError:
        return False
