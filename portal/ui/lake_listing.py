"""Looks into catalogs for the page of the lakehouse: bounded in time, kept for the session alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from portal.connections import Connections
from portal.errors import PortalError, explain
from portal.lake import looking
from portal.lake.chain import Step
from portal.lake.looking import Listed, There
from portal.lake.registering import naming
from portal.lake.table_name import TableName, joined, parts
from portal.ui import listing, state
from portal.ui.lake_rows import Elsewhere
from portal.warehouse_names import bare

_Answer = TypeVar("_Answer")


def connections() -> Connections:
    """Raises SettingError."""
    return Connections.load(state.config())


def configured(known: Connections) -> list[str]:
    """Names of the connections to catalogs that lead anywhere, '' the default."""
    default = known.get("catalog")
    return [*([""] if default.uri or default.warehouse else []), *known.names("catalog")]


def databases(catalog: str) -> list[str]:
    """Raises CatalogError, AccessDenied, Unreachable, SettingError."""
    known = connections()
    return listing.kept(("databases", catalog), lambda: looking.databases(known, catalog))


def names(catalog: str, database: str) -> list[TableName]:
    known = connections()
    return listing.kept(("tables", catalog, database), lambda: looking.names(known, catalog, database))


def iceberg_names(catalog: str, database: str) -> list[TableName]:
    """Those of them that are Iceberg tables."""
    known = connections()
    return listing.kept(("iceberg", catalog, database), lambda: looking.iceberg_tables(known, catalog, database))


def described(catalog: str, wanted: Sequence[TableName]) -> list[Listed]:
    known = connections()
    return listing.kept(("described", catalog, tuple(wanted)), lambda: looking.described(known, catalog, wanted))


_TELLING = ("target_catalog", "target_namespace", "connection", "database", "schema_name", "names")
"""Parameters of steps that say where tables go."""


def elsewhere(catalog: str, listed: Sequence[Listed], given: Mapping[Step, Mapping[str, Any]]) -> Future[Elsewhere]:
    """Begin to look where tables are besides their own catalog, by what the steps' forms hold."""
    known = connections()
    steps = {step: {name: params[name] for name in _TELLING if params.get(name)} for step, params in given.items()}
    mark = ("elsewhere", catalog, tuple(listed), tuple((step, tuple(params.items())) for step, params in steps.items()))
    return listing.begun(mark, partial(_look, known, catalog, listed, steps))


def _look(known: Connections, catalog: str, listed: Sequence[Listed], steps: Mapping[Step, Mapping[str, Any]]) -> Elsewhere:
    """What cannot be found out is told, and hides nothing else."""
    told: list[str] = []
    places = {item.name: (catalog, item.name) for item in listed if item.is_iceberg}
    iceberg = azure = snowflake = None
    if (ingest := steps.get(Step.INGEST)) is not None:
        at = str(ingest.get("target_catalog") or catalog)
        targets = {item.name: targeted(ingest, item.name, "{db}_iceberg") for item in listed if item.on_files}
        if (there := _asked("Iceberg", told, lambda: _present(known, at, targets.values()))) is not None:
            iceberg = {name: There() for name, target in targets.items() if target in there}
            places |= {name: (at, targets[name]) for name in iceberg}
    migrate = steps.get(Step.MIGRATE, {})
    if copy_at := str(migrate.get("target_catalog") or ""):
        azure = _asked("Azure", told, lambda: _copies(known, copy_at, places, migrate))
    if (register := steps.get(Step.REGISTER)) is not None and known.get("snowflake", register.get("connection")).account:
        copies = {item.name: targeted(migrate, places.get(item.name, (catalog, item.name))[1]) for item in listed}
        snowflake = _asked("Snowflake", told, lambda: _registered(known, register, copies))
    return Elsewhere(iceberg, azure, snowflake, tuple(told))


def targeted(params: Mapping[str, Any], name: TableName, usual: str = "") -> TableName:
    """The name that a step gives a table: in the namespace that its parameters name, in which {db} stands for the source's."""
    namespace = str(params.get("target_namespace") or usual)
    own = joined(name.namespace)
    with suppress(ValueError):
        return TableName(tuple(parts(namespace.replace("{db}", own))) if namespace else name.namespace, name.table)
    return name


def _asked(place: str, told: list[str], ask: Callable[[], _Answer]) -> _Answer | None:
    try:
        return ask()
    except PortalError as problem:
        told.append(f"{place}: {explain(problem).partition(chr(10))[0]}")
        return None


def _present(known: Connections, catalog: str, targets: Iterable[TableName]) -> set[TableName]:
    found: set[TableName] = set()
    for namespace in sorted({joined(name.namespace) for name in targets}):
        found |= set(looking.iceberg_tables(known, catalog, namespace))
    return found


def _copies(
    known: Connections, catalog: str, places: Mapping[TableName, tuple[str, TableName]], migrate: Mapping[str, Any]
) -> dict[TableName, There]:  # fmt: skip
    """How the copies on Azure of Iceberg tables are doing, which lie in one catalog or in two."""
    found: dict[TableName, There] = {}
    for source in sorted({at for at, _ in places.values()}):
        inside = {name: ours for name, (at, ours) in places.items() if at == source}
        there = looking.where(known, source, catalog, {ours: targeted(migrate, ours) for ours in inside.values()})
        found |= {name: there[ours] for name, ours in inside.items() if ours in there}
    return found


def _registered(known: Connections, register: Mapping[str, Any], names: Mapping[TableName, TableName]) -> set[TableName]:
    """Which tables are in Snowflake; `names` gives those that they have on Azure, of which Snowflake's are made."""
    connection, database, schema = (str(register.get(name) or "") for name in ("connection", "database", "schema_name"))
    there = looking.registered(known, connection, database, schema)
    style: naming.Names = "namespace_table" if register.get("names") == "namespace_table" else "table"
    return {name for name, copy in names.items() if bare(naming.target(copy, "", "", style).table) in there}
