"""The mail that every contender sends: one template, the same headers, as EmailMessage or hand-assembled bytes."""

import hashlib
import hmac
import time
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path
from typing import Any

from preklic_workers.compose.content import Content
from preklic_workers.compose.links import Tracking, link
from preklic_workers.compose.mime import Letter, Mailbox, assemble
from preklic_workers.compose.templates import Templates

TEMPLATE = "newsletter-en"
SENDER = Mailbox("novice@lucrum.example", "LUCRUM novice")
LIST_ID = "novice.lucrum.example"
BOUNCE = "bounce@lucrum.example"
WEB = "http://127.0.0.1:8080"
POLICY = SMTP.clone(max_line_length=998)

DATA: dict[str, Any] = {
    "title": "What we read this month",
    "intro": "Three short pieces about work, money and the things between them, chosen by our editors for you.",
    "articles": [
        {
            "title": f"Piece {number} of the month",
            "summary": "A few sentences on what the piece is about and why it is worth the ten minutes it takes.",
            "url": f"https://lucrum.example/read/{number}",
        }
        for number in range(1, 4)
    ],
    "first_name": "Ana",
    "language": "en",
}


def recipient(number: int) -> str:
    return f"person{number}@example.test"


def unsubscribe_url(job: str) -> str:
    """A MACed token as long as ours, which a careful peer would have too."""
    mac = hmac.new(b"k" * 32, job.encode(), hashlib.sha256).hexdigest()
    return f"{WEB}/u/{job.replace('-', '')}{mac}"


@cache
def compile_templates(folder: str) -> Templates:
    return Templates(Path(folder))


def _render(folder: str, job: str, data: dict[str, Any]) -> Content:
    template = compile_templates(folder).get(TEMPLATE)
    assert template is not None
    surroundings = {
        "company": {"name": "LUCRUM d.o.o.", "address": ""},
        "policy_url": f"{WEB}/policy",
        "preferences_url": f"{WEB}/p/{job}",
        "unsubscribe_url": unsubscribe_url(job),
    }
    return template.render(data, surroundings)


def as_bytes(folder: str, job: str, to: str, data: dict[str, Any]) -> bytes:
    """Our composer, without the second reading that our worker does."""
    content = _render(folder, job, data)
    linked = link(content, Tracking())
    letter = Letter(
        job=job,
        sender=SENDER,
        recipient=Mailbox(to),
        subject=content.subject,
        at=time.time(),
        bounce=BOUNCE,
        unsubscribe=unsubscribe_url(job),
        list_id=LIST_ID,
        feedback="newsletter:preklic",
    )
    return assemble(letter, linked.text, linked.html, linked.urls).raw


def as_message(folder: str, job: str, to: str, data: dict[str, Any]) -> EmailMessage:
    """The standard library's way."""
    content = _render(folder, job, data)
    message = EmailMessage(policy=POLICY)
    message["From"] = f"{SENDER.name} <{SENDER.address}>"
    message["To"] = to
    message["Subject"] = content.subject
    message["Message-ID"] = f"<{job}@lucrum.example>"
    message["List-Unsubscribe"] = f"<{unsubscribe_url(job)}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["List-Id"] = f"<{LIST_ID}>"
    message["Feedback-ID"] = "newsletter:preklic"
    message.set_content(content.text)
    message.add_alternative(content.html, subtype="html")
    return message
