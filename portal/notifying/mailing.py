"""Handing a mail to a mail server (RFC 5321), encrypted unless the connection says otherwise; each recipient is told of apart."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial

from portal.connections import SmtpConnection
from portal.connections_channels import mail_address
from portal.errors import NotTold, PortalError, SettingError, Unreachable
from portal.redact import harmless

_SHOWN_AT_MOST = 200
_TAKEN, _BROKEN_OFF = 250, 421


@dataclass
class Handed:
    """What became of a mail, by recipient."""

    taken: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    """Recipients that the server will not take now, and why."""
    refused: dict[str, str] = field(default_factory=dict)
    """Those that it will never take."""


def send(connection: SmtpConnection, mail: EmailMessage, recipients: Iterable[str]) -> Handed:
    """Hand a mail over for some recipients of the connection, once.

    Raises:
        Unreachable: the server cannot be reached, or takes nothing now.
        NotTold: it will never take the mail, or the sign-in.
        SettingError: ca_file cannot be used.
    """
    handed = Handed()
    wanted = list(recipients)
    where = f"{connection.host}:{connection.port_number}"
    otherwise: tuple[int, bytes] = (_TAKEN, b"")
    try:
        with _signed_in(connection) as server:
            refused = _given(server, connection, mail, wanted)
    except smtplib.SMTPRecipientsRefused as error:  # nobody gets it; when the server broke off, not all were asked for
        refused, otherwise = error.recipients, (_BROKEN_OFF, b"The server broke off.")
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _problem(connection, where, error) from None  # what the server says may quote what it was sent
    for recipient in wanted:
        code, said = refused.get(mail_address(recipient).addr_spec, otherwise)
        kept = handed.later if 400 <= code < 500 else handed.refused
        if code == _TAKEN:
            handed.taken.append(recipient)
        else:
            kept[recipient] = _said(code, said)
    return handed


@contextmanager
def _signed_in(connection: SmtpConnection) -> Iterator[smtplib.SMTP]:
    """A session that says goodbye, but does not fail for want of an answer to that."""
    context = _context(connection.ca_file)
    make = partial(smtplib.SMTP_SSL, context=context) if connection.security == "tls" else smtplib.SMTP
    server: smtplib.SMTP = make(connection.host, connection.port_number, timeout=connection.timeout_s)
    try:
        if connection.security == "starttls":
            server.starttls(context=context)
        if connection.user:
            server.login(connection.user, connection.password.get_secret_value())
        yield server
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        server.close()


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        hint = "Correct ca_file of the connection; it is a PEM file."
        raise SettingError(f"The certificates in {ca_file or 'the system'} cannot be read.", hint=hint) from error


def _given(server: smtplib.SMTP, connection: SmtpConnection, mail: EmailMessage, wanted: list[str]) -> dict[str, tuple[int, bytes]]:
    sender = mail_address(connection.sender).addr_spec
    return server.send_message(mail, sender, [mail_address(item).addr_spec for item in wanted])


def _said(code: int, text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    said = harmless(plain)[:_SHOWN_AT_MOST]
    return f"{code} {said}".strip()


def _problem(connection: SmtpConnection, where: str, error: Exception) -> PortalError:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        text = f"{where} refused the sign-in of {connection.user}: {_said(error.smtp_code, error.smtp_error)}."
        hint = "Correct user and password of the connection; some services want a password made for programs."
        return _lasting(error.smtp_code, text, hint)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NotTold(f"{where} cannot do what the connection asks for: {error}.", hint="See security, user and the addresses of the connection.")
    if isinstance(error, smtplib.SMTPResponseException):
        text = f"{where} did not take the mail: {_said(error.smtp_code, error.smtp_error)}."
        return _lasting(error.smtp_code, text, "See whether it may send for the address in `from`.")
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "If the server is yours, name its certificate authority as ca_file of the connection; if not, somebody may be in between."
        return NotTold(f"The certificate of {where} is not accepted: {error.verify_message}.", hint=hint)
    if isinstance(error, ssl.SSLError):
        return NotTold(f"{where} speaks no TLS as asked for: {error.reason}.", hint="See security and port of the connection: tls is usual at 465.")
    if isinstance(error, ValueError):
        return NotTold(f"The mail cannot be sent by {where}: {error}.", hint="See the addresses of the connection.")
    if isinstance(error, TimeoutError):
        return Unreachable(f"{where} did not answer within {connection.timeout_s:g} s.", hint="See host, port and security of the connection.")
    why = getattr(error, "strerror", None) or str(error)
    return Unreachable(f"{where} cannot be reached: {why}.", hint="See host and port of the connection, and whether this machine may connect to it.")


def _lasting(code: int, text: str, hint: str) -> PortalError:
    return Unreachable(text, hint=hint) if 400 <= code < 500 else NotTold(text, hint=hint)
