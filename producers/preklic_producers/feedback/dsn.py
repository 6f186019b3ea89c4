"""Delivery status notifications (RFC 3464; internationalised: RFC 6533), as far as one recipient's fate goes. Pure."""

import re
from collections.abc import Iterator, Mapping
from email.message import Message as Mail
from typing import Final

from preklic_producers.feedback.phrases import Said, said
from preklic_producers.feedback.reading import fields_text, parts
from preklic_shared.status_codes import code_in, severity

_KINDS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_FIELD: Final = re.compile(r"^([A-Za-z][A-Za-z-]{0,60}):[ \t]*(.*(?:\r?\n[ \t].*)*)", re.MULTILINE)
_MOST_BLOCKS: Final = 50
_STRENGTH: Final = ("delivered", "deferred", "bounced")


def status_of(mail: Mail, text: str) -> Said | None:
    """What a DSN says; of several recipients the worst. None when it is none. `text` is what a person would read."""
    found = [one for block in blocks(mail) if (one := _judge(block, text)) is not None]
    return max(found, key=lambda one: _STRENGTH.index(one.word), default=None)


def blocks(mail: Mail) -> Iterator[Mapping[str, str]]:
    """The groups of fields for each recipient, names in lower case."""
    for part in parts(mail):
        if part.get_content_type() in _KINDS:
            for block in re.split(r"\r?\n[ \t]*\r?\n", fields_text(part))[:_MOST_BLOCKS]:
                fields = {name.lower(): value.strip()[:2000] for name, value in _FIELD.findall(block)}
                if "action" in fields or "status" in fields:
                    yield fields


def _judge(fields: Mapping[str, str], text: str) -> Said | None:
    action = fields.get("action", "").lower().split(" ")[0].strip("<>;")
    diagnostic = fields.get("diagnostic-code", "")
    code = _best(code_in(fields.get("status", "")), code_in(diagnostic))
    if action in {"delivered", "relayed", "expanded"} or code.startswith("2."):
        return Said("delivered", None, code)
    if action == "delayed" or (action != "failed" and code.startswith("4.")):
        return Said("deferred", "soft", code or "4.0.0")
    if action != "failed" and not code:
        return None
    words = said(f"{diagnostic}\n{text}")
    by_words = words.bounce if words is not None and words.word == "bounced" and words.bounce else "soft"
    return Said("bounced", severity(code, by_words), code or "5.0.0")


def _best(status: str, diagnostic: str) -> str:
    """The more telling of two codes: `5.0.0` says nothing that `5.1.1` does not."""
    return diagnostic if diagnostic and (not status or status.endswith(".0.0")) else status
