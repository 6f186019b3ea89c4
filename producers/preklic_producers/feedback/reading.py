"""Reads a mail from outside in bounded time: limits first, on the octets, and the parser only then. Pure.

`email.policy.default` takes seconds for one hostile subject, so the old policy is used, and no header is decoded here.
"""

import html
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message as Mail
from email.policy import compat32
from typing import Any, Final

LIMIT: Final = 1 << 20  # octets of a mail
_MOST: Final = (
    (b"\n--", 400, "too_many_parts"),
    (b"boundary", 40, "too_many_parts"),
    (b"message/", 40, "too_many_parts"),
    (b"=?", 2_000, "too_many_words"),
)
_HEAD: Final = 128 * 1024
_TEXT: Final = 32_000  # characters of a body that are looked at
_TAGS: Final = re.compile(r"<(?:style|script)\b.{0,20000}?</|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)
# What follows is the mail that came back, not what is said of it.
_QUOTED: Final = re.compile(
    r"^[-\s*=>]*(?:begin )?(?:this is a copy|below this line|original (?:message|mail)"
    r"|.{0,30}copy of (?:the|your) (?:original )?message|returned message|unsent message|undelivered message"
    r"|message header|your message (?:headers?|follows)|received:)",
    re.IGNORECASE | re.MULTILINE,
)


class Unreadable(Exception):
    """A mail beyond the limits; `reason` says which one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(raw: bytes) -> Mail:
    """The mail, parsed. Raises Unreadable: too_large, too_many_parts, too_many_words, long_header, too_deep."""
    if len(raw) > LIMIT:
        raise Unreadable("too_large")
    lower = raw.lower()
    for octets, most, reason in _MOST:
        if lower.count(octets) > most:
            raise Unreadable(reason)
    head = re.search(rb"\r?\n\r?\n", raw)
    if (head.start() if head is not None else len(raw)) > _HEAD:
        raise Unreadable("long_header")
    try:
        return message_from_bytes(raw, policy=compat32)
    except RecursionError:
        raise Unreadable("too_deep") from None


def parts(mail: Mail) -> Iterator[Mail]:
    """The parts of the report itself, in order; what lies inside a returned mail is not among them."""
    ahead = [mail]
    while ahead:
        part = ahead.pop(0)
        yield part
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            ahead[:0] = [one for one in _list(part.get_payload()) if isinstance(one, Mail)]


def header(mail: Mail, name: str) -> str:
    """A header's text as it came, at most 1,000 characters; empty where it is not there."""
    return str(mail.get(name, ""))[:1000]


def text_of(mail: Mail) -> str:
    """What a person would read in the report: text, or HTML without tags, up to where the returned mail begins."""
    found: list[str] = []
    for part in parts(mail):
        kind = part.get_content_type()
        if kind in {"text/plain", "text/html"} and not part.is_multipart():
            text = _decoded(part)[: 4 * _TEXT]
            found.append(html.unescape(_TAGS.sub(" ", text)) if kind == "text/html" else text)
    text = "\n".join(found)[:_TEXT]
    quoted = _QUOTED.search(text, 40)
    return text[: quoted.start()] if quoted is not None else text


def _decoded(part: Mail) -> str:
    octets = part.get_payload(decode=True)
    return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""


def _list(payload: object) -> list[Any]:
    return payload if isinstance(payload, list) else []


def fields_text(part: Mail) -> str:
    """The text of a part that holds header fields in groups: the parser has made mails of its groups, or it is text."""
    payload = part.get_payload()
    groups = [one.as_string() for one in payload if isinstance(one, Mail)] if isinstance(payload, list) else [payload]
    return "\n\n".join(str(group) for group in groups)
