"""The files that a website sends along with a mail, held to the rules that the workers check again."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from preklic_producers.contracts import checked
from preklic_producers.fields import Rejected
from preklic_shared.attachments import MAX_COUNT, Attachment, fault


def attachments_of(given: Iterable[object]) -> list[Attachment]:
    """Attachments, or mappings of `name`, `type` and `content` (bytes); Rejected names the field at fault."""
    if isinstance(given, Mapping | str | bytes):
        raise Rejected("attachments", "is a list")
    found: list[Attachment] = []
    for number, one in enumerate(given):
        if number == MAX_COUNT:
            raise Rejected("attachments", f"are more than {MAX_COUNT}")
        found.append(_attachment(one, f"attachments.{number}"))
    if (wrong := fault(found)) is not None:
        raise Rejected(*wrong)
    return found


def _attachment(one: Any, place: str) -> Attachment:
    if isinstance(one, Attachment):
        return checked(one, place)
    try:
        return msgspec.convert(one, Attachment)
    except msgspec.ValidationError:
        raise Rejected(place, "is not an object of name, type and content") from None
