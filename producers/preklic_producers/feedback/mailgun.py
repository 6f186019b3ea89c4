"""Mailgun's webhooks: one event as JSON, `{"signature": {...}, "event-data": {...}}`. Pure.

Source: Mailgun's user manual, "Webhooks" and "Events". The signature is HMAC-SHA256 of timestamp and token in hex.
It does not cover the event: so a token counts for one body alone (`gateway.webhooks_signed`).
"""

import hashlib
import hmac
from typing import Final

from preklic_producers.feedback.documents import at, millis, text
from preklic_producers.feedback.heard import Aside, Heard, Ignored, Told, heard, raw_of
from preklic_producers.feedback.ours import TAG, Ours
from preklic_shared.status_codes import Bounced, code_in, severity

SOURCE: Final = "mailgun"
_IGNORED: Final = frozenset({"accepted", "opened", "clicked", "stored"})
# Mailgun's own codes and reasons where it did not try, since its list holds a no.
_LISTED: Final = {"605": "suppress-bounce", "606": "suppress-unsubscribe", "607": "suppress-complaint"}


def signed(key: bytes, timestamp: str, token: str, signature: str) -> bool:
    """Whether Mailgun made this timestamp and token."""
    made = hmac.new(key, f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(made.encode(), signature.encode())


def read(event: object, ours: Ours) -> list[Heard]:
    """What the object `event-data` comes to."""
    kind = text(event, "event")
    if kind in _IGNORED:
        return [Ignored(kind)]
    names = (text(event, "message", "headers", "message-id"), text(event, "envelope", "sender"))
    message = ours.mail(*names, tag=text(event, "user-variables", TAG))
    when = millis(at(event, "timestamp"))
    return [heard(SOURCE, event, said, message, when, past=ours.past(when)) for said in _told(kind, event)]


def _told(kind: str, event: object) -> list[Told | Aside]:
    key = (text(event, "id") or raw_of(event).decode(errors="replace"),)
    match kind:
        case "delivered" | "complained" | "unsubscribed":
            return [Told(kind, key)]
        case "failed" if text(event, "severity") == "temporary":
            return [Told("deferred", key, "soft", _code(event))]
        case "failed":
            return [*_failed(event, key)]
        case "rejected":
            return [Told("bounced", key, "policy")]
        case _:
            return [Aside("unknown_event")]


def _failed(event: object, key: tuple[str, ...]) -> list[Told]:
    reason = _LISTED.get(text(event, "delivery-status", "code"), text(event, "reason"))
    if reason == "suppress-complaint":
        return [Told("bounced", key, "policy"), Told("complained", (*key, "listed"))]
    if reason == "suppress-unsubscribe":
        return [Told("bounced", key, "policy"), Told("unsubscribed", key)]
    code = _code(event)
    return [Told("bounced", key, severity(code, _class(event, reason)), code)]


def _class(event: object, reason: str) -> Bounced:
    if reason in {"espblock", "blocked"}:
        return "policy"
    # `old`: retried for as long as Mailgun does; nobody said that the address is gone.
    kind = text(event, "delivery-status", "bounce-type")
    return "soft" if kind == "soft" or reason in {"old", "generic"} else "hard"


def _code(event: object) -> str:
    status = at(event, "delivery-status")
    return code_in(text(status, "enhanced-code"), text(status, "message"), text(status, "description"))
