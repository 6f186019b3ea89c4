"""The inbox page of the sink: a list of mails, and each mail as text and as HTML in a sandboxed frame."""

import datetime as dt
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from html import escape
from typing import Literal

from sink.server import Mail

SHOWN = ("From", "To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ddd;
vertical-align:top;overflow-wrap:anywhere}a{color:#0b57d0}iframe{width:100%;height:30rem;border:1px solid #ccc}
pre{white-space:pre-wrap;background:#f6f6f6;padding:1rem}h1{font-size:1.3rem}
"""


def inbox_page(mails: list[Mail]) -> str:
    """All kept mails, newest first."""
    rows = [
        f"<tr><td>{_time(mail)}</td><td>{escape(', '.join(mail.to))}</td>"
        f'<td><a href="/mails/{mail.number}">{escape(subject(mail))}</a></td></tr>'
        for mail in reversed(mails)
    ]
    table = f"<table><tr><th>Time</th><th>To</th><th>Subject</th></tr>{''.join(rows)}</table>"
    return _page(f"Inbox ({len(mails)})", table if mails else "<p>No mail yet. Reload after the first send.</p>")


def mail_page(mail: Mail) -> str:
    """One mail: its headers, its text, and its HTML where scripts, forms and same-origin access are off."""
    message = _parse(mail)
    heads = "".join(
        f"<tr><th>{name}</th><td>{escape(_readable(str(message[name])))}</td></tr>" for name in SHOWN if message[name]
    )
    frame = f'<iframe sandbox="allow-popups" src="/mails/{mail.number}/html" title="HTML part"></iframe>'
    text = f"<pre>{escape(mail_body(mail, 'plain'))}</pre>"
    raw = f'<p><a href="/">Inbox</a> · <a href="/mails/{mail.number}/raw">Source</a></p>'
    return _page(subject(mail), f"{raw}<table>{heads}</table><h2>HTML</h2>{frame}<h2>Text</h2>{text}")


def mail_body(mail: Mail, kind: Literal["plain", "html"]) -> str:
    """The first `text/plain` or `text/html` part, decoded."""
    for part in _parse(mail).walk():
        if part.get_content_type() == f"text/{kind}":
            content = part.get_payload(decode=True)
            charset = part.get_content_charset() or "utf-8"
            return content.decode(charset, "replace") if isinstance(content, bytes) else ""
    return ""


def subject(mail: Mail) -> str:
    """The subject as a person reads it."""
    return _readable(str(_parse(mail)["Subject"] or "(no subject)"))


def _parse(mail: Mail) -> Message:
    return message_from_bytes(mail.raw)


def _readable(value: str) -> str:
    return str(make_header(decode_header(value)))


def _time(mail: Mail) -> str:
    return dt.datetime.fromtimestamp(mail.at / 1e9, dt.UTC).strftime("%H:%M:%S UTC")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>{body}</html>"
    )
