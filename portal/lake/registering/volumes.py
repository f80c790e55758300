"""External volumes and catalog integrations: which there are, where they lead, and how one is made when that is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.errors import WarehouseError
from portal.lake.registering import statements
from portal.lake.registering.places import Place
from portal.lake.registering.session import Record, Session
from portal.lake.registering.sql_text import exact
from portal.warehouse_names import bare


@dataclass(frozen=True)
class Location:
    """One storage location of a volume."""

    name: str
    url: str
    place: Place | None
    """None in a cloud that the portal does not know."""
    consent_url: str = ""
    app: str = ""


@dataclass(frozen=True)
class Volume:
    name: str
    """As Snowflake shows it."""
    locations: tuple[Location, ...]
    active: str = ""
    """Name of the location that Snowflake uses; it chooses one at the first use."""

    @property
    def used(self) -> tuple[Location, ...]:
        """The locations that may be the active one."""
        return tuple(one for one in self.locations if self.active and one.name == self.active) or self.locations

    def path(self, place: Place) -> str | None:
        """Return what leads from the volume to a place, None when it lies outside. With several locations the first that has it counts."""
        found = (place.below(one.place) for one in self.used if one.place)
        return next((path for path in found if path is not None), None)

    def depth(self, place: Place) -> int:
        """Tell how close the volume's folder is to a place: the longer, the closer; -1 outside."""
        return max((len(one.place.path.strip("/")) for one in self.used if one.place and place.below(one.place) is not None), default=-1)


def volume(name: str, described: Sequence[Record]) -> Volume:
    """Read what DESCRIBE EXTERNAL VOLUME answers."""
    found: list[Location] = []
    active = ""
    for row in described:
        if row["property"] == "ACTIVE":
            active = str(row["property_value"] or "")
        elif str(row["property"]).startswith("STORAGE_LOCATION_"):
            found.append(_location(_facts(row["property_value"])))
    return Volume(name, tuple(found), active)


def _facts(value: Any) -> Mapping[str, Any]:
    try:
        told = json.loads(value)
    except (TypeError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _location(facts: Mapping[str, Any]) -> Location:
    url = str(facts.get("STORAGE_BASE_URL", ""))
    consent, app = (str(facts.get(name, "")) for name in ("AZURE_CONSENT_URL", "AZURE_MULTI_TENANT_APP_NAME"))
    return Location(str(facts.get("NAME", "")), url, Place.of_base(url), consent, app)


class Volumes:
    """The volumes of an account, each described once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, Volume] = {}
        self._listed: list[str] | None = None

    def get(self, name: str) -> Volume | None:
        """Return a volume by its name, None when there is none or the role may not see it."""
        wanted = bare(name)
        if wanted not in self._known and wanted in self._names():
            self._known[wanted] = self._described(wanted)
        return self._known.get(wanted)

    def holding(self, place: Place) -> list[Volume]:
        """Return the volumes that a place lies in, the closest first."""
        found = [one for one in self.all() if one.path(place) is not None]
        return sorted(found, key=lambda one: (-one.depth(place), one.name))

    def all(self) -> Iterator[Volume]:
        for name in self._names():
            if name not in self._known:
                self._known[name] = self._described(name)
            yield self._known[name]

    def forget(self) -> None:
        """Look again which volumes there are: one was made."""
        self._listed = None

    def _names(self) -> list[str]:
        if self._listed is None:
            self._listed = [str(row["name"]) for row in self._session.ask(statements.show_volumes(), "Looking for external volumes")]
        return self._listed

    def _described(self, name: str) -> Volume:
        return volume(name, self._session.ask(statements.describe_volume(exact(name)), f"Looking at the external volume {name}"))


def refuse_unreachable(session: Session, made: Volume) -> None:
    """Raises WarehouseError, with what an administrator of Azure is to do, while a volume's storage does not let Snowflake in."""
    answer = _facts(session.value(statements.verify_volume(exact(made.name)), f"Trying the external volume {made.name}"))
    if answer.get("success") is True:
        return
    consent = next((one for one in made.locations if one.consent_url), None)
    hint = "Let Snowflake into the storage account, then run this again: it goes on from here."
    if consent:
        hint = (
            f"An administrator of the tenant opens {consent.consent_url} and accepts, gives the application {consent.app.partition('_')[0]} the role "
            "Storage Blob Data Reader on the storage account, and waits some minutes. Then run this again: it goes on from here."
        )
    raise WarehouseError(f"The external volume {made.name} does not reach {', '.join(one.url for one in made.used)} yet.", hint=hint)
