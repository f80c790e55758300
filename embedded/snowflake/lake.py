"""What fakesnow does not know and the box's Snowflake does: which part of it answers a statement."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from embedded.snowflake.answers import SYNTAX, Refused
from embedded.snowflake.external_tables import ExternalTables
from embedded.snowflake.iceberg_tables import KIND as ICEBERG
from embedded.snowflake.iceberg_tables import IcebergTables
from embedded.snowflake.objects import Name, Objects
from embedded.snowflake.statement import Statement, name_in, read
from embedded.snowflake.storage import STORAGE_FILE, Storage
from embedded.snowflake.volumes import CATALOG, STORAGE, VOLUME, Volumes

OBJECTS_FILE = "objects.json"
_CHANGES = re.compile(
    r"\s*(?:insert\s+(?:overwrite\s+)?into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+"
    r"(?P<name>(?:\"(?:[^\"]|\"\")+\"|[\w$]+)(?:\.(?:\"(?:[^\"]|\"\")+\"|[\w$]+))*)", re.IGNORECASE,
)  # fmt: skip


class Lake:
    """Tables on Azure, of one server."""

    def __init__(self, root: Path) -> None:
        objects, storage = Objects(root / OBJECTS_FILE), Storage(root / STORAGE_FILE)
        self._volumes = Volumes(objects, storage)
        self._iceberg = IcebergTables(objects, storage, self._volumes)
        self._external = ExternalTables(objects, storage)

    def answer(self, sql: str, session: Any) -> str | None:
        """Do a statement and return another whose rows are the answer; None when fakesnow is to answer. Raises Refused.

        Args:
            session: fakesnow's, for the database and schema of names that have none, and for its databases.
        """
        self._refuse_changes(sql, session)
        statement = read(sql)
        if statement is None:
            return None
        if statement.verb == "SELECT":
            return self._function(statement, session)
        if statement.kind in (VOLUME, CATALOG, STORAGE):
            return self._volumes.answer(statement)
        tables = self._iceberg if statement.kind == ICEBERG else self._external
        if statement.verb == "SHOW":
            return self._external.show_stages(statement) if statement.kind == "STAGE" else tables.show(statement)
        name = _whole(statement.name, session)
        if statement.kind == "STAGE":
            doing = {"CREATE": lambda: self._external.make_stage(statement, name), "DESCRIBE": lambda: self._external.describe_stage(name)}
            return doing.get(statement.verb, lambda: None)()
        with session._duck_conn.cursor() as duck:
            return tables.answer(statement, name, duck)

    def _function(self, statement: Statement, session: Any) -> str | None:
        argument = statement.options["ARGUMENT"]
        if statement.kind == "SYSTEM$GET_ICEBERG_TABLE_INFORMATION":
            return self._iceberg.information(_whole(name_in(argument), session))
        if statement.kind == "SYSTEM$VERIFY_EXTERNAL_VOLUME":
            return self._volumes.verified(argument)
        return None

    def _refuse_changes(self, sql: str, session: Any) -> None:
        if found := _CHANGES.match(sql):
            name = name_in(found["name"])
            if len(name) == 3 or (session.database and session.schema):
                whole = _whole(name, session)
                self._iceberg.refuse_change(whole)
                self._external.refuse_change(whole)


def _whole(name: Name, session: Any) -> Name:
    """Raises Refused when a part is missing that the session does not have."""
    missing = 3 - len(name)
    if missing and not (session.database and session.schema):
        raise Refused(SYNTAX, f"SQL compilation error:\n{'.'.join(name)} needs a database and a schema: the session has none.")
    return (*(session.database, session.schema)[:missing], *name)
