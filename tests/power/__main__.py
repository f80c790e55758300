"""Print what is visited of each scenario: `python -m tests.power [--all] [NAME …]`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.power.cutting import Lab
from tests.power.scenarios import KILLED, SCENARIOS
from tests.power.states import MOST, MOST_OF_ALL


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the scenarios (default: all of them)")
    parser.add_argument("--all", action="store_true", help="look at every leftover at every moment, and sample far later")
    arguments = parser.parse_args()
    broken = disks = possible = 0
    with Lab.opened() as lab:
        plays = [(lab.play, scenario) for scenario in SCENARIOS] + [(lab.play_on, scenario) for scenario in KILLED]
        for play, scenario in plays:
            if arguments.names and not any(name in scenario.name for name in arguments.names):
                continue
            begun = time.process_time()
            report = play(scenario, most=MOST_OF_ALL if arguments.all else MOST, thorough=arguments.all)
            print(f"{report}, {time.process_time() - begun:.1f} s of CPU", flush=True)
            for text in report.faults.values():
                print(f"  BROKEN {text}")
            broken, disks, possible = broken + len(report.faults), disks + report.disks, possible + report.possible
    print(f"{disks} disks recovered of {possible} possible ones, {broken} promises broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
