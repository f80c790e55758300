"""The cloud in a box: S3, ADLS and Snowflake on this machine, each a process of its own on 127.0.0.1.

    python -m embedded.box --home DIR

starts the three on free ports, writes their endpoints and freshly made credentials into DIR/.env (readable by its owner only), fills the
bucket `demo-data` with real tables, makes the container `lake`, prints `ready DIR` and stays until Ctrl-C or SIGTERM. If one of
them ends, the box says which and why, and ends as well: nothing is restarted behind anybody's back. With --lake there is a Hive Metastore,
too, whose tables lie in DIR/data/warehouse.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from embedded import box_lake, data, processes
from embedded.processes import Child, ChildFailed

SERVERS = ("s3", "adls", "snowflake")
ACCOUNT, USER = "demolake", "PORTAL"


def credentials() -> dict[str, str]:
    """Make the credentials of one box: worth nothing outside this machine, and different each time."""
    return {
        "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "BOX" + secrets.token_hex(8).upper(), "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        "AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": base64.b64encode(secrets.token_bytes(64)).decode(),
        "SNOWFLAKE_ACCOUNT": "box", "SNOWFLAKE_USER": USER, "SNOWFLAKE_PASSWORD": secrets.token_urlsafe(18),
        "SNOWFLAKE_HOST": "127.0.0.1", "SNOWFLAKE_PROTOCOL": "http", "SNOWFLAKE_DATABASE": "PORTAL", "SNOWFLAKE_SCHEMA": "AUDIT",
        "SNOWFLAKE_WAREHOUSE": "BOX",
    }  # fmt: skip


def commands(home: Path, ports: Mapping[str, int], env: Mapping[str, str]) -> dict[str, list[str]]:
    """Return how each server is started; what is secret is in a file of its own, not on the command line."""
    secret = {"adls": f"--account={ACCOUNT}={env['AZURE_STORAGE_KEY']}", "snowflake": f"--user={USER}={env['SNOWFLAKE_PASSWORD']}"}
    return {name: _command(home / "box" / name, name, ports[name], secret.get(name)) for name in SERVERS}


def _command(root: Path, name: str, port: int, secret: str | None) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"embedded.{name}", "--port", str(port)]
    if secret is None:
        return command
    arguments = root.with_suffix(".arguments")
    _write_private(arguments, [secret])
    return [*command, "--root", str(root), f"@{arguments}"]


def start_servers(home: Path, ports: Mapping[str, int], env: Mapping[str, str], children: list[Child]) -> dict[str, str]:
    """Start the three at once into `children` and return their URLs when all answer. Raises ChildFailed."""
    for name, port in ports.items():
        if port and processes.port_in_use(port):
            raise ChildFailed(f"Port {port} of 127.0.0.1 is in use, {name} cannot listen there: stop what uses it or give another --{name}-port.")
    for name, command in commands(home, ports, env).items():
        children.append(processes.start(name, command, home / "box" / f"{name}.log"))
    urls = {child.name: processes.wait_for_line(child, "ready ").split()[1] for child in children if child.name in ports}
    for name, url in urls.items():
        _check_health(name, url)
    return urls


def _check_health(name: str, url: str) -> None:
    """Any answer to an HTTP request will do: the credentials are checked when the bucket is filled."""
    try:
        urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - our own http URL
    except urllib.error.HTTPError as answer:
        answer.close()
    except OSError as error:
        raise ChildFailed(f"{name} does not answer at {url}: {error}") from error


def endpoints(urls: Mapping[str, str]) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": urls["s3"],
        "AZURE_STORAGE_ENDPOINT": f"{urls['adls']}/{ACCOUNT}",
        "SNOWFLAKE_PORT": urls["snowflake"].rpartition(":")[2],
    }


def let_snowflake_read(root: Path, env: Mapping[str, str]) -> None:
    """Let Snowflake into the storage account, as an administrator does at Azure for its external volumes."""
    account = {"url": env["AZURE_STORAGE_ENDPOINT"], "key": env["AZURE_STORAGE_KEY"]}
    _write_private(root / "storage.json", [json.dumps({ACCOUNT: account})])


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write the box's variables; lines of a `.env` that are not the box's stay."""
    kept = [] if not path.exists() else [line for line in path.read_text("utf-8").splitlines() if line.partition("=")[0].strip() not in values]
    _write_private(path, [*kept, *(f"{name}={value}" for name, value in values.items())])


def _write_private(path: Path, lines: Iterable[str]) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    fresh.replace(path)


def run(home: Path, ports: Mapping[str, int], fill: bool, lake: bool = False) -> int:
    """Run the box until it is stopped; returns the exit code."""
    processes.stop_on_signals()
    children: list[Child] = []
    try:
        home.mkdir(parents=True, exist_ok=True)
        env = credentials()
        if lake:
            children.append(box_lake.start(home, ports[box_lake.NAME]))
        urls = start_servers(home, {name: ports[name] for name in SERVERS}, env, children)
        env |= endpoints(urls)
        if lake:
            env |= box_lake.endpoints(home, children[0])
            urls[box_lake.NAME] = env["HIVE_METASTORE_URI"]
        let_snowflake_read(home / "box" / "snowflake", env)
        write_env(home / ".env", env)
        for name, url in urls.items():
            print(f"{name:<10}{url}")
        if fill:
            print(f"{'data':<10}{data.fill(env)} objects in s3://{data.BUCKET}")
            if lake:
                print(f"{'tables':<10}{box_lake.fill(home, env)}")
        print(f"ready {home}", flush=True)
        processes.watch(children)
    except KeyboardInterrupt:
        return 0
    except ChildFailed as error:
        print(f"box: {error}\nbox: stopped.", file=sys.stderr)
        return 1
    finally:
        processes.stop(children)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.box", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, metavar="DIR", help="home of the portal that uses the box; gets .env and box/")
    for name in (*SERVERS, box_lake.NAME):
        parser.add_argument(f"--{name}-port", type=int, default=0, metavar="N", help=f"port of {name} on 127.0.0.1 (default: a free one)")
    parser.add_argument("--lake", action="store_true", help="with a Hive Metastore and sample tables; needs requirements-lake.txt")
    parser.add_argument("--empty", action="store_true", help="leave out the bucket, the container and the sample tables")
    arguments = parser.parse_args()
    ports = {name: getattr(arguments, f"{name}_port") for name in (*SERVERS, box_lake.NAME)}
    sys.exit(run(arguments.home.resolve(), ports, fill=not arguments.empty, lake=arguments.lake))


if __name__ == "__main__":
    main()
