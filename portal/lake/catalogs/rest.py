"""An Iceberg REST catalog. It writes a table's metadata itself: what is newer is told to it as changes, with what must be so until then.

It is somebody else's server: of what it says about how to reach it nothing is taken but how its paths are made up.
"""

from __future__ import annotations

from typing import Any

from pyiceberg.catalog.rest import NAMESPACE_SEPARATOR_PROPERTY, PREFIX, RestCatalog, TableResponse
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter

from portal.connections import CatalogConnection
from portal.errors import NotFound, TableChanged
from portal.lake.catalogs.changes import changes, requirements
from portal.lake.catalogs.file_io import PortalIO
from portal.lake.catalogs.files import Files
from portal.lake.catalogs.listed import Listed
from portal.lake.catalogs.troubles import translated
from portal.lake.table_name import TableName

_TIMEOUT_S = (10.0, 120.0)
_TAKEN = (PREFIX, NAMESPACE_SEPARATOR_PROPERTY)
"""What a server may say of itself: the parts of its own paths. With anything else (`auth`, `uri`, `ssl`, `rest.sigv4-enabled`, `header.…`) it would
choose programs that run here, where credentials go, and what is signed with them."""


def open_catalog(connection: CatalogConnection, files: Files, create: bool) -> RestTables:
    properties: dict[str, Any] = {**connection.properties, "uri": connection.uri}
    if connection.warehouse:
        properties["warehouse"] = connection.warehouse
    if token := connection.token.get_secret_value():
        properties["token"] = token
    elif credential := connection.credential.get_secret_value():
        properties["auth"] = _oauth2(connection, credential)
    with translated("Opening it", connection.label):
        return RestTables(_Rest(files, properties), connection.label)


def _oauth2(connection: CatalogConnection, credential: str) -> dict[str, Any]:
    client, _, secret = credential.partition(":")
    server = connection.oauth2_server_uri or f"{connection.uri.rstrip('/')}/v1/oauth/tokens"
    fields = {"client_id": client, "client_secret": secret, "token_url": server, **({"scope": connection.scope} if connection.scope else {})}
    return {"type": "oauth2", "oauth2": fields}


class _Timed(HTTPAdapter):
    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = kwargs.get("timeout") or _TIMEOUT_S
        return super().send(request, *args, **kwargs)


class _Rest(RestCatalog):
    """pyiceberg's, which would wait for ever, and let the server choose how it is signed in to and what files are read with."""

    def __init__(self, files: Files, properties: dict[str, Any]) -> None:
        self._files = files
        super().__init__("rest", **properties)

    def _fetch_config(self) -> None:
        ours = dict(self.properties)
        super()._fetch_config()  # it merges all that the server says into ours, and the session that stays is made of that afterwards
        self.properties = {**ours, **{name: self.properties[name] for name in _TAKEN if name in self.properties}}
        self.uri = ours["uri"]

    def _response_to_table(self, identifier_tuple: tuple[str, ...], table_response: TableResponse) -> Table:
        bare = table_response.model_copy(update={"config": {}, "storage_credentials": []})
        return super()._response_to_table(identifier_tuple, bare)

    def _create_session(self) -> Session:
        session: Session = super()._create_session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, _Timed())
        return session

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> PortalIO:
        return PortalIO(self._files)


class RestTables(Listed[_Rest]):
    """See `base.Catalog`."""

    def metadata_location(self, name: TableName) -> str:
        with translated(f"Looking up {name}", self.label):
            return str(self._inner.load_table(name.identifier).metadata_location)

    def register(self, name: TableName, metadata_location: str) -> str:
        with translated(f"Registering {name}", self.label):
            return str(self._inner.register_table(name.identifier, metadata_location).metadata_location)

    def replace(self, name: TableName, was: str, becomes: str) -> str:
        wanted = FromInputFile.table_metadata(PortalIO(self._inner._files).new_input(becomes))
        with translated(f"Committing to {name}", self.label):
            table = self._inner.load_table(name.identifier)
            if table.metadata_location != was:
                raise TableChanged(f"{name} was changed in the catalog {self.label} meanwhile.", hint="Run it again.")
            made = changes(table.metadata, wanted)
            if not made:
                return str(table.metadata_location)
            answer = self._inner.commit_table(table, requirements(table.metadata), made)
        if not answer.metadata_location:
            raise NotFound(f"The catalog {self.label} does not say where the metadata of {name} is now.")
        return str(answer.metadata_location)

    def close(self) -> None:
        self._inner._session.close()
