"""Erasure as a whole (U7, GDPR 17): the person's document and keys, and what other collections hold of the person.

Whoever writes something of a person looks afterwards whether the person was erased meanwhile, and an erasure empties
the document before it deletes anything else: one of the two always finds what the other left.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateMany

from preklic_workers.permission import Person
from preklic_workers.store.holding import held_groups, owed_groups
from preklic_workers.store.message_states import ending
from preklic_workers.store.mongo import Bulk, Doc, Mongo, Op, Unavailable
from preklic_workers.store.persons import Persons
from preklic_workers.store.timed import TimedMails
from preklic_workers.store.vault import Vault

Kept = Callable[[Person], frozenset[str] | None]
GONE: Final = b""  # in place of a ciphertext whose row stays
_GOING: Final = {"$set": {"proof": GONE}}
# The next no closes its gate while these are erased: it must not stand behind a thousand of them.
_AT_ONCE: Final = 16
# What rests on a consent of its own: nothing that is kept for a contract keeps these.
ENGAGEMENT: Final = ("opened", "clicked")


@dataclass(frozen=True, slots=True)
class Erased:
    """The receipt of one person's erasure: `job` asked for it, None in `at` while it is under way.

    `groups` are the field groups that were there, `kept` those that stay for an open contract or a hold; `events`,
    `proofs` and `dead` how many rows of each there were, `scheduled` how many mails that waited it cancelled.
    """

    job: str
    at: dt.datetime | None
    groups: Sequence[str]
    kept: Sequence[str]
    events: int
    proofs: int
    dead: int
    scheduled: int = 0


class Erasures:
    """Erases persons and keeps the receipts. All methods raise `Unavailable`, and may be repeated."""

    def __init__(self, mongo: Mongo, persons: Persons, vault: Vault) -> None:
        self._mongo = mongo
        self._people = persons
        self._vault = vault
        self._timed = TimedMails(mongo)
        self._receipts = mongo["withdrawals"]
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def erase(self, job: str, subject: str, at: dt.datetime, kept: Kept, *, asked: bool = False) -> bool:
        """Erase the person if `kept` says so (see `Persons.erase`); whether the person is erased now.

        What is there is written into the receipt of `job` first. An erasure that was killed half-way is finished.
        One that was `asked` for cancels what waits on a contract as well, unless that contract is open.
        """
        person = await self._people.whole(subject)
        if person is None or ((staying := kept(person)) is None and not person.erased):
            return False
        cancelling = asked and staying is not None and "contact" not in staying
        async with self._turns:
            if staying is not None:
                await self._begin(job, subject, waiting=cancelling)
            keep = await self._people.erase(subject, at, kept)
            if keep is None:
                return False
            await self.clear(subject, keep)
            if cancelling:
                await self._timed.erase(subject, job)
            await self._end(job, subject, keep)
        return True

    async def clear(self, subject: str, keep: Iterable[str]) -> None:
        """Empty what other collections hold of a person whose document was emptied but for the groups `keep`."""
        kept = frozenset(keep)
        await asyncio.gather(
            self._mongo["events"].delete(recorded_of(subject, kept)),
            self._empty_proofs(subject, kept),
            self._drop_dead(subject, kept),
            self._mongo["schedule"].delete({"person": subject, "template": {"$exists": True}}),
        )

    async def finish(self, subject: str) -> None:
        """After something of a person was written: empty it too if the person was erased meanwhile."""
        doc = await self._mongo["persons"].find_one({"_id": subject, "erased": True}, {"holds": 1})
        if doc is not None:
            await self.clear(subject, held_groups(doc))

    async def end(self, subject: str) -> None:
        """What the last hold's end takes besides: as `finish`, and of somebody who came back what was before.

        The proofs of then are under a key that went with the hold.
        """
        await self.finish(subject)
        doc = await self._mongo["persons"].find_one({"_id": subject}, {"holds.groups": 1, "waiting": 1})
        if doc is None or "applied" not in doc.get("waiting", {}):
            return
        before: Doc = {"recorded": {"$lte": doc["waiting"]["applied"]}}
        if "evidence" in (owed := owed_groups(doc)):
            _sure(await self._mongo["permissions"].bulk([UpdateMany(_proven(subject) | before, _GOING)]))
        if "contact" in owed:
            await self._mongo["events"].delete({"person": subject} | before)

    async def among(self, subjects: Iterable[str]) -> dict[str, bool]:
        """Those of these persons who were erased and have not said yes again; False: an open contract keeps some."""
        where = {"_id": {"$in": list(set(subjects))}, "suppressed.erased": {"$exists": True}}
        return {doc["_id"]: doc["erased"] for doc in await self._mongo["persons"].find(where, {"erased": 1})}

    async def of(self, subject: str) -> Erased | None:
        """The receipt of this person's latest erasure that found something."""
        found = await self._receipts.find({"erased.person": subject}, sort=[("closed", -1)], limit=1)
        return _receipt(found[0], subject) if found else None

    async def by(self, job: str, subject: str) -> Erased | None:
        """The receipt of what `job` erased of this person; None when it found nothing to erase."""
        found = await self._receipts.find_one({"_id": job, "erased.person": subject})
        return _receipt(found, subject) if found else None

    async def _begin(self, job: str, subject: str, *, waiting: bool) -> None:
        groups, events, proofs, dead, scheduled = await asyncio.gather(
            self._vault.groups(subject),
            self._mongo["events"].count({"person": subject}),
            self._mongo["permissions"].count(_proven(subject)),
            self._mongo["dead"].count(_sealed(subject)),
            self._timed.count(subject, job, waiting=waiting),
        )
        counts: Doc = {"events": events, "proofs": proofs, "dead": dead, "scheduled": scheduled}
        if not (groups or any(counts.values())):
            return
        entry: Doc = {"person": subject, "groups": sorted(groups), "kept": []} | counts
        where = {"_id": job, "erased.person": {"$ne": subject}}
        began = {"at": self._mongo.now(), "what": "erasing", "about": subject}
        await self._receipts.change(where, {"$push": {"erased": entry, "leaves": began}}, {"_id": 1})

    async def _end(self, job: str, subject: str, keep: frozenset[str]) -> None:
        under_way = {"_id": job, "erased": {"$elemMatch": {"person": subject, "at": {"$exists": False}}}}
        now = self._mongo.now()
        fields = {"erased.$.at": now, "erased.$.kept": sorted(keep)}
        ended = {"at": now, "what": "erased", "about": subject}
        await self._receipts.change(under_way, {"$set": fields, "$push": {"leaves": ended}}, {"_id": 1})

    async def _empty_proofs(self, subject: str, keep: frozenset[str]) -> None:
        """That there was a yes stays, what was said with it goes; its key is gone already."""
        if "evidence" not in keep:
            _sure(await self._mongo["permissions"].bulk([UpdateMany(_proven(subject), _GOING)]))

    async def _drop_dead(self, subject: str, keep: frozenset[str]) -> None:
        """Dead letters of the person's mails: their sealed bodies hold the address, and nobody may run them again.

        Those of a contract stay. Those of a hold do not: the role `send` could open them, and the hold has the record.
        """
        if "contact" in keep and await self._people.with_contact([subject]):
            return
        where = {"person": subject, "state": "dead"}
        jobs = [doc["job"] for doc in await self._mongo["dead"].find(where, {"job": 1}) if "job" in doc]
        now = self._mongo.now()
        ends: list[Op] = [
            ending(doc, "discarded", "erased", now)
            for doc in await self._mongo["messages"].find({"_id": {"$in": jobs}, "state": "dead"})
        ]
        if ends:
            _sure(await self._mongo["messages"].bulk(ends))
        fields = {"state": "discarded", "why": "erased", "moved": now}
        letters = [UpdateMany(where, {"$set": fields}), UpdateMany(_sealed(subject), {"$set": {"body": GONE}})]
        _sure(await self._mongo["dead"].bulk(letters, ordered=True))


def recorded_of(subject: str, keep: frozenset[str]) -> Doc:
    """The events of a person that go: all, but for what became of the mails of a contract that stays. Pure."""
    return {"person": subject} | ({"kind": {"$in": list(ENGAGEMENT)}} if "contact" in keep else {})


def _proven(subject: str) -> Doc:
    return {"person": subject, "proof": {"$ne": GONE}}


def _sealed(subject: str) -> Doc:
    return {"person": subject, "body": {"$ne": GONE}}


def _receipt(doc: Doc, subject: str) -> Erased:
    entry: dict[str, Any] = next(each for each in doc["erased"] if each["person"] == subject)
    numbers = {name: entry.get(name, 0) for name in ("events", "proofs", "dead", "scheduled")}
    return Erased(doc["_id"], entry.get("at"), entry["groups"], entry["kept"], **numbers)


def _sure(result: Bulk) -> None:
    if not result.sure:
        raise Unavailable("erasure")
    if result.failed:
        raise ValueError(f"the store refused an erasure (codes {sorted(set(result.failed.values()))})")
