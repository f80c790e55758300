"""`python -m tests.chain`: ten thousand files through the chain under fire, and its figures. Exit status 0 when all books balance."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests import servers
from tests.chain.chain import Orders, fight
from tests.chain.places import Places, Service


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chain", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="files that are dropped (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=120, help="processes that are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the same seed drops the same files in the same order (default: a new one)")
    parser.add_argument("--seconds", type=float, default=60, help="within about so many seconds all files are dropped (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=15, help="the chain is lost when it takes longer (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder though all is well")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    base = Path(tempfile.mkdtemp(prefix="portal-chain-"))
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "PORTAL_"))]:
        del os.environ[name]
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(base / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(base / "none")}
    print(f"chain: seed {seed}, {asked.files} files, {asked.kills} kills, in {base}", flush=True)
    s3, sqs = servers.start("embedded.s3"), servers.start("embedded.s3")
    try:
        report = fight(
            Places(base, Service(s3.url), Service(sqs.url), "chain"),
            Orders(asked.files, asked.kills, seed, asked.seconds, limit_s=asked.minutes * 60),
        )  # fmt: skip
    except TimeoutError as error:
        print(f"chain: {error}; the folder is kept: {base}", file=sys.stderr)
        return 1
    finally:
        servers.stop(s3)
        servers.stop(sqs)
    for name, value in report.figures.items():
        print(f"{name:<24} {value}")
    for problem in report.wrong:
        print(f"WRONG  {problem}", file=sys.stderr)
    if report.wrong:
        print(f"chain: {len(report.wrong)} things are wrong; the folder is kept: {base}", file=sys.stderr)
        return 1
    if not asked.keep:
        shutil.rmtree(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
