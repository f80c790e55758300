"""What the tests of uploads share: a folder that files are dropped into, one for those that are done, and a queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portal.connections import Connections
from portal.notices import message
from portal.notices.message import Notice
from portal.notices.sqs import NoticeQueue
from tests.transferring import Clouds, Ran

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

    @property
    def moving(self) -> Mapping[str, Any]:
        """Parameters that have files announced and moved."""
        return {"queue": self.queue, "create_queue": True, "after": "move", "done_folder": f"file://{self.done}"}

    def upload(self, job: Any = None, **params: Any) -> Ran:
        given = {"source": f"file://{self.folder}/", "target": f"{self.clouds.bucket}/", "moment": AT, **params}
        return self.clouds.run("upload", job, **{name: value for name, value in given.items() if value is not None})

    def announced(self, job: Any = None, **params: Any) -> Ran:
        """Upload, announce, move."""
        return self.upload(job, **{**self.moving, **params})

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
