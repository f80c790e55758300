"""Files dropped while whoever works on them is killed at random: each uploaded once, announced, fetched once, none left. `make war`: ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.chain import drops
from tests.chain.chain import Orders, fight
from tests.chain.places import Places, Service
from tests.servers import Server
from tests.weed import KEYS


@pytest.fixture(scope="module")
def sqs_server() -> Iterator[Server]:
    """An SQS of its own: the S3 of the others has enough to do."""
    server = servers.start("embedded.s3")
    yield server
    servers.stop(server)


@pytest.mark.timeout(300)  # two minutes on a machine that does nothing else
def test_every_file_arrives_once_whoever_is_killed(tmp_path: Path, s3_server: Server, sqs_server: Server, unique: str) -> None:
    places = Places(tmp_path, Service(s3_server.url), Service(sqs_server.url), unique)
    report = fight(places, Orders(files=2_000, kills=30, seed=20, dropped_in_s=15, limit_s=270))
    assert report.wrong == [], report.figures


@pytest.mark.timeout(200)
def test_every_file_arrives_once_at_an_s3_that_checks_what_it_gets(tmp_path: Path, strict_s3: str, sqs_server: Server, unique: str) -> None:
    places = Places(tmp_path, Service(strict_s3, KEYS["access_key_id"], KEYS["secret_access_key"]), Service(sqs_server.url), unique)
    report = fight(places, Orders(files=300, kills=10, seed=21, dropped_in_s=5, batch=80, limit_s=170))
    assert report.wrong == [], report.figures


def test_no_two_files_have_one_path_and_some_of_each_sort_are_dropped() -> None:
    """Else the chain proves less than it says."""
    numbers = range(2_000)
    paths = {drops.path_of(number) for number in numbers}
    assert len(paths) == 2_000
    assert any("☃" in path for path in paths) and any(len(Path(path).name.encode()) > 200 for path in paths)
    sizes = [len(drops.content_of(number)) for number in numbers]
    assert (min(sizes), sum(size > 8 << 20 for size in sizes), sum(map(drops.is_slow, numbers))) == (0, 2, 21)
