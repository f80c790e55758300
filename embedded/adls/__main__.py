"""ADLS Gen2 on this machine: dfs and blob endpoints over one hierarchical namespace, on one port of 127.0.0.1.

Accounts are reached by path: http://127.0.0.1:PORT/ACCOUNT serves both endpoints. Requests are authorised by SharedKey or SAS,
and signatures are checked. Data stays under --root and is there again at the next start. Prints `ready URL` when it listens;
ends on SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import logging
import re
import signal
import threading
from pathlib import Path

from embedded.adls.server import Server

EXAMPLE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def account(text: str) -> tuple[str, bytes]:
    """NAME=BASE64KEY as argparse reads it."""
    name, _, key = text.partition("=")
    if not re.fullmatch(r"[a-z0-9]{3,24}", name):
        raise argparse.ArgumentTypeError(f"{name!r} is not an account name: 3 to 24 lower-case letters and digits")
    try:
        return name, base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise argparse.ArgumentTypeError(f"the key of {name} is not base64") from error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.adls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@", epilog="@FILE reads arguments from a file, one a line, so that keys stay off the command line.",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default)")
    parser.add_argument("--root", type=Path, required=True, help="folder that holds the data; made if missing")
    parser.add_argument(
        "--account",
        type=account,
        action="append",
        metavar="NAME=BASE64KEY",
        help=f"an account and its key; repeatable: devaccount={EXAMPLE_KEY}",
    )
    parser.add_argument("--page", type=int, default=5000, help="most items in a page of a listing, to try a client's paging with few files")
    arguments = parser.parse_args()
    if not arguments.account:
        parser.error("at least one --account NAME=BASE64KEY is needed")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = Server(arguments.port, arguments.root, dict(arguments.account), arguments.page)
    except OSError as error:
        parser.exit(1, f"cannot listen on 127.0.0.1:{arguments.port}: {error.strerror or error}\n")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready {server.url}", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()
    server.store.close()


if __name__ == "__main__":
    main()
