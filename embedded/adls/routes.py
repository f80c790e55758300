"""Which operation a request asks for, and what credentials it needs.

SAS letters: r(ead) a(dd) c(reate) w(rite) d(elete) l(ist) m(ove) e(xecute) o(wnership) p(ermissions). Source: the tables in
"Create a service SAS" and "Create an account SAS".
"""

from __future__ import annotations

from embedded.adls import batch, blob, bloblist, blocks, containers, dfs, fromurl, leasing, reading, renaming
from embedded.adls.errors import StorageError
from embedded.adls.grant import Operation
from embedded.adls.request import Request

_LATER = Operation(containers.not_implemented, "rwdlacmeop")
_NEVER = Operation(containers.not_on_hierarchical, "rwdlacmeop")
_READ = Operation(reading.get, "r")
_LIST_PATHS = Operation(dfs.list_paths, "l", "c", listing=True)

_DFS: dict[tuple[str, str, str], Operation] = {
    ("GET", "account", "account"): Operation(containers.list_filesystems, "l", "s"),
    ("PUT", "container", "filesystem"): Operation(containers.create, "cw", "c"),
    ("PATCH", "container", "filesystem"): Operation(containers.set_metadata, "w", "c"),
    ("HEAD", "container", "filesystem"): Operation(containers.head, "r", "c"),
    ("DELETE", "container", "filesystem"): Operation(containers.delete, "d", "c"),
    ("GET", "container", "filesystem"): _LIST_PATHS,
    ("PUT", "path", "rename"): Operation(renaming.rename, "cwm"),
    ("PUT", "path", "file"): Operation(dfs.create, "cw"),
    ("PUT", "path", "directory"): Operation(dfs.create, "cw"),
    ("PATCH", "path", "append"): Operation(dfs.append, "acw"),
    ("PATCH", "path", "flush"): Operation(dfs.flush, "acw"),
    ("PATCH", "path", "setproperties"): Operation(dfs.set_properties, "w"),
    ("PATCH", "path", "setaccesscontrol"): Operation(dfs.set_access, "p"),
    ("PATCH", "path", "setaccesscontrolrecursive"): Operation(dfs.set_access_recursive, "p"),
    ("HEAD", "path", "getaccesscontrol"): Operation(dfs.head, "er"),
    ("HEAD", "path", "getstatus"): Operation(dfs.head, "er"),
    ("HEAD", "path", "checkaccess"): Operation(dfs.head, "er"),
    ("HEAD", "path", ""): Operation(dfs.head, "er"),
    ("GET", "path", ""): _READ,
    ("DELETE", "path", ""): Operation(dfs.delete, "d"),
    ("POST", "path", ""): Operation(leasing.run, "wd"),
}

_BLOB: dict[tuple[str, str, str], Operation] = {
    ("GET", "account", "list"): Operation(containers.list_containers, "l", "s"),
    ("GET", "account", "account properties"): Operation(containers.account_information, "rwdlacuptf", "s"),
    ("GET", "account", "service properties"): Operation(containers.service_properties, "r", "s"),
    ("PUT", "account", "service properties"): _LATER,
    ("GET", "account", "service stats"): _LATER,
    ("GET", "account", "blobs"): _NEVER,
    ("POST", "account", "batch"): Operation(batch.run, "d", "c", listing=True),
    ("POST", "container", "container batch"): Operation(batch.run, "d", "c", listing=True),
    ("PUT", "container", "container"): Operation(containers.create, "cw", "c"),
    ("DELETE", "container", "container"): Operation(containers.delete, "d", "c"),
    ("GET", "container", "container"): Operation(containers.head, "r", "c"),
    ("HEAD", "container", "container"): Operation(containers.head, "r", "c"),
    ("GET", "container", "container metadata"): Operation(containers.head, "r", "c"),
    ("HEAD", "container", "container metadata"): Operation(containers.head, "r", "c"),
    ("PUT", "container", "container metadata"): Operation(containers.set_metadata, "w", "c"),
    ("GET", "container", "container acl"): Operation(containers.get_acl, "", "c"),
    ("PUT", "container", "container acl"): _LATER,
    ("PUT", "container", "container lease"): Operation(leasing.run, "wd", "c"),
    ("GET", "container", "account properties"): Operation(containers.account_information, "rwdlacuptf", "c"),
    ("GET", "container", "container list"): Operation(bloblist.list_blobs, "l", "c", listing=True),
    ("GET", "path", ""): _READ,
    ("HEAD", "path", ""): Operation(reading.head, "r"),
    ("GET", "path", "metadata"): Operation(reading.head, "r"),
    ("HEAD", "path", "metadata"): Operation(reading.head, "r"),
    ("PUT", "path", ""): Operation(blob.put_blob, "cw"),
    ("PUT", "path", "copy-source"): Operation(blob.copy_blob, "cw"),
    ("PUT", "path", "copy-from-url"): Operation(fromurl.copy_blob, "cw"),
    ("PUT", "path", "blob-from-url"): Operation(fromurl.put_blob, "cw"),
    ("PUT", "path", "block-from-url"): Operation(fromurl.put_block, "cw"),
    ("PUT", "path", "appendblock-from-url"): _LATER,
    ("PUT", "path", "page-from-url"): _NEVER,
    ("PUT", "path", "metadata"): Operation(blob.set_metadata, "w"),
    ("PUT", "path", "properties"): Operation(blob.set_properties, "w"),
    ("PUT", "path", "tier"): Operation(blob.set_tier, "w"),
    ("PUT", "path", "block"): Operation(blocks.put_block, "cw"),
    ("PUT", "path", "blocklist"): Operation(blocks.put_block_list, "cw"),
    ("GET", "path", "blocklist"): Operation(blocks.get_block_list, "r"),
    ("DELETE", "path", ""): Operation(blob.delete, "d"),
    ("GET", "path", "account properties"): Operation(containers.account_information, "rwdlacuptf"),
    ("PUT", "path", "lease"): Operation(leasing.run, "wd"),
    ("PUT", "path", "appendblock"): _LATER,
    ("PUT", "path", "copy"): Operation(blob.abort_copy, "cw"),
    ("PUT", "path", "expiry"): _LATER,
    ("POST", "path", "query"): _LATER,
    ("PUT", "path", "snapshot"): _NEVER,
    ("PUT", "path", "tags"): _NEVER,
    ("GET", "path", "tags"): _NEVER,
    ("PUT", "path", "undelete"): _NEVER,
    ("PUT", "path", "page"): _NEVER,
}


def route(request: Request) -> Operation:
    """Raises StorageError UnsupportedHttpVerb or UnsupportedQueryParameter."""
    table = _DFS if request.endpoint == "dfs" else _BLOB
    selector = _dfs_selector(request) if request.endpoint == "dfs" else _blob_selector(request)
    scope = request.scope
    if scope == "container" and selector in ("", "getaccesscontrol", "getstatus", "checkaccess", "setaccesscontrol", "setaccesscontrolrecursive"):
        scope = "path"
    found = table.get((request.method, scope, selector))
    if found is None:
        known = any(key[1:] == (scope, selector) for key in table)
        raise StorageError("UnsupportedHttpVerb" if known else "UnsupportedQueryParameter")
    return found


def _dfs_selector(request: Request) -> str:
    if request.method == "PUT" and "x-ms-rename-source" in request.head.headers:
        return "rename"
    return request.query.get("resource", request.query.get("action", "")).lower()


def _blob_selector(request: Request) -> str:
    kind, comp = request.query.get("restype", "").lower(), request.query.get("comp", "").lower()
    if kind == "service" or (kind == "account" and comp):
        return f"{kind} {comp}"
    if request.container and not request.path and kind == "container":
        return f"container {comp}".strip()
    if request.method == "PUT" and "x-ms-copy-source" in request.head.headers:
        return _copy_selector(request, comp)
    return comp


def _copy_selector(request: Request, comp: str) -> str:
    """Four operations share x-ms-copy-source."""
    if comp in ("block", "appendblock", "page"):
        return f"{comp}-from-url"
    if comp:
        return comp
    if "x-ms-blob-type" in request.head.headers:
        return "blob-from-url"
    sync = request.header("x-ms-requires-sync").lower() == "true"
    return "copy-from-url" if sync or not blob.in_account(request) else "copy-source"
