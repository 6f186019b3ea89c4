"""SendGrid's signed event webhook: a batch of events, one array of JSON objects. Pure.

Source: SendGrid's "Event Webhook Reference" and "Event Webhook Security Features". The signature is ECDSA over P-256
with SHA-256, of the text in the timestamp's header and the body as it came.
"""

import base64
import binascii
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from preklic_producers.feedback.documents import at, millis, text
from preklic_producers.feedback.heard import Aside, Heard, Ignored, Told, heard, raw_of
from preklic_producers.feedback.ours import TAG, Ours
from preklic_shared.status_codes import Bounced, code_in, severity

SOURCE: Final = "sendgrid"
SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"
_IGNORED: Final = frozenset({"processed", "open", "click", "group_resubscribe"})
_CLASSES: Final[dict[str, Bounced]] = {
    "invalid address": "hard",
    "technical failure": "soft",
    "mailbox unavailable": "soft",
    "content": "policy",
    "reputation": "policy",
    "frequency or volume too high": "policy",
}


def key_of(public_key: str) -> ec.EllipticCurvePublicKey:
    """The verification key of the console; ValueError when it is no P-256 key in Base64 of DER."""
    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("no public key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")  # noqa: TRY004 -- it is text of the settings that is wrong
    return key


def signed(key: ec.EllipticCurvePublicKey, timestamp: str, body: bytes, signature: str) -> bool:
    """Whether SendGrid signed this timestamp and body."""
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def read(batch: object, ours: Ours) -> list[Heard]:
    """What each event of a batch comes to."""
    if not isinstance(batch, list):
        return [Aside("no_batch", raw_of(batch))]
    return [one for event in batch for one in _read_one(event, ours)]


def _read_one(event: object, ours: Ours) -> list[Heard]:
    # `smtp-id` is absent from delayed bounces: there the unique argument says it.
    message = ours.mail(text(event, "smtp-id"), tag=text(event, TAG))
    kind, when = text(event, "event"), millis(at(event, "timestamp"))
    if kind in _IGNORED:
        return [Ignored(kind)]
    if kind == "dropped":
        return [heard(SOURCE, event, said, message, when, past=ours.past(when)) for said in _dropped(event)]
    return [heard(SOURCE, event, _told(kind, event), message, when, past=ours.past(when))]


def _told(kind: str, event: object) -> Told | Aside:
    key = _key(event)
    code = code_in(text(event, "status"), text(event, "reason"), text(event, "response"))
    match kind:
        case "delivered":
            return Told("delivered", key)
        case "deferred":
            return Told("deferred", key, "soft", code)
        case "bounce":
            return Told("bounced", key, _class(event, code), code)
        case "spamreport":
            return Told("complained", key)
        case "unsubscribe" | "group_unsubscribe":
            return Told("unsubscribed", key)
        case _:
            return Aside("unknown_event")


def _class(event: object, code: str) -> Bounced:
    # `blocked`: the server refused this mail, and nobody says that the address is gone.
    otherwise: Bounced = "soft" if text(event, "type") == "blocked" else "hard"
    named = _CLASSES.get(text(event, "bounce_classification").lower(), otherwise)
    known = severity(code, named)
    return "soft" if known == "hard" and text(event, "type") == "blocked" and named != "hard" else known


def _dropped(event: object) -> list[Told]:
    """SendGrid did not even try, mostly since its own list holds a no: then the no is ours as well."""
    reason, key = text(event, "reason").lower(), _key(event)
    if "spam report" in reason:
        return [Told("bounced", key, "policy"), Told("complained", (*key, "listed"))]
    if "unsubscribed" in reason:
        return [Told("bounced", key, "policy"), Told("unsubscribed", key)]
    gone = reason.startswith(("bounced address", "invalid"))
    return [Told("bounced", key, "hard" if gone and "smtpapi" not in reason else "policy", code_in(reason))]


def _key(event: Any) -> tuple[str, ...]:
    if known := text(event, "sg_event_id"):
        return (known,)
    return (raw_of(event).decode(errors="replace"),)
