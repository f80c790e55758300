"""Blocks of memory that are freed and asked for again: kept by the process, where its C library can."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from portal.native.memory import keep_blocks
kept = keep_blocks() if sys.argv[1] == "keep" else None
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [b"x" * (7 << 20) for _ in range(4)]
    del blocks
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_PAGES = 4 * (7 << 20) // 4096


def _ran(how: str, program: str = _PROGRAM, **more: str) -> tuple[str, int]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    ran = subprocess.run([sys.executable, "-c", program, how], env={**known, **more}, capture_output=True, text=True, check=True)
    kept, faults = ran.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_blocks_are_not_fetched_from_the_system_again_and_again() -> None:
    kept, faults = _ran("keep")
    assert kept == "True"
    assert faults < 3 * _PAGES
    assert faults < _ran("leave")[1] / 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_kept_is_given_back() -> None:
    """Blocks that are given back must be fetched again."""
    program = _PROGRAM.replace("    del blocks", "    del blocks; give_back()").replace("import keep_blocks", "import give_back, keep_blocks")
    assert _ran("keep", program)[1] > 10 * _PAGES


def test_who_runs_the_process_has_the_last_word() -> None:
    assert _ran("keep", MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"
