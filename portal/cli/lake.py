"""`lake`: tables of catalogs, where they are and how far behind, and chains that take them from Hive to Snowflake."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from portal import catalog, submission
from portal.cli import lake_text
from portal.cli.parsing import PROGRAM, add_json, add_user, parser, read_object
from portal.cli.text import as_json, table
from portal.cli.watch import Screen, exit_code, wait_chain
from portal.connections import Connections
from portal.errors import BadParameters, JobNotFound, PortalError
from portal.lake import chain_jobs, looking
from portal.lake.chain import STEPS, Step, chained, restart_key
from portal.lake.chain_view import View
from portal.lake.selection import chosen
from portal.lake.table_name import TableName, joined, parts
from portal.settings import Settings
from portal.spool import Spool

_ABOUT = f"""Tables of the lakehouse: Hive → Iceberg → Azure → Snowflake.

actions:
  tables [PATTERN…]    list the databases of a catalog, or the tables that patterns mean
  status PATTERN…      tell how far the copies of Iceberg tables in another catalog are behind
  chain PATTERN…       take tables through several steps, as one job whose follow-ups take what arrived
  chains [ID]          list the latest chains, or show what came of each table of one in each step
  restart ID           do the step of a chain again that did not succeed; the steps after it follow

`{PROGRAM} lake ACTION --help` tells more."""

_PLACES = {"hive": None, "iceberg": Step.INGEST, "azure": Step.MIGRATE, "snowflake": Step.REGISTER}
"""By the name of a place: the step that leads there."""
_CODES = {"succeeded": 0, "partial": 3}
_SHORT = {"ingest": Step.INGEST, "migrate": Step.MIGRATE, "register": Step.REGISTER}


def lake(arguments: list[str], settings: Settings) -> int:
    """Do one action of the lakehouse."""
    made = parser("lake", _ABOUT, "ACTION […]")
    made.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=argparse.SUPPRESS)
    if not arguments:
        made.print_help(sys.stderr)
        return 2
    made.parse_args(arguments[:1])
    return _ACTIONS[arguments[0]](arguments[1:], settings)


def _add_catalog(made: argparse.ArgumentParser) -> None:
    made.add_argument("--catalog", metavar="NAME", default="", help="a connection of kind catalog (default: that of HIVE_METASTORE_URI)")


def _tables(arguments: list[str], settings: Settings) -> int:
    made = parser("lake tables", "List the databases of a catalog, or the tables that patterns mean.", "[PATTERN…] [--catalog NAME] [--json]")
    made.add_argument("patterns", nargs="*", metavar="PATTERN", help="sales.orders, 'sales.*', 'sales_*.orders_20??'")
    _add_catalog(made)
    add_json(made)
    given = made.parse_args(arguments)
    known = Connections.load(settings)
    if not given.patterns:
        found = looking.databases(known, given.catalog)
        print(as_json(found) if given.json else "\n".join(found) or "There are no databases.")
        return 0
    listed = looking.described(known, given.catalog, _meant(known, given.catalog, given.patterns))
    if given.json:
        print(as_json([{"table": str(item.name), "what": item.what, "iceberg": item.is_iceberg, "on_files": item.on_files} for item in listed]))
    else:
        print(table(["table", "what it is"], [[str(item.name), item.what] for item in listed]))
    return 0


def _meant(known: Connections, name: str, patterns: list[str]) -> list[TableName]:
    """The tables that patterns mean. Raises BadParameters for one that means none."""
    try:
        wanted = [parts(pattern)[:-1] for pattern in patterns]
        there = [parts(database) for database in looking.databases(known, name)]
        databases = [levels for levels in there if any(_fits(one, levels) for one in wanted)]
        found, missing = chosen(patterns, [item for levels in databases for item in looking.names(known, name, joined(levels))])
    except ValueError as error:
        raise BadParameters(str(error)) from None
    if missing:
        raise BadParameters(f"No table is meant by {', '.join(missing)}.", hint=f"`{PROGRAM} lake tables` lists the databases.")
    return found


def _fits(wanted: list[str], levels: list[str]) -> bool:
    """Whether a pattern may mean tables of a namespace; a rough look, that not every database is asked for its tables."""
    plain = not any(mark in part for part in wanted for mark in "*?[")
    return len(wanted) == len(levels) and (not plain or [part.lower() for part in wanted] == [part.lower() for part in levels])


def _status(arguments: list[str], settings: Settings) -> int:
    about = "Tell how far the copies of Iceberg tables are behind: how many snapshots of the source's current line they lack."
    made = parser("lake status", about, "PATTERN… --target-catalog NAME [--target-namespace NAME] [--catalog NAME] [--json]")
    made.add_argument("patterns", nargs="+", metavar="PATTERN", help="sales_iceberg.orders, 'sales_iceberg.*'")
    _add_catalog(made)
    made.add_argument("--target-catalog", metavar="NAME", required=True, help="the catalog of the copies: a connection of kind catalog")
    made.add_argument("--target-namespace", metavar="NAME", default="", help="their namespace there (default: the source's)")
    add_json(made)
    given = made.parse_args(arguments)
    known = Connections.load(settings)
    names = [item.name for item in looking.described(known, given.catalog, _meant(known, given.catalog, given.patterns)) if item.is_iceberg]
    if not names:
        raise BadParameters("None of these tables is an Iceberg table.", hint="ingest_hive makes Iceberg tables of Hive's.")
    namespace = tuple(parts(given.target_namespace)) if given.target_namespace else None
    pairs = {name: TableName(namespace or name.namespace, name.table) for name in names}
    there = looking.where(known, given.catalog, given.target_catalog, pairs)
    if given.json:
        print(as_json([{"table": str(name), "copy": str(pairs[name]), "there": name in there, **_told(there.get(name))} for name in names]))
    else:
        rows = [[str(name), str(pairs[name]), lake_text.lag(there.get(name))] for name in names]
        print(table(["table", "copy", "behind"], rows))
    return 0


def _told(found: looking.There | None) -> Mapping[str, Any]:
    return asdict(found) if found else {}


_CHAIN = """Take tables through several steps, as one job whose follow-ups take the tables that arrived in the step before.

Parameters of the steps are given as --set STEP.PARAMETER=VALUE; STEP is ingest, migrate or register, and
`python -m portal engines ingest_hive` (migrate_iceberg, register_snowflake) lists what there is. A table that fails holds up none of the others.

example:
  python -m portal lake chain 'sales.*' --set migrate.target_catalog=azure --set register.volume=LAKE --wait"""


def _chain(arguments: list[str], settings: Settings) -> int:
    made = parser("lake chain", _CHAIN, "PATTERN… [--from PLACE] [--to PLACE] [--set STEP.PARAMETER=VALUE]… [--wait]")
    made.add_argument("tables", nargs="*", metavar="PATTERN", help="tables to take: sales.orders, 'sales.*'")
    made.add_argument("--from", dest="begin", choices=list(_PLACES)[:-1], default="hive", help="where the tables are now (default: hive)")
    made.add_argument("--to", dest="end", choices=list(_PLACES)[1:], default="snowflake", help="where they are to go (default: snowflake)")
    _add_catalog(made)
    made.add_argument(
        "--set", dest="values", action="append", default=[], metavar="STEP.PARAMETER=VALUE", help="may be repeated; VALUE is text or JSON"
    )
    made.add_argument("--file", metavar="FILE", help='JSON file with parameters by step: {"ingest": {"tables": […], …}, "migrate": {…}}; flags win')
    made.add_argument("--name", metavar="TEXT", default="", help="a name for people")
    made.add_argument("--priority", type=int, metavar="0-9", default=5, help="0 is most urgent (default: 5)")
    made.add_argument("--key", metavar="TEXT", help="idempotency key: starting again with the same key is the same chain")
    made.add_argument("--wait", action="store_true", help="wait for all steps; exits with 0 succeeded, 3 partial, 1 failed or cancelled, 2 rejected")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    order = chained(_steps(given), name=given.name)
    job = submission.new_job(
        settings, order.engine, order.params, by=given.user, priority=given.priority, key=given.key, then=order.then, labels=order.labels,
    )  # fmt: skip
    spool = Spool(settings)
    return _started(spool, spool.submit(job).id, given)


def _steps(given: argparse.Namespace) -> dict[Step, dict[str, Any]]:
    begin, end = list(_PLACES).index(given.begin), list(_PLACES).index(given.end)
    if begin >= end:
        raise BadParameters(f"From {given.begin} to {given.end} there is no way.", hint=f"The places are, in order: {', '.join(_PLACES)}.")
    steps: dict[Step, dict[str, Any]] = {step: {} for step in STEPS[begin:end]}
    for name, params in (read_object(given.file) if given.file else {}).items():
        if not isinstance(params, dict):
            raise BadParameters(f"{given.file}: the parameters of {name} are no object.")
        steps.setdefault(_step(name), {}).update(params)
    for text in given.values:
        where, is_given, value = text.partition("=")
        name, has_param, param = where.partition(".")
        if not (is_given and has_param and param):
            raise BadParameters(f"--set {text!r} cannot be read.", hint="Write --set STEP.PARAMETER=VALUE, as --set migrate.target_catalog=azure.")
        step = _step(name)
        if step not in steps:
            raise BadParameters(f"--set {text!r}: the chain from {given.begin} to {given.end} has no step {name}.")
        steps[step][param.replace("-", "_")] = _value(step, param.replace("-", "_"), value)
    first = min(steps, key=STEPS.index)
    steps[first] |= {**({"tables": given.tables} if given.tables else {}), **({"catalog": given.catalog} if given.catalog else {})}
    return steps


def _step(name: str) -> Step:
    known = {**_SHORT, **{step.value: step for step in STEPS}}
    if name not in known:
        raise BadParameters(f"{name!r} is no step.", hint=f"Steps: {', '.join(_SHORT)}.")
    return known[name]


def _value(step: Step, param: str, text: str) -> Any:
    """A value of a flag: as the parameter's kind wants it."""
    kind = next((item.kind for item in catalog.engine(step.value).fields if item.name == param), "text")
    if kind in ("list", "json") and text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise BadParameters(f"{step}.{param} is not JSON: {error}.") from None
    return [part.strip() for part in text.split(",")] if kind == "list" else text


def _started(spool: Spool, mark: str, given: argparse.Namespace) -> int:
    view = _one(spool, mark)
    if not given.json:
        print(mark, flush=True)
    code = 0
    if given.wait:
        jobs = wait_chain(spool, view.jobs[0].id, Screen())
        view = _one(spool, mark)
        code = _CODES.get(view.state, exit_code(jobs))
        if not given.json:
            print(lake_text.matrix(view))
    elif not given.json:
        Screen().say(f"started; to see how it is: {PROGRAM} lake chains {mark}")
    if given.json:
        print(as_json(lake_text.public(view)))
    return code


def _one(spool: Spool, mark: str) -> View:
    found = chain_jobs.one(spool, mark.upper(), budget_s=60)
    if found is None:
        raise JobNotFound(f"There is no chain {mark!r}.", hint=f"`{PROGRAM} lake chains` lists those of the last {chain_jobs.DAYS} days.")
    return found


def _chains(arguments: list[str], settings: Settings) -> int:
    about = "List the latest chains, or show what came of each table of one in each step."
    made = parser("lake chains", about, "[ID] [--limit N] [--json]")
    made.add_argument("id", nargs="?", metavar="ID", help="of a chain; its beginning or end will do")
    made.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    if given.id:
        view = _one(spool, given.id)
        print(as_json(lake_text.public(view)) if given.json else lake_text.matrix(view))
        return 0
    found = chain_jobs.chains(spool, most=max(0, given.limit), budget_s=60).chains
    if given.json:
        print(as_json([lake_text.public(view) for view in found]))
    else:
        print(lake_text.listed(found) if found else f"No chains within {chain_jobs.DAYS} days. `{PROGRAM} lake chain --help` tells how to start one.")
    return 0


def _restart(arguments: list[str], settings: Settings) -> int:
    about = "Do the first step of a chain again that did not succeed: only what it lacks is done. The steps after it follow."
    made = parser("lake restart", about, "ID [--wait] [--json]")
    made.add_argument("id", metavar="ID", help="of a chain; its beginning or end will do")
    made.add_argument("--wait", action="store_true", help="wait for all steps; the exit status tells how they ended")
    add_user(made)
    add_json(made)
    given = made.parse_args(arguments)
    spool = Spool(settings)
    view = _one(spool, given.id)
    old = view.retryable
    if old is None:
        raise PortalError(f"The chain {view.mark} has nothing to restart: it {'still runs' if view.running else 'succeeded'}.")
    job = submission.retry(settings, spool, old.id, by=given.user, key=restart_key(old.id))
    jobs = wait_chain(spool, job.id, Screen()) if given.wait else []
    view = _one(spool, view.mark)
    code = _CODES.get(view.state, exit_code(jobs)) if given.wait else 0
    print(as_json(lake_text.public(view)) if given.json else lake_text.matrix(view))
    return code


_ACTIONS: Mapping[str, Callable[[list[str], Settings], int]] = {
    "tables": _tables, "status": _status, "chain": _chain, "chains": _chains, "restart": _restart,
}  # fmt: skip
