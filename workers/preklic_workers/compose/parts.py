"""The parts of a mail beside its text: files that go with it, and images that its HTML shows (RFC 2045, 2183, 2387)."""

import base64
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from preklic_shared.attachments import Attachment, fault
from preklic_workers.compose.mails import NOTHING, Beside, Part
from preklic_workers.compose.mime import BadContent

_PLAIN: Final = re.compile(r"[A-Za-z0-9._() -]+")
_LINE: Final = 57  # octets that base64 makes a line of 76 of


def beside(images: tuple[Part, ...], attachments: Sequence[Attachment]) -> Beside:
    """What goes out beside the text; BadContent names the attachment at fault."""
    if not images and not attachments:
        return NOTHING
    return Beside(images, attached(attachments))


def attached(attachments: Sequence[Attachment]) -> tuple[Part, ...]:
    """The parts of a job's attachments; BadContent names the field at fault."""
    if (wrong := fault(attachments)) is not None:
        raise BadContent(wrong[0])
    return tuple(part(one.type, "attachment; " + named("filename", one.name), one.content) for one in attachments)


def part(kind: str, disposition: str, content: bytes, identity: str | None = None) -> Part:
    """A part in base64. All but `content` is ASCII without line ends."""
    head = f"Content-Type: {kind}\r\nContent-Disposition: {disposition}\r\n"
    if identity is not None:
        head += f"Content-ID: <{identity}>\r\n"
    head += "Content-Transfer-Encoding: base64\r\n\r\n"
    return Part(head.encode("ascii") + wrapped(content), content)


def named(parameter: str, name: str) -> str:
    """A file name as a parameter: in quotes, or by RFC 2231 in UTF-8 where ASCII cannot say it."""
    if _PLAIN.fullmatch(name):
        return f'{parameter}="{name}"'
    return f"{parameter}*=utf-8''{quote(name, safe='')}"


def wrapped(content: bytes) -> bytes:
    """Base64 in lines of 76 characters (RFC 2045 6.8)."""
    lines = (base64.b64encode(content[start : start + _LINE]) for start in range(0, len(content), _LINE))
    return b"".join(line + b"\r\n" for line in lines)
