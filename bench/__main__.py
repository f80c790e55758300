"""Runs the benchmarks: `python -m bench` all of them, `python -m bench NAME` one. Each prints its own table."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> int:
    there = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    wanted = sys.argv[1:] or there
    if unknown := sorted(set(wanted) - set(there)):
        print(f"bench: there is no benchmark {unknown[0]!r}; there are {', '.join(there)}", file=sys.stderr)
        return 2
    sys.argv[1:] = []
    for name in wanted:
        print(f"── {name}", flush=True)
        runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
