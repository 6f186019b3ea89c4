"""SendGrid, Mailgun and Postmark: each checked as it provides."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from preklic_producers.feedback import mailgun, postmark, sendgrid
from preklic_producers.feedback.documents import at, document, text
from preklic_producers.feedback.heard import KEPT, Aside, Heard
from preklic_producers.feedback.ours import Ours
from preklic_producers.gateway.webhook_source import APART, Away, Forged, Posted, Repeated, fresh
from preklic_shared.wire import Malformed

# Mailgun tries again for 8 hours, and does not say that it signs anew each time.
MAILGUN_BEFORE: Final = 9 * 3600
_TOKENS: Final = 200_000
Clock = Callable[[], float]


class Sendgrid:
    """Signed by SendGrid's key. What is rightly signed but old has no effect and is set aside: it may be a late try."""

    def __init__(self, key: EllipticCurvePublicKey, ours: Ours, clock: Clock = time.time) -> None:
        self._key, self._ours, self._clock = key, ours, clock

    async def hear(self, posted: Posted) -> list[Heard]:
        """What a batch says; Forged without SendGrid's signature."""
        timestamp = posted.headers.get(sendgrid.TIMESTAMP.lower(), "")
        if not sendgrid.signed(self._key, timestamp, posted.body, posted.headers.get(sendgrid.SIGNATURE.lower(), "")):
            raise Forged("signature")
        if not fresh(timestamp, self._clock(), APART):
            return [Aside("old", posted.body[:KEPT])]
        return [*_read(posted.body, lambda batch: sendgrid.read(batch, self._ours))]

    def settle(self, posted: Posted, *, taken: bool) -> None:
        """Nothing is remembered: the signature covers the body, and the event ids make a repeat one."""


class Mailgun:
    """Signed by a key that Mailgun and we have: but not the event, so each token counts for one body."""

    def __init__(self, key: bytes, ours: Ours, clock: Clock = time.time) -> None:
        self._key, self._ours, self._clock = key, ours, clock
        self._tokens: OrderedDict[str, bytes] = OrderedDict()
        self._under_way: set[str] = set()

    async def hear(self, posted: Posted) -> list[Heard]:
        """What an event says. Forged: wrong signature, old, or a token that came with another body."""
        try:
            body = document(posted.body)
        except Malformed:
            raise Forged("malformed") from None
        timestamp, token = text(body, "signature", "timestamp"), text(body, "signature", "token")
        if not mailgun.signed(self._key, timestamp, token, text(body, "signature", "signature")):
            raise Forged("signature")
        if not fresh(timestamp, self._clock(), MAILGUN_BEFORE):
            raise Forged("old")
        told = mailgun.read(at(body, "event-data"), self._ours)
        if self.seen(token, posted.body):
            raise Repeated
        self._under_way.add(token)
        return told

    def seen(self, token: str, body: bytes) -> bool:
        """Whether the token came before with this body, and was taken. Forged when it came with another one."""
        digest = hashlib.sha256(body).digest()
        known = self._tokens.setdefault(token, digest)
        if len(self._tokens) > _TOKENS:
            self._tokens.popitem(last=False)
        if known is digest:
            return False
        if known != digest:
            raise Forged("token")
        if token in self._under_way:
            raise Away
        return True

    def settle(self, posted: Posted, *, taken: bool) -> None:
        """What was not taken may come again with its token."""
        token = text(document(posted.body), "signature", "token")
        self._under_way.discard(token)
        if not taken:
            self._tokens.pop(token, None)


class Postmark:
    """By user name and password. In production over TLS alone.

    Refused with 401: after a 403 Postmark does not try again, and what it had to tell would be lost.
    """

    def __init__(self, username: str, password: str, ours: Ours, *, tls: bool) -> None:
        self._username, self._password, self._ours, self._tls = username, password, ours, tls

    async def hear(self, posted: Posted) -> list[Heard]:
        """What a record says; Forged without the password, or in the clear where TLS is asked for."""
        if not self.safe(posted):
            raise Forged("plain", status=401)
        if not postmark.credentials(posted.headers.get("authorization", ""), self._username, self._password):
            raise Forged("password", status=401)
        return [*_read(posted.body, lambda record: postmark.read(record, self._ours))]

    def safe(self, posted: Posted) -> bool:
        """Whether the password came over TLS, or need not."""
        return posted.tls or not self._tls

    def settle(self, posted: Posted, *, taken: bool) -> None:
        """Nothing is remembered: the ids make a repeat one."""


def _read(body: bytes, read: Callable[[object], list[Heard]]) -> list[Heard]:
    # The provider is who it says: what it sends is kept, even if nobody can read it.
    try:
        value = document(body)
    except Malformed:
        return [Aside("malformed", body[:KEPT])]
    return read(value)
