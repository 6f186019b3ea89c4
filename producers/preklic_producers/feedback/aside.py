"""What came back about a mail and could not be matched or read becomes a sealed dead letter: listed, never dropped."""

import base64
import hashlib
from typing import Final

from preklic_producers.drafts import RECORD_LIFE, Drafter
from preklic_producers.outbox import Parcel
from preklic_shared.jobs import AsideJob, AsidePayload

KEPT: Final = 64 * 1024
"""Octets: the rest is cut."""


def set_aside(drafts: Drafter, source: str, reason: str, raw: bytes) -> Parcel:
    """The job that does it. The same octets have the same job: what a source sends again makes no second letter."""
    kept = raw[:KEPT]
    key = f"{source}:{hashlib.sha256(raw).hexdigest()}"
    payload = AsidePayload(raw=base64.b64encode(kept).decode("ascii"))
    return drafts.sealed(AsideJob, payload, RECORD_LIFE, key, {"source": source, "reason": reason})
