"""Files dropped while whoever works on them is killed at random: each uploaded once, announced, fetched once, none left. `make war`: ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain import drops
from tests.chain.chain import Orders, fight
from tests.chain.places import Places, Service
from tests.servers import Server


@pytest.mark.timeout(300)  # a minute on a machine that does nothing else
def test_every_file_arrives_once_whoever_is_killed(tmp_path: Path, s3_server: Server, sqs_server: Server, unique: str) -> None:
    places = Places(tmp_path, Service(s3_server.url), Service(sqs_server.url), unique)
    report = fight(places, Orders(files=700, kills=14, seed=20, dropped_in_s=6, limit_s=270))
    assert report.wrong == [], report.figures


def test_no_two_files_have_one_path_and_some_of_each_sort_are_dropped() -> None:
    """Else the chain proves less than it says."""
    numbers = range(700)
    paths = {drops.path_of(number) for number in numbers}
    assert len(paths) == 700
    assert any("☃" in path for path in paths) and any(len(Path(path).name.encode()) > 200 for path in paths)
    sizes = [len(drops.content_of(number)) for number in numbers]
    assert (min(sizes), sum(size > 8 << 20 for size in sizes), sum(map(drops.is_slow, numbers))) == (0, 1, 8)
