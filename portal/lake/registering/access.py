"""By which volume and integration Snowflake reads a table: named, found, or made when that is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from portal.errors import WarehouseError
from portal.lake.registering import statements
from portal.lake.registering.places import Place, base_url
from portal.lake.registering.session import Script, Session
from portal.lake.registering.sql_text import exact
from portal.lake.registering.volumes import Location, Volume, Volumes, refuse_unreachable
from portal.stores.url import StoreURL
from portal.warehouse_names import bare

_OBJECT_STORE = {"CATALOG_SOURCE": "OBJECT_STORE", "TABLE_FORMAT": "ICEBERG"}


@dataclass(frozen=True)
class Wanted:
    """What was said of access. See the engine's parameters."""

    volume: str = ""
    volume_base: StoreURL | None = None
    create_volume: bool = False
    tenant_id: str = ""
    integration: str = "PORTAL_OBJECT_STORE"
    create_integration: bool = False
    storage_integration: str = ""

    def base(self, location: StoreURL) -> StoreURL:
        """The folder that a volume made for a table leads to: the one that was named, else the whole container."""
        return self.volume_base or location.root

    def name(self, location: StoreURL) -> str:
        """The name of that volume."""
        return self.volume or f"PORTAL_{location.account.partition('.')[0]}_{location.container}".upper().replace("-", "_")

    def creating(self, location: StoreURL) -> str:
        """Return the statement that makes the volume."""
        base = self.base(location)
        place = f"portal-{base.account.partition('.')[0]}-{base.container}"
        return statements.create_volume(self.name(location), place, base_url(base), self.tenant_id)

    def storage_name(self, folder: StoreURL) -> str:
        """The name of a storage integration that is made for folders of a container."""
        return f"PORTAL_{folder.account.partition('.')[0]}_{folder.container}_FILES".upper().replace("-", "_")

    def creating_storage(self, folder: StoreURL) -> str:
        """Return the statement that makes it."""
        name = self.storage_integration or self.storage_name(folder)
        return statements.create_storage_integration(name, base_url(self.base(folder)), self.tenant_id)

    def planned(self, location: StoreURL, script: Script) -> Volume:
        """Return the volume as it will be, without asking Snowflake. Raises WarehouseError for a file that is not on Azure."""
        if location.scheme != "abfss":
            raise WarehouseError(f"{location} is not on Azure.", hint="Bring the table to Azure first: migrate_iceberg does.")
        if self.create_volume:
            script.add(f"the way to {self.base(location)}; then DESCRIBE it, open its AZURE_CONSENT_URL and accept", self.creating(location))
        url = base_url(self.base(location))
        return Volume(bare(self.name(location)), (Location("", url, Place.of_base(url)),))


class Access:
    """Finds out once what many tables need. Raises PortalError with what to do."""

    def __init__(self, wanted: Wanted, session: Session) -> None:
        self._wanted, self._session = wanted, session
        self.volumes = Volumes(session)
        self._made: dict[str, Volume] = {}
        self._integration = ""

    def volume(self, location: StoreURL) -> Volume:
        """Return the volume by which Snowflake reads a new table's metadata file."""
        place = Place.of(location)
        if place is None:
            raise WarehouseError(f"Snowflake does not reach {location}.", hint="Bring the table to Azure first: migrate_iceberg does.")
        if self._wanted.volume:
            found = self.volumes.get(self._wanted.volume)
            if found is None:
                return self._new(location, f"There is no external volume {bare(self._wanted.volume)}, or the role may not see it.")
            if found.path(place) is None:
                where = ", ".join(one.url for one in found.used)
                raise WarehouseError(f"{location} does not lie in the external volume {found.name}, which leads to {where}.", hint="Name another.")
            return found
        holding = self.volumes.holding(place)
        return holding[0] if holding else self._new(location, f"No external volume that the role may see leads to {location.root}.")

    def _new(self, location: StoreURL, why: str) -> Volume:
        wanted = self._wanted
        if not wanted.create_volume:
            raise WarehouseError(why, hint="Have one made (docs/snowflake.md), or give create_volume and azure_tenant_id to a role that may make it.")
        if location.scheme != "abfss":
            raise WarehouseError(why, hint="Volumes are made for Azure only: make one for S3 by hand, it needs a role of AWS.")
        name = bare(wanted.name(location))
        if name not in self._made:
            self._session.do(wanted.creating(location), f"make the external volume {name}")
            planned = wanted.planned(location, Script())
            self.volumes.forget()
            made = None if self._session.planning else self.volumes.get(exact(name))
            if made is not None:
                refuse_unreachable(self._session, made)
            self._made[name] = made or planned
        return self._made[name]

    def integration(self) -> str:
        """Return the name of a catalog integration for files in object storage."""
        self._integration = self._integration or self._found_integration(bare(self._wanted.integration))
        return self._integration

    def _found_integration(self, wanted: str) -> str:
        rows = self._session.ask(statements.show_integrations(), "Looking for catalog integrations")
        names = [str(row["name"]) for row in rows]
        if wanted in names:
            self._refuse_other(wanted)
            return wanted
        if not self._wanted.create_integration:
            hint = f"Name one of {', '.join(names[:10])}" if names else "Have one made (docs/snowflake.md)"
            what = f"There is no catalog integration {wanted}, or the role may not see it."
            raise WarehouseError(what, hint=f"{hint}, or give create_integration to a role that may make it.")
        self._session.do(statements.create_integration(exact(wanted)), f"make the catalog integration {wanted}")
        return wanted

    def _refuse_other(self, name: str) -> None:
        described = self._session.ask(statements.describe_integration(exact(name)), f"Looking at the catalog integration {name}")
        facts = {str(row["property"]).upper(): str(row["property_value"]).upper() for row in described}
        if any(facts.get(key, value) != value for key, value in _OBJECT_STORE.items()):
            told = " ".join(f"{key} = {facts.get(key)}" for key in _OBJECT_STORE)
            raise WarehouseError(f"The catalog integration {name} is another's: {told}.", hint="Name one of CATALOG_SOURCE = OBJECT_STORE.")
        if facts.get("ENABLED", "TRUE") != "TRUE":
            raise WarehouseError(f"The catalog integration {name} is not enabled.", hint="ALTER CATALOG INTEGRATION … SET ENABLED = TRUE.")
