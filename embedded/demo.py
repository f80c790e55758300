"""The whole chain on real data, in the cloud in a box: list → convert the tables on the way from S3 to ADLS → copy one object of every kind that S3
stores → export the audit to Snowflake, as one submitted job with follow-ups; then files that are dropped into a folder → S3 → notice → fetched
elsewhere, by triggers alone; then proof of all of it by other means. Exit status 0 only if everything holds.

State is in .demo/, new with every run, and stays for a look afterwards.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from embedded import data, evidence, kinds, processes
from embedded.box import ACCOUNT
from embedded.commands import Commands
from embedded.processes import Child, ChildFailed
from embedded.shop import Shop

SOURCE = f"s3://{data.BUCKET}/"
TARGET = f"abfss://{data.CONTAINER}@{ACCOUNT}/demo"
NAMES = ("inventory", "S3 to the lake", "every kind of object", "audit to Snowflake")

CHAIN: dict[str, Any] = {
    "engine": "list", "name": "inventory", "params": {"source": SOURCE},
    "then": [{
        "engine": "migrate", "labels": {"name": "S3 to the lake"},
        "params": {
            "source": SOURCE, "target": TARGET, "formats": ["csv", "json", "parquet"], "exclude": [f"{kinds.PREFIX}*"], "convert": "parquet",
            "verify": "md5",
        },
        "then": [{
            "engine": "migrate", "labels": {"name": "every kind of object"},
            "params": {"source": f"{SOURCE}{kinds.PREFIX}", "target": f"{TARGET}/{kinds.PREFIX}"},
            "then": [{"engine": "audit_export", "labels": {"name": "audit to Snowflake"}, "params": {"target": "snowflake"}}],
        }],
    }],
}  # fmt: skip


class Findings:
    """Prints what is found, and remembers what does not hold."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def title(self, text: str) -> None:
        print(f"\n── {text} " + "─" * max(0, 100 - len(text)), flush=True)

    def check(self, holds: bool, text: str) -> None:
        print(f"{'✓' if holds else '✗'} {text}", flush=True)
        if not holds:
            self.wrong.append(text)


def run(home: Path) -> int:
    """Run the demo in a home; returns the exit code."""
    started = time.monotonic()
    processes.stop_on_signals()
    findings = Findings()
    try:
        with fresh(home):
            _demo(home, findings)
            left = evidence.left_running(home)
            findings.check(not left, f"nothing is left running {left or ''}")
    except ChildFailed as error:
        findings.check(False, str(error))
    except KeyboardInterrupt:
        print("\ndemo: stopped.", file=sys.stderr)
        return 130
    print(f"\n{'everything holds' if not findings.wrong else f'{len(findings.wrong)} things do not hold'}; {time.monotonic() - started:.0f} s; "
          f"the state of this run is in {home}")  # fmt: skip
    return 1 if findings.wrong else 0


@contextmanager
def fresh(home: Path) -> Iterator[None]:
    """Empty the home and hold it, so that two demos never share one. Raises ChildFailed."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "in-use").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChildFailed(f"Another demo is running in {home}: wait for it, or give another --home.") from None
        for entry in home.iterdir():
            if entry.name != "in-use":
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        yield


def _demo(home: Path, findings: Findings) -> None:
    children: list[Child] = []
    portal = Commands(home, processes.clean_environment())
    try:
        findings.title("the cloud in a box")
        children.append(processes.start("box", [sys.executable, "-m", "embedded.box", "--home", str(home)], home / "box.log", portal.env))
        processes.wait_for_line(children[0], "ready ")
        print("\n".join(children[0].output()[:-1]))
        env = {name: value for name, value in dotenv_values(home / ".env").items() if value is not None}
        children.append(portal.start_worker())
        print(f"{'worker':<10}pid {children[1].process.pid}")
        jobs = _run_chain(portal, home, findings)
        _run_shop(portal, Shop(home, env), findings)
        _prove(portal, jobs, env, findings)
    except KeyboardInterrupt:
        portal.cancel_everything()
        raise
    finally:
        processes.stop(children)


def _run_chain(portal: Commands, home: Path, findings: Findings) -> dict[str, Any]:
    """Submit the chain, show its progress, and return its jobs by name."""
    findings.title("list → migrate → migrate → audit_export, one submitted chain")
    order = home / "chain.json"
    order.write_text(json.dumps(CHAIN, indent=1), "utf-8")
    found = portal.json("submit", "--file", str(order), "--wait", "chain", check=False)
    jobs = {job["labels"]["name"]: job for job in found}
    for name in NAMES:
        status = jobs[name]["status"] if name in jobs else "never ran"
        findings.check(status == "succeeded", f"{name}: {status}")
    return jobs


def _run_shop(portal: Commands, shop: Shop, findings: Findings) -> None:
    """Drop files and do nothing else; tell how each was found in the end."""
    findings.title("files dropped into a folder → S3 → notice in SQS → fetched elsewhere: two triggers, and nobody who starts a job")
    shop.open(portal)
    shop.drop()
    ways = []
    for way in shop.ways():
        ways.append(way)
        sums = f"in S3 {way.uploaded:x}, put away {way.put_away:x}, fetched {way.fetched:x}"
        verdict = "equal at all four places" if way.whole else sums
        mark = "✓" if way.whole else "✗"
        print(f"{mark} {way.name:<34}{way.size_bytes:>12,} bytes  {way.dropped:016x}  {way.seconds:5.1f} s  {verdict}", flush=True)
    jobs = shop.jobs(portal)
    counts: Counter[str] = Counter()
    for job in jobs:
        counts.update((job["result"] or {}).get("counts", {}))
    whole = sum(way.whole for way in ways)
    findings.check(whole == len(ways), f"{whole} of {len(ways)} files are in S3 and fetched, byte for byte")
    told = ", ".join(f"{job['engine']} {job['status']}" for job in jobs)
    findings.check(all(job["status"] == "succeeded" for job in jobs), f"the triggers made {len(jobs)} jobs: {told}")
    text = f"uploaded and fetched {counts['copied']}, announced {counts['announced']}, received {counts['messages']}"
    findings.check((counts["copied"], counts["announced"], counts["messages"]) == (2 * len(ways), len(ways), len(ways)), f"the books balance: {text}")
    left = shop.left()
    findings.check(not left, f"nothing is left behind {', '.join(left)}".rstrip())
    shop.close(portal)


def _prove(portal: Commands, jobs: Mapping[str, Any], env: Mapping[str, str], findings: Findings) -> None:
    _, tables, every_kind, export = NAMES
    if tables in jobs:
        _prove_objects(portal.json("ledger", jobs[tables]["id"]), env, findings)
    if every_kind in jobs:
        _prove_kinds(portal.json("ledger", jobs[every_kind]["id"]), env, findings)
    _prove_records(portal, jobs, findings)
    if export in jobs:
        _prove_export(jobs, env, findings)


def _prove_objects(rows: list[dict[str, Any]], env: Mapping[str, str], findings: Findings) -> None:
    findings.title("every table: outcome and proof level from the ledger; its cells in S3 and read back from ADLS, compared apart from the portal")
    left_out = [row for row in rows if row["outcome"] == "excluded"]
    rows = [row for row in rows if row["outcome"] != "excluded"]
    by_key = {row["source_key"]: row for row in rows}
    found = list(evidence.tables(env, {key: row["target_key"] for key, row in by_key.items() if row["target_key"]}))
    for table in found:
        row = by_key.get(table.source_key, {"outcome": "missing", "proof": "none"})
        shape = f"{table.rows:>7,} rows × {table.columns:>2} columns"
        mark, verdict = ("✗", table.difference) if table.difference else ("✓", "equal")
        print(f"{mark} {table.source_key:<34}{row['outcome']:<11}{row['proof']:<12}{shape}  {verdict}")
    proven = [row for row in rows if row["proof"] in ("converted", "read-back", "end-to-end")]
    findings.check(len(rows) == len(found) == len(by_key), f"the ledger has one row for each of the {len(found)} tables in the bucket")
    wanted = {kind.key for kind in kinds.KINDS}
    findings.check({row["source_key"] for row in left_out} == wanted, f"the {len(wanted)} other objects are in it as excluded")
    findings.check(len(proven) == len(rows) > 0, f"{len(proven)} of {len(rows)} objects are proven")
    equal = [table for table in found if not table.difference]
    rows_in, rows_out = sum(table.rows for table in found), sum(table.lake_rows or 0 for table in found)
    text = f"{len(equal)} of {len(found)} tables in the lake are equal to their sources in every cell; {rows_in:,} rows in S3, {rows_out:,} in ADLS"
    findings.check(len(equal) == len(found) > 0 and rows_in == rows_out, text)


def _prove_kinds(rows: list[dict[str, Any]], env: Mapping[str, str], findings: Findings) -> None:
    findings.title("an object of every kind: outcome, way and proof level from the ledger; bytes, headers, metadata and tags compared apart from it")
    by_key = {row["source_key"]: row for row in rows}
    levels: Counter[str] = Counter()
    good = 0
    for kind, difference in evidence.copies(env, {key: row["target_key"] for key, row in by_key.items()}):
        row = by_key.get(kind.key, {"outcome": "missing", "proof": "none", "mode": "", "source_checksum": ""})
        expected = (row["outcome"], row["mode"], row["proof"]) == ("copied", kind.mode, kind.proof)
        verdict = difference or ("equal" if expected else f"equal, but it must be copied {kind.mode} {kind.proof}")
        print(f"{'✓' if expected and not difference else '✗'} {kind.name:<31}{row['outcome']:<8}{row['mode']:<8}{row['proof']:<12}"
              f"{(row['source_checksum'] or '-')[:40]:<42}{verdict}")  # fmt: skip
        good += expected and not difference
        levels[row["proof"]] += 1
    counted, known = ", ".join(f"{count} {level}" for level, count in sorted(levels.items())), len(kinds.KINDS)
    findings.check(good == known == len(rows), f"{good} of {known} kinds are copied, equal, and proven as they can be: {counted}")


def _prove_records(portal: Commands, jobs: Mapping[str, Any], findings: Findings) -> None:
    findings.title("the archive and the audit report")
    for name, job in jobs.items():
        records = [path.relative_to(portal.home) for path in (portal.home / "archive").rglob(f"{job['id']}.json")]
        findings.check(len(records) == 1, f"{name}: {', '.join(map(str, records)) or 'not in the archive'}")
    print(flush=True)
    findings.check(portal.show("audit", "report", "--since", "2d") == 0, "the audit report was made")
    findings.check(portal.show("check") == 0, "queue, logs and archive are in order")


def _prove_export(jobs: Mapping[str, Any], env: Mapping[str, str], findings: Findings) -> None:
    findings.title("the audit in Snowflake, read with its connector")
    export = jobs[NAMES[-1]]
    expected = sorted((job["id"], job["status"]) for name, job in jobs.items() if name != NAMES[-1])
    outputs = (export["result"] or {}).get("outputs") or [{}]
    table = str(outputs[0].get("table") or "")
    found = evidence.exported_jobs(env, table) if table else []
    for job_id, status in found:
        print(f"  {job_id}  {status}")
    findings.check(found == expected, f"{len(found)} rows in {table or 'no table'}, {len(expected)} jobs were archived before the export")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=processes.ROOT / ".demo", metavar="DIR", help="its state; emptied first (default: .demo)")
    home = parser.parse_args().home.resolve()
    if home.exists() and any(home.iterdir()) and not (home / "in-use").exists():
        parser.error(f"{home} is not empty and no earlier demo made it")
    sys.exit(run(home))


if __name__ == "__main__":
    main()
