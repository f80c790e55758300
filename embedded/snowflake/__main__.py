"""Snowflake for the demo and the tests: fakesnow behind a front that really checks who signs in, and really reads tables on Azure.

    python -m embedded.snowflake --port 0 --root DIR --user NAME=PASSWORD --user-key NAME=public.pem

Prints `ready http://127.0.0.1:PORT` when it listens and ends on SIGTERM. fakesnow takes any password and any key; the front checks the
password, or the JWT of key-pair sign-in, before fakesnow sees the login, and answers with Snowflake's own error codes. Databases and stages are
kept under the root. Stage uploads go to URLs that carry no signature, so it must listen on 127.0.0.1 only, which it does.

External volumes, integrations, Iceberg tables of metadata files and external tables over Parquet are the front's own: it reads their files from the
storage accounts that DIR/storage.json lets it into (`{"ACCOUNT": {"url": …, "key": …}}`, read each time).
"""

from __future__ import annotations

import argparse
import logging
import socket
import tempfile
import warnings
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives import serialization
from fakesnow.instance import FakeSnow
from fakesnow.transforms import stage

from embedded.snowflake.accounts import Accounts
from embedded.snowflake.front import Front, fake
from embedded.snowflake.lake import Lake
from embedded.snowflake.mending import mend_fakesnow


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            host, port = listening.getsockname()[:2]
            print(f"ready http://{host}:{port}", flush=True)


def serve(root: Path, accounts: Accounts, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    databases, files = root / "databases", root / "stages"
    for folder in (databases, files):
        folder.mkdir(parents=True, exist_ok=True)
    Path(stage.LOCAL_BUCKET_PATH).rmdir()  # fakesnow makes one in the temporary folder when it is imported
    stage.LOCAL_BUCKET_PATH = str(files.resolve())
    mend_fakesnow()
    fake.shared_fs = FakeSnow(db_path=databases)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    server = _Server(uvicorn.Config(Front(accounts, Lake(root)).app(), log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    warnings.filterwarnings("ignore", category=UserWarning, module="fakesnow")
    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    try:
        server.run(sockets=[listening])
    finally:
        fake.shared_fs.duck_conn.close()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.upper(), value


def _key_pair(text: str) -> tuple[str, Any]:
    name, file = _pair(text)
    try:
        return name, serialization.load_pem_public_key(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{file} is no public key in PEM: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedded.snowflake", description="Snowflake for the demo and the tests, on 127.0.0.1.",
        fromfile_prefix_chars="@", epilog="@FILE reads arguments from a file, one a line, so that passwords stay off the command line.",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--root", type=Path, default=None, help="folder of databases and stages (default: a temporary one)")
    parser.add_argument("--user", type=_pair, action="append", default=[], metavar="NAME=PASSWORD", help="who may sign in with a password")
    parser.add_argument("--user-key", type=_key_pair, action="append", default=[], metavar="NAME=PUBLIC.PEM", help="who may sign in with a key pair")
    arguments = parser.parse_args()
    root = arguments.root or Path(tempfile.mkdtemp(prefix="box-snowflake-"))
    try:
        serve(root, Accounts(dict(arguments.user), dict(arguments.user_key)), arguments.port)
    except OSError as error:
        parser.exit(1, f"embedded.snowflake: port {arguments.port} cannot be used: {error.strerror}\n")


if __name__ == "__main__":
    main()
