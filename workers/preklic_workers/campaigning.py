"""The fan-out of campaigns: a walk over the people who permit the purpose, chunk by chunk, each a job with a fixed id.

The place of the walk moves after the broker has confirmed the chunk. Killed anywhere it publishes a chunk again, under
the same ids, and each is one mail (law 2). The permission is asked again for each mail: the walk is only a list.
By local time the walk puts each person into the schedule, and what is due there is published as the walk would have.
"""

import asyncio
import datetime as dt
import hashlib
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from preklic_shared import telemetry
from preklic_shared.amqp import Link, open_link, settle
from preklic_shared.ids import job_id_for
from preklic_shared.registry import Purpose, Registry
from preklic_shared.segments import BadSegment, parse
from preklic_workers import clocks, local_time
from preklic_workers.mailing import Mailer, Mailing
from preklic_workers.moments import millis
from preklic_workers.segments import filter_of
from preklic_workers.store import Doc, Store, switches
from preklic_workers.store.campaigns import Addressee, Campaign
from preklic_workers.store.local_sends import LocalSend, LocalSends

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
    _local: LocalSends = field(init=False)
    _company: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        """Raises RegistryError for a registry whose time zone is none."""
        self._local, self._company = LocalSends(self.store.mongo), clocks.company_zone(self.registry)

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
        if campaign.wall is not None:
            return await self._local_step(campaign, campaign.wall, purpose, segment)
        return await self._walk(campaign, purpose, segment)

    async def _walk(self, campaign: Campaign, purpose: Purpose, segment: Doc) -> bool:
        room = await self._room(campaign, purpose)
        if room < 1:
            return False
        people = await self.store.campaigns.people(purpose, segment, campaign.after, min(CHUNK, room))
        if not people:
            return await self._done(campaign)
        published = await self._publish(campaign, purpose, people)
        if published is None:
            return False
        return await self.store.campaigns.advance(campaign, people[-1].id, len(people), published)

    async def _local_step(self, campaign: Campaign, wall: dt.datetime, purpose: Purpose, segment: Doc) -> bool:
        """By local time: a chunk of the walk goes into the schedule, a chunk of what is due there is published."""
        people = await self.store.campaigns.people(purpose, segment, campaign.after, CHUNK)
        if people:
            await self._local.put(campaign, await self._timed(campaign, wall, purpose, people))
            if not await self.store.campaigns.advance(campaign, people[-1].id, len(people), 0):
                return False
        elif not await self._local.any(campaign.name):
            return await self._done(campaign)
        return await self._publish_due(campaign, purpose) or bool(people)

    async def _timed(
        self, campaign: Campaign, wall: dt.datetime, purpose: Purpose, people: list[Addressee]
    ) -> list[LocalSend]:
        zones = await clocks.zones_of(self.store, purpose, people, self._company)
        life = dt.timedelta(seconds=purpose.expires)
        moments = [local_time.shown(wall, zone) for zone in zones]
        return [LocalSend(job_of(campaign, one), one, at, at + life) for one, at in zip(people, moments, strict=True)]

    async def _publish_due(self, campaign: Campaign, purpose: Purpose) -> bool:
        room = await self._room(campaign, purpose)
        people = await self._local.due(campaign.name, min(CHUNK, room)) if room >= 1 else []
        published = await self._publish(campaign, purpose, people) if people else None
        if published is None:
            return False
        await self._local.published(campaign.name, [one.id for one in people])
        await self.store.campaigns.sent_on(campaign.name, published)
        return True

    async def _done(self, campaign: Campaign) -> bool:
        await self.store.campaigns.move(campaign.name, ["running"], "done")
        log.info("a campaign has reached everybody", count=campaign.published)
        return False

    async def _publish(self, campaign: Campaign, purpose: Purpose, people: list[Addressee]) -> int | None:
        """How many of them got a job; None when the broker did not confirm each: then all are published again."""
        full = await self.store.campaigns.full([one.id for one in people], *campaign.cap) if campaign.cap else set()
        mails = [_mailing(campaign, one, purpose, self.store) for one in people if one.id not in full]
        confirmed = await self.mailer.publish(purpose.key, purpose.lane, mails)
        if len(confirmed) < len(mails):
            log.warning("a chunk of a campaign was not confirmed", count=len(mails) - len(confirmed))
            return None
        if campaign.rate:
            since = max(self._allowed.get(campaign.name, 0.0), time.monotonic() - max(_BURST, 1 / campaign.rate))
            self._allowed[campaign.name] = since + len(mails) / campaign.rate
        return len(mails)

    async def _room(self, campaign: Campaign, purpose: Purpose) -> int:
        """How many mails the rate lets out now; none while too many wait in their queue."""
        room = self._by_rate(campaign)
        return 0 if room < 1 or await self.depth.of(purpose.lane) > DEEP else room

    def _by_rate(self, campaign: Campaign) -> int:
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
        return filter_of(parse(campaign.segment), campaign.purpose) if campaign.segment else {}
    except BadSegment:
        return None


def variant_of(campaign: str, pid: bytes) -> int:
    """Which of ten equal parts of the people this one is in, for this campaign: the same however often it is asked."""
    return hashlib.sha256(campaign.encode() + pid).digest()[0] % VARIANTS


def job_of(campaign: Campaign, to: Addressee) -> str:
    """The id of the one mail that this person gets of it."""
    return job_id_for("campaign", f"{campaign.name}|{to.pid.hex()}")


def _mailing(campaign: Campaign, to: Addressee, purpose: Purpose, store: Store) -> Mailing:
    expires = millis(store.mongo.now()) + purpose.expires * 1000
    data = msgspec.json.decode(campaign.data)
    job, variant = job_of(campaign, to), variant_of(campaign.name, to.pid)
    return Mailing(job, to.pid, campaign.template, expires, data, campaign.name, variant)
