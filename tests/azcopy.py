"""Makes sure that there is an AzCopy for the tests: `python tests/azcopy.py`. It comes from npm into the environment's own folder; as root, what it
needs of Debian's packages is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "@azure-tools/azcopy-linux@10.32.2"
HOME = Path(__file__).resolve().parents[1] / ".venv" / "azcopy"
PROGRAM = HOME / "node_modules" / "@azure-tools" / "azcopy-linux" / "dist" / "bin" / "azcopy_linux_amd64"
NPM = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", "--prefix", str(HOME), PACKAGE]
APT = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "npm", "libsecret-1-0"])
TOLD = f"""The tests with AzCopy need it. Install it with:
  sudo apt-get update && sudo apt-get install -y npm libsecret-1-0
  {" ".join(NPM)}
  chmod +x {PROGRAM}
or name one in PORTAL_TEST_AZCOPY."""


def executable() -> str | None:
    """Return the path of an AzCopy that starts: PORTAL_TEST_AZCOPY, else one on the PATH, else npm's, else None."""
    for path in (os.environ.get("PORTAL_TEST_AZCOPY"), shutil.which("azcopy"), str(PROGRAM)):
        if path and _starts(path):
            return path
    return None


def _starts(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _install() -> None:
    if not PROGRAM.exists() and shutil.which("npm"):
        subprocess.run(NPM, check=True, stdout=subprocess.DEVNULL)
    elif not shutil.which("npm"):
        _install_packages()
        subprocess.run(NPM, check=True, stdout=subprocess.DEVNULL)
    PROGRAM.chmod(0o755)
    if not _starts(str(PROGRAM)):
        _install_packages()


def _install_packages() -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in APT:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def main() -> int:
    """Return 0 when there is an AzCopy, else 1 with what to do."""
    if executable():
        return 0
    print("installing AzCopy for the tests …", flush=True)
    try:
        _install()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"Installing AzCopy failed: {error}.", file=sys.stderr)
    if executable():
        return 0
    print(TOLD, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
