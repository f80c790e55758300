"""`metrics`: figures for Prometheus, printed, served or written for the node exporter."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from portal.cli.parsing import PROGRAM, parser
from portal.errors import BadParameters, PortalError
from portal.metrics import figures
from portal.metrics.server import MetricsServer
from portal.settings import Settings

_ABOUT = """Print the queue's figures in Prometheus's text format: jobs by state, the age of the oldest, finished jobs by engine and outcome,
durations, bytes, workers, disks, and whether all is well. Labels are states, outcomes and engines: no user, job or credential is in them.

--listen serves /metrics, and /healthz (200 when `health` finds no problem, else 503), until it gets SIGTERM. Everybody who reaches the address may
read it, so it is 127.0.0.1 unless another one is given. --textfile is for the textfile collector of the node exporter, from a timer.

Totals of finished jobs come from the archive, so they go on where they were when this is started again. The first time every record is read once."""


def metrics(arguments: list[str], settings: Settings) -> int:
    """Print, serve or write the figures."""
    made = parser("metrics", _ABOUT, "[--listen [ADDRESS:]PORT | --textfile FILE]")
    where = made.add_mutually_exclusive_group()
    where.add_argument("--listen", metavar="[ADDRESS:]PORT", help="serve over HTTP: 9108, 10.0.0.5:9108, [::1]:9108; 0 takes any free port")
    where.add_argument("--textfile", metavar="FILE", help="write the file in one piece, readable for everybody; its name ends in .prom")
    given = made.parse_args(arguments)
    if given.listen is not None:
        server = MetricsServer(settings, *_address(given.listen))
        print(f"serving {server.url}/metrics", file=sys.stderr, flush=True)
        server.run()
    elif given.textfile is not None:
        _write(Path(given.textfile), figures.text(settings))
    else:
        sys.stdout.write(figures.text(settings).decode())
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16) or (text.startswith(":")):
        raise BadParameters(f"{text!r} is not an address to listen on.", hint="Write 9108 for 127.0.0.1, or 10.0.0.5:9108.")
    return host.strip("[]") or "127.0.0.1", int(port)


def _write(path: Path, text: bytes) -> None:
    if path.suffix != ".prom":
        raise BadParameters(f"{path} does not end in .prom.", hint=f"The node exporter reads no other: {PROGRAM} metrics --textfile portal.prom")
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fresh.write_bytes(text)
        os.chmod(fresh, 0o644)  # the node exporter is another user
        fresh.replace(path)
    except OSError as error:
        raise PortalError(f"{path} cannot be written.", hint="Its folder must be there and be writable for this user.") from error
    finally:
        fresh.unlink(missing_ok=True)
