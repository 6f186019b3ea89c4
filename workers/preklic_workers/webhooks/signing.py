"""Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, one for each secret there is. Pure."""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
_SHORTEST, _LONGEST = 24, 64  # bytes; the specification's limits


class BadSecret(ValueError):
    """A text that is no secret; never shows it."""


def new_secret() -> str:
    """A fresh secret as its text."""
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret's text. Raises BadSecret.

    >>> len(key_of(new_secret()))
    32
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise BadSecret(f"a secret is {PREFIX} and the base64 of {_SHORTEST} to {_LONGEST} random bytes")
    return key


def signature(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature: `v1,` and the base64 of the MAC."""
    mac = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def headers_for(keys: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of a request; `timestamp` is the attempt's, in seconds since 1970, for receivers refuse old ones."""
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, webhook_id, timestamp, body) for key in keys),
    }
