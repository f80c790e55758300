"""External volumes and integrations: made, shown, described and tried as Snowflake does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from embedded.snowflake.answers import NO_LOCATIONS, SYNTAX, Refused, rows_sql, status_sql
from embedded.snowflake.objects import Objects
from embedded.snowflake.statement import Statement, name_in
from embedded.snowflake.storage import Place, Storage

VOLUME, CATALOG, STORAGE = "EXTERNAL VOLUME", "CATALOG INTEGRATION", "STORAGE INTEGRATION"
_PROPERTIES = ("parent_property", "property", "property_type", "property_value", "property_default")
_SHOWN = {
    VOLUME: ("name", "allow_writes", "comment"),
    CATALOG: ("name", "type", "category", "enabled", "comment", "created_on"),
    STORAGE: ("name", "type", "category", "enabled", "comment", "created_on"),
}
_MOST_SHOWN = 10_000
_APP = "boxsnowflakeapp_1"
SINCE = "2026-01-01 00:00:00.000 +0000"
"""When everything was made: fakesnow keeps no times either."""


class Volumes:
    """The objects of the account that lead to storage."""

    def __init__(self, objects: Objects, storage: Storage) -> None:
        self._objects, self._storage = objects, storage

    def answer(self, statement: Statement) -> str:
        """Return a statement that answers. Raises Refused."""
        if statement.verb == "CREATE":
            return self._create(statement)
        if statement.verb == "SHOW":
            return self._show(statement)
        if statement.verb == "DESCRIBE":
            return self._describe(statement)
        if statement.verb == "DROP":
            return status_sql(self._objects.drop(statement.kind, statement.name, guarded=statement.guarded))
        raise Refused(SYNTAX, f"SQL compilation error:\nUnsupported feature '{statement.verb} {statement.kind}'.")

    def verified(self, argument: str) -> str:
        """Answer SYSTEM$VERIFY_EXTERNAL_VOLUME: whether the volume's account lets Snowflake in."""
        name = name_in(argument)
        location = self.locations(name)[0]
        place = Place.parse(location["STORAGE_BASE_URL"])
        inside = self._storage.lets_in(place.account)
        told = {
            "success": inside, "storageLocationSelectionResult": "PASSED", "storageLocationName": location["NAME"],
            "servicePrincipalProperties": f"AZURE_MULTI_TENANT_APP_NAME: {_APP}; AZURE_CONSENT_URL: {_consent(location)}",
            "location": location["STORAGE_BASE_URL"], "readResult": "PASSED" if inside else "FAILED",
        }  # fmt: skip
        return rows_sql(["SYSTEM$VERIFY_EXTERNAL_VOLUME"], [[json.dumps(told)]])

    def locations(self, name: tuple[str, ...]) -> list[dict[str, Any]]:
        """Raises Refused when there is no such volume."""
        found: list[dict[str, Any]] = self._objects.need(VOLUME, name)["STORAGE_LOCATIONS"]
        return found

    def base(self, name: tuple[str, ...]) -> Place:
        """Return where a volume's tables are: its first location. Raises Refused."""
        return Place.parse(self.locations(name)[0]["STORAGE_BASE_URL"])

    def _create(self, statement: Statement) -> str:
        facts = dict(statement.options)
        if statement.kind == VOLUME:
            _check_locations(statement.name[-1], facts.get("STORAGE_LOCATIONS"))
        elif statement.kind == CATALOG and (facts.get("CATALOG_SOURCE"), facts.get("TABLE_FORMAT")) != ("OBJECT_STORE", "ICEBERG"):
            raise Refused(SYNTAX, "SQL compilation error:\nThe box knows CATALOG_SOURCE = OBJECT_STORE, TABLE_FORMAT = ICEBERG only.")
        told = self._objects.create(statement.kind, statement.name, facts, replace=statement.replace, guarded=statement.guarded)
        return status_sql(told)

    def _show(self, statement: Statement) -> str:
        pattern = str(statement.options.get("LIKE", "%"))
        found = [(name[-1], facts) for name, facts in self._objects.all(statement.kind) if like(name[-1], pattern)]
        return rows_sql(_SHOWN[statement.kind], [_shown(statement.kind, name, facts) for name, facts in found])

    def _describe(self, statement: Statement) -> str:
        facts = self._objects.need(statement.kind, statement.name)
        if statement.kind != VOLUME:
            return rows_sql(_PROPERTIES[1:], [(key, "String", _text(value), "") for key, value in facts.items()])
        rows = [("", "ALLOW_WRITES", "Boolean", _text(facts.get("ALLOW_WRITES", True)), "true")]
        for number, location in enumerate(facts["STORAGE_LOCATIONS"], 1):
            whole = {**location, "AZURE_MULTI_TENANT_APP_NAME": _APP, "AZURE_CONSENT_URL": _consent(location), "ENCRYPTION_TYPE": "NONE"}
            rows.append(("STORAGE_LOCATIONS", f"STORAGE_LOCATION_{number}", "String", json.dumps(whole), ""))
        rows.append(("STORAGE_LOCATIONS", "ACTIVE", "String", str(facts.get("ACTIVE", "")), ""))
        return rows_sql(_PROPERTIES, [*rows, ("", "COMMENT", "String", str(facts.get("COMMENT", "")), "")])


def like(name: str, pattern: str) -> bool:
    """Match as LIKE of SHOW does, without case."""
    glob = pattern.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]").replace("%", "*").replace("_", "?")
    return fnmatchcase(name.upper(), glob.upper())


def paged(rows: list[list[str]], options: Mapping[str, Any]) -> list[list[str]]:
    """Cut rows of SHOW, whose second column is the name, as LIMIT … FROM tells; there are never more than Snowflake shows."""
    known = [row for row in rows if row[1] > str(options.get("FROM", ""))]
    return known[: min(int(options.get("LIMIT", _MOST_SHOWN)), _MOST_SHOWN)]


def _check_locations(name: str, locations: Any) -> None:
    if not isinstance(locations, list) or not locations:
        raise Refused(NO_LOCATIONS, f"External volume {name} must have STORAGE_LOCATIONS defined.")
    for location in locations:
        needed = ("NAME", "STORAGE_PROVIDER", "STORAGE_BASE_URL", "AZURE_TENANT_ID")
        if absent := [key for key in needed if not location.get(key)]:
            raise Refused(SYNTAX, f"SQL compilation error:\nStorage location of {name} lacks {', '.join(absent)}.")
        if not location["STORAGE_BASE_URL"].startswith("azure://") or location["STORAGE_PROVIDER"] != "AZURE":
            raise Refused(SYNTAX, f"SQL compilation error:\ninvalid STORAGE_BASE_URL '{location['STORAGE_BASE_URL']}': it must begin with azure://")


def _consent(location: Mapping[str, Any]) -> str:
    return f"https://login.microsoftonline.com/{location['AZURE_TENANT_ID']}/oauth2/authorize?client_id=box&response_type=code"


def _shown(kind: str, name: str, facts: Mapping[str, Any]) -> list[str]:
    if kind == VOLUME:
        return [name, _text(facts.get("ALLOW_WRITES", True)), str(facts.get("COMMENT", ""))]
    what = kind.split()[0]
    told = what if kind == CATALOG else str(facts.get("TYPE", ""))
    return [name, told, what, _text(facts.get("ENABLED", False)), str(facts.get("COMMENT", "")), SINCE]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else json.dumps(value) if isinstance(value, list | dict) else str(value)
