"""List Blobs: flat or by `/`, as XML. On a hierarchical account a flat listing shows folders as blobs of no length,
a delimited one as prefixes with properties of their own."""

from __future__ import annotations

import re
from urllib.parse import quote
from xml.sax.saxutils import escape

from embedded.adls import leases, leasing
from embedded.adls.errors import StorageError
from embedded.adls.leases import Lease
from embedded.adls.properties import DEFAULT_TYPE
from embedded.adls.request import Request
from embedded.adls.schema import Entry
from embedded.adls.store import Store
from embedded.adls.times import etag, http_date
from embedded.adls.tokens import decode_token, encode_token
from embedded.adls.wire import Response

_CONTENT = (
    ("content-encoding", "Content-Encoding"),
    ("content-language", "Content-Language"),
    ("content-md5", "Content-MD5"),
    ("cache-control", "Cache-Control"),
    ("content-disposition", "Content-Disposition"),
)
_UNLEASED = "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"


def list_blobs(request: Request, store: Store) -> Response:
    """GET /container?restype=container&comp=list[&prefix][&delimiter=/][&marker][&maxresults][&include]"""
    prefix, delimiter = request.query.get("prefix", "").lstrip("/"), request.query.get("delimiter", "")
    if delimiter not in ("", "/"):
        raise StorageError("InvalidQueryParameterValue", detail={"QueryParameterName": "delimiter", "QueryParameterValue": delimiter})
    limit = min(request.number("maxresults", store.page, low=1), store.page)
    after = decode_token(request.query.get("marker", ""), "marker")
    with store.transaction() as space:
        container = space.container(request.account, request.container)
        if delimiter:
            found = space.list_folder(container.id, prefix.rpartition("/")[0], prefix, after, limit + 1)
        else:
            found = space.list_tree(container.id, prefix, after, limit + 1)
        leased = space.leases()
    marker = encode_token(found[limit - 1].path) if len(found) > limit else ""
    xml = _document(request, found[:limit], leased, marker, limit, by_folder=bool(delimiter))
    return Response(200, {"Content-Type": "application/xml"}, xml.encode())


def _document(request: Request, found: list[Entry], leased: dict[int, Lease], marker: str, limit: int, *, by_folder: bool) -> str:
    query = request.query
    asked = {"Prefix": query.get("prefix"), "Marker": query.get("marker"), "MaxResults": query.get("maxresults") and str(limit)}
    asked["Delimiter"] = query.get("delimiter")
    echo = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in asked.items() if value)
    include = set(query.get("include", "").split(","))
    with_metadata = "metadata" in include
    items = "".join(
        _prefix(held, leased.get(held.id)) if by_folder and held.directory else _blob(held, leased.get(held.id), with_metadata) for held in found
    )
    where = f'ServiceEndpoint="http://{escape(request.header("host"))}/{request.account}" ContainerName="{request.container}"'
    return (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults {where}>{echo}<Blobs>{items}</Blobs>'
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
    )


def _prefix(held: Entry, lease: Lease | None) -> str:
    return f"<BlobPrefix>{_name(held.path + '/')}{_properties(held, lease)}</BlobPrefix>"


def _blob(held: Entry, lease: Lease | None, with_metadata: bool) -> str:
    metadata = {**held.attributes.metadata, **({"hdi_isfolder": "true"} if held.directory else {})}
    inner = "".join(f"<{name}>{_text(value)}</{name}>" for name, value in metadata.items())
    return f"<Blob>{_name(held.path)}{_properties(held, lease)}{f'<Metadata>{inner}</Metadata>' if with_metadata else ''}<OrMetadata /></Blob>"


def _properties(held: Entry, lease: Lease | None) -> str:
    attributes = held.attributes
    content = "".join(f"<{tag}>{_text(attributes.content.get(name, ''))}</{tag}>" for name, tag in _CONTENT)
    kind = "directory" if held.directory else "file"
    tier = f"<AccessTier>{attributes.tier or 'Hot'}</AccessTier>" + ("" if attributes.tier else "<AccessTierInferred>true</AccessTierInferred>")
    return (
        f"<Properties><Creation-Time>{http_date(held.created)}</Creation-Time><Last-Modified>{http_date(held.modified)}</Last-Modified>"
        f"<Etag>{etag(held.etag)}</Etag><ResourceType>{kind}</ResourceType><Content-Length>{held.size}</Content-Length>"
        f"<Content-Type>{_text(attributes.content.get('content-type', DEFAULT_TYPE))}</Content-Type>{content}"
        f"<BlobType>{attributes.blob_type}</BlobType>{'' if held.directory else tier}"
        f"{_leased(lease) if lease else _UNLEASED}<ServerEncrypted>true</ServerEncrypted></Properties>"
    )


def _leased(lease: Lease) -> str:
    return "".join(f"<Lease{name.title()}>{value}</Lease{name.title()}>" for name, value in leases.described(lease, leasing.now()).items())


def _name(name: str) -> str:
    """Names that XML cannot hold are percent-encoded as a whole."""
    if re.search("[\ufffe\uffff\x00-\x08\x0b\x0c\x0e-\x1f]", name):
        return f'<Name Encoded="true">{quote(name, safe="")}</Name>'
    return f"<Name>{_text(name)}</Name>"


def _text(value: str) -> str:
    return escape(value, {"\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;"})
