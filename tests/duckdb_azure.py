"""Gets the DuckDB that has its azure extension as a package, for the tests: `python tests/duckdb_azure.py`. Into a folder of its own in the
environment, for the box has another version of DuckDB, whose extension only a server of DuckDB's own gives away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = Path(__file__).with_suffix(".txt")
HOME = Path(__file__).resolve().parents[1] / ".venv" / "duckdb-azure"
PIP = [
    sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary", ":all:",
    "--target", str(HOME), "-r", str(PACKAGES),
]  # fmt: skip
TOLD = f"DuckDB's azure extension is not there; {sys.executable} {__file__} gets it from the package index."


def extension() -> Path | None:
    """Return the path of the extension, or None."""
    return next(iter(HOME.glob("duckdb_extension_azure/extensions/*/azure.duckdb_extension")), None)


def main() -> int:
    """Return 0, and say so when the test of it will be left out: there are machines that its packages are not made for."""
    if extension() is None:
        print("installing DuckDB's azure extension for the tests …", flush=True)
        if subprocess.run(PIP).returncode != 0:
            print("That failed: the test of it will be left out.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
