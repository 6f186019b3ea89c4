"""The fan-out of campaigns: a walk over the people who permit the purpose, chunk by chunk, each a job with a fixed id.

The place of the walk moves after the broker has confirmed the chunk. Killed anywhere it publishes a chunk again, under
the same ids, and each is one mail (law 2). The permission is asked again for each mail: the walk is only a list.
"""

import asyncio
import hashlib
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from preklic_shared import telemetry
from preklic_shared.amqp import Link, open_link, settle
from preklic_shared.ids import job_id_for
from preklic_shared.registry import Purpose, Registry
from preklic_workers.mailing import Mailer, Mailing
from preklic_workers.moments import millis
from preklic_workers.segments import BadSegment, parse
from preklic_workers.store import Store, switches
from preklic_workers.store.campaigns import Addressee, Campaign

EVERY: Final = 0.5  # seconds between looks for something to do
CHUNK: Final = 1_000
DEEP: Final = 20_000
"""Jobs that wait in the queue of the mails: beyond this the walk waits, so that `stop` has little to hold back."""
VARIANTS: Final = 10
_BURST: Final = 1.0  # seconds of a rate that may go out at once
_EPSILON: Final = 1e-6

log = telemetry.logger(__name__)


@dataclass(slots=True)
class FanOut:
    """One worker's part in all campaigns."""

    store: Store
    registry: Registry
    mailer: Mailer
    depth: "Depth"
    _by: str = field(default_factory=lambda: f"{socket.gethostname()[:60]}:{os.getpid()}")
    _allowed: dict[str, float] = field(default_factory=dict)

    async def once(self) -> None:
        """Walk what is due, a chunk of each in turn, until all wait. Raises store.Unavailable, PublishError."""
        going = await self.store.campaigns.due()
        while going:
            going = [name for name in going if await self._go_on(name)]

    async def _go_on(self, name: str) -> bool:
        campaign = await self.store.campaigns.take(name, self._by)
        return campaign is not None and await self._step(campaign)

    async def _step(self, campaign: Campaign) -> bool:
        """One chunk of one campaign; False when it has to wait."""
        purpose = self.registry.for_mail(campaign.purpose, campaign.template)
        segment = _filter(campaign)
        if purpose is None or segment is None:
            log.error("a campaign waits: its purpose, template or segment is none", template=campaign.template)
            await self.store.campaigns.move(campaign.name, ["running"], "paused")
            return False
        if await self.store.controls.stopped(f"campaign:{campaign.name}", *switches(purpose)) is not None:
            return False  # its mails would wait in tiers, for a while or for ever
        room = self._room(campaign)
        if room < 1 or await self.depth.of(purpose.lane) > DEEP:
            return False
        people = await self.store.campaigns.people(purpose, segment, campaign.after, min(CHUNK, room))
        if not people:
            await self.store.campaigns.move(campaign.name, ["running"], "done")
            log.info("a campaign has reached everybody", count=campaign.published)
            return False
        return await self._publish(campaign, purpose, people)

    async def _publish(self, campaign: Campaign, purpose: Purpose, people: list[Addressee]) -> bool:
        full = await self.store.campaigns.full([one.id for one in people], *campaign.cap) if campaign.cap else set()
        mails = [_mailing(campaign, one, purpose, self.store) for one in people if one.id not in full]
        confirmed = await self.mailer.publish(purpose.key, purpose.lane, mails)
        if len(confirmed) < len(mails):
            log.warning("a chunk of a campaign was not confirmed", count=len(mails) - len(confirmed))
            return False
        if campaign.rate:
            since = max(self._allowed.get(campaign.name, 0.0), time.monotonic() - max(_BURST, 1 / campaign.rate))
            self._allowed[campaign.name] = since + len(mails) / campaign.rate
        return await self.store.campaigns.advance(campaign, people[-1].id, len(people), len(mails))

    def _room(self, campaign: Campaign) -> int:
        """How many mails the rate lets out now."""
        if not campaign.rate:
            return CHUNK
        burst = max(_BURST, 1 / campaign.rate)  # at least one mail, however slow
        since = max(self._allowed.get(campaign.name, 0.0), time.monotonic() - burst)
        return int((time.monotonic() - since) * campaign.rate + _EPSILON)


class Depth:
    """How many jobs wait in the queues of mail, by a connection of its own, at most a second old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._link: Link | None = None
        self._seen: dict[str, tuple[float, int]] = {}

    async def of(self, lane: str) -> int:
        """The length of that lane's queue. Raises PublishError."""
        at, count = self._seen.get(lane, (float("-inf"), 0))
        if time.monotonic() - at < 1.0:
            return count
        if self._link is None or not self._link.channel.is_open:
            self._link = await open_link(self._url, name="preklic campaign depth")
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        queue = f"send.{lane}"
        self._link.channel.queue_declare(queue, passive=True, callback=lambda frame: settle(told, frame.method))
        async with asyncio.timeout(5.0):
            counts = await told
        self._seen[lane] = (time.monotonic(), counts.message_count)
        return int(counts.message_count)

    async def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            await self._link.close()


def _filter(campaign: Campaign) -> dict[str, Any] | None:
    """Whom the campaign is for; None where nobody can say any more."""
    try:
        return parse(campaign.segment).filter(campaign.purpose) if campaign.segment else {}
    except BadSegment:
        return None


def variant_of(campaign: str, pid: bytes) -> int:
    """Which of ten equal parts of the people this one is in, for this campaign: the same however often it is asked."""
    return hashlib.sha256(campaign.encode() + pid).digest()[0] % VARIANTS


def _mailing(campaign: Campaign, to: Addressee, purpose: Purpose, store: Store) -> Mailing:
    job = job_id_for("campaign", f"{campaign.name}|{to.pid.hex()}")
    expires = millis(store.mongo.now()) + purpose.expires * 1000
    data = msgspec.json.decode(campaign.data)
    return Mailing(job, to.pid, campaign.template, expires, data, campaign.name, variant_of(campaign.name, to.pid))
