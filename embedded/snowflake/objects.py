"""What the box's Snowflake knows besides fakesnow's databases: volumes, integrations, stages, and where its tables on Azure come from."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded.snowflake.answers import missing, there_already

Name = tuple[str, ...]


class Objects:
    """Kept in one file, replaced at each change, so that it is there again at the next start."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.RLock()
        kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self._known: dict[str, dict[Name, dict[str, Any]]] = {
            kind: {tuple(entry["name"]): entry["facts"] for entry in entries} for kind, entries in kept.items()
        }

    def create(self, kind: str, name: Name, facts: Mapping[str, Any], *, replace: bool = False, guarded: bool = False) -> str:
        """Note a new object; returns the words of Snowflake's answer. Raises Refused when there is one."""
        with self._lock:
            if self.get(kind, name) is not None and not replace:
                if guarded:
                    return f"{name[-1]} already exists, statement succeeded."
                raise there_already(".".join(name))
            self.put(kind, name, facts)
        return f"{kind.capitalize()} {name[-1]} successfully created."

    def put(self, kind: str, name: Name, facts: Mapping[str, Any]) -> None:
        with self._lock:
            self._known.setdefault(kind, {})[name] = dict(facts)
            self._save()

    def get(self, kind: str, name: Name) -> dict[str, Any] | None:
        with self._lock:
            return self._known.get(kind, {}).get(name)

    def need(self, kind: str, name: Name) -> dict[str, Any]:
        """Raises Refused when there is no such object."""
        found = self.get(kind, name)
        if found is None:
            raise missing(kind.capitalize(), ".".join(name))
        return found

    def drop(self, kind: str, name: Name, *, guarded: bool = False) -> str:
        """Raises Refused when there is no such object, unless guarded."""
        with self._lock:
            if self._known.get(kind, {}).pop(name, None) is None:
                if not guarded:
                    raise missing(kind.capitalize(), ".".join(name))
                return "Drop statement executed successfully."
            self._save()
        return f"{name[-1]} successfully dropped."

    def all(self, kind: str) -> list[tuple[Name, dict[str, Any]]]:
        with self._lock:
            return sorted(self._known.get(kind, {}).items())

    def _save(self) -> None:
        kept = {kind: [{"name": name, "facts": facts} for name, facts in entries.items()] for kind, entries in self._known.items()}
        fresh = self._file.with_name(f"{self._file.name}.new")
        fresh.write_text(json.dumps(kept), "utf-8")
        fresh.replace(self._file)
