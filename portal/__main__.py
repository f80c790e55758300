"""`python -m portal`: the portal on the command line."""

from __future__ import annotations

import sys

from portal import durable
from portal.cli import main

if __name__ == "__main__":
    durable.keep_from_others()
    sys.exit(main(sys.argv[1:]))
