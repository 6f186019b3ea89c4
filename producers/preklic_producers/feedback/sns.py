"""Amazon SNS: what it posts, and whether it signed it. Pure.

Source: Amazon SNS Developer Guide, "Verifying the signatures of Amazon SNS messages". Version 1 is RSA (PKCS #1 v1.5)
with SHA-1, version 2 with SHA-256, over the canonical string: names and values of the fields below, a line each.
"""

import base64
import binascii
import datetime as dt
import re
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import Certificate
from msgspec import Meta, Struct

NOTIFICATION: Final = "Notification"
CONFIRMATION: Final = "SubscriptionConfirmation"
_SIGNED: Final = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
# The whole URL, so that no user part, port, fragment or longer host can hide in it.
_HOST: Final = r"https://sns\.[a-z]{2,8}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}\.amazonaws\.com"
_CERTIFICATE: Final = re.compile(rf"{_HOST}/SimpleNotificationService-[A-Za-z0-9]{{1,64}}\.pem")
_SUBSCRIBE: Final = re.compile(rf"{_HOST}/\?Action=ConfirmSubscription&[A-Za-z0-9=&:%_.~-]{{1,2000}}")


_NAMES: Final = {
    "type": "Type",
    "message_id": "MessageId",
    "topic_arn": "TopicArn",
    "message": "Message",
    "timestamp": "Timestamp",
    "signature_version": "SignatureVersion",
    "signature": "Signature",
    "signing_cert_url": "SigningCertURL",
    "subject": "Subject",
    "subscribe_url": "SubscribeURL",
    "token": "Token",
}


class Note(Struct, frozen=True, rename=_NAMES, kw_only=True):
    """What SNS posts. `message` is the sender's text: for SES, JSON."""

    type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    message_id: Annotated[str, Meta(max_length=100)]
    topic_arn: Annotated[str, Meta(max_length=400)]
    message: str
    timestamp: Annotated[str, Meta(max_length=100)]
    signature_version: Literal["1", "2"]
    signature: Annotated[str, Meta(max_length=2000)]
    signing_cert_url: Annotated[str, Meta(max_length=300)] = ""
    subject: str | None = None
    subscribe_url: Annotated[str, Meta(max_length=2400)] | None = None
    token: Annotated[str, Meta(max_length=1000)] | None = None


def certificate_pinned(url: str) -> bool:
    """Whether a certificate may be fetched from this URL: SNS's own host and path, and nothing else in it."""
    return _CERTIFICATE.fullmatch(url) is not None


def subscription_pinned(url: str) -> bool:
    """Whether this URL may be called to confirm a subscription."""
    return _SUBSCRIBE.fullmatch(url) is not None


def canonical(note: Note) -> bytes:
    """The text that is signed. A field that is absent has no lines."""
    values = {name: getattr(note, field) for field, name in _NAMES.items()}
    return "".join(f"{name}\n{values[name]}\n" for name in _SIGNED[note.type] if values[name] is not None).encode()


def valid(certificate: Certificate, now: dt.datetime) -> bool:
    """Whether the certificate is of this time."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def signed(certificate: Certificate, note: Note) -> bool:
    """Whether the key of this certificate signed the note."""
    key = certificate.public_key()
    digest = hashes.SHA1() if note.signature_version == "1" else hashes.SHA256()  # noqa: S303 -- version 1 is SHA-1
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(base64.b64decode(note.signature, validate=True), canonical(note), padding.PKCS1v15(), digest)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True
