"""The lakehouse on real data, in the cloud in a box: tables of Hive → Iceberg → Iceberg on Azure → Snowflake, as one submitted chain.

Then a month of flights arrives in Hive and the same chain runs again: it brings that month alone. At every step the rows are counted by readers that
have nothing to do with the portal: pyarrow reads the files of Hive, pyiceberg the tables of both catalogs, Snowflake's own connector what is
registered there. Exit status 0 only if everything holds.

State is in .demo-lake/, new with every run, and stays for a look afterwards.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from embedded import azure_catalog, box_lake, evidence, evidence_lake, lake_data, processes
from embedded.commands import Commands
from embedded.demo import Findings, fresh
from embedded.processes import Child, ChildFailed

TENANT = "00000000-0000-0000-0000-000000000000"
"""Entra ID's directory, which a volume is made for; the box's Snowflake has been let into the box's storage already."""
STEPS = ("ingest_hive", "migrate_iceberg", "register_snowflake")
SETTINGS = (
    f"migrate.target_catalog={azure_catalog.NAME}", "register.schema_name=LAKE", "register.create_schema=true", "register.create_volume=true",
    f"register.azure_tenant_id={TENANT}", "register.create_integration=true",
)  # fmt: skip
NEW_MONTH = 13
"""No month of the sample has this number."""


def run(home: Path) -> int:
    """Run the demo in a home; returns the exit code."""
    started = time.monotonic()
    processes.stop_on_signals()
    findings = Findings()
    try:
        if not box_lake.installed():
            raise ChildFailed("The packages of the lakehouse are not installed: pip install -r requirements-lake.txt")
        with fresh(home):
            _demo(home, findings)
            left = evidence.left_running(home)
            findings.check(not left, f"nothing is left running {left or ''}".rstrip())
    except ChildFailed as error:
        findings.check(False, str(error))
    except KeyboardInterrupt:
        print("\ndemo: stopped.", file=sys.stderr)
        return 130
    wrong = len(findings.wrong)
    verdict = f"{wrong} things do not hold" if wrong else "everything holds"
    print(f"\n{verdict}; {time.monotonic() - started:.0f} s; the state of this run is in {home}")
    return 1 if wrong else 0


def _demo(home: Path, findings: Findings) -> None:
    children: list[Child] = []
    portal = Commands(home, processes.clean_environment())
    try:
        findings.title("the cloud in a box: S3, ADLS, Snowflake, and a Hive Metastore with tables that Spark has filled")
        children.append(processes.start("box", [sys.executable, "-m", "embedded.box", "--home", str(home), "--lake"], home / "box.log", portal.env))
        processes.wait_for_line(children[0], "ready ", 400)
        print("\n".join(children[0].output()[:-1]))
        azure_catalog.write_connections(home)
        env = {name: value for name, value in dotenv_values(home / ".env").items() if value is not None}
        children.append(portal.start_worker())
        print(f"{'worker':<10}pid {children[1].process.pid}")
        tables = [f"{lake_data.DATABASE}.*"]
        findings.title("Hive → Iceberg → Azure → Snowflake: every table of the database, one submitted chain")
        _chain(portal, findings, tables, dict.fromkeys(STEPS, "done"), dict(lake_data.ROWS), env)
        findings.title("a month of flights more, and the same chain again: that month goes over, everything else is unchanged")
        more = evidence_lake.add_month(env, lake_data.DATABASE, "flights_parquet", NEW_MONTH)
        rows = {**lake_data.ROWS, "flights_parquet": lake_data.ROWS["flights_parquet"] + more}
        print(f"flights_parquet/month={NEW_MONTH}: {more:,} rows, written by pyarrow and added to Hive")
        _chain(portal, findings, tables, dict.fromkeys(STEPS, "unchanged"), rows, env, changed=("flights_parquet",))
        findings.title("in order")
        findings.check(portal.show("check") == 0, "queue, logs and archive are in order")
    except KeyboardInterrupt:
        portal.cancel_everything()
        raise
    finally:
        processes.stop(children)


def _chain(
    portal: Commands, findings: Findings, tables: list[str], usual: Mapping[str, str], rows: Mapping[str, int], env: Mapping[str, str],
    changed: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Start the chain, wait for it, and hold what it tells to what others read."""
    words = [word for setting in SETTINGS for word in ("--set", setting)]
    told = portal.json("lake", "chain", *tables, *words, "--name", "flights", "--wait", check=False)
    findings.check(told["state"] == "succeeded", f"the chain {told['chain']}: {told['state']}")
    known = {entry["table"].rpartition(".")[2]: entry["steps"] for entry in told["tables"]}
    view = known.get(lake_data.VIEW, {}).get(STEPS[0], {"state": "missing", "reason": ""})
    findings.check(view["state"] == "excluded", f"{lake_data.VIEW} is left out, and said so: {view['reason'].partition(':')[0]}")
    print(f"\n{'table':<17}{'Hive':>10} {'Iceberg':>10} {'Azure':>10} {'Snowflake':>10}   what each step says")
    counts = evidence_lake.counted(env, portal.home, lake_data.DATABASE, sorted(rows))
    whole = 0
    for name, expected in sorted(rows.items()):
        found = counts[name]
        states = [known.get(name, {}).get(step, {}).get("state", "missing") for step in STEPS]
        wanted = ["done"] * 3 if name in changed else list(usual.values())
        good = set(found) == {expected} and states == wanted
        whole += good
        shown = " ".join(f"{'-' if count is None else format(count, ','):>10}" for count in found)
        print(f"{'✓' if good else '✗'} {name:<15}{shown}   {', '.join(states)}", flush=True)
    findings.check(whole == len(rows), f"{whole} of {len(rows)} tables have the same rows at all four places, counted by others than the portal")
    total = sum(rows.values())
    findings.check(_sums(told) == [total] * 3, f"the portal's own counts are the same: {total:,} rows after each step")


def _sums(told: Mapping[str, Any]) -> list[int]:
    return [sum(int(entry["steps"][step]["outcome"].get("rows") or 0) for entry in told["tables"] if step in entry["steps"]) for step in STEPS]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.demo_lake", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = processes.ROOT / ".demo-lake"
    parser.add_argument("--home", type=Path, default=usual, metavar="DIR", help="its state; emptied first (default: .demo-lake)")
    home = parser.parse_args().home.resolve()
    if home.exists() and any(home.iterdir()) and not (home / "in-use").exists():
        parser.error(f"{home} is not empty and no earlier demo made it")
    sys.exit(run(home))


if __name__ == "__main__":
    main()
