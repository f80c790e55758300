"""What becomes of files after their job: where done ones lie, what a job left, batches that were begun, jobs that fail one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.folders import Box, contents

Boxes = Callable[..., Box]


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    with ExitStack() as made:

        def make(on: dict[str, Any] | None = None, **changes: Any) -> Box:
            found = Box(tmp_path, on or {}, changes)
            made.callback(found.close)
            return found

        yield make


def test_what_has_been_done_is_not_taken_again_where_it_lies_in_the_watched_folder(boxes: Boxes, tmp_path: Path) -> None:
    box = boxes(engine="upload", params={"target": "s3://sales/", "done_folder": f"file://{tmp_path}/data/Watch/done/"})
    box.drop("a")
    box.drop("done/before")
    (job,) = box.settled()
    assert box.files(job) == {"a": "x"} and contents(box.watched) == {"done/before": "x"}
