"""An operator's erasure: recorded as an act, then asked for over the queue like anybody's, then waited for (U7)."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.settings import Settings
from preklic_shared.topology import JOBS
from preklic_shared.wire import encode
from preklic_workers.moments import millis
from preklic_workers.store import Act, Erased, Store

ACT: Final = "erasure_asked"
# A withdrawal must outlive every queue it could wait in.
_LIFE: Final = dt.timedelta(days=366)
_LOOK_EVERY: Final = 0.1
STAYS: Final = (
    "the keyed hash of the address and a random number: no import brings the person back, and old links still say no",
    "under that hash: ids, times, states and codes of mails (13 months), and that there was a yes and a no, unproven",
    "sealed jobs in the broker's log (14 days) and ciphertexts in backups: nothing opens them once their keys are gone",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An erasure that was asked for: its `job`, and the person's suppression hash."""

    job: str
    subject: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of it: `applied`, `refused` or None for not yet; and the receipt, None when nothing was there."""

    asked: Asked
    state: str | None
    erased: Erased | None


async def ask(store: Store, settings: Settings, subjects: Sequence[str], *, by: str, why: str) -> list[Asked]:
    """Record who asks and why, then publish one erasure for each, confirmed. Raises both rooms' Unavailable."""
    asked = []
    async with Publisher(settings.amqp_url, deadline=10.0, name="preklic erase") as publisher:
        for subject in subjects:
            job = _job(settings.producer, await pid_of(store, subject), millis(store.mongo.now()))
            await store.acts.record(Act(ACT, by, why, subject, {"job": job.id}))
            await publisher.publish(Publication(JOBS, RevokeJob.KIND, encode(job, "revoke"), job.id, "revoke"))
            asked.append(Asked(job.id, subject))
    return asked


async def answered(store: Store, asked: Asked, seconds: float) -> Answered:
    """Wait so long for the worker of `revoke`."""
    deadline = time.monotonic() + seconds
    while (state := await store.messages.state(asked.job)) not in {"applied", "refused"}:
        if time.monotonic() >= deadline:
            return Answered(asked, None, None)
        await asyncio.sleep(_LOOK_EVERY)
    return Answered(asked, state, await store.erasures.by(asked.job, asked.subject))


async def all_answered(
    store: Store, asked: Sequence[Asked], seconds: float, tick: Callable[[int], None]
) -> list[Answered]:
    """`answered` for each, one after the other; `tick` is told how many there are."""
    found = []
    for one in asked:
        found.append(await answered(store, one, seconds))
        tick(len(found))
    return found


async def earlier(store: Store, subject: str) -> Erased | None:
    """The receipt of somebody who is erased already and has nothing left to erase."""
    person = await store.persons.whole(subject)
    if person is None or not person.erased or await store.vault.groups(subject):
        return None
    return await store.erasures.of(subject)


async def pid_of(store: Store, subject: str) -> str:
    """The person's random number in hex; one who is not recorded is, by the hash alone: nobody else brings them in."""
    person = await store.persons.whole(subject)
    if person is None:
        await store.persons.change(subject, lambda _doc: None)
        person = await store.persons.whole(subject)
    assert person is not None  # nothing deletes a person's document
    return person.pid.hex()


def receipt(subject: str, job: str | None, erased: Erased | None) -> dict[str, Any]:
    """What the person may be told: what was there, what stays, and why. Pure."""
    known: dict[str, Any] = {"receipt": job, "subject": subject, "erased_at": None, "groups": [], "kept": []}
    counts: dict[str, Any] = {"events": 0, "proofs": 0, "dead_letters": 0, "scheduled_mails": 0}
    if erased is not None:
        known |= {"receipt": erased.job, "erased_at": erased.at, "groups": erased.groups, "kept": erased.kept}
        counts = {"events": erased.events, "proofs": erased.proofs, "dead_letters": erased.dead}
        counts["scheduled_mails"] = erased.scheduled
    return known | counts | {"stays": list(STAYS)}


def _job(producer: str, pid: str, at: int) -> RevokeJob:
    expires = at + _LIFE // dt.timedelta(milliseconds=1)
    return RevokeJob(
        id=new_id(),
        producer=producer,
        at=at,
        expires=expires,
        purposes="all",
        source="operator",
        person=pid,
        erase=True,
    )
