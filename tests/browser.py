"""Makes sure that there is a Chromium for the tests of the pages: `python tests/browser.py`. As root it installs what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
INSTALL = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])


def executable() -> str | None:
    """Return the path of a Chromium: PORTAL_TEST_BROWSER, else the first that is installed, else None."""
    given = os.environ.get("PORTAL_TEST_BROWSER")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


def _install() -> None:
    for command in INSTALL:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def main() -> int:
    """Return 0 when there is a browser, else 1 with what to do."""
    if executable():
        return 0
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    if may_install:
        print("installing Chromium for the tests of the pages …", flush=True)
        try:
            _install()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"Installing Chromium failed: {error}.", file=sys.stderr)
    if executable():
        return 0
    told = "sudo apt-get update && sudo apt-get install -y chromium"
    print(f"The tests of the pages need Chromium. Install it with:\n  {told}\nor name one in PORTAL_TEST_BROWSER.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
