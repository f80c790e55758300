"""The same as test_chain, smaller, at an S3 that checks signatures and checksums. A file of its own, as both take long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain.chain import Orders, fight
from tests.chain.places import Places, Service
from tests.servers import Server
from tests.weed import KEYS


@pytest.mark.timeout(200)
def test_every_file_arrives_once_at_an_s3_that_checks_what_it_gets(tmp_path: Path, strict_s3: str, sqs_server: Server, unique: str) -> None:
    places = Places(tmp_path, Service(strict_s3, KEYS["access_key_id"], KEYS["secret_access_key"]), Service(sqs_server.url), unique)
    report = fight(places, Orders(files=150, kills=6, seed=21, dropped_in_s=3, batch=40, limit_s=170))
    assert report.wrong == [], report.figures
