"""The tables of a lakehouse job in any form: listed live from its catalog, by database; names and patterns can be typed, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from portal.catalog import EngineSpec, FieldSpec
from portal.errors import PortalError, explain
from portal.lake import packages
from portal.lake.chain import Step
from portal.lake.table_name import joined
from portal.ui import lake_listing
from portal.ui.wording import count_of, plain

_MOST_OFFERED = 5_000


def is_for(spec: EngineSpec) -> bool:
    """Tell whether an engine takes tables of a catalog."""
    names = {item.name: item.kind for item in spec.fields}
    return names.get("tables") == "list" and names.get("catalog") == "connection"


def show(spec: EngineSpec, item: FieldSpec, value: Any, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Show the field; `given` names the catalog. Without packages or catalog, tables are typed."""
    chosen = [str(name) for name in value or ()]
    catalog = str(given.get("catalog") or "")
    offered, told = _offered(catalog, key, iceberg=spec.name != Step.INGEST)
    tables = st.multiselect(
        item.title + (" *" if item.required else ""), list(dict.fromkeys([*chosen, *offered])), chosen, key=f"{key}.{catalog}",
        help=f"{item.help} Type one and press Enter.", placeholder=item.placeholder or "None", accept_new_options=True, persist_state="session",
    )  # fmt: skip
    if told:
        st.caption(told)
    return {item.name: tables}


def _offered(catalog: str, key: str, *, iceberg: bool) -> tuple[list[str], str]:
    """What can be chosen without typing, and what there is to say. `iceberg`: Iceberg tables alone."""
    if not packages.there("pyiceberg"):
        return [], "Tables are not listed: the packages of the lakehouse are not installed here (pip install -r requirements-lake.txt)."
    try:
        found = lake_listing.databases(catalog)
        database = st.selectbox(
            "Tables of the database", found, index=0 if len(found) == 1 else None, key=f"{key}.database.{catalog}", persist_state="session",
            placeholder=f"{count_of(len(found), 'database')}: choose one to see its tables",
        )  # fmt: skip
        if not database:
            return [], ""
        names = (lake_listing.iceberg_names if iceberg else lake_listing.names)(catalog, database)
    except PortalError as problem:
        return [], ":material/help: Tables are not listed: " + plain(explain(problem).partition("\n")[0])
    every = joined(names[0].namespace) + ".*" if names else ""
    more = f"; the first {_MOST_OFFERED:,} are offered" if len(names) > _MOST_OFFERED else ""
    told = f"{count_of(len(names), 'Iceberg table' if iceberg else 'table')} in {plain(database)}{more}"
    return ([every, *map(str, names[:_MOST_OFFERED])] if names else []), told
