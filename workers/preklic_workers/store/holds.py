"""Holds: added to a person's document and released from it by writes that are conditional on its `seq`.

An erasure is conditional on the same `seq`: either it finds the hold and keeps what is held, or the hold finds the
person erased and is refused. A hold never claims what is gone.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from pymongo import DeleteMany, UpdateOne

from preklic_shared.ids import job_id_for
from preklic_workers.envelope import GROUPS
from preklic_workers.store.acts import Act, Acts, Fact
from preklic_workers.store.copies import Copies
from preklic_workers.store.held_keys import HeldKeys
from preklic_workers.store.holding import (
    MOST_HOLDS,
    Hold,
    alive,
    emptying,
    hold_doc,
    hold_of,
    lacking,
    owed_groups,
)
from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.vault import COLLECTION, Vault

_TRIES: Final = 50
_WHOLE: Final = {"withdrawals": 0}
_PAGE: Final = 1000
_NAMED: Final = 10  # holds that an act names; the others are counted
_ANY: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class NothingToHold(Exception):
    """What the hold names is not there; `groups` are those at fault, empty when nobody is recorded."""

    def __init__(self, groups: Sequence[str] = ()) -> None:
        super().__init__(", ".join(groups) or "nobody")
        self.groups = tuple(groups)


class Holds:
    """The holds in `persons`, `held_mails`, and the `copies` that holds ask for. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._mails = mongo["held_mails"]
        self._vault = vault
        self.copies = Copies(mongo, vault)
        self.keys = HeldKeys(mongo, vault)

    async def lacking(self, person: str, groups: Sequence[str]) -> list[str] | None:
        """Those of `groups` of which nothing is there; None when nobody is recorded."""
        doc = await self._persons.find_one({"_id": person}, _WHOLE)
        return None if doc is None else lacking(doc, groups, await self._there(person))

    async def add(self, person: str, hold: Hold) -> None:
        """Hold what is there. Raises NothingToHold, also when an erasure came first; ValueError for too many holds.

        The hold's own key is there before the hold stands, and with it what other holds keep of an erased person.
        Raises `NoKey` where this role holds none of `hold`.
        """
        await self.keys.make(person, hold.id)
        try:
            await self._stand(person, hold)
        except (NothingToHold, ValueError):
            await self.keys.drop(person, hold.id)
            raise

    async def _stand(self, person: str, hold: Hold) -> None:
        for _ in range(_TRIES):
            doc = await self._persons.find_one({"_id": person}, _WHOLE)
            if doc is None:
                raise NothingToHold
            if gone := lacking(doc, hold.groups, await self._there(person)):
                raise NothingToHold(gone)
            if len(doc.get("holds", ())) >= MOST_HOLDS:
                raise ValueError(f"a person has at most {MOST_HOLDS} holds: release one first")
            if "waiting" in doc:
                await self.keys.share(person, hold.id, hold.groups)
            update: Doc = {"$push": {"holds": hold_doc(hold)}, "$set": {"seq": doc["seq"] + 1}}
            if await self._persons.change({"_id": person, "seq": doc["seq"]}, update, {"_id": 1}) is not None:
                return
        raise Unavailable("contention")

    async def _there(self, person: str) -> frozenset[str]:
        """The groups of which the person has a key, or a hold has it."""
        return await self._vault.groups(person) | await self.keys.groups(person)

    async def of(self, person: str) -> list[Hold]:
        """The holds of one person."""
        doc = await self._persons.find_one({"_id": person}, {"holds": 1})
        return [hold_of(one) for one in (doc or {}).get("holds", ())]

    async def all(self, until: dt.datetime | None = None) -> list[tuple[str, Hold]]:
        """Every hold with its person, those that end first in front; with `until` those that ended by then."""
        where: Doc = {"holds.until": {"$gt": _ANY} if until is None else {"$lte": until}}
        docs = await self._persons.find(where, {"holds": 1})
        found = [(doc["_id"], hold_of(one)) for doc in docs for one in doc["holds"]]
        return sorted(
            (pair for pair in found if until is None or pair[1].until <= until), key=lambda pair: pair[1].until
        )

    async def release(self, person: str, hold: str) -> None:
        """Take a hold away, with its key and its copies of mails. What was owed to it is emptied by `complete`.

        Twice is once. The key of who dies behind the second write is found by `HeldKeys.sweep`.
        """
        if not (await self._mails.bulk([DeleteMany({"hold": hold})])).sure:
            raise Unavailable("held_mails")
        update = {"$pull": {"holds": {"id": hold}}, "$inc": {"seq": 1}}
        await self._persons.change({"_id": person, "holds.id": hold}, update, {"_id": 1})
        await self.keys.drop(person, hold)
        await self.copies.drop()

    async def waiting(self) -> dict[str, frozenset[str]]:
        """Persons of whom an erasure is owed that no hold forbids any more, with the groups."""
        where: Doc = {"waiting.at": {"$gt": _ANY}}
        docs = await self._persons.find(where, {"holds": 1, "waiting": 1})
        return {doc["_id"]: owed for doc in docs if (owed := owed_groups(doc))}

    async def owed(self, person: str) -> frozenset[str]:
        """The groups of one person that are to be emptied now."""
        doc = await self._persons.find_one({"_id": person}, {"holds": 1, "waiting": 1})
        return owed_groups(doc) if doc else frozenset()

    async def complete(self, person: str) -> frozenset[str]:
        """Empty what no hold covers any more and destroy what is left of its keys; the groups.

        Repeating it changes nothing. The keys go first: a worker that dies in between leaves noise, and the next one
        takes it away. No new hold can come in between, for one on what is held needs another hold that covers it.
        """
        now, doc = self._mongo.now(), await self._persons.find_one({"_id": person}, _WHOLE)
        if doc is None or not (going := owed_groups(doc)):
            return frozenset()
        await self._vault.destroy(person, keep=[g for g in GROUPS if g not in going or alive(doc, g)])
        await self.keys.drop_aside(person, going, now)
        for _ in range(_TRIES):
            doc = await self._persons.find_one({"_id": person}, _WHOLE)
            if doc is None or not (still := owed_groups(doc) & going):
                return going
            where = {"_id": person, "seq": doc["seq"]}
            if await self._persons.change(where, emptying(doc, still), {"_id": 1}) is not None:
                return going
        raise Unavailable("contention")

    async def fields(self, person: str, group: str) -> dict[str, Any]:
        """What holds keep of one group: name -> value, the newest of each name; the address as `address`.

        For the purposes of law alone. Raises `NoKey` or `Altered`.
        """
        doc = await self._persons.find_one({"_id": person}, {f"held.{group}": 1})
        stored = (doc or {}).get("held", {}).get(group, ())
        if not stored:
            return {}
        key = (await self._vault.openers([(person, group)]))[person, group]
        plain = [key.decrypt(bytes(one), person, COLLECTION, group) for one in stored]
        if group == "contact":
            return {"address": plain[-1].decode()}
        return {name: said["value"] for one in plain for name, said in msgspec.json.decode(one).items()}

    async def own_mails(self, person: str, jobs: Sequence[str]) -> list[str]:
        """Those of these mails that are recorded as this person's."""
        where = {"_id": {"$in": list(jobs)}, "person": person}
        return [doc["_id"] for doc in await self._mongo["messages"].find(where, {"_id": 1})]

    async def mails_between(self, person: str, since: dt.datetime, until: dt.datetime) -> list[str]:
        """The ids of the person's mails that were claimed in this time, at most a thousand and one."""
        where = {"created": {"$gte": since, "$lt": until}, "person": person}
        return [doc["_id"] for doc in await self._mongo["messages"].find(where, {"_id": 1}, limit=_PAGE + 1)]

    async def keep_mails(self, hold: str, person: str, jobs: Sequence[str]) -> None:
        """Copy the records of these mails, so that they outlive their retention. Twice is once."""
        docs = await self._mongo["messages"].find({"_id": {"$in": list(jobs)}, "person": person})
        ops = [
            UpdateOne(
                {"_id": f"{hold}:{doc['_id']}"}, {"$setOnInsert": {"hold": hold, "person": person, "mail": doc}}, True
            )
            for doc in docs
        ]
        result = await self._mails.bulk(ops) if ops else None
        if result is not None and (result.failed or not result.sure):
            raise Unavailable("held_mails")

    async def mails(self, person: str, hold: str | None = None) -> list[Doc]:
        """The records of mails that holds, or this one, keep of a person."""
        where: Doc = {"person": person} | ({"hold": hold} if hold is not None else {})
        return [doc["mail"] for doc in await self._mails.find(where, sort=[("_id", 1)])]

    async def mail_ids(self, holds: Sequence[str]) -> list[str]:
        """The mails whose records these holds keep."""
        return [doc["mail"]["_id"] for doc in await self._mails.find({"hold": {"$in": list(holds)}}, {"mail._id": 1})]


async def tell_held(acts: Acts, doc: Doc, groups: Collection[str], at: dt.datetime) -> None:
    """Record that the erasure at `at` left these groups to the holds of `doc`; the same one again is the same act."""
    person = doc["_id"]
    holds = [hold["id"] for hold in doc["holds"] if set(groups) & set(hold["groups"])]
    facts: dict[str, Fact] = {
        "groups": " ".join(sorted(groups)),
        "holds": " ".join(holds[:_NAMED]),
        "count": len(holds),
    }
    told = Act("erasure_held", "erasure", "a hold covers it", person, facts, id=job_id_for("held", f"{person}{at}"))
    with suppress(Duplicate):
        await acts.record(told)
