"""Containers, which dfs calls filesystems, and the account's own properties, on both endpoints."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from embedded.adls import conditions, leases, leasing
from embedded.adls.errors import StorageError
from embedded.adls.leases import Lease
from embedded.adls.properties import decode_properties, encode_properties, stamps
from embedded.adls.request import Request
from embedded.adls.schema import Container
from embedded.adls.store import Store
from embedded.adls.times import etag, http_date
from embedded.adls.tokens import decode_token, encode_token
from embedded.adls.wire import Response

XML = {"Content-Type": "application/xml"}


def create(request: Request, store: Store) -> Response:
    with store.transaction() as space:
        made = space.create_container(request.account, request.container, _metadata(request))
    return Response(201, {**stamps(made), "x-ms-namespace-enabled": "true"})


def delete(request: Request, store: Store) -> Response:
    with store.transaction() as space:
        held = space.container(request.account, request.container)
        conditions.check_write(request, held)
        leasing.check_write(request, space, held)
        space.delete_container(held)
    return Response(202)


def head(request: Request, store: Store) -> Response:
    with store.transaction() as space:
        held = space.container(request.account, request.container)
        leasing.check_given(request, space, held)
        leased = leasing.headers(space, held)
    headers = {
        **stamps(held),
        **leased,
        "x-ms-namespace-enabled": "true",
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
    }
    if request.endpoint == "dfs":
        return Response(200, {**headers, "x-ms-properties": encode_properties(held.metadata)})
    return Response(200, headers | {f"x-ms-meta-{name}": value for name, value in held.metadata.items()})


def set_metadata(request: Request, store: Store) -> Response:
    with store.transaction() as space:
        held = space.container(request.account, request.container)
        conditions.check_write(request, held)
        leasing.check_given(request, space, held)
        made = space.update_container(held, _metadata(request))
    return Response(200, stamps(made))


def get_acl(request: Request, store: Store) -> Response:
    """No public access and no stored policies."""
    with store.transaction() as space:
        held = space.container(request.account, request.container)
    return Response(200, {**stamps(held), **XML}, b'<?xml version="1.0" encoding="utf-8"?><SignedIdentifiers />')


def list_filesystems(request: Request, store: Store) -> Response:
    """GET /?resource=account"""
    limit = min(request.number("maxresults", store.page, low=1), store.page)
    found, token = _page(request, store, request.query.get("continuation", ""), limit)
    items = [{"name": held.name, "etag": etag(held.etag), "lastModified": http_date(held.modified)} for held in found]
    headers = {"Content-Type": "application/json;charset=utf-8", **({"x-ms-continuation": token} if token else {})}
    return Response(200, headers, json.dumps({"filesystems": items}).encode())


def list_containers(request: Request, store: Store) -> Response:
    """GET /?comp=list"""
    limit = min(request.number("maxresults", store.page, low=1), store.page)
    found, token = _page(request, store, request.query.get("marker", ""), limit)
    with store.transaction() as space:
        held_leases = space.leases()
    with_metadata = "metadata" in request.query.get("include", "")
    items = "".join(_container_xml(held, held_leases.get(-held.id), with_metadata) for held in found)
    xml = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<EnumerationResults ServiceEndpoint="http://{escape(request.header("host"))}/{request.account}">'
        f"<Prefix>{escape(request.query.get('prefix', ''))}</Prefix><MaxResults>{limit}</MaxResults>"
        f"<Containers>{items}</Containers><NextMarker>{token}</NextMarker></EnumerationResults>"
    )
    return Response(200, XML, xml.encode())


def _page(request: Request, store: Store, token: str, limit: int) -> tuple[list[Container], str]:
    with store.transaction() as space:
        found = space.containers(request.account, request.query.get("prefix", ""), decode_token(token, "marker"), limit + 1)
    return found[:limit], encode_token(found[limit - 1].name) if len(found) > limit else ""


def _container_xml(held: Container, lease: Lease | None, with_metadata: bool) -> str:
    leased = "".join(f"<Lease{name.title()}>{value}</Lease{name.title()}>" for name, value in leases.described(lease, leasing.now()).items())
    metadata = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in held.metadata.items()) if with_metadata else ""
    return (
        f"<Container><Name>{held.name}</Name><Properties><Last-Modified>{http_date(held.modified)}</Last-Modified>"
        f'<Etag>"{etag(held.etag)}"</Etag>{leased}'
        "<HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold></Properties>"
        + (f"<Metadata>{metadata}</Metadata>" if with_metadata else "")
        + "</Container>"
    )


def account_information(request: Request, store: Store) -> Response:
    """restype=account&comp=properties: a hierarchical account."""
    return Response(200, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "true"})


def service_properties(request: Request, store: Store) -> Response:
    """restype=service&comp=properties: nothing switched on."""
    xml = (
        '<?xml version="1.0" encoding="utf-8"?><StorageServiceProperties><Cors />'
        "<DeleteRetentionPolicy><Enabled>false</Enabled></DeleteRetentionPolicy>"
        "<StaticWebsite><Enabled>false</Enabled></StaticWebsite></StorageServiceProperties>"
    )
    return Response(200, XML, xml.encode())


def _metadata(request: Request) -> dict[str, str]:
    properties = decode_properties(request)
    return request.metadata() if properties is None else properties


def not_implemented(request: Request, store: Store) -> Response:
    """Whatever a later version may bring."""
    raise StorageError("NotImplemented")


def not_on_hierarchical(request: Request, store: Store) -> Response:
    raise StorageError("FeatureNotYetSupportedForHierarchicalNamespaceAccounts")
