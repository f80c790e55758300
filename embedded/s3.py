"""S3 and SQS on this machine: moto's server. `python -m embedded.s3 --port 0` prints where it listens once it does.

It accepts any credentials and keeps everything in memory.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading

from moto import backends
from moto.server import ThreadedMotoServer

from embedded import processes, sqs


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.s3", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    port = parser.parse_args().port
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if port and processes.port_in_use(port):
        sys.exit(f"embedded.s3: port {port} of 127.0.0.1 is in use: stop what uses it or give another --port.")
    sqs.hurry()
    _hurry()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, bound = server.get_host_and_port()
    print(f"ready http://{host}:{bound}", flush=True)
    stop.wait()
    server.stop()


def _hurry() -> None:
    """For each request moto lists the folders of its own code twice, a third of what a small request costs it: they are listed once."""
    services = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services


if __name__ == "__main__":
    main()
