"""Some files of an upload fail for a reason that may pass: they lie in a folder of that job's own, so the job itself comes back for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proxy import Proxy, Rule, Upstream, asks, faults
from tests.servers import Server
from tests.transferring import Clouds, keys


@dataclass
class Shaky:
    """An S3 behind a proxy, and a folder."""

    clouds: Clouds
    proxy: Proxy
    folder: Path


@pytest.fixture
def shaky(hasty: None, home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[Shaky]:
    with Proxy(Upstream.of(s3_server.url)) as proxy:
        clouds = Clouds.behind(home, proxy, adls_server, unique)  # type: ignore[arg-type]
        folder = home / "data" / "queued"
        folder.mkdir()
        for name in ("a.csv", "b.csv", "c.csv"):
            (folder / name).write_text(name)
        yield Shaky(clouds, proxy, folder)
        clouds.close()


def test_what_may_pass_has_the_job_try_again_and_only_what_is_left(shaky: Shaky) -> None:
    params = {
        "source": f"file://{shaky.folder}/", "target": f"{shaky.clouds.bucket}/", "template": "{path}", "after": "move",
        "done_folder": f"file://{shaky.folder.parent}/done/",
    }  # fmt: skip
    job = shaky.clouds.context(job_id="01M80AW0A9PF7Q4EB3NTHCZ3VP")
    rule = Rule(faults.answer(500, "InternalError"), asks("PUT", r"/b\.csv"), times=99)
    shaky.proxy.rules = [rule]
    first = shaky.clouds.run("upload", job, **params)
    assert rule.hits
    assert (first.code, first.result["error"]["retryable"]) == (1, True)
    assert "1 of 3 files did not arrive" in first.result["error"]["message"] and "b.csv" in first.result["error"]["message"]
    assert (first.counts["copied"], first.counts["failed"]) == (2, 1)
    assert [path.name for path in shaky.folder.iterdir()] == ["b.csv"]
    shaky.proxy.rules = []
    again = shaky.clouds.context(job_id=job.job_id, attempt=2)
    for path in job.folder.iterdir():
        path.rename(again.folder / path.name)
    second = shaky.clouds.run("upload", again, **params)
    assert (second.code, second.result["outcome"], second.counts["copied"]) == (0, "succeeded", 3)
    assert keys(shaky.clouds.s3) == ["a.csv", "b.csv", "c.csv"] and not any(shaky.folder.iterdir())


def test_what_cannot_pass_leaves_a_partial_job(shaky: Shaky) -> None:
    rule = Rule(faults.answer(403, "AccessDenied"), asks("PUT", r"/b\.csv"), times=99)
    shaky.proxy.rules = [rule]
    ran = shaky.clouds.run("upload", source=f"file://{shaky.folder}/", target=f"{shaky.clouds.bucket}/", template="{path}")
    assert (ran.code, ran.result["outcome"], ran.counts["failed"]) == (3, "partial", 1)
