"""The bytes of a mail, put together by hand: RFC 5322 header, RFC 2047 words, multipart/alternative, RFC 8058.

Python's EmailMessage costs 870 to 1,300 us a mail, has let newlines through (CVE-2024-6923) and folds a long
List-Unsubscribe into an encoded word, which breaks one-click. Nothing here folds a URL; `verify` reads it all back.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Final

import msgspec

from preklic_workers.compose.mails import NOTHING, Beside, Label, Mail

MAX_LINE: Final = 998  # octets without CRLF, RFC 5322 2.1.1
_MAX_SUBJECT: Final = 998  # characters
_MAX_NAME: Final = 300
_PLAIN: Final = 70  # characters that a header may hold before it is folded into encoded words

_WORD: Final = 42  # octets that fit in base64 into one encoded word of 75

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORDS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_URL: Final = re.compile(r"https?://[!-;=?-~]+", re.ASCII | re.IGNORECASE)
_MAILBOX: Final = re.compile(r'(?!.*=\?)[^\s<>"(),:;\\@]+@[a-z0-9.-]+')


_HEAD: Final = b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"


class BadContent(ValueError):
    """What was to stand in a header cannot; `field` names the header."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Mailbox(msgspec.Struct, frozen=True):
    """An address with an A-label domain, and the name before it."""

    address: str
    name: str = ""


class Letter(msgspec.Struct, frozen=True):
    """What a mail's header says. `at` is in seconds since 1970; `unsubscribe` an https URL for one-click.

    `feedback` is the identifier that mailbox providers report complaints by (no person in it); `automatic` marks mail
    that no list sends (RFC 3834). `bounce` is the envelope's sender; a mailed unsubscribe goes to `leave` (RFC 2369),
    complaints to `complaints` (RFC 9477).
    """

    job: str
    sender: Mailbox
    recipient: Mailbox
    subject: str
    at: float
    bounce: str
    reply_to: Mailbox | None = None
    unsubscribe: str | None = None
    list_id: str | None = None
    feedback: str | None = None
    automatic: bool = False
    leave: str | None = None
    complaints: str | None = None


def assemble(
    letter: Letter,
    text: str,
    html: str,
    urls: tuple[str, ...] = (),
    beside: Beside = NOTHING,
    labels: tuple[Label, ...] = (),
) -> Mail:
    """The mail; BadContent names the header that cannot stand."""
    kind, body = _body(letter.job.replace("-", "").encode("ascii"), text, html, beside)
    fields = [*_fields(letter), *labels, ("MIME-Version", b"1.0"), ("Content-Type", kind)]
    lines = [name.encode("ascii") + b": " + value + b"\r\n" for name, value in fields]
    return Mail(
        sender=letter.bounce,
        recipient=letter.recipient.address,
        raw=b"".join([*lines, body]),
        names=tuple(name for name, _ in fields),
        urls=urls,
        unsubscribe=letter.unsubscribe,
        smtputf8=not letter.recipient.address.isascii(),
        leave=letter.leave if letter.unsubscribe is not None else None,
        images=tuple(part.content for part in beside.images),
        attachments=tuple(part.content for part in beside.attachments),
        labels=labels,
    )


def _body(job: bytes, text: str, html: str, beside: Beside) -> tuple[bytes, bytes]:
    """Content-Type and body: alternative(text, related(html, images)), and in mixed where files go with it."""
    # `=_` never occurs in quoted-printable or base64, so no body can hold these boundaries.
    page = _HEAD % b"html" + quoted(html)
    if beside.images:
        related = _multipart(b'related; type="text/html"', b"=_r" + job, [page, *(one.raw for one in beside.images)])
        page = b"Content-Type: " + related[0] + b"\r\n" + related[1]
    kind, body = _multipart(b"alternative", b"=_" + job, [_HEAD % b"plain" + quoted(text), page])
    if not beside.attachments:
        return kind, body
    whole = b"Content-Type: " + kind + b"\r\n" + body
    return _multipart(b"mixed", b"=_m" + job, [whole, *(one.raw for one in beside.attachments)])


def _multipart(kind: bytes, boundary: bytes, parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    line = b"\r\n--" + boundary
    pieces = [piece for part in parts for piece in (line, b"\r\n", part)]
    return b"multipart/" + kind + b'; boundary="' + boundary + b'"', b"".join([*pieces, line, b"--\r\n"])


def _fields(letter: Letter) -> list[tuple[str, bytes]]:
    domain = letter.sender.address.rpartition("@")[2]
    fields = [
        ("Date", _date(int(letter.at))),
        ("From", _sender(letter.sender)),
        ("To", mailbox(letter.recipient, "To")),
        ("Subject", unstructured(letter.subject, "Subject")),
        ("Message-ID", token(f"<{letter.job}@{domain}>", "Message-ID")),
    ]
    if letter.reply_to is not None:
        fields.append(("Reply-To", mailbox(letter.reply_to, "Reply-To")))
    if letter.unsubscribe is not None:
        fields.append(("List-Unsubscribe", ways_out(letter.unsubscribe, letter.leave)))
        fields.append(("List-Unsubscribe-Post", b"List-Unsubscribe=One-Click"))
    if letter.list_id is not None:
        fields.append(("List-Id", token(f"<{letter.list_id}>", "List-Id")))
    if letter.feedback is not None:
        fields.append(("Feedback-ID", token(letter.feedback, "Feedback-ID")))
    if letter.complaints is not None:
        fields.append(("CFBL-Address", token(f"{letter.complaints}; report=arf", "CFBL-Address")))
        fields.append(("CFBL-Feedback-ID", token(letter.bounce.partition("@")[0], "CFBL-Feedback-ID")))
    if letter.automatic:
        fields.append(("Auto-Submitted", b"auto-generated"))
    return fields


# One second's mails have one date, and a purpose's mails one sender.
@lru_cache(maxsize=4)
def _date(at: int) -> bytes:
    return formatdate(at).encode("ascii")


@lru_cache(maxsize=256)
def _sender(box: Mailbox) -> bytes:
    return mailbox(box, "From")


def unstructured(value: str, field: str) -> bytes:
    """Free text as a header's value: short ASCII as it is, all else (and all that looks encoded) as RFC 2047 words."""
    refuse_controls(value, field, _MAX_SUBJECT)
    return encoded_words(value) if needs_words(value) else value.encode("ascii")


def mailbox(box: Mailbox, field: str) -> bytes:
    """A name and its address as the only mailbox of a header."""
    check_mailbox(box.address, field)
    if not box.name:
        return box.address.encode()
    refuse_controls(box.name, field, _MAX_NAME)
    return phrase(box.name) + b" <" + box.address.encode() + b">"


def refuse_controls(value: str, field: str, longest: int) -> None:
    """BadContent for line ends, NUL and other controls, U+2028 and U+2029, and for too long a text."""
    if _CONTROL.search(value) or len(value) > longest:
        raise BadContent(field)


def check_mailbox(address: str, field: str) -> None:
    """BadContent unless `address` is exactly one mailbox with an A-label domain."""
    if not _MAILBOX.fullmatch(address) or _CONTROL.search(address):
        raise BadContent(field)


def needs_words(value: str) -> bool:
    """Whether a header can hold `value` only as RFC 2047 words; what looks like such a word itself needs them too."""
    return not value.isascii() or len(value) > _PLAIN or "=?" in value or value != value.strip()


def phrase(name: str) -> bytes:
    """A display name: words, a quoted string (RFC 5322 3.2.4), or RFC 2047 words. Nothing in it ends it."""
    if needs_words(name):
        return encoded_words(name)
    if _WORDS.fullmatch(name):
        return name.encode("ascii")
    return b'"' + name.replace("\\", "\\\\").replace('"', '\\"').encode("ascii") + b'"'


def encoded_words(value: str) -> bytes:
    """RFC 2047 words in base64, cut between characters, each at most 75 octets and on a line of its own."""
    if len(whole := value.encode()) <= _WORD:
        return b"=?utf-8?b?" + base64.b64encode(whole) + b"?="
    words: list[bytes] = []
    chunk = b""
    for char in value:
        octets = char.encode()
        if len(chunk) + len(octets) > _WORD:
            words.append(chunk)
            chunk = b""
        chunk += octets
    words.append(chunk)
    return b"\r\n ".join(b"=?utf-8?b?" + base64.b64encode(word) + b"?=" for word in words)


def url(value: str, field: str) -> bytes:
    """`<URL>` on one line, never folded or encoded; BadContent when it does not fit in 998 octets."""
    if not _URL.fullmatch(value) or len(field) + len(value) + 4 > MAX_LINE:
        raise BadContent(field)
    return b"<" + value.encode("ascii") + b">"


def ways_out(unsubscribe: str, leave: str | None) -> bytes:
    """List-Unsubscribe: the one-click URL first (RFC 8058 3.1), then the address, on one line that nobody folds."""
    first = url(unsubscribe, "List-Unsubscribe")
    if leave is None:
        return first
    check_mailbox(leave, "List-Unsubscribe")
    both = first + b", <mailto:" + leave.encode("ascii") + b">"
    if len(both) + len("List-Unsubscribe: ") > MAX_LINE:
        raise BadContent("List-Unsubscribe")
    return both


def token(value: str, field: str) -> bytes:
    """A value of printable ASCII that fits on one line."""
    if not value.isascii() or not value.isprintable() or len(field) + len(value) + 2 > MAX_LINE:
        raise BadContent(field)
    return value.encode("ascii")


def quoted(body: str) -> bytes:
    """A body in quoted-printable (RFC 2045 6.7): CRLF, lines of at most 76 octets, no line of a lone dot."""
    lines = body.replace("\r\n", "\n").replace("\r", "\n") if "\r" in body else body
    octets = lines.rstrip("\n").encode("utf-8", "replace").replace(b"\n", b"\r\n") + b"\r\n"
    # The encoder takes its own line ends from the first one it finds, so there has to be one.
    encoded = binascii.b2a_qp(octets, istext=True)
    # It hides a lone dot that had a line of its own, but not one that its own soft line break left alone.
    return encoded.replace(b"\r\n.\r\n", b"\r\n=2E\r\n") if b".\r\n" in encoded else encoded
