"""`python -m portal`: the portal on the command line."""

from __future__ import annotations

import io
import sys

from portal import durable
from portal.cli import main

if __name__ == "__main__":
    durable.keep_from_others()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show a letter is no reason to say nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
