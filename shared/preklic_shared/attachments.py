"""Attachments of a mail, and what they must not be. Who sends a job checks it, and who makes the mail of it. Pure."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

MAX_COUNT: Final = 10
MAX_OCTETS: Final = 375_000  # of all together; sealed in a job they take 1.8 times as much
MAX_NAME: Final = 80  # characters; in UTF-8 and percent-encoded (RFC 2231) they fit on one line

TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "csv": "text/csv",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "gif": "image/gif",
        "ics": "text/calendar",
        "jpeg": "image/jpeg",
        "jpg": "image/jpeg",
        "json": "application/json",
        "ods": "application/vnd.oasis.opendocument.spreadsheet",
        "odt": "application/vnd.oasis.opendocument.text",
        "pdf": "application/pdf",
        "png": "image/png",
        "txt": "text/plain",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml": "application/xml",
    }
)
"""The types that may be attached, by the ending of the name: nothing that a mail program would run, and no archive."""

# No path, no sign that a shell or a file system reads, no control, nothing that turns the reading direction.
_NAME: Final = re.compile(
    r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?\"<>|\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+"
)


class Attachment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that goes out with a mail: its name as the recipient sees it, its type, its octets (base64 in JSON)."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    type: Annotated[str, Meta(max_length=100)]
    content: bytes


def fault(attachments: Sequence[Attachment]) -> tuple[str, str] | None:
    """The field at fault and what is wrong with it, without a value; None when all may go out."""
    if len(attachments) > MAX_COUNT:
        return "attachments", f"are more than {MAX_COUNT}"
    for number, one in enumerate(attachments):
        if (wrong := name_fault(one.name)) is not None:
            return f"attachments.{number}.name", wrong
        if (wrong := type_fault(one.name, one.type)) is not None:
            return f"attachments.{number}.type", wrong
    if sum(len(one.content) for one in attachments) > MAX_OCTETS:
        return "attachments", f"are together larger than {MAX_OCTETS} octets"
    return None


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a file; it must be a plain name that hides nothing."""
    odd = any(sign.isspace() for sign in name.replace(" ", "")) or name != name.strip(" .") or ".." in name
    if odd or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        return f"is no plain file name of at most {MAX_NAME} characters"
    return None


def type_fault(name: str, kind: str) -> str | None:
    """What is wrong with the type of a file: it must be a known one, and the one that its name's ending says."""
    if TYPES.get(name.rpartition(".")[2].lower()) != kind:
        return f"is not that of the name's ending; known: {', '.join(sorted(TYPES))}"
    return None
