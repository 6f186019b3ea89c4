"""Asks the authority for a time stamp over the newest signed head of the ledger, and keeps the answer it believes.

It runs beside the sequencer and never holds it up: whatever the authority does costs a round. What is missed is a gap,
told by a metric and by `preklic ledger verify`, and never made good quietly: a head of yesterday is not stamped today.
"""

import datetime as dt
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.settings import SettingsError
from preklic_shared.stamp_settings import Stamps
from preklic_workers.exchange import SECONDS, Unanswered, exchange
from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.stamps import (
    MOST_CHAIN,
    MOST_OCTETS,
    BadChain,
    Refused,
    Trust,
    accepted,
    question,
    trust_in,
)
from preklic_workers.store.stamps import Stamp, StampStore

EVERY: Final = 10.0
"""Seconds between looks whether a stamp is due."""
AGAIN: Final = dt.timedelta(minutes=1)
"""After an authority that was away, or an answer that was refused."""
STALE: Final = dt.timedelta(days=1)
"""An older head gets no stamp: it would say a time long after what it is of, as a ledger that was dated back does."""

log = telemetry.logger(__name__)


class AuthorityAway(Exception):
    """The authority did not answer in time with the status 200; `why` is a word, or the status."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the time-stamping authority did not answer: {why}")
        self.why = why


def trust_of(settings: Stamps) -> Trust:
    """The certificates that the settings name. Raises SettingsError."""
    try:
        with settings.ca.open("rb") as file:
            return trust_in(file.read(MOST_CHAIN + 1))
    except OSError as error:
        raise SettingsError("STAMPS__CA", f"the file cannot be read ({type(error).__name__})") from None
    except BadChain as bad:
        raise SettingsError("STAMPS__CA", str(bad)) from None


async def ask(url: str, body: bytes, seconds: float = SECONDS) -> bytes:
    """What the authority answers (RFC 3161, 3.4), at most one octet over the limit. Raises AuthorityAway."""
    try:
        status, octets = await exchange(url, body, "application/timestamp-query", MOST_OCTETS, seconds)
    except Unanswered as none:
        raise AuthorityAway(none.why) from None
    if status != 200:
        raise AuthorityAway(str(status))
    return octets


class Stamper:
    """Keeps the ledger's heads stamped. `now` is the store's clock. Its rounds raise `Unavailable` alone."""

    def __init__(self, store: StampStore, settings: Stamps, trust: Trust) -> None:
        self._store = store
        self._settings = settings
        self._trust = trust
        self._every = dt.timedelta(seconds=settings.every)
        self._not_before: dt.datetime | None = None

    async def once(self) -> None:
        """Ask if a stamp is due, and say how long one is overdue."""
        now, last = self._store.now(), await self._store.newest()
        due = last is None or not last.at <= now < last.at + self._every  # a clock may have been set back
        if due and (self._not_before is None or now >= self._not_before):
            head = await self._store.newest_head()
            if head is not None and (last is None or head.size > last.size) and now - head.at <= STALE:
                last = await self._try(head) or last
        metrics.STAMP_OVERDUE.set(await self._overdue(last))

    async def stamp(self, head: SignedHead) -> Stamp:
        """A stamp of this head, kept. Raises AuthorityAway, Refused."""
        asked = question(head.note)
        octets = await ask(self._settings.url, asked.as_bytes())
        now = self._store.now()
        accepted(octets, head.note, self._trust, asked.nonce, now)
        made = Stamp(head.size, octets, self._trust.pem, now)
        await self._store.keep(made)
        return made

    async def _try(self, head: SignedHead) -> Stamp | None:
        self._not_before = self._store.now() + AGAIN
        try:
            made = await self.stamp(head)
        except AuthorityAway as away:
            metrics.STAMPS.labels("away").inc()
            log.warning("the time-stamping authority is away", error=away.why)
            return None
        except Refused as refused:
            metrics.STAMPS.labels(refused.reason).inc()
            log.warning("a time stamp was refused", reason=refused.reason)
            return None
        metrics.STAMPS.labels("kept").inc()
        self._not_before = None
        return made

    async def _overdue(self, last: Stamp | None) -> float:
        """Seconds beyond the interval that the oldest head without a stamp over it waits."""
        waiting = await self._store.heads(after=last.size if last else 0)
        if not waiting:
            return 0.0
        return max(0.0, (self._store.now() - waiting[0].at - self._every).total_seconds())
