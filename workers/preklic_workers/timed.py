"""A mail that is to leave later: put by until its `send_at`, and brought back when that comes.

It travels at once on its own queue, so the log has it. The first worker that sees it puts the sealed job into the
schedule and lets the delivery go; the role `campaign` brings it back through the shortest tier, by an exchange that the
log does not bind. Killed anywhere it is done again: the claim makes one mail of it.
"""

import asyncio
import datetime as dt
from typing import Final

from preklic_shared.job_fields import SEND_AHEAD
from preklic_shared.jobs import ACTORS, actor_for
from preklic_shared.publication import Publication
from preklic_shared.topology import RETRY, TIERS
from preklic_shared.wire import encode
from preklic_workers.moments import moment
from preklic_workers.outcomes import Done, Outcome, Refused, RetryLater
from preklic_workers.runtime import Opened
from preklic_workers.send_plan import Plan, SendDeps, claim_of
from preklic_workers.store import Timed
from preklic_workers.store.message_states import CLAIMABLE
from preklic_workers.store.timed import CONFLICT, SCHEDULED

TIER: Final = "5s"
LEAD: Final = dt.timedelta(seconds=TIERS[TIER])
NEAR: Final = dt.timedelta(seconds=1)  # what is so near waits where it is: a tier would make it late
BATCH: Final = 64  # mails brought back at a time, each of up to 768 KiB
_SKEW: Final = dt.timedelta(minutes=5)  # a producer's clock may be ahead of ours by so much


async def put_by(opened: Opened, deps: SendDeps, plan: Plan) -> Outcome | str | None:
    """None when the mail may leave now; else how this delivery ends, or the reason to refuse it."""
    job, at = opened.job, moment(opened.job.send_at)
    ahead = at - deps.store.mongo.now()
    if ahead <= dt.timedelta():
        return None
    if (reason := never(at, moment(job.expires), ahead)) is not None:
        return reason
    if ahead <= NEAR:
        await asyncio.sleep(ahead.total_seconds())
        return None
    if ahead <= LEAD:
        return RetryLater(ahead.total_seconds(), "send_at", count=False)
    return await _kept(opened, deps, plan, at)


async def _kept(opened: Opened, deps: SendDeps, plan: Plan, at: dt.datetime) -> Outcome:
    """Put the sealed job into the schedule; only then this delivery may go."""
    job = opened.job
    actor = actor_for(job, plan.purpose.lane)
    mail = Timed(job.id, plan.subject, job.purpose, actor, encode(job, actor), at, opened.published_by)
    state = await deps.store.timed.put(claim_of(opened, deps, plan.subject, None), mail)
    if state == CONFLICT:
        return Refused("idempotency_conflict")
    if state in CLAIMABLE and state != SCHEDULED:
        # A worker whose clock is ahead has claimed it: this delivery may be the one that brings it back to life.
        return RetryLater(LEAD.total_seconds(), "busy", count=False)
    return Done()


def never(at: dt.datetime, expires: dt.datetime, ahead: dt.timedelta) -> str | None:
    """Why a mail that is to leave at `at`, so far `ahead`, never can. Pure.

    >>> begin = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    >>> never(begin, begin, LEAD), never(begin, begin + LEAD, 2 * SEND_AHEAD), never(begin, begin + LEAD, LEAD)
    ('expired', 'too_far_ahead', None)
    """
    if ahead > SEND_AHEAD + _SKEW:
        return "too_far_ahead"
    return "expired" if expires <= at else None


def bringing_back(mail: Timed) -> Publication:
    """The job as it came, for the tier that ends at its time."""
    headers = {"tier": TIER, "attempt": 0, "reason": "send_at"} | ({} if mail.by is None else {"by": mail.by})
    return Publication(RETRY, ACTORS[mail.actor][1], mail.body, mail.id, mail.actor, headers)
