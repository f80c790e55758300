"""The session in which tables are registered: what changes something is written down, and left undone when it is only planned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from portal.errors import visible
from portal.warehouse import Warehouse

Record = dict[str, Any]


@dataclass
class Script:
    """Statements in the order in which they are done, with what each is for."""

    steps: list[tuple[str, str]] = field(default_factory=list)

    def add(self, why: str, sql: str) -> None:
        if all(sql != known for _, known in self.steps):
            self.steps.append((why, sql))

    def text(self, head: Iterable[str] = ()) -> str:
        """Return the whole as SQL, for people to review and run."""
        begin = "".join(f"-- {visible(line)}\n" for line in head)
        return begin + "".join(f"\n-- {visible(why)}\n{sql};\n" for why, sql in self.steps)


class Session:
    """A session of Snowflake. `planning`: nothing is changed there."""

    def __init__(self, warehouse: Warehouse, script: Script, *, planning: bool) -> None:
        self._warehouse, self.script, self.planning = warehouse, script, planning
        self.query_ids: list[str] = []
        self.no_schema = False
        """There is none yet, and none is made: it is only planned."""

    def ask(self, sql: str, what: str) -> list[Record]:
        """Run what changes nothing; returns its rows by the names of their columns, in lower case."""
        answer = self._warehouse.query(sql, what=what)
        return [dict(zip((name.lower() for name in answer.columns), row, strict=True)) for row in answer.rows]

    def value(self, sql: str, what: str) -> Any:
        """Run what answers with one value."""
        rows = self._warehouse.query(sql, what=what).rows
        return rows[0][0] if rows else None

    def answer(self, sql: str, why: str) -> list[tuple[Any, ...]]:
        """Run what changes something and tells what, unless it is only planned: then it has told nothing."""
        self.script.add(why, sql)
        if self.planning:
            return []
        answer = self._warehouse.query(sql, what=why)
        self.query_ids.append(answer.query_id)
        return answer.rows

    def do(self, sql: str, why: str) -> None:
        """Run what changes something, unless it is only planned."""
        self.script.add(why, sql)
        if not self.planning:
            self.query_ids.append(self._warehouse.query(sql, what=why).query_id)
