"""A second reading of a mail's bytes before anything is sent, by a splitter that shares no code with `mime`.

What one side writes wrong, the other has to find: names and counts of headers as planned, CRLF alone, 998 octets, To
equal to the envelope, the one-click URL, every link and every label verbatim, no line of a lone dot.
"""

import binascii
import html
from typing import Final

from preklic_workers.compose.mails import Mail

_LONGEST: Final = 998
_ONE_CLICK: Final = b"List-Unsubscribe=One-Click"


def verify(mail: Mail) -> str | None:
    """None when the bytes are what was planned, else what differs, without a value of it."""
    if (fault := _lines_fault(mail.raw)) is not None:
        return fault
    head, separator, body = mail.raw.partition(b"\r\n\r\n")
    headers = split_header(head)
    if headers is None or not separator:
        return "header"
    values = dict(headers)
    # As many values as planned names, in their order: then no name stands twice.
    if tuple([name for name, _ in headers]) != mail.names or len(values) != len(mail.names):
        return "header names"
    if address_in(values.get("To", b"")) != mail.recipient.encode():
        return "to"
    if any(values[name] != value for name, value in mail.labels):
        return "labels"
    return _one_click_fault(values, mail.unsubscribe, mail.leave) or _body_fault(
        values.get("Content-Type", b""), body, mail
    )


def split_header(head: bytes) -> list[tuple[str, bytes]] | None:
    """Unfolded (name, value) pairs in order, or None where a line is neither a field nor a continuation."""
    headers: list[tuple[str, bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            if not headers or not line.strip():
                return None
            name, value = headers[-1]
            headers[-1] = (name, value + line)
            continue
        raw_name, colon, value = line.partition(b": ")
        if not colon or not raw_name.replace(b"-", b"").isalnum():
            return None
        headers.append((raw_name.decode("ascii"), value))
    return headers


def address_in(value: bytes) -> bytes:
    """The address of a header that holds one mailbox: all of it, or what its last angle brackets hold."""
    if value.endswith(b">"):
        return value[value.rfind(b"<") + 1 : -1]
    return value


def _lines_fault(raw: bytes) -> str | None:
    # Each CR before an LF and each LF behind a CR: without all CR, and with one before each LF, nothing has changed.
    if not raw.endswith(b"\r\n") or raw.replace(b"\r", b"").replace(b"\n", b"\r\n") != raw:
        return "line ends"
    if b"\0" in raw or has_long_line(raw):
        return "line length"
    if b".\r\n" in raw and (b"\r\n.\r\n" in raw or raw.startswith(b".\r\n")):
        return "lone dot"
    return None


def has_long_line(raw: bytes) -> bool:
    """Whether a line is longer than it may be: where one begins, an end must stand within reach."""
    start, reach = 0, _LONGEST + len(b"\r\n")
    while len(raw) - start > reach:
        end = raw.rfind(b"\r\n", start, start + reach)
        if end < 0:
            return True
        start = end + len(b"\r\n")
    return False


def _one_click_fault(values: dict[str, bytes], unsubscribe: str | None, leave: str | None) -> str | None:
    if unsubscribe is None:
        return "one-click" if "List-Unsubscribe" in values or "List-Unsubscribe-Post" in values else None
    planned = f"<{unsubscribe}>" + (f", <mailto:{leave}>" if leave is not None else "")
    if values.get("List-Unsubscribe") != planned.encode("ascii"):
        return "one-click"
    return None if values.get("List-Unsubscribe-Post") == _ONE_CLICK else "one-click"


def _body_fault(kind: bytes, body: bytes, mail: Mail) -> str | None:
    """Exactly the parts that were planned, and in the HTML one each URL as a whole attribute, in order."""
    if mail.attachments:
        whole, *files = parts_of(b"mixed", kind, body) or [b""]
        if not _are(files, mail.attachments):
            return "attachments"
        kind, body = _opened(whole)
    parts = parts_of(b"alternative", kind, body)
    if parts is None or len(parts) != len(("text", "html")):
        return "parts"
    page = parts[1]
    if mail.images:
        page, *images = parts_of(b"related", *_opened(page)) or [b""]
        if not _are(images, mail.images):
            return "images"
    return _page_fault(binascii.a2b_qp(page.partition(b"\r\n\r\n")[2]).decode(), mail.urls)


def parts_of(planned: bytes, kind: bytes, body: bytes) -> list[bytes] | None:
    """The parts between the boundaries of a Content-Type; None where it is not the planned one or they do not match."""
    boundary = kind.partition(b'boundary="')[2].rstrip(b'"') if kind.startswith(b"multipart/" + planned + b";") else b""
    parts = body.split(b"--" + boundary) if boundary else []
    return parts[1:-1] if len(parts) > 2 and not parts[0] and parts[-1] == b"--\r\n" else None


def _opened(part: bytes) -> tuple[bytes, bytes]:
    """Content-Type and body of a part that holds parts itself."""
    head, _, body = part.partition(b"\r\n\r\n")
    return head.partition(b"Content-Type: ")[2], body.removesuffix(b"\r\n")


def _are(parts: list[bytes], planned: tuple[bytes, ...]) -> bool:
    return tuple(binascii.a2b_base64(part.partition(b"\r\n\r\n")[2]) for part in parts) == planned


def _page_fault(page: str, urls: tuple[str, ...]) -> str | None:
    at = 0
    for url in urls:
        escaped = html.escape(url)
        end = _attribute_end(page, escaped, at)
        at = end if escaped == url else max(end, _attribute_end(page, url, at))
        if at < 0:
            return "url"
    return None


def _attribute_end(page: str, value: str, start: int) -> int:
    """Where `value` ends in quotes at or after `start`, or -1."""
    at = page.find(value, start)
    while at >= 0:
        end = at + len(value)
        quotes = page[at - 1 : at] + page[end : end + 1]
        if quotes in ('""', "''"):
            return end
        at = page.find(value, end)
    return -1
