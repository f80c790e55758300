"""The upload benchmark: its table is complete, and whoever did not do the work is told so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.queue.measuring import ROOT
from bench.transfer.measuring import Run
from bench.transfer.racing import WrongResult
from bench.upload.__main__ import Bench, Line
from bench.upload.files import Files
from bench.upload.targets import Target, null_target

FEW = Files("few", 5, 3000)


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with null_target(tmp_path_factory.mktemp("null")) as target:
        yield target


def test_no_two_files_are_alike_and_each_run_makes_the_same(tmp_path: Path) -> None:
    FEW.make(tmp_path / "one")
    FEW.make(tmp_path / "two")
    contents = [(tmp_path / "one" / FEW.key(number)).read_bytes() for number in range(5)]
    assert len(set(contents)) == 5 and {len(content) for content in contents} == {3000}
    assert contents == [(tmp_path / "two" / FEW.key(number)).read_bytes() for number in range(5)]


def test_an_upload_that_is_not_what_the_files_are_does_not_count(null: Target, tmp_path: Path) -> None:
    FEW.make(tmp_path / "few")
    contents = [(tmp_path / "few" / FEW.key(number)).read_bytes() for number in range(5)]
    s3 = null._client()
    with null.bucket("looked-at") as bucket:
        for number, content in enumerate(contents[:-1]):
            s3.put_object(Bucket=bucket, Key=FEW.key(number), Body=content, ChecksumAlgorithm="CRC64NVME")
        with pytest.raises(WrongResult, match=r"4 objects are in the bucket instead of 5"):
            null.look(bucket, FEW, tmp_path / "few")
        s3.put_object(Bucket=bucket, Key=FEW.key(4), Body=contents[4][:-1])
        with pytest.raises(WrongResult, match=r"file-000004.bin has 2,999 bytes instead of 3,000"):
            null.look(bucket, FEW, tmp_path / "few")
        s3.put_object(Bucket=bucket, Key=FEW.key(4), Body=contents[3], ChecksumAlgorithm="CRC64NVME")
        with pytest.raises(WrongResult, match=r"file-000004.bin was sent with another crc64nvme"):
            null.look(bucket, FEW, tmp_path / "few")
        s3.put_object(Bucket=bucket, Key=FEW.key(4), Body=contents[4], ChecksumAlgorithm="CRC64NVME")
        null.look(bucket, FEW, tmp_path / "few")


def test_the_verdict_is_against_the_best_of_the_others_with_and_without_the_start_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tmp_path, 1, [FEW], [])
    lines = {name: Line("row", name, FEW) for name in ("ours", "fast", "slow")}
    for name, wall_s, start_s in (("ours", 3.0, 1.5), ("fast", 2.0, 0.1), ("slow", 9.0, 8.9)):
        lines[name].runs, lines[name].start_ups = [Run(wall_s, wall_s)], [Run(start_s, start_s)]
    bench._judge("row", lines)
    told = {figure.what: (figure.ours, figure.reached) for figure in bench.found}
    assert told["row: wall, without start-up"] == ("1.50 s (slow: 0.10 s)", False)
    assert told["row: wall, start-up included"] == ("3.00 s (fast: 2.00 s)", False)
    lines["slow"].start_ups = [Run(1.0, 1.0)]
    bench.found.clear()
    bench._judge("row", lines)
    assert {figure.what: figure.reached for figure in bench.found}["row: wall, without start-up"] is True


def test_a_quick_look_tells_every_contestant(tmp_path: Path) -> None:
    words = ["--quick", "--only", "small-null", "--without", "aws", "--without", "s5cmd", "--json", str(tmp_path / "told.json")]
    ran = subprocess.run([sys.executable, "-m", "bench.upload", *words], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    told = json.loads((tmp_path / "told.json").read_text())
    lines = {(line["row"], line["who"]): line["said"] for line in told["lines"]}
    row = "200 × 16 KiB → null server"
    assert lines == {(row, "ours, CRC64 proved"): "200 streamed", (row, "rclone, MD5"): ""}
    assert (told["failed"], len(told["figures"])) == ([], 4)
