"""The metastore's protocol: a connection to one of its addresses, and an answer that is read piece by piece."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from portal.errors import AccessDenied, CatalogError, NotFound, PortalError, SettingError, Unreachable
from portal.lake.packages import need

PORT = 9083
CONNECT_S, ANSWER_S = 10.0, 300.0
"""How long an address may take to be reached, and to begin or go on with an answer."""
LONGEST_BYTES = 64 << 20
"""Of one text in an answer: what is longer was not sent by a metastore."""
_GONE = frozenset(("NoSuchObjectException", "UnknownDBException", "UnknownTableException"))
_BROKEN = frozenset(("TTransportException", "OSError", "EOFError"))
_DENIALS = ("permission denied", "accesscontrolexception", "not authorized", "does not have privileges")


class Wire:
    """A connection to a metastore, for one thread."""

    def __init__(self, uri: str, *, user: str = "", kerberos: bool = False, service: str = "hive", answer_s: float = ANSWER_S) -> None:
        """Raises an error that `is_broken` tells, when it does not come about; SettingError when packages or a ticket are missing."""
        need("pyiceberg", "thrift", *(("puresasl", "kerberos") if kerberos else ()))
        from hive_metastore.ThriftHiveMetastore import Client
        from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
        from thrift.transport.TSocket import TSocket
        from thrift.transport.TTransport import TBufferedTransport, TSaslClientTransport

        logging.getLogger("thrift").setLevel(logging.CRITICAL)  # what it logs about a connection is also raised, and told once
        parts = urlsplit(uri)
        self.uri = uri
        socket = TSocket(parts.hostname or "127.0.0.1", parts.port or PORT, socket_keepalive=True)
        socket.setTimeout(CONNECT_S * 1000)
        self._transport = TSaslClientTransport(socket, host=socket.host, service=service) if kerberos else TBufferedTransport(socket)
        try:
            _open(self._transport, kerberos)
            socket.setTimeout(answer_s * 1000)
            self.client = Client(TBinaryProtocolAccelerated(self._transport, string_length_limit=LONGEST_BYTES))
            if user and not kerberos:
                self.client.set_ugi(user, [])
        except BaseException:
            self.close()
            raise

    def strings(self, method: str, *arguments: Any) -> Iterator[str]:
        """Call a method that answers with a list of texts, and yield each as it comes in: none of them is kept."""
        from hive_metastore.ttypes import MetaException, NoSuchObjectException
        from thrift.Thrift import TApplicationException, TMessageType

        getattr(self.client, f"send_{method}")(*arguments)
        protocol = self.client._iprot
        _, kind, _ = protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            problem = TApplicationException()
            problem.read(protocol)
            raise problem
        yield from _first_field(protocol, {1: NoSuchObjectException, 2: MetaException})
        protocol.readMessageEnd()

    def close(self) -> None:
        self._transport.close()


def _open(transport: Any, kerberos: bool) -> None:
    try:
        transport.open()
    except Exception as error:
        if not kerberos or is_broken(error):
            raise
        what = "Kerberos did not sign in to the metastore."
        raise SettingError(what, hint="Get a ticket for the worker's user (kinit), and check kerberos_service.") from error


def _first_field(protocol: Any, errors: dict[int, Callable[[], Any]]) -> Iterator[str]:
    """The texts of field 0; a field that is an error is raised at the end."""
    from thrift.Thrift import TType

    problem = None
    protocol.readStructBegin()
    while True:
        _, kind, number = protocol.readFieldBegin()
        if kind == TType.STOP:
            break
        if number == 0 and kind == TType.LIST:
            _, count = protocol.readListBegin()
            for _ in range(count):
                yield protocol.readString()
            protocol.readListEnd()
        elif number in errors and kind == TType.STRUCT:
            problem = errors[number]()
            problem.read(protocol)
        else:
            protocol.skip(kind)
        protocol.readFieldEnd()
    protocol.readStructEnd()
    if problem is not None:
        raise problem


def is_broken(error: Exception) -> bool:
    """Tell whether a connection did not come about, or broke: another address, or the same one again, may answer."""
    return not _BROKEN.isdisjoint(_classes(error)) and not _is_nonsense(error)


def is_lacking(error: Exception) -> bool:
    """Tell whether a metastore has no such method: it is older or newer."""
    return "TApplicationException" in _classes(error) and (getattr(error, "type", None) == 1 or "nvalid method name" in str(error))


def _is_nonsense(error: Exception) -> bool:
    """Tell whether what came was not of the metastore's protocol."""
    return "TProtocolException" in _classes(error) or "Length exceeded" in str(error)


def _classes(error: Exception) -> set[str]:
    """By name, for the packages that they are in may be missing."""
    return {each.__name__ for each in type(error).__mro__}


def translated(error: Exception, what: str) -> PortalError:
    """Return what a metastore or the way to it raised as the portal's error; `what` was to be done, as `list the tables of sales`."""
    text = (getattr(error, "message", "") or str(error) or type(error).__name__).strip()
    if not _GONE.isdisjoint(_classes(error)):
        return NotFound(f"The metastore could not {what}: there is none of that name. {text}".rstrip())
    if _is_nonsense(error):
        hint = "Check the address: it may be another service's, or the metastore may want Kerberos."
        return CatalogError(f"The metastore could not {what}: what answered does not speak as a metastore does ({text}).", hint=hint)
    if is_broken(error):
        hint = "Check that it runs, and that its address can be reached from the worker's machine."
        return Unreachable(f"The metastore could not be asked to {what}: {text}", hint=hint)
    if any(denial in text.lower() for denial in _DENIALS):
        return AccessDenied(f"The metastore refused to {what}: {text}", hint="The worker's user needs the right to read it.")
    return CatalogError(f"The metastore could not {what}: {text}", hint="The metastore's own log says more.")
