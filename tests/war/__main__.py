"""`python -m tests.war`: a long war against the queue, and its figures. Exit status 0 when nothing was lost and nothing done twice."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.war.war import Orders, fight


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.war", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of the plan; follow-ups and retries come on top (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=500, help="processes that are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the same seed makes the same plan of jobs, not the same moments (default: a new one)")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--long-stops", type=int, default=4, help="how often somebody is stopped for one to two minutes (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=20, help="the war is lost when it takes longer (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the home folder though all is well")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    base = Path(tempfile.mkdtemp(prefix="portal-war-"))
    print(f"war: seed {seed}, {asked.jobs} jobs, {asked.kills} kills, in {base}", flush=True)
    orders = Orders(asked.jobs, asked.kills, seed, workers=asked.workers, long_stops=asked.long_stops, limit_s=asked.minutes * 60)
    try:
        report = fight(base, orders)
    except TimeoutError as error:
        print(f"war: {error}; the folder is kept: {base}", file=sys.stderr)
        return 1
    for name, value in report.figures.items():
        print(f"{name:<24} {value}")
    for problem in report.wrong:
        print(f"WRONG  {problem}", file=sys.stderr)
    if report.wrong:
        print(f"war: {len(report.wrong)} things are wrong; the folder is kept: {base}", file=sys.stderr)
        return 1
    if not asked.keep:
        shutil.rmtree(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
