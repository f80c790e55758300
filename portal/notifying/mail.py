"""A mail about a job, as text and as HTML that says the same. The same facts always have the same Message-ID."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape

from portal.connections import SmtpConnection
from portal.connections_channels import mail_address
from portal.errors import NotTold
from portal.notifying import wording
from portal.notifying.facts import Facts

_MOST_SUBJECT = 180
_COLOURS = {"succeeded": "#1a7f37", "partial": "#9a6700", "failed": "#cf222e", "rejected": "#cf222e", "slower": "#9a6700"}
_GREY = "#57606a"


def mail(connection: SmtpConnection, facts: Facts, link: str) -> EmailMessage:
    """Return the mail; its To names all recipients of the connection. Raises NotTold when a header would hold more than one line."""
    sender = mail_address(connection.sender)
    made = EmailMessage(SMTP)
    made["Subject"] = _subject(facts)
    made["From"] = sender
    made["To"] = [mail_address(text) for text in connection.to]
    made["Date"] = format_datetime(datetime.fromisoformat(facts.at))
    made["Message-ID"] = f"<{facts.key}@{_ascii_domain(sender)}>"
    if facts.job_id:
        made["References"] = f"<{facts.job_id}@{_ascii_domain(sender)}>"  # a mail program shows all of one job together
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is told to the portal
    made["X-Auto-Response-Suppress"] = "All"
    _refuse_lines(made)
    made.set_content(_text(facts, link), cte="quoted-printable")
    made.add_alternative(_html(facts, link), subtype="html", cte="quoted-printable")
    return made


def _subject(facts: Facts) -> str:
    """One line in which nothing is an encoded word (RFC 2047): the library would decode it, and line breaks in it would end the header."""
    title = " ".join(facts.title.split()).replace("=?", "= ?")
    return title if len(title) <= _MOST_SUBJECT else title[: _MOST_SUBJECT - 1] + "…"


def _refuse_lines(made: EmailMessage) -> None:
    """The headers as the library has understood them, not as they were given: this is what it writes."""
    for name, value in made.items():
        if {"\r", "\n", "\0"} & set(str(value)):
            hint = "Give the job another name, or correct the addresses of the connection."
            raise NotTold(f"The mail's {name} would not be one line of text.", hint=hint)


def _ascii_domain(address: Address) -> str:
    return address.domain.encode("idna").decode()


def _text(facts: Facts, link: str) -> str:
    rows = wording.rows(facts)
    wide = max((len(title) for title, _ in rows), default=0)
    parts = [f"{facts.title}.", "\n".join(f"{title:<{wide}}  {value}" for title, value in rows), facts.error, wording.usual(facts)]
    parts += ["\n".join(f"- {text}" for text in facts.warnings), link]
    return "\n\n".join(part for part in parts if part) + "\n"


_CELL = "padding:3px 16px 3px 0;vertical-align:top"


def _html(facts: Facts, link: str) -> str:
    """Styles stand at each element: mail programs take no others."""
    colour = _COLOURS.get(facts.event, _GREY)
    rows = "".join(
        f'<tr><td style="{_CELL};color:{_GREY};white-space:nowrap">{escape(title)}</td>'
        f'<td style="{_CELL};word-break:break-word">{escape(value)}</td></tr>\n'
        for title, value in wording.rows(facts)
    )
    parts = [f'<h2 style="margin:0 0 12px;font-size:18px;color:{colour}">{escape(facts.title)}</h2>']
    parts += [f'<table role="presentation" style="border-collapse:collapse;font-size:14px">{rows}</table>'] if rows else []
    parts += [_pre(facts.error)] if facts.error else []
    parts += [f"<p>{escape(wording.usual(facts))}</p>"] if facts.usual else []
    parts += ["<ul>" + "".join(f"<li>{escape(text)}</li>" for text in facts.warnings) + "</ul>"] if facts.warnings else []
    parts += [f'<p><a href="{escape(link)}">Open the job</a></p>'] if link else []
    inner = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(facts.title)}</title></head>'
        f'<body style="font-family:system-ui,-apple-system,Segoe UI,Roboto,sans-serif;font-size:14px;line-height:1.45">\n{inner}\n</body></html>\n'
    )


def _pre(text: str) -> str:
    look = "background:#f6f8fa;border-left:3px solid #cf222e;padding:10px;white-space:pre-wrap;word-break:break-word;font-size:13px"
    return f'<pre style="{look}">{escape(text)}</pre>'
