"""What the service answers when it refuses: code, HTTP status and message, as JSON (dfs) or XML (blob).

Source: "Blob service error codes", "Common REST API error codes" and the error lists of the Data Lake Storage Gen2 reference.
"""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

CODES: dict[str, tuple[int, str]] = {
    "AppendPositionConditionNotMet": (412, "The append position condition specified was not met."),
    "AuthenticationFailed": (
        403,
        "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
    ),
    "AuthorizationFailure": (403, "This request is not authorized to perform this operation."),
    "AuthorizationPermissionMismatch": (403, "This request is not authorized to perform this operation using this permission."),
    "AuthorizationProtocolMismatch": (403, "This request is not authorized to perform this operation using this protocol."),
    "AuthorizationResourceTypeMismatch": (403, "This request is not authorized to perform this operation using this resource type."),
    "AuthorizationServiceMismatch": (403, "This request is not authorized to perform this operation using this service."),
    "AuthorizationSourceIPMismatch": (403, "This request is not authorized to perform this operation using this source IP."),
    "BlobAlreadyExists": (409, "The specified blob already exists."),
    "BlobNotFound": (404, "The specified blob does not exist."),
    "BlockListTooLong": (400, "The block list may not contain more than 50,000 blocks."),
    "BothCrc64AndMd5HeaderPresent": (400, "Both x-ms-content-crc64 header and Content-MD5 header are present."),
    "CannotVerifyCopySource": (404, "The specified source does not exist or cannot be read."),
    "ConditionNotMet": (412, "The condition specified using HTTP conditional header(s) is not met."),
    "ContainerAlreadyExists": (409, "The specified container already exists."),
    "ContainerNotFound": (404, "The specified container does not exist."),
    "ContentLengthMustBeZero": (400, "The Content-Length request header must be zero."),
    "Crc64Mismatch": (400, "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server."),
    "DirectoryIsNotEmpty": (409, "This operation is not permitted on a non-empty directory."),
    "FeatureNotYetSupportedForHierarchicalNamespaceAccounts": (409, "Hierarchical namespace accounts do not support this operation."),
    "InternalError": (500, "The server encountered an internal error. Please retry the request."),
    "InvalidAuthenticationInfo": (
        400,
        "Authentication information is not given in the correct format. Check the value of Authorization header.",
    ),
    "InvalidBlobOrBlock": (400, "The specified blob or block content is invalid."),
    "InvalidBlobType": (409, "The blob type is invalid for this operation."),
    "InvalidBlockList": (400, "The specified block list is invalid."),
    "InvalidFlushOperation": (
        409,
        "The resource was created or modified by the Azure Blob Service API and cannot be written to by the Azure Data Lake Storage Service API.",
    ),
    "InvalidFlushPosition": (
        400,
        "The uploaded data is not contiguous or the position query parameter value is not equal to the length of the file"
        " after appending the uploaded data.",
    ),
    "InvalidHeaderValue": (400, "The value for one of the HTTP headers is not in the correct format."),
    "InvalidInput": (400, "One of the request inputs is not valid."),
    "InvalidMd5": (400, "The MD5 value specified in the request is invalid. MD5 value must be 128 bits and base64 encoded."),
    "InvalidMetadata": (400, "The metadata specified is invalid. It has characters that are not permitted."),
    "InvalidPropertyName": (400, "The property name contains invalid characters."),
    "InvalidQueryParameterValue": (400, "Value for one of the query parameters specified in the request URI is invalid."),
    "InvalidRange": (416, "The range specified is invalid for the current size of the resource."),
    "InvalidRenameSourcePath": (
        409,
        "The source directory cannot be the same as the destination directory, nor can the destination be a subdirectory of the source directory.",
    ),
    "InvalidResourceName": (400, "The specified resource name contains invalid characters."),
    "InvalidSourceOrDestinationResourceType": (409, "The source and destination resource type must be identical."),
    "InvalidSourceUri": (400, "The source URI is invalid."),
    "InvalidUri": (400, "The request URI is invalid."),
    "InvalidXmlDocument": (400, "XML specified is not syntactically valid."),
    "LeaseAlreadyPresent": (409, "There is already a lease present."),
    "LeaseIdMismatchWithBlobOperation": (412, "The lease ID specified did not match the lease ID for the blob."),
    "LeaseIdMismatchWithContainerOperation": (412, "The lease ID specified did not match the lease ID for the container."),
    "LeaseIdMismatchWithLeaseOperation": (409, "The lease ID specified did not match the lease ID for the resource with the specified lease."),
    "LeaseIdMissing": (412, "There is currently a lease on the resource and no lease ID was specified in the request."),
    "LeaseIsBreakingAndCannotBeAcquired": (
        409,
        "The lease ID matched, but the lease is currently in breaking state and cannot be acquired until it is broken.",
    ),
    "LeaseIsBreakingAndCannotBeChanged": (409, "The lease ID matched, but the lease is currently in breaking state and cannot be changed."),
    "LeaseIsBrokenAndCannotBeRenewed": (409, "The lease ID matched, but the lease has been broken explicitly and cannot be renewed."),
    "LeaseLost": (412, "A lease ID was specified, but the lease for the resource has expired."),
    "LeaseNotPresentWithBlobOperation": (412, "There is currently no lease on the blob."),
    "LeaseNotPresentWithContainerOperation": (412, "There is currently no lease on the container."),
    "LeaseNotPresentWithLeaseOperation": (409, "There is currently no lease on the resource."),
    "Md5Mismatch": (400, "The MD5 value specified in the request did not match with the MD5 value calculated by the server."),
    "MetadataTooLarge": (400, "The size of the specified metadata exceeds the maximum size permitted."),
    "MissingContentLengthHeader": (411, "Content-Length HTTP header must be specified."),
    "MissingRequiredHeader": (400, "An HTTP header that's mandatory for this request is not specified."),
    "MissingRequiredQueryParameter": (400, "A query parameter that's mandatory for this request is not specified."),
    "NoAuthenticationInformation": (
        401,
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
    ),
    "NoPendingCopyOperation": (409, "There is currently no pending copy operation."),
    "NotImplemented": (501, "The requested operation is not implemented on the specified resource."),
    "OutOfRangeInput": (400, "One of the request inputs is out of range."),
    "OutOfRangeQueryParameterValue": (
        400,
        "One of the query parameters specified in the request URI is outside the permissible range.",
    ),
    "PathConflict": (409, "The specified path, or an element of the path, exists and its resource type is invalid for this operation."),
    "RenameDestinationParentPathNotFound": (404, "The parent directory of the destination path does not exist."),
    "RequestBodyTooLarge": (413, "The request body is too large and exceeds the maximum permissible limit."),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "ResourceTypeMismatch": (409, "The specified resource type does not match the type of the existing resource."),
    "SourceConditionNotMet": (412, "The source condition specified using HTTP conditional header(s) is not met."),
    "SourcePathNotFound": (404, "The source path for a rename operation does not exist."),
    "UnauthorizedBlobOverwrite": (403, "This request is not authorized to perform blob overwrites."),
    "UnsupportedHeader": (400, "One of the headers specified in the request is not supported."),
    "UnsupportedHttpVerb": (405, "The resource doesn't support the specified HTTP verb."),
    "UnsupportedQueryParameter": (400, "One of the query parameters specified in the request URI is not supported."),
}

DFS_NAMES: dict[str, tuple[str, str]] = {
    "BlobAlreadyExists": ("PathAlreadyExists", "The specified path already exists."),
    "BlobNotFound": ("PathNotFound", "The specified path does not exist."),
    "ContainerAlreadyExists": ("FilesystemAlreadyExists", "The specified filesystem already exists."),
    "ContainerNotFound": ("FilesystemNotFound", "The specified filesystem does not exist."),
    "DirectoryIsNotEmpty": ("DirectoryNotEmpty", "The recursive query parameter value must be true to delete a non-empty directory."),
    "ResourceTypeMismatch": ("PathConflict", CODES["PathConflict"][1]),
}
"""What the blob service calls one thing and the dfs service another."""


class StorageError(Exception):
    """The request is refused.

    Args:
        code: the blob service's error code, a key of CODES.
        status: overrides the code's usual HTTP status.
        message: overrides the code's usual message.
        detail: further elements of the body, such as AuthenticationErrorDetail.
        headers: further response headers.
    """

    def __init__(
        self, code: str, message: str = "", *, status: int = 0, detail: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        usual_status, usual = CODES[code]
        self.status = status or usual_status
        self.message = message or usual
        self.plain = not message
        self.detail = detail or {}
        self.headers = headers or {}

    def named(self, endpoint: str) -> tuple[str, str]:
        """Code and message as `endpoint` ("dfs" or "blob") says them."""
        if endpoint == "dfs" and self.code in DFS_NAMES:
            code, message = DFS_NAMES[self.code]
            return code, message if self.plain else self.message
        return self.code, self.message


class NotModified(Exception):
    """A conditional read found what the client already has: 304 without a body."""


def body(error: StorageError, endpoint: str, request_id: str, time: str) -> tuple[bytes, str]:
    """The error's body and its content type.

    Args:
        time: ISO 8601, UTC, as the service appends it to each message.
    """
    code, message = error.named(endpoint)
    text = f"{message}\nRequestId:{request_id}\nTime:{time}"
    if endpoint == "dfs":
        document = {"error": {"code": code, "message": text, **({"detail": error.detail} if error.detail else {})}}
        return json.dumps(document).encode(), "application/json;charset=utf-8"
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.detail.items())
    xml = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{escape(text)}</Message>{extra}</Error>'
    return b"\xef\xbb\xbf" + xml.encode(), "application/xml"
