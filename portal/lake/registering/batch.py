"""All tables of one job: found, named, and each registered or told why it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from portal.errors import Cancelled, PortalError, SettingError, Unreachable, WarehouseError, causes
from portal.lake.catalogs.base import Catalog
from portal.lake.catalogs.files import Files
from portal.lake.iceberg.refusals import TableRefused
from portal.lake.registering import limits, naming, sources, statements
from portal.lake.registering.access import Access, Wanted
from portal.lake.registering.external import FolderRegistrar
from portal.lake.registering.external import plan as plan_folder
from portal.lake.registering.folders import scanned
from portal.lake.registering.iceberg import Existing, Registrar, plan
from portal.lake.registering.integrations import Integrations
from portal.lake.registering.session import Script, Session
from portal.lake.table_name import TableName as Source
from portal.lake.table_outcome import TableOutcome
from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.warehouse_names import TableName, bare

_GIVE_UP_AFTER = 3
"""Tables in a row that Snowflake did not answer for: the others are not tried."""
_REASON_LETTERS = 1000


@dataclass(frozen=True)
class Item:
    """A table to be registered."""

    name: Source
    target: TableName
    register: Callable[[], TableOutcome]
    plan: Callable[[Script], TableOutcome]


@dataclass
class Batch:
    """What is to be done, and what came of it."""

    database: str
    schema: str
    names: naming.Names
    wanted: Wanted
    existing: Existing
    count: bool
    check: Callable[[], None]
    items: list[Item] = field(default_factory=list)
    outcomes: list[TableOutcome] = field(default_factory=list)
    """Of what is not tried."""
    warnings: list[str] = field(default_factory=list)
    hint: str = ""
    """What to do about the first failure."""

    def __post_init__(self) -> None:
        self._session: Session | None = None
        self._unanswered = 0

    @property
    def query_ids(self) -> list[str]:
        return self._session.query_ids if self._session else []

    def add_catalog(self, catalog: Catalog, patterns: Sequence[str], files: Files) -> list[str]:
        """Add tables of a catalog; returns the patterns that mean none."""
        names, unmatched = sources.listed(catalog, patterns)
        self.warnings += [f"{pattern} means no table of the catalog {catalog.label}." for pattern in unmatched]
        for name in names:
            self._add_table(name, files, lambda name=name: catalog.metadata_location(name))  # type: ignore[misc]
        return unmatched

    def add_metadata(self, name: Source, location: str, files: Files) -> None:
        self._add_table(name, files, lambda: location, unread=not self.count)

    def _add_table(self, name: Source, files: Files, location: Callable[[], str], *, unread: bool = False) -> None:
        """`unread`: writing its statements down takes nothing but the location, so that it can be done where Azure is not reached."""
        target = naming.target(name, self.database, self.schema, self.names)

        def read() -> sources.Table:
            table = sources.read(files, name, location())
            if found := limits.refusals(table.metadata):
                raise TableRefused(f"Snowflake cannot read it: {'; '.join(found)}.")
            return table

        def register() -> TableOutcome:
            session, access = self._connected()
            return Registrar(session, access, files, self.existing, self.count, self.check).register(read(), target)

        def write(script: Script) -> TableOutcome:
            table = sources.Table(name, location(), {}) if unread else read()
            return plan(table, target, self.wanted, files, self.count, self.check, script)

        self.items.append(Item(name, target, register, write))

    def add_folder(self, name: Source, url: StoreURL, store: Store) -> None:
        target = naming.target(name, self.database, self.schema, "table")

        def register() -> TableOutcome:
            session, _ = self._connected()
            found = FolderRegistrar(session, self._integrations, self.existing)
            try:
                return found.register(str(name), scanned(store, url, self.check), target)
            except WarehouseError as error:
                error.hint = self._integrations.consent or error.hint
                raise

        def write(script: Script) -> TableOutcome:
            return plan_folder(str(name), scanned(store, url, self.check), target, self.wanted, self.existing, script)

        self.items.append(Item(name, target, register, write))

    def refuse_unnamed(self) -> None:
        """Fail the tables that Snowflake cannot name."""
        for item in list(self.items):
            try:
                bare(item.target.table)
            except SettingError as error:
                self.items.remove(item)
                self.outcomes.append(TableOutcome(str(item.name), "failed", reason=str(error)[:_REASON_LETTERS], cause="SettingError"))
                self.hint = self.hint or "Give it another name: metadata takes NAME=URL."

    def refuse_twins(self) -> None:
        """Fail the tables that would get one name at Snowflake: none of them may be taken for another."""
        shared = naming.twins((item.name, item.target) for item in self.items)
        for item in self.items:
            if item.name in shared:
                reason = f"{shared[item.name]} would be called {item.target} as well."
                self.outcomes.append(TableOutcome(str(item.name), "failed", reason=reason, target=str(item.target), cause="Twins"))
                self.hint = "Register them apart, in schemas of their own, or with names=namespace_table."
        self.items = [item for item in self.items if item.name not in shared]

    def connect(self, session: Session, *, create_schema: bool) -> None:
        """Use a session of Snowflake from now on. Raises PortalError."""
        self._session, self._access = session, Access(self.wanted, session)
        self._integrations = Integrations(self.wanted, session)
        if create_schema and self.items:
            self._make_schema(session, self.items[0].target)

    def _make_schema(self, session: Session, any_table: TableName) -> None:
        """Only when there is none: IF NOT EXISTS would need the right to make one all the same."""
        if not session.value(statements.schemas_called(any_table), f"Looking for the schema {self.database}.{self.schema}"):
            session.do(statements.create_schema(any_table), f"make the schema {self.database}.{self.schema}")
            session.no_schema = session.planning

    def _connected(self) -> tuple[Session, Access]:
        if self._session is None:
            raise RuntimeError("there is no session of Snowflake yet")
        return self._session, self._access

    def tried(self, item: Item, do: Callable[[], TableOutcome]) -> TableOutcome:
        """Do something about a table; what goes wrong is its outcome. Raises Cancelled, and whatever is no PortalError."""
        self.check()
        if self._unanswered >= _GIVE_UP_AFTER:
            reason = f"It was not tried: {self._unanswered} tables before it got no answer."
            return TableOutcome(str(item.name), "failed", reason=reason, target=str(item.target), cause="Unreachable", retryable=True)
        started = time.monotonic()
        try:
            outcome = do()
        except Cancelled:
            raise
        except TableRefused as error:
            outcome = self._ended(item, error, "excluded")
        except PortalError as error:
            outcome = self._ended(item, error, "failed")
        self._unanswered = self._unanswered + 1 if outcome.cause == Unreachable.__name__ else 0
        return replace(outcome, seconds=round(time.monotonic() - started, 3))

    def _ended(self, item: Item, error: PortalError, how: str) -> TableOutcome:
        told = [str(cause) for cause in causes(error)]
        reason = " ".join(told[: 2 if isinstance(error, WarehouseError) else 1])[:_REASON_LETTERS]
        hint = next((found for cause in causes(error) if (found := getattr(cause, "hint", ""))), "")
        if how == "failed":
            self.hint = self.hint or hint
        facts = {"what_to_do": hint} if hint else {}
        target, cause = str(item.target), type(error).__name__
        if how == "excluded":
            return TableOutcome(str(item.name), "excluded", reason=reason, target=target, cause=cause, facts=facts)
        return TableOutcome(str(item.name), "failed", reason=reason, target=target, cause=cause, retryable=error.retryable, facts=facts)
