"""A launcher of a war: submits its share of the plan in a loop and writes down what was acknowledged. `python -m tests.war.launcher`.

Killed and started again it submits once more what it has no acknowledgement of, under the same key: as every careful client does.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from portal import settings
from portal.spool import Spool
from tests.war import plan, skew
from tests.war.field import Field

__all__ = ["skew"]

AHEAD = 40
"""Jobs that may wait before a launcher submits more: a war is fought while there is work."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--seed", "--jobs", "--number", "--of"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    asked = parser.parse_args()
    field, spool = Field(asked.home), Spool(settings.load(asked.home))
    name = f"launcher-{asked.number}"
    done = {key for key, _ in field.acknowledged(name)}
    for planned in plan.make(asked.seed, asked.jobs, field.witnesses)[asked.number :: asked.of]:
        if planned.key in done:
            continue
        while spool.counts()["queued"] >= AHEAD:
            time.sleep(0.05)
        field.acknowledge(name, planned.key, spool.submit(planned.job()).id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
