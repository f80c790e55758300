"""The kernel under the address and undefined-behaviour sanitizers, fed with hostile text."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from native import COMPILER, needs_compiler

from portal.native import build

_SOURCE = Path(__file__).parent / "native_fuzz.cpp"
# Compiling takes longer than running: not optimised, both together take half, and the sanitizers see at least as much.
_FLAGS = ("-std=c++17", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{build.SOURCES}")


@needs_compiler
@pytest.mark.timeout(300)
def test_hostile_text_reads_and_writes_no_memory_that_is_not_its_own(tmp_path: Path) -> None:
    fuzz = tmp_path / "fuzz"
    (tmp_path / "empty.cpp").write_text("int main() {}\n")
    try:
        build.compile_to(tmp_path / "empty", COMPILER, _FLAGS, tmp_path / "empty.cpp")
    except build.BuildFailed:
        pytest.skip("the compiler has no sanitizers")
    build.compile_to(fuzz, COMPILER, _FLAGS, _SOURCE)
    ran = subprocess.run([fuzz, "20260101", "20000"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
