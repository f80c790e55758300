"""The DataLake service client of a connection: endpoint, credentials, retries. A client may be shared by threads.

Retries are the SDK's exponential policy: up to 4 after the first try, waiting about 1, 3, 5 and 9 seconds, for throttling, 5xx and broken
connections.
"""

from __future__ import annotations

from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.filedatalake import DataLakeServiceClient, ExponentialRetry

from portal.connections import AdlsConnection
from portal.errors import SettingError
from portal.stores.azure_endpoint import account_of, endpoint_of, refuse_ended

BLOCK_BYTES = 8 << 20


def client(connection: AdlsConnection, account: str = "") -> DataLakeServiceClient:
    """Make a client for a storage account, named as in a URL (`name` or `name.dfs.core.windows.net`; '': the connection's).

    Raises:
        SettingError: no account, another account than the connection's, or an endpoint that would send secrets in the clear.
    """
    named = account_of(connection, account)
    endpoint = endpoint_of(connection, account)
    try:
        return DataLakeServiceClient(
            endpoint, credential=credential(connection, named), retry_policy=_retries(), connection_timeout=10, read_timeout=60,
            max_single_get_size=BLOCK_BYTES, max_chunk_get_size=BLOCK_BYTES,
        )  # fmt: skip
    except ValueError as error:
        raise SettingError("The ADLS connection cannot be used.", hint="Check its endpoint, key and SAS.") from error


def _retries() -> ExponentialRetry:
    return ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=4, random_jitter_range=1, retry_connect=2)


def credential(connection: AdlsConnection, account: str) -> Any:
    """Return what signs requests to an account: its key, a SAS, or an Entra ID credential of azure.identity. Raises AccessDenied: an ended SAS."""
    if key := connection.account_key.get_secret_value():
        return AzureNamedKeyCredential(account, key)
    if token := connection.sas_token.get_secret_value():
        refuse_ended(token, account)
        return AzureSasCredential(token.lstrip("?"))
    from azure import identity  # slow to import, and only this way of signing in needs it

    if connection.tenant_id and connection.client_id and (secret := connection.client_secret.get_secret_value()):
        return identity.ClientSecretCredential(connection.tenant_id, connection.client_id, secret)
    return identity.DefaultAzureCredential(managed_identity_client_id=connection.client_id or None)
