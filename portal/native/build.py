"""Builds the kernel: `python -m portal.native.build`. Standard library only.

The library's name holds a digest of the sources, the flags and the platform, so one that does not fit them is never loaded (`library`).
The compiler is $CXX, or c++, g++ or clang++ on the path, or the one in the `ziglang` wheel if that is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "src"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden")
_COMPILERS = ("c++", "g++", "clang++")


class BuildFailed(Exception):
    """The compiler could not build the kernel."""


def folder() -> Path:
    """Return where built libraries are: `built/` beside the sources, or what PORTAL_NATIVE_DIR names."""
    named = os.environ.get("PORTAL_NATIVE_DIR")
    return Path(named) if named else SOURCES.parent / "built"


def path() -> Path:
    """Return where the library is that fits the sources, built or not."""
    return folder() / f"kernel-{_digest()}.so"


def doubt(library: Path) -> str:
    """Return why a library may not be what was built here, '' when only this user and root can have put it there. Raises OSError."""
    real = library.resolve()
    return _changeable(real) or _changeable(real.parent)


def _changeable(place: Path) -> str:
    status = place.stat()
    if status.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to another user (uid {status.st_uid})"
    return f"{place} can be written to by others (chmod go-w)" if status.st_mode & 0o022 else ""


def _digest() -> str:
    digest = hashlib.sha256(repr((FLAGS, sysconfig.get_platform(), platform.libc_ver())).encode())
    for source in sorted(path for path in SOURCES.iterdir() if path.suffix in (".h", ".cpp")):
        digest.update(f"\0{source.name}\0".encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def compiler() -> list[str]:
    """Return the command of a C++ compiler; empty when there is none on this machine."""
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    for name in _COMPILERS:
        if found := shutil.which(name):
            return [found]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else []


def build(command: Sequence[str]) -> Path:
    """Build the library, unless it is there, and return its path. Others see it whole or not at all. Raises BuildFailed."""
    target = path()
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if why := _changeable(target.parent):
        raise BuildFailed(f"{why}: a library there is never loaded.")
    if target.exists() and not doubt(target):
        return target
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        compile_to(made, command, FLAGS, SOURCES / "kernel.cpp")
        made.chmod(0o755)
        if path() != target:
            raise BuildFailed("The sources changed while they were compiled.")
        os.replace(made, target)
    for old in target.parent.glob("kernel-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def compile_to(made: Path, command: Sequence[str], flags: Sequence[str], source: Path) -> None:
    """Run the compiler. Raises BuildFailed with what it says."""
    try:
        ran = subprocess.run([*command, *flags, str(source), "-o", str(made)], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildFailed(f"{command[0]} cannot be run: {error.strerror}.") from error
    if ran.returncode:
        raise BuildFailed(f"{shlex.join(command)} failed:\n{ran.stderr.strip()[-4000:]}")


def main() -> int:
    """Build, and say how it went. Exit status 0 also without a compiler: everything works without the kernel."""
    command = compiler()
    if not command and not path().exists():
        print("No C++ compiler was found: conversions work, and take several times as long. Install g++ or clang, or `pip install ziglang`.")
        return 0
    try:
        print(f"The converter's kernel: {build(command)}")
    except BuildFailed as error:
        print(f"The converter's kernel was not built; conversions work, and take several times as long. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
