"""Looks into catalogs for the page of the lakehouse: bounded in time, kept for the session alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from portal.connections import Connections
from portal.errors import PortalError, explain
from portal.lake import looking
from portal.lake.chain import Step
from portal.lake.looking import Listed, There
from portal.lake.table_name import TableName, joined, parts
from portal.ui import listing, state
from portal.ui.lake_rows import Elsewhere

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


def described(catalog: str, wanted: Sequence[TableName]) -> list[Listed]:
    known = connections()
    return listing.kept(("described", catalog, tuple(wanted)), lambda: looking.described(known, catalog, wanted))


def elsewhere(catalog: str, listed: Sequence[Listed], given: Mapping[Step, Mapping[str, Any]]) -> Elsewhere:
    """Tell where tables are besides their own catalog, by what the steps' forms hold. What cannot be found out is told, and hides nothing else."""
    told: list[str] = []
    places = {item.name: (catalog, item.name) for item in listed if item.is_iceberg}
    iceberg = None
    if (ingest := given.get(Step.INGEST)) is not None:
        at = str(ingest.get("target_catalog") or catalog)
        targets = {item.name: targeted(ingest, item.name, "{db}_iceberg") for item in listed if item.on_files}
        if (there := _asked("Iceberg", told, lambda: _present(at, targets.values()))) is not None:
            iceberg = {name: There() for name, target in targets.items() if target in there}
            places |= {name: (at, targets[name]) for name in iceberg}
    azure = None
    if (migrate := given.get(Step.MIGRATE)) and (copy_at := str(migrate.get("target_catalog") or "")):
        azure = _asked("Azure", told, lambda: _copies(copy_at, places, migrate))
    snowflake = None
    if register := given.get(Step.REGISTER):
        snowflake = _asked("Snowflake", told, lambda: _registered(register, [item.name for item in listed]))
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


def _present(catalog: str, targets: Iterable[TableName]) -> set[TableName]:
    known = connections()
    found: set[TableName] = set()
    for namespace in sorted({joined(name.namespace) for name in targets}):
        found |= set(listing.kept(("iceberg", catalog, namespace), partial(looking.iceberg_tables, known, catalog, namespace)))
    return found


def _copies(catalog: str, places: Mapping[TableName, tuple[str, TableName]], migrate: Mapping[str, Any]) -> dict[TableName, There]:
    """How the copies on Azure of Iceberg tables are doing, which lie in one catalog or in two."""
    known = connections()
    found: dict[TableName, There] = {}
    for source in sorted({at for at, _ in places.values()}):
        inside = {name: ours for name, (at, ours) in places.items() if at == source}
        pairs = {ours: targeted(migrate, ours) for ours in inside.values()}
        mark = ("copies", source, catalog, tuple(pairs.items()))
        there = listing.kept(mark, partial(looking.where, known, source, catalog, pairs))
        found |= {name: there[ours] for name, ours in inside.items() if ours in there}
    return found


def _registered(register: Mapping[str, Any], names: Sequence[TableName]) -> set[TableName]:
    known = connections()
    mark = ("snowflake", *(str(register.get(name) or "") for name in ("connection", "database", "schema")))
    there = listing.kept(mark, lambda: looking.registered(known, *mark[1:]))
    return {name for name in names if name.table.upper() in there or name.table in there}
