"""Complaints in the Abuse Reporting Format (RFC 5965), as mailbox providers send them. Pure."""

import re
from email.message import Message as Mail
from typing import Final, Literal

from preklic_producers.feedback.reading import fields_text, parts

_TYPE: Final = re.compile(r"^Feedback-Type:[ \t]*([A-Za-z-]{1,40})", re.IGNORECASE | re.MULTILINE)
# `not-spam` takes a complaint back, which brings no permission; the rest tells of authentication.
_NOES: Final = frozenset({"abuse", "fraud", "virus", "other", "miscategorized"})


def complaint_of(mail: Mail) -> Literal["complained", "unsubscribed", "ignored"] | None:
    """What the report is; None when it is none. One without a type that we know is a complaint: doubt is a no."""
    for part in parts(mail):
        if part.get_content_type() != "message/feedback-report":
            continue
        found = _TYPE.search(fields_text(part))
        kind = found[1].lower() if found is not None else "abuse"
        if kind in {"opt-out", "opt-out-list"}:
            return "unsubscribed"
        return "complained" if kind in _NOES else "ignored"
    return None
