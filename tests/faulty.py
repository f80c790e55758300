"""What the fault tests share: both clouds behind proxies, objects of known bytes, and what must hold whatever happened."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.stores.base import walk
from tests.proxy import Proxy, Rule, Upstream
from tests.servers import Server
from tests.transferring import Clouds, Ran, get, put

BLOCK = 128 << 10
SMALL, LARGE = 3_000, 5 * BLOCK
VERIFIED = {"read-back", "end-to-end", "streamed"}
LONGEST_S = 60.0
"""No fault may hold a transfer up for longer."""


@dataclass
class Field:
    """A bucket and a container, each behind a proxy of its own."""

    clouds: Clouds
    s3: Proxy
    adls: Proxy
    objects: Mapping[str, bytes]

    def migrate(self, *, of_s3: list[Rule] | None = None, of_adls: list[Rule] | None = None, **params: Any) -> Ran:
        """Migrate everything with faults on the way; whatever comes of it, what `account` says must hold."""
        self.s3.rules, self.adls.rules = of_s3 or [], of_adls or []
        began = time.monotonic()
        try:
            ran = self.clouds.migrate(**{"formats": ["any"], "block_bytes": BLOCK, **params})
        finally:
            self.s3.rules, self.adls.rules = [], []
        assert time.monotonic() - began < LONGEST_S, "the transfer was held up"
        self.account(ran)
        return ran

    def account(self, ran: Ran) -> None:
        """The books balance, every object that is said to be there is there byte for byte, and nothing else is."""
        counts = ran.result["counts"]
        told = sum(counts.get(name, 0) for name in ("copied", "converted", "skipped", "failed", "excluded"))
        assert told == counts["listed"] == len(ran.rows), counts
        there = {info.key: get(self.clouds.adls, info.key) for info in walk(self.clouds.adls) if not info.is_folder}
        copied = {row["target_key"]: row for row in ran.rows.values() if row["outcome"] == "copied"}
        for key, row in copied.items():
            assert there[key] == get(self.clouds.s3, row["source_key"]), f"{key} holds other bytes than its source"
            assert row["proof"] in VERIFIED, row
        for row in ran.rows.values():
            if row["outcome"] == "failed":
                assert row["reason"] and row["cause"] not in ("", None), row
        assert set(there) <= set(copied) | self.before, "something is at the target that nobody told of"

    @property
    def before(self) -> set[str]:
        return getattr(self, "_before", set())

    def put_target(self, key: str, data: bytes) -> None:
        """Something that was there already."""
        put(self.clouds.adls, key, data)
        self._before = {*self.before, key}


@contextlib.contextmanager
def field(home: Path, s3_server: Server, adls_server: Server, name: str, sizes: Mapping[str, int]) -> Iterator[Field]:
    """Fill a bucket with objects of the sizes told, each with its CRC64NVME, behind proxies."""
    with Proxy(Upstream.of(s3_server.url)) as s3, Proxy(Upstream.of(adls_server.url)) as adls:
        clouds = Clouds.behind(home, s3, adls, name)  # type: ignore[arg-type]
        objects = {key: random.Random(key).randbytes(size) for key, size in sizes.items()}
        for key, data in objects.items():
            put(clouds.s3, key, data)
        yield Field(clouds, s3, adls, objects)
        clouds.close()
