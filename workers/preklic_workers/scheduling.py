"""Publishes what is due in the schedule; several workers at once are harmless, for the job's id is the mail's."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from preklic_shared.ids import job_id_for
from preklic_shared.registry import Purpose, Registry
from preklic_workers.mailing import Mailer, Mailing
from preklic_workers.moments import millis
from preklic_workers.store import Grant, Scheduled, Store
from preklic_workers.timed import BATCH, LEAD, bringing_back

EVERY: Final = 1.0  # seconds between looks


@dataclass(frozen=True, slots=True)
class Scheduler:
    """What it stands on."""

    store: Store
    registry: Registry
    mailer: Mailer

    async def once(self) -> None:
        """Publish what is due, and let it go when the broker has it. Raises store.Unavailable, PublishError."""
        due = await self.store.schedule.due()
        by_purpose: dict[str, list[Scheduled]] = {}
        for mail in due:
            by_purpose.setdefault(mail.purpose, []).append(mail)
        for key, mails in by_purpose.items():
            purpose = self.registry.get(key)
            # Of a purpose that left the registry, too: who sends refuses it, and its end is recorded.
            lane = "bulk" if purpose is None else purpose.lane
            confirmed = await self.mailer.publish(key, lane, [_mailing(mail) for mail in mails])
            await self.store.schedule.published(confirmed)
        await self._bring_back()

    async def _bring_back(self) -> None:
        """Mails whose `send_at` comes, by way of a tier that lasts until then; the log has them already."""
        while due := await self.store.timed.due(self.store.mongo.now() + LEAD, BATCH):
            confirmed = await self.mailer.publish_again([bringing_back(mail) for mail in due])
            await self.store.timed.published([due[place] for place in sorted(confirmed)])
            if len(confirmed) < len(due):
                return


def confirmations(
    grant: Grant, pid: bytes, states: Mapping[str, str], language: str, now: dt.datetime
) -> list[Scheduled]:
    """The mails that ask to confirm what this grant left pending; how many one address gets is decided at sending."""
    asked = [one for one in grant.purposes if one.confirm is not None and states.get(one.key) == "pending"]
    return [_confirmation(grant, pid, one, language, now) for one in asked]


def _confirmation(grant: Grant, pid: bytes, purpose: Purpose, language: str, now: dt.datetime) -> Scheduled:
    assert purpose.confirm is not None
    job = job_id_for("confirmation", f"{grant.job}|{purpose.key}")
    until = now + dt.timedelta(seconds=purpose.expires)
    return Scheduled(job, grant.subject, pid, purpose.key, purpose.confirm, language, now, until)


def _mailing(mail: Scheduled) -> Mailing:
    return Mailing(mail.id, mail.pid, mail.template, millis(mail.expires), {"language": mail.language})
