"""Opens, clicks and what relays report: recorded in batches, if the person permits it at this moment (U12).

The permission is asked again here, for opens and for clicks apart: a link in an old mail goes on redirecting after a
no, and nothing of it is kept. What is kept holds no IP and no user agent, only the verdict.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preklic_shared.jobs import TrackJob
from preklic_shared.metrics import TRACK_EVENTS
from preklic_workers import backoff, doubt, returns
from preklic_workers.moments import moment
from preklic_workers.outcomes import Done, Outcome, Refused, RetryLater
from preklic_workers.permission import Person, may_track
from preklic_workers.runtime import Opened
from preklic_workers.store import Event, Noted, Store, Unavailable
from preklic_workers.store.events import SEPARATOR
from preklic_workers.store.person_docs import facts_of
from preklic_workers.store.signs import DAY
from preklic_workers.verdicts import VERSION, bursts, judge

SWITCH_OF: Final[Mapping[str, str]] = {"opened": "engagement.opens", "clicked": "engagement.clicks"}
_ASKED: Final = facts_of(SWITCH_OF.values())
# The same link twice within a minute is one click: a double click, a reload, a job that came again.
BUCKET_MILLIS: Final = 60_000
EARLY_SECONDS: Final = 30.0
DONE: Final = Done()


@dataclass(frozen=True, slots=True)
class Track:
    """What the handler stands on."""

    store: Store

    async def handle(self, batch: Sequence[Opened]) -> list[Outcome]:
        """An outcome for each job of the batch: four grouped calls to the store, whatever its size."""
        try:
            return await self._handle(batch)
        except Unavailable:
            return [
                RetryLater(backoff.unending(opened.attempt, "unexpected", opened.job.id), "store_away", count=False)
                for opened in batch
            ]

    async def _handle(self, batch: Sequence[Opened]) -> list[Outcome]:
        people = await self._people([opened.job for opened in batch])
        refusals = [refusal(opened, people.get(opened.job.id)) for opened in batch]
        judged = list(zip([opened.job for opened in batch], refusals, strict=True))
        early = await self._record([job for job, refused in judged if refused is None], people)
        _count((job.event, "refused") for job, refused in judged if refused is not None)
        outcomes: list[Outcome] = [refused or _later(job, early) or DONE for job, refused in judged]
        over = [
            ended(job, refused)
            for (job, refused), outcome in zip(judged, outcomes, strict=True)
            if not isinstance(outcome, RetryLater)
        ]
        if over:
            await self.store.messages.note_many(over)
        return outcomes

    async def _people(self, jobs: Sequence[TrackJob]) -> dict[str, Person]:
        """Whom each job is about, by its id; what a report names by the message alone is looked up there."""
        pids = {job.id: bytes.fromhex(job.person) for job in jobs if job.person is not None}
        by_pid = await self.store.persons.by_pids(list(pids.values()), _ASKED) if pids else {}
        bare = {job.id: job.message for job in jobs if job.person is None}
        owners = await self.store.messages.owners(list(bare.values())) if bare else {}
        found = {job: by_pid[pid] for job, pid in pids.items() if pid in by_pid}
        if owners:
            known = await self.store.persons.by_ids(list(owners.values()), _ASKED)
            found |= {job: known[owners[of]] for job, of in bare.items() if owners.get(of) in known}
        return found

    async def _record(self, jobs: Sequence[TrackJob], people: Mapping[str, Person]) -> set[str]:
        """Record them; the mails that are still with a worker, so that what came back of them is to be told again."""
        events = events_of(jobs, people)
        fresh = await self.store.events.record(events)
        # Between the reading of the persons and this record somebody may have been erased.
        if late := overtaken(events, await self.store.erasures.among([event.person for event in events])):
            await self.store.events.drop(late)
        now = self.store.mongo.now()
        if awake := alive(events, people, now):
            await self.store.signs.of_life(awake, now)
        await doubt.heard(self.store, events)
        early = await returns.follow(self.store, events)
        _count((event.kind, event.verdict if new else "repeated") for event, new in zip(events, fresh, strict=True))
        return early


def refusal(opened: Opened, person: Person | None) -> Refused | None:
    """Why this event may not be recorded, None when it may. Pure."""
    job: TrackJob = opened.job
    if opened.expired:
        return Refused("expired")
    if person is None:
        return Refused("unknown")
    switch = SWITCH_OF.get(job.event)
    if person.erased or (switch is not None and not may_track(person, switch)):
        return Refused("erased" if person.erased else "no_permission")
    return None


def events_of(jobs: Iterable[TrackJob], people: Mapping[str, Person]) -> list[Event]:
    """The events of these jobs, each once. Pure."""
    listed = list(jobs)
    many = bursts(listed)
    events = {
        (event_id := identity(job)): Event(
            id=event_id,
            message=job.message,
            person=people[job.id].id,
            kind=job.event,
            verdict=judge(job, burst=job.id in many),
            at=moment(job.at),
            link=job.link,
            rules=VERSION,
            bounce=job.bounce if job.event == "bounced" else None,
            code=(job.code or "") if job.event in {"bounced", "deferred"} else "",
        )
        for job in listed
    }
    return list(events.values())


def _later(job: TrackJob, early: set[str]) -> RetryLater | None:
    """A report that was faster than the worker that sent the mail comes again, when that one has recorded its end."""
    waits = job.event in returns.RETURNS and job.message in early
    return RetryLater(EARLY_SECONDS, "under_way", count=False) if waits else None


def _count(events: Iterable[tuple[str, str]]) -> None:
    """Kinds and verdicts, each pair counted once for the batch."""
    for labels, many in Counter(events).items():
        TRACK_EVENTS.labels(*labels).inc(many)


def overtaken(events: Iterable[Event], erased: Mapping[str, bool]) -> list[str]:
    """The ids of the events that an erasure has overtaken. Pure.

    `erased` by person; False: an open contract keeps what became of its own mails, and no open or click.
    """
    gone = [event for event in events if event.person in erased]
    return [event.id for event in gone if erased[event.person] or event.kind in SWITCH_OF]


def alive(events: Iterable[Event], people: Mapping[str, Person], at: dt.datetime) -> set[str]:
    """The persons who did something themselves, and of whom no sign of this day is recorded. Pure."""
    fresh = {person.id for person in people.values() if person.alive is not None and at - person.alive < DAY}
    return {event.person for event in events if event.verdict == "human"} - fresh


def identity(job: TrackJob) -> str:
    """The key that makes repeated events one.

    A bounce or complaint happens once to a mail; an open or click once a minute.
    """
    bucket = job.at // BUCKET_MILLIS if job.event in SWITCH_OF else 0
    return f"{job.message}{SEPARATOR}{job.event}|{'' if job.link is None else job.link}|{bucket}"


def ended(job: TrackJob, refused: Refused | None) -> Noted:
    """How the job itself is accounted for: its id and end, nothing of the person."""
    state = "applied" if refused is None else "refused"
    return Noted(job.id, TrackJob.KIND, state, job.producer, moment(job.expires), refused.reason if refused else "")
