"""A composed mail as its reader sees it, by Python's own parser: for previews and checks, not on the way of a mail."""

import base64
import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final

from preklic_workers.compose.mails import Mail

_CID: Final = re.compile(r'="cid:([^"]+)"')


@dataclass(frozen=True, slots=True)
class Read:
    """Subject, text and page of a mail; the page's images are inside it."""

    subject: str
    text: str
    page: str


def read(mail: Mail) -> Read:
    """What a mail program would show of our own mail."""
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    images = {
        part["Content-ID"].strip("<>"): f"data:{part.get_content_type()};base64,{_base64(part)}"
        for part in message.walk()
        if part["Content-ID"] is not None
    }
    page = _CID.sub(lambda found: f'="{images.get(found[1], "")}"', _content(message, "html"))
    return Read(str(message["Subject"]), _content(message, "plain"), page)


def _base64(part: EmailMessage) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return base64.b64encode(content).decode("ascii")


def _content(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
