"""The null source and sink (`server/*.c`): compiled when it is needed, started on free ports, asked what it saw."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from awscrt.checksums import crc64nvme

SOURCES = Path(__file__).parent / "server"
ACCOUNT = "benchaccount"
KEY = "YmVuY2ggYWNjb3VudCBrZXkgb2YgdGhlIG51bGwgc2luaw=="
"""Nobody checks it."""
INSTALL = "apt-get install gcc libc6-dev libssl-dev"
_DATA_BYTES = 160 << 20
_CHANGED_AT = 16 << 20


class NoCompiler(RuntimeError):
    """The null source and sink is C, and nothing here compiles C."""


@dataclass(frozen=True)
class Bucket:
    """Objects of one size with the same bytes: `part-00000000.bin` and so on. With `changed` (0 to 100), so many of each hundred have others."""

    name: str
    count: int
    size_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.count * self.size_bytes


def compiled(folder: Path) -> tuple[Path, bool]:
    """Compile it; returns the program, and whether it speaks TLS.

    Raises:
        NoCompiler: there is none, or it fails; tells what to install.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NoCompiler(f"There is no C compiler (gcc or cc) for the null source and sink. Install one: {INSTALL}")
    program = folder / "nullsrv"
    command = [compiler, "-O2", "-o", str(program), *map(str, sorted(SOURCES.glob("*.c"))), "-lpthread"]
    if subprocess.run([*command, "-lssl", "-lcrypto"], capture_output=True, check=False).returncode == 0:
        return program, True
    print(f"There are no headers of OpenSSL, so the TLS rows are left out. Install them: {INSTALL}", file=sys.stderr, flush=True)
    told = subprocess.run([*command, "-DNO_TLS"], capture_output=True, text=True, check=False)
    if told.returncode:
        raise NoCompiler(f"{compiler} cannot compile {SOURCES}:\n{told.stderr[-2000:]}\nIt needs the headers of the C library: {INSTALL}")
    return program, False


def make_data(path: Path) -> None:
    """The file that all objects are pieces of: bytes that do not compress, the same in every run."""
    path.write_bytes(hashlib.shake_128(b"the known bytes").digest(1 << 20) * (_DATA_BYTES >> 20))
    with path.open("r+b") as file:
        for number in range(_DATA_BYTES >> 20):  # no two MiB are equal: swapped blocks show
            file.seek(number << 20)
            file.write(number.to_bytes(8, "little"))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    paths = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    subprocess.run([*made, "-out", str(paths[0]), "-keyout", str(paths[1])], check=True, capture_output=True)
    return paths


def configuration(data: Path, buckets: Sequence[Bucket]) -> str:
    lines = [f"data {data}"]
    with data.open("rb") as file:
        known = file.read()
    for bucket in buckets:
        contents = [known[at : at + bucket.size_bytes] for at in (0, _CHANGED_AT)]
        told = [(at, hashlib.md5(piece).hexdigest(), f"{crc64nvme(piece):016x}") for at, piece in zip((0, _CHANGED_AT), contents, strict=True)]
        lines.append(" ".join(map(str, ("bucket", bucket.name, bucket.count, bucket.size_bytes, *told[0], *told[1]))))
    return "\n".join(lines) + "\n"


class NullServer:
    """A running one. `url` and `tls_url` ('' without TLS) are S3; an account of Azure lies below them."""

    def __init__(self, process: subprocess.Popen[str], ports: tuple[int, int], ca_file: Path | None) -> None:
        self.process, self.ca_file = process, ca_file
        self._port = ports[0]
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.tls_url = f"https://127.0.0.1:{ports[1]}" if ports[1] else ""

    def _ask(self, method: str, target: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{method} {target}: {response.status} {body.decode(errors='replace')[:300]}")
        return body

    def counters(self) -> dict[str, int]:
        """What was asked since the last `zero`, by kind, and payload bytes in both directions."""
        return dict(json.loads(self._ask("GET", "/-/counters")))

    def zero(self) -> None:
        self._ask("POST", "/-/zero")

    def change(self, bucket: str, percent: int) -> None:
        """From now on so many of each hundred objects have other bytes, another ETag and a later time."""
        self._ask("POST", f"/-/phase?bucket={bucket}&changed={percent}")

    def wait(self, milliseconds: int) -> None:
        """From now on every answer comes so much later, as if the server were far away."""
        self._ask("POST", f"/-/latency?ms={milliseconds}")

    def container(self, name: str) -> dict[str, int]:
        """What is in a container, and what was done twice there."""
        return dict(json.loads(self._ask("GET", f"/-/container?name={quote(name)}")))

    def forget(self, container: str) -> None:
        self._ask("DELETE", f"/{ACCOUNT}/{container}?restype=container")

    def environment(self, tls: bool = False) -> dict[str, str]:
        """The well-known variables that lead SDKs and our portal here."""
        url = self.tls_url if tls else self.url
        trust = {name: str(self.ca_file) for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")} if tls else {}
        return {
            "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench-secret",
            "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_ENDPOINT": f"{url}/{ACCOUNT}", **trust,
        }  # fmt: skip


@contextmanager
def serving(folder: Path, buckets: Sequence[Bucket], data: Path | None = None) -> Iterator[NullServer]:
    """Compile and run it; it ends with the block, and with this process however that ends.

    Args:
        folder: where the program, its configuration and what it says go.
        data: a file from `make_data`, best on a file system in memory; made in `folder` when there is none.
    """
    program, has_tls = compiled(folder)
    data = data or folder / "known-bytes"
    if not data.exists():
        make_data(data)
    config = folder / "nullsrv.conf"
    config.write_text(configuration(data, buckets))
    given = certificate(folder) if has_tls and shutil.which("openssl") else ()
    with (folder / "nullsrv.log").open("ab") as log:
        process = subprocess.Popen([str(program), str(config), *map(str, given)], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline().split() if process.stdout else []
        if len(line) != 3:
            raise RuntimeError(f"The null source and sink did not start: {(folder / 'nullsrv.log').read_text('utf-8', 'replace')[-1000:]}")
        yield NullServer(process, (int(line[1]), int(line[2])), given[0] if given else None)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def memory_folder() -> Path | None:
    """A folder that lies in memory, if there is one: the disk must not be what is measured."""
    place = Path("/dev/shm")
    return place if place.is_dir() and os.access(place, os.W_OK) else None


def unexpected(counters: Mapping[str, int], log: Path) -> str:
    """What a client asked that the server does not do, or ''."""
    return log.read_text("utf-8", "replace")[-500:] if counters.get("not_made") else ""
