"""Takes what is asked of campaigns over the queue, and does what the command does. Each job has one effect."""

from dataclasses import dataclass
from typing import Final

from preklic_shared.campaign_jobs import CampaignJob, CampaignPayload
from preklic_shared.campaign_rules import BadCampaign, check
from preklic_shared.registry import Registry
from preklic_workers import backoff, campaign_acts
from preklic_workers.campaign_acts import Said
from preklic_workers.moments import millis, moment
from preklic_workers.outcomes import Dead, Done, Outcome, Refused, RetryLater
from preklic_workers.reasons import given
from preklic_workers.runtime import Opened
from preklic_workers.store import Store, Unavailable

LOOKS: Final = 3
"""Tiers that an act waits in for its campaign: the start may be in another gateway's outbox still."""
_OVER: Final = frozenset({"applied", "refused", "discarded"})


@dataclass(frozen=True, slots=True)
class CampaignDesk:
    """What the handler stands on."""

    store: Store
    registry: Registry

    async def handle(self, opened: Opened) -> Outcome:
        """One act, or none where this very job had its effect before."""
        job: CampaignJob = opened.job
        try:
            if await self.store.messages.state(job.id) in _OVER:
                await self.store.campaigns.name_in(job.id, job.campaign)
                return Done()
            outcome = Refused("expired") if opened.expired else await self._act(opened)
            if isinstance(outcome, Done | Refused):
                await self._note(job, outcome)
        except Unavailable:
            # Quick at first and never given up: it may be a stop.
            return RetryLater(backoff.for_a_no(opened.attempt, job.id), "store_away", count=False)
        return outcome

    async def _act(self, opened: Opened) -> Outcome:
        job: CampaignJob = opened.job
        asked = opened.payload
        if not isinstance(asked, CampaignPayload):
            return Dead("malformed", "sealed")
        return await (self._start(job, asked) if job.act == "start" else self._move(opened, job, asked))

    async def _start(self, job: CampaignJob, asked: CampaignPayload) -> Outcome:
        try:
            check(self.registry, job.campaign, job.purpose, job.template, asked, job.at)
        except BadCampaign as bad:
            return Dead("malformed", bad.field) if bad.code == "malformed" else Refused(bad.code)
        made = campaign_acts.campaign_of(job.campaign, str(job.purpose), str(job.template), asked, job.at)
        found = await campaign_acts.start(self.store, made, job.producer, timed=asked.at is not None)
        return Refused("idempotency_conflict") if found is None else Done()

    async def _move(self, opened: Opened, job: CampaignJob, asked: CampaignPayload) -> Outcome:
        why = given(asked.reason)
        if why is None:
            return Dead("malformed", "reason")
        # A clock that is ahead must not make a brake hold against what is said after it.
        said = Said(job.producer, min(job.at, millis(self.store.mongo.now())), why)
        if await campaign_acts.move(self.store, job.campaign, job.act, said):
            return Done()
        if await self.store.campaigns.get(job.campaign) is not None:
            return Refused("braked_later")
        if opened.attempt < LOOKS:
            return RetryLater(backoff.for_a_no(opened.attempt, job.id), "unknown_campaign")
        return Refused("unknown_campaign")

    async def _note(self, job: CampaignJob, outcome: Done | Refused) -> None:
        state, reason = ("applied", job.act) if isinstance(outcome, Done) else ("refused", outcome.reason)
        await self.store.messages.note(
            job.id, job.KIND, state, producer=job.producer, expires=moment(job.expires), reason=reason
        )
        await self.store.campaigns.name_in(job.id, job.campaign)
