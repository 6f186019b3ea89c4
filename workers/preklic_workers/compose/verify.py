"""A second reading of a mail's bytes before anything is sent, by a splitter that shares no code with `mime`.

What one side writes wrong, the other has to find: names and counts of headers as planned, CRLF alone, 998 octets, To
equal to the envelope, the one-click URL and every link verbatim, no line of a lone dot.
"""

import binascii
import html
from typing import Final

from preklic_workers.compose.mime import Mail

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
    if tuple(name for name, _ in headers) != mail.names or len(set(mail.names)) != len(mail.names):
        return "header names"
    values = dict(headers)
    if address_in(values.get("To", b"")) != mail.recipient.encode():
        return "to"
    boundary = values.get("Content-Type", b"").partition(b'boundary="')[2].rstrip(b'"')
    return _one_click_fault(values, mail.unsubscribe, mail.leave) or _body_fault(body, boundary, mail.urls)


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
    lines = raw.split(b"\r\n")
    if not raw.endswith(b"\r\n") or raw.count(b"\n") != len(lines) - 1 or raw.count(b"\r") != len(lines) - 1:
        return "line ends"
    if b"\0" in raw or max(map(len, lines)) > _LONGEST:
        return "line length"
    if b"." in lines:
        return "lone dot"
    return None


def _one_click_fault(values: dict[str, bytes], unsubscribe: str | None, leave: str | None) -> str | None:
    if unsubscribe is None:
        return "one-click" if "List-Unsubscribe" in values or "List-Unsubscribe-Post" in values else None
    planned = f"<{unsubscribe}>" + (f", <mailto:{leave}>" if leave is not None else "")
    if values.get("List-Unsubscribe") != planned.encode("ascii"):
        return "one-click"
    return None if values.get("List-Unsubscribe-Post") == _ONE_CLICK else "one-click"


def _body_fault(body: bytes, boundary: bytes, urls: tuple[str, ...]) -> str | None:
    """Exactly two parts, and in the HTML one each URL as a whole attribute, in order."""
    parts = body.split(b"--" + boundary) if boundary else []
    if len(parts) != len(("preamble", "text", "html", "end")) or parts[0] or parts[3] != b"--\r\n":
        return "parts"
    _, _, encoded = parts[2].partition(b"\r\n\r\n")
    page = binascii.a2b_qp(encoded).decode()
    at = 0
    for url in urls:
        at = max(_attribute_end(page, html.escape(url), at), _attribute_end(page, url, at))
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
