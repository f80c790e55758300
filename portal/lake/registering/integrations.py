"""Storage integrations, by which stages reach their files: named, found, or made when that is allowed."""

from __future__ import annotations

import json

from portal.errors import WarehouseError
from portal.lake.registering import statements
from portal.lake.registering.access import Wanted
from portal.lake.registering.places import Place
from portal.lake.registering.session import Record, Session
from portal.lake.registering.sql_text import exact
from portal.stores.url import StoreURL
from portal.warehouse_names import bare


class Integrations:
    """Finds a storage integration for each folder. Raises PortalError with what to do."""

    def __init__(self, wanted: Wanted, session: Session) -> None:
        self._wanted, self._session = wanted, session
        self._allowed: dict[str, list[str]] = {}
        self.consent = ""
        """What an administrator of Azure is to do for one that was made now."""

    def storage(self, folder: StoreURL) -> str:
        """Return the name of an integration that may read a folder."""
        place = Place.of(folder.at(f"{folder.key.rstrip('/')}/"))
        names = [str(row["name"]) for row in self._session.ask(statements.show_storage_integrations(), "Looking for storage integrations")]
        named = bare(self._wanted.storage_integration) if self._wanted.storage_integration else ""
        for name in [named] if named in names else [] if named else names:
            if place and any(_holds(url, place) for url in self._locations(name)):
                return exact(name)
        if named in names:
            raise WarehouseError(f"The storage integration {named} may not read {folder}.", hint="Add it to its STORAGE_ALLOWED_LOCATIONS.")
        if not self._wanted.create_volume:
            hint = "Have one made (docs/snowflake.md), or give create_volume and azure_tenant_id to a role that may make it."
            raise WarehouseError(f"No storage integration {named or 'that the role may see'} leads to {folder}.", hint=hint)
        return self._made(folder)

    def _made(self, folder: StoreURL) -> str:
        name = exact(bare(self._wanted.storage_integration or self._wanted.storage_name(folder)))
        self._session.do(self._wanted.creating_storage(folder), f"make the storage integration {bare(name)}")
        self._allowed.pop(bare(name), None)
        if not self._session.planning:
            facts = {str(row["property"]): str(row["property_value"]) for row in self._described(name)}
            app = facts.get("AZURE_MULTI_TENANT_APP_NAME", "").partition("_")[0]
            self.consent = (
                f"Snowflake reads nothing through the new storage integration {bare(name)} until an administrator of the tenant opens "
                f"{facts.get('AZURE_CONSENT_URL', 'its AZURE_CONSENT_URL')} and accepts, and gives the application {app} Storage Blob Data Reader."
            )
        return name

    def _locations(self, name: str) -> list[str]:
        if name not in self._allowed:
            value = next((str(row["property_value"]) for row in self._described(exact(name)) if row["property"] == "STORAGE_ALLOWED_LOCATIONS"), "")
            self._allowed[name] = _listed(value)
        return self._allowed[name]

    def _described(self, name: str) -> list[Record]:
        return self._session.ask(statements.describe_storage_integration(name), f"Looking at the storage integration {bare(name)}")


def _listed(value: str) -> list[str]:
    """Snowflake shows a list with commas, others as JSON."""
    try:
        told = json.loads(value)
    except ValueError:
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(item) for item in told] if isinstance(told, list) else [str(told)]


def _holds(url: str, place: Place) -> bool:
    base = Place.of_base(url)
    return url == "*" or (base is not None and place.below(base) is not None)
