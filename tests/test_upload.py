"""The upload engine end to end: files of this machine → S3 or ADLS, announced by SQS, put away; on real servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portal.connections import Connections
from portal.notices import message
from portal.notices.message import Notice
from portal.notices.sqs import NoticeQueue
from tests.transferring import Clouds, Ran, keys

AT = "2026-11-21T23:30:00Z"
DAY = "2026/11/21"


@dataclass
class Shop:
    """A folder that files are dropped into, one beside it for those that are done, and a queue."""

    clouds: Clouds
    folder: Path
    done: Path
    queue: str

    def drop(self, name: str, content: bytes | str = b"a,b\n1,2\n") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def upload(self, job: Any = None, **params: Any) -> Ran:
        given = {"source": f"file://{self.folder}/", "target": f"{self.clouds.bucket}/", "moment": AT, **params}
        return self.clouds.run("upload", job, **{name: value for name, value in given.items() if value is not None})

    def announced(self, **params: Any) -> Ran:
        """Upload, announce, move."""
        return self.upload(**{"queue": self.queue, "create_queue": True, "after": "move", "done_folder": f"file://{self.done}", **params})

    def opened(self) -> NoticeQueue:
        return NoticeQueue.open(Connections.load(self.clouds.config).get("s3"), self.queue)

    def notices(self) -> list[Notice]:
        """Everything that the queue holds; it is empty then."""
        found: list[Notice] = []
        with self.opened() as queue:
            while messages := queue.receive(wait_s=0):
                found += [notice for one in messages for notice in message.read(one.body).notices]
                queue.delete([one.receipt for one in messages])
        return found

    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())

    def put_away(self) -> list[str]:
        return sorted(str(path.relative_to(self.done)) for path in self.done.rglob("*") if not path.is_dir())


@pytest.fixture
def shop(clouds: Clouds, unique: str) -> Shop:
    folder = clouds.home / "data" / "watch"
    folder.mkdir()
    return Shop(clouds, folder, clouds.home / "data" / "done", f"q-{unique}")


def test_a_file_goes_to_the_key_that_the_template_makes(shop: Shop) -> None:
    shop.drop("sales.csv")
    ran = shop.upload()
    assert (ran.code, ran.counts) == (0, {"listed": 1, "copied": 1})
    assert keys(shop.clouds.s3) == [f"Raw/Local/CSV/sales/{DAY}/sales.csv"]
    assert shop.clouds.s3.stat(keys(shop.clouds.s3)[0]).checksums["crc64nvme"] == ran.table[0]["crc64nvme"]
    assert shop.left() == ["sales.csv"]


def test_what_arrived_is_announced_and_moved(shop: Shop) -> None:
    for n in range(25):
        shop.drop(f"part/{n}.csv", f"a\n{n}\n")
    ran = shop.announced(dataset="orders")
    assert (ran.code, ran.counts) == (0, {"listed": 25, "copied": 25, "announced": 25, "put_away": 25})
    found = {notice.key: notice for notice in shop.notices()}
    assert set(found) == {f"Raw/Local/CSV/orders/{DAY}/{n}.csv" for n in range(25)} == set(keys(shop.clouds.s3))
    one = found[f"Raw/Local/CSV/orders/{DAY}/7.csv"]
    info = shop.clouds.s3.stat(one.key)
    assert (one.size_bytes, one.etag, one.crc64nvme) == (info.size_bytes, info.etag, info.checksums["crc64nvme"])
    assert (one.job, one.source, str(one.url)) == (ran.job.job_id, f"file://{shop.folder}/part/7.csv", f"{shop.clouds.bucket}/{one.key}")
    assert (shop.left(), shop.put_away()) == ([], sorted(f"part/{n}.csv" for n in range(25)))
