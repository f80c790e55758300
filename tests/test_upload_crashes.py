"""Uploads that die at any step: the next attempt does what is left, and every file is uploaded, announced and moved, none lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.ledger import ledger
from tests.transferring import get, keys, put
from tests.upload_crashes import DIED, POINTS
from tests.uploading import Shop, shop

__all__ = ["shop"]

ROOT = Path(__file__).resolve().parent.parent
FILES = 13
NO_MORE_THAN_ONE_REQUEST = 10


@pytest.fixture(scope="module")
def forks() -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.upload_crashes"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with child:
        yield child


def asked(forks: subprocess.Popen[str], case: dict[str, Any]) -> int:
    assert forks.stdin
    assert forks.stdout
    forks.stdin.write(json.dumps(case) + "\n")
    forks.stdin.flush()
    return int(forks.stdout.readline())


def as_dropped(name: str) -> str:
    return re.sub("~[0-9a-f]{16}", "", name)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("point", "nth"), [(point, 7 if point in ("the rename", "what was moved") else 1) for point in POINTS])
def test_a_death_at_any_step_loses_nothing(shop: Shop, forks: subprocess.Popen[str], point: str, when: str, nth: int) -> None:
    content = {f"{n % 3}/{n}.csv": f"file {n}".encode() for n in range(FILES)}
    for name, data in content.items():
        shop.drop(name, data)
    put(shop.clouds.s3, "2026-11-21/1/4.csv", "another object")
    (shop.done / "2").mkdir(parents=True)
    (shop.done / "2/5.csv").write_text("another file")
    folder = shop.clouds.home / "logs" / "job"
    folder.mkdir()
    places = {"source": f"file://{shop.folder}/", "target": f"{shop.clouds.bucket}/", "template": "{date}/{path}"}
    params = {**places, "overwrite": "apart", **shop.moving}
    case = {"home": str(shop.clouds.home), "folder": str(folder), "job": "job", "params": {**params, "processes": 1}, "when": when, "nth": nth}
    assert asked(forks, {**case, "attempt": 1, "point": point}) == DIED
    assert len(shop.left() + shop.put_away()) == FILES + 1, "a file is nowhere, or twice"
    assert asked(forks, {**case, "attempt": 2, "point": ""}) == 0
    assert (shop.left(), sorted(map(as_dropped, shop.put_away()))) == ([], sorted([*content, "2/5.csv"]))
    assert sorted((shop.done / name).read_bytes() for name in shop.put_away()) == sorted([*content.values(), b"another file"])
    objects = {key: get(shop.clouds.s3, key) for key in keys(shop.clouds.s3)}
    assert objects.pop("2026-11-21/1/4.csv") == b"another object"
    assert {as_dropped(key.partition("/")[2]): data for key, data in objects.items()} == content and len(objects) == FILES
    told = [notice.key for notice in shop.notices()]
    assert set(told) == set(objects)
    assert len(told) - len(set(told)) <= NO_MORE_THAN_ONE_REQUEST * 4, "more than what was under way was announced again"
    counts = json.loads((folder / "result-2.json").read_text())["counts"]
    assert (counts["listed"], counts["copied"] + counts["skipped"], counts["moved"], counts.get("gone", 0)) == (FILES, FILES, FILES, 0)
    rows = ledger.read(folder / ledger.LEDGER_FILE).to_pylist()
    assert sorted(row["source_key"] for row in rows) == sorted(f"{str(shop.folder).lstrip('/')}/{name}" for name in content)
