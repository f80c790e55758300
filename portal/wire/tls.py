"""TLS as every connection uses it: certificates and host names are always checked (RFC 9110 section 4.3.4)."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import Any

from portal.errors import SettingError, Unreachable


class NotTrusted(Unreachable):
    """The service's certificate cannot be trusted."""

    retryable = False


@cache
def _context(ca_file: str) -> Any:
    import ssl  # a process that speaks plain http to this machine does without its 20 ms

    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        hint = "It must be a PEM file; see the setting that names it (AWS_CA_BUNDLE, SSL_CERT_FILE, REQUESTS_CA_BUNDLE)."
        raise SettingError(f"The certificates in {ca_file or 'the system'} cannot be read.", hint=hint) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def wrapped(plain: socket.socket, host: str, ca_file: str) -> socket.socket:
    """Shake hands over a connected socket, within its timeout.

    Args:
        host: the name that the certificate must be made out to
        ca_file: certificates to trust instead of the system's, or ''

    Raises:
        NotTrusted: the certificate is not good for the host; OSError: there is no TLS; SettingError: the file cannot be used.
    """
    context = _context(ca_file)
    try:
        found: socket.socket = context.wrap_socket(plain, server_hostname=host)
    except OSError as error:
        why = getattr(error, "verify_message", "")
        if not why:
            raise
        hint = "If the service is yours, name its certificate authority (AWS_CA_BUNDLE or SSL_CERT_FILE); if not, somebody may be in between."
        raise NotTrusted(f"The certificate of {host} is not accepted: {why}.", hint=hint) from None
    return found


def ca_file() -> str:
    """Return the file of certificates that the environment names, or one to use where the system has none of its own, as in small container
    images; '' where the system's are good."""
    import ssl

    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    paths = ssl.get_default_verify_paths()
    if named or paths.cafile or (paths.capath and any(os.scandir(paths.capath))):
        return named or ""
    try:
        import certifi
    except ImportError:
        return ""
    return certifi.where()
