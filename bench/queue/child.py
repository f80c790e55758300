"""What the benchmark starts as processes of their own: `python -m bench.queue.child put|consume|through NAME FOLDER …`."""

from __future__ import annotations

import argparse
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

from bench.queue.contenders import NAMES, load
from bench.queue.filling import through_here


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queue.child", description=__doc__)
    parser.add_argument("what", choices=("put", "consume", "through"))
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", default="")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--work", default="noop")
    parser.add_argument("--die", action="store_true", help="kill yourself when the last one is acknowledged")
    given = parser.parse_args()
    contender = load(given.name)(given.folder)
    if given.what == "consume":
        contender.consume(given.kind or contender.kinds[0], given.workers)
        return
    if given.what == "through":
        print(json.dumps(asdict(through_here(contender, given.kind, given.workers, given.count))), flush=True)
        os._exit(0)  # its threads wait for jobs for ever
    for _ in range(given.count):
        contender.put(given.work)
    if given.die:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
