"""The catalog of the copies on the box's Azure, as the portal is told of it."""

from __future__ import annotations

from pathlib import Path

from embedded import data
from embedded.box import ACCOUNT

NAME = "azure"


def write_connections(home: Path) -> None:
    """Name the catalog of the tables on Azure; that of Hive is the default one."""
    path = home / "connections.toml"
    if not path.exists():
        path.write_text(
            f'[{NAME}]\nkind = "catalog"\ntype = "sql"\nuri = "sqlite:///{home}/{NAME}.db"\n'
            f'warehouse = "abfss://{data.CONTAINER}@{ACCOUNT}/warehouse"\n', "utf-8",
        )  # fmt: skip
