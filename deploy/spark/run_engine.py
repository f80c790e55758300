"""Runs an engine under spark-submit: `spark-submit [OPTIONS] deploy/spark/run_engine.py migrate --run-on spark --source … --target …`.

Without spark-submit `python -m engines.NAME` does the same; docs/spark.md tells when which is needed.
"""

# ruff: noqa: INP001 - it is started by its path, and is no part of a package

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        print("usage: spark-submit [OPTIONS] run_engine.py ENGINE [PARAMETERS]; ENGINE --help tells the parameters", file=sys.stderr)
        sys.exit(2)
    if (ROOT / "engines").is_dir():  # else --py-files or the Python of --archives brings the portal
        sys.path.insert(0, str(ROOT))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    if importlib.util.find_spec("engines") is None or importlib.util.find_spec(f"engines.{name}") is None:
        print(f"run_engine: there is no engine {name!r} here", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    runpy.run_module(f"engines.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
