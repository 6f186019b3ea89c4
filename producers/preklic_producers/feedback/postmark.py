"""Postmark's webhooks: one record as JSON, its kind in `RecordType`. Pure.

Source: Postmark's "Webhooks" and "Bounce types". Nothing is signed; a user name and a password in the webhook's URL say
who calls (HTTP Basic, RFC 7617).
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from preklic_producers.feedback.documents import at, millis, text
from preklic_producers.feedback.heard import Aside, Heard, Ignored, Told, heard
from preklic_producers.feedback.ours import TAG, Ours
from preklic_shared.status_codes import Bounced, code_in, severity

SOURCE: Final = "postmark"
_IGNORED: Final = frozenset({"Open", "Click"})
_TIMES: Final = ("BouncedAt", "ChangedAt", "DeliveredAt")
_QUIET: Final = frozenset({"AutoResponder", "Subscribe", "OpenRelayTest"})
_CLASSES: Final[dict[str, Bounced]] = {
    "HardBounce": "hard",
    "BadEmailAddress": "hard",
    "SoftBounce": "soft",
    "DnsError": "soft",
    "Unknown": "soft",
    "Undeterminable": "soft",
    "SpamNotification": "policy",
    "VirusNotification": "policy",
    "ChallengeVerification": "policy",
    "Blocked": "policy",
    "DMARCPolicy": "policy",
    "ManuallyDeactivated": "policy",
}


def credentials(header: str, username: str, password: str) -> bool:
    """Whether an Authorization header holds these. Takes as long for any that do not."""
    scheme, _, given = header.partition(" ")
    try:
        told = base64.b64decode(given.strip(), validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        told = b""
    wanted = f"{username}:{password}".encode()
    return hmac.compare_digest(hashlib.sha256(told).digest(), hashlib.sha256(wanted).digest())


def read(record: object, ours: Ours) -> list[Heard]:
    """What one record comes to."""
    kind = text(record, "RecordType")
    if kind in _IGNORED:
        return [Ignored(kind)]
    # Postmark names its own id alone: ours rides in the metadata, or in what a server sent back.
    message = ours.mail(tag=text(record, "Metadata", TAG)) or ours.quoted((text(record, "Content"),))
    when = next((known for name in _TIMES if (known := millis(at(record, name))) is not None), None)
    return [heard(SOURCE, record, _told(kind, record), message, when, past=ours.past(when))]


def _told(kind: str, record: object) -> Told | Ignored | Aside:
    match kind:
        case "Delivery":
            return Told("delivered", _once(record, kind))
        case "SpamComplaint":
            return Told("complained", _once(record, "complained"))
        case "Bounce":
            return _bounce(record)
        case "SubscriptionChange":
            return _change(record)
        case _:
            return Aside("unknown_event")


def _bounce(record: object) -> Told | Ignored | Aside:
    kind, code = text(record, "Type"), code_in(text(record, "Details"), text(record, "Description"))
    if kind in _QUIET:
        return Ignored(kind)
    match kind:
        case "Transient":
            return Told("deferred", _each(record), "soft", code)
        case "SpamComplaint":
            return Told("complained", _once(record, "complained"))
        case "Unsubscribe":
            return Told("unsubscribed", _once(record, "unsubscribed"))
        case _:
            return _refused(record, code, _CLASSES.get(kind))


def _refused(record: object, code: str, known: Bounced | None) -> Told | Aside:
    if known is None:
        return Aside("unknown_event")
    found = severity(code, known)
    if found == "hard" and known == "hard":
        return Told("bounced", _once(record, "gone"), "hard", code)
    # Postmark named no hard bounce: a code alone does not make it one.
    return Told("bounced", _each(record), known if found == "hard" else found, code)


def _change(record: object) -> Told | Ignored | Aside:
    if at(record, "SuppressSending") is False:
        return Ignored("reactivated")
    match text(record, "SuppressionReason"):
        case "HardBounce":
            return Told("bounced", _once(record, "gone"), "hard")
        case "SpamComplaint":
            return Told("complained", _once(record, "complained"))
        case "ManualSuppression":
            return Told("unsubscribed", _once(record, "unsubscribed"))
        case _:
            return Aside("unknown_event")


def _once(record: object, what: str) -> tuple[str, ...]:
    # Two webhooks tell of the same complaint, hard bounce or unsubscribe: of one mail it is one event.
    return (text(record, "MessageID"), what)


def _each(record: object) -> tuple[str, ...]:
    return (text(record, "MessageID"), text(record, "RecordType"), text(record, "ID"))
