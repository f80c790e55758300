"""`audit`: reports on finished jobs, and the seal that shows whether somebody changed the archive."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas

from portal import audit as reports
from portal import seal
from portal.cli.parsing import add_json, parser
from portal.cli.text import as_json, day, size, table
from portal.errors import BadParameters
from portal.settings import Settings

_SHOWN = (
    "finished_at", "job_id", "engine", "status", "submitted_by", "duration_s", "objects_copied", "objects_converted", "objects_failed", "bytes",
    "rows_out", "error",
)  # fmt: skip
"""Columns of the table; the other formats have them all."""

_FORMATS = ("table", "csv", "json", "parquet")


def audit(arguments: list[str], settings: Settings) -> int:
    """Run one of `report`, `verify` and `seal`."""
    made = parser("audit", "Report on finished jobs, and prove that the archive is as it was.", "report|verify|seal [flags]")
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    report = actions.add_parser("report", help="one row per finished job of a period", allow_abbrev=False)
    report.add_argument("--since", metavar="DAY", default="7d", help="first day (UTC): 2026-11-21, today, 30d (default: 7d)")
    report.add_argument("--until", metavar="DAY", default="today", help="last day, included (default: today)")
    report.add_argument("--format", choices=_FORMATS, help="default: by the name after -o, else table")
    report.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output")
    verify = actions.add_parser("verify", help="check every sealed day; names what was changed, removed or slipped in; exit status 1 if anything was")
    verify.add_argument("--head", metavar="FILE", help="a head that `audit seal --json` printed earlier: it must still fit")
    add_json(verify)
    sealing = actions.add_parser("seal", help="seal the days that are over and print the head of the chain")
    add_json(sealing)
    given = made.parse_args(arguments)
    return {"report": _report, "verify": _verify, "seal": _seal}[given.action](given, settings)


def _report(given: Namespace, settings: Settings) -> int:
    shape = given.format or _by_name(given.output)
    if shape == "parquet" and not given.output:
        raise BadParameters("Parquet does not go to a terminal.", hint="Name a file with -o report.parquet.")
    frame = reports.rows(settings, day(given.since), day(given.until))
    if shape == "csv":
        _write(given.output, reports.csv(frame).removesuffix("\n"))
    elif shape == "json":
        _write(given.output, frame.to_json(orient="records", date_format="iso", indent=1, force_ascii=False) if len(frame) else "[]")
    elif shape == "parquet":
        frame.to_parquet(given.output, index=False)
    else:
        _write(given.output, _table(frame))
    if given.output:
        print(f"{len(frame)} jobs in {given.output}", file=sys.stderr)
    return 0


def _by_name(output: str | None) -> str:
    ending = Path(output or "").suffix.removeprefix(".")
    return ending if ending in _FORMATS else "table"


def _write(output: str | None, text: str) -> None:
    if output:
        Path(output).write_text(text + "\n", "utf-8")
    else:
        print(text)


def _table(frame: Any) -> str:
    if not len(frame):
        return "No job finished in this period."
    shown = [[_cell(row, name) for name in _SHOWN] for row in frame.to_dict("records")]
    return f"{table([name.replace('_', ' ') for name in _SHOWN], shown)}\n\n{_totals(reports.summary(frame))}"


def _cell(row: Mapping[str, Any], name: str) -> Any:
    value = row[name]
    if pandas.isna(value):
        return None
    if name == "finished_at":
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return value.partition("\n")[0] if name == "error" else value


def _totals(figures: Mapping[str, Any]) -> str:
    by_status = ", ".join(f"{count} {status}" for status, count in figures["by_status"].items())
    proofs = ", ".join(f"{count:,} {level}" for level, count in figures["proof"].items() if count)
    moved = f"{figures['objects_copied']:,} copied, {figures['objects_converted']:,} converted, {figures['objects_failed']:,} failed"
    lines = [f"{figures['jobs']} jobs: {by_status}", f"objects: {moved}; {size(figures['bytes'])}", f"proof: {proofs}" if proofs else ""]
    return "\n".join(line for line in lines if line)


def _verify(given: Namespace, settings: Settings) -> int:
    findings = seal.verify(settings, _exported(given.head))
    if given.json:
        print(as_json([asdict(finding) for finding in findings]))
    elif findings:
        print("\n".join(map(str, findings)))
    else:
        print(f"Every sealed day is as it was sealed. {_told(seal.head(settings))}")
    return 1 if findings else 0


def _exported(path: str | None) -> seal.Head | None:
    if path is None:
        return None
    try:
        return seal.Head(**json.loads(Path(path).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadParameters(f"{path} holds no head of the chain.", hint="Make it with `audit seal --json > FILE`.") from error


def _told(head: seal.Head | None) -> str:
    return f"Head of the chain: {head}" if head else "No day is sealed yet: a day is sealed after it has ended."


def _seal(given: Namespace, settings: Settings) -> int:
    seal.seal_closed_days(settings)
    head = seal.head(settings)
    print(as_json(asdict(head) if head else None) if given.json else _told(head))
    return 0
