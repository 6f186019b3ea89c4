"""Holds and the keys of erased persons: what an erasure set aside goes under the holds' own keys, and ends with them.

Each step repeats harmlessly, and whoever dies leaves a state that the next round of upkeep goes on from. A key that
was set aside goes only when every hold that covers it has it durably, or none covers it any more.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from pymongo import DeleteOne

from preklic_shared import telemetry
from preklic_workers.envelope import GROUPS, HOLD, DataKey
from preklic_workers.store.holding import held_groups
from preklic_workers.store.kept_keys import Kept, entry, hold_id, hold_key, opens
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.vault import COLLECTION, PAGE, Vault, key_id

# A hold's key is made before the hold stands on the person's document: for so long it is not taken for a left one.
_SPARED: Final = dt.timedelta(minutes=10)
_ANY: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_STANDING: Final[Doc] = {"holds.id": 1, "holds.groups": 1}
log = telemetry.logger(__name__)

Standing = Mapping[str, Mapping[str, Collection[str]]]
"""The groups that each hold covers: person -> hold -> groups."""


class HeldKeys:
    """The holds' part of the collection `keys`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._keys = mongo.keys()
        self._persons = mongo["persons"]
        self._vault = vault

    async def make(self, person: str, hold: str) -> None:
        """The hold's own key; twice is once. Raises `NoKey` where this role may make none."""
        await self._vault.put([hold_key(person, hold, self._vault.fresh(person, HOLD)[1], self._mongo.now())])

    async def drop(self, person: str, hold: str) -> None:
        """Destroy a hold's key, and with it all that it keeps."""
        await self._delete([hold_id(person, hold)])

    async def drop_aside(self, person: str, groups: Collection[str], until: dt.datetime) -> None:
        """Destroy what was set aside of these groups until then; what comes later may be another hold's."""
        await self._keys.delete({"held": person, "_id.g": {"$in": sorted(groups)}, "aside": {"$lte": until}})

    async def groups(self, person: str) -> frozenset[str]:
        """The groups of which holds keep keys, those that are still set aside included."""
        docs = await self._keys.find({"held": person}, {"kept.g": 1})
        return frozenset(group for doc in docs for group in _groups(doc))

    async def share(self, person: str, hold: str, groups: Collection[str]) -> None:
        """Let a hold that is about to stand keep what other holds keep of these groups. Raises `NoKey`, `Altered`."""
        found = [one for one in await self._vault.kept([person]) if one.group in groups]
        if not found:
            return
        doc = await self._keys.find_one({"_id": hold_id(person, hold)})
        if doc is None:
            raise Unavailable("keys")  # it was made a moment ago
        if not isinstance(under := self._vault.opened(doc), DataKey):
            raise under
        kept = [entry(under, hold, one) for one in {one.name: one for one in found}.values()]
        await self._keys.change({"_id": hold_id(person, hold)}, {"$set": {"kept": kept}}, {"_id": 1})

    async def move(self) -> int:
        """Put what erasures set aside under the keys of the holds that cover it, and delete it; how many there were.

        A hold's key is made where it is missing before one looks which holds stand. A release takes the hold away
        first and destroys its key then: so nothing is ever put under a key that nobody destroys.
        """
        docs = await self._keys.find({"aside": {"$gt": _ANY}}, sort=[("aside", 1)], limit=PAGE)
        if not docs:
            return 0
        people = sorted({doc["held"] for doc in docs})
        for person, holds in (await self._standing(people)).items():
            for hold in holds:
                await self.make(person, hold)
        standing = await self._standing(people)
        done = [doc["_id"] for doc in docs if await self._kept(doc, standing.get(doc["held"], {}))]
        await self._delete(done)
        if len(done) < len(docs):
            log.error("held keys stay set aside", count=len(docs) - len(done))
        return len(done)

    async def waiting(self, since: dt.datetime) -> int:
        """How many keys are set aside since before then: each round moves what it can."""
        return await self._keys.count({"aside": {"$lt": since}})

    async def catch_up(self) -> int:
        """Set aside own keys that an erasure of what is held left: how many. Those of a destroyed epoch go.

        The epoch turned in that moment, or the erasure was an older version's. Who comes back has a new key before
        anything is under it. That one is left: it opens nothing of what is held.
        """
        where: Doc = {"waiting.at": {"$gt": _ANY}, "erased": True, "holds.until": {"$gt": _ANY}}
        people = {doc["_id"]: doc for doc in await self._persons.find(where, {"waiting": 1, "holds.groups": 1})}
        covered = {who: held_groups(doc) & {*doc["waiting"]["groups"]} for who, doc in people.items()}
        ids = [key_id(who, group) for who, groups in covered.items() for group in groups]
        found = 0
        for doc in await self._keys.find({"_id": {"$in": ids}}) if ids else []:
            who, group = doc["_id"]["p"], doc["_id"]["g"]
            if self._vault.lost(doc):
                log.warning("a key of a destroyed epoch is deleted", kind=group)
                await self._delete([doc["_id"]])
            elif await self._old(people[who], group, self._vault.opened(doc)):
                others = [one for one in GROUPS if one != group]
                found += not await self._vault.destroy(who, keep=others, held=[group])
        return found

    async def _old(self, doc: Doc, group: str, key: object) -> bool:
        """Whether this own key of the person is one that something held is under."""
        if not isinstance(key, DataKey):
            return False
        if group != "evidence":
            found = await self._persons.find_one({"_id": doc["_id"]}, {f"held.{group}": 1}) or {}
            stored = found.get("held", {}).get(group, ())
            return any(opens(key, bytes(one), doc["_id"], COLLECTION, group) for one in stored)
        waiting = doc["waiting"]
        before = {
            "person": doc["_id"],
            "proof": {"$ne": b""},
            "recorded": {"$lte": waiting.get("applied", waiting["at"])},
        }
        rows = await self._mongo["permissions"].find(before, {"proof": 1})
        return any(opens(key, bytes(row["proof"]), doc["_id"], "permissions", row["_id"]) for row in rows)

    async def sweep(self) -> int:
        """Destroy keys of holds that stand nowhere: whoever released or added them died half-way. How many."""
        where = {"_id.g": HOLD, "made": {"$lt": self._mongo.now() - _SPARED}}
        ids = [doc["_id"] for doc in await self._keys.find(where, {"_id": 1})]
        standing = await self._standing(sorted({one["p"] for one in ids})) if ids else {}
        left = [one for one in ids if one["h"] not in standing.get(one["p"], {})]
        await self._delete(left)
        return len(left)

    async def _kept(self, doc: Doc, holds: Mapping[str, Collection[str]]) -> bool:
        """Whether every hold that covers this key has it now."""
        person, group, name = doc["held"], doc["_id"]["g"], doc["_id"]["n"]
        covering = [hold for hold, groups in holds.items() if group in groups]
        key = self._vault.opened(doc)
        if not covering:
            return True
        if not isinstance(key, DataKey):
            return False
        return all([await self._put(hold, Kept(person, group, name, key)) for hold in covering])

    async def _put(self, hold: str, kept: Kept) -> bool:
        where = {"_id": hold_id(kept.person, hold)}
        doc = await self._keys.find_one(where)
        if doc is None:
            return False  # released in this moment: the next round sees whether another one covers it
        if any(one["n"] == kept.name for one in doc["kept"]):
            return True
        under = self._vault.opened(doc)
        if not isinstance(under, DataKey):
            return False
        push = {"$push": {"kept": entry(under, hold, kept)}}
        return await self._keys.change(where | {"kept.n": {"$ne": kept.name}}, push, {"_id": 1}) is not None

    async def _standing(self, people: Sequence[str]) -> Standing:
        docs = await self._persons.find({"_id": {"$in": list(people)}, "holds.until": {"$gt": _ANY}}, _STANDING)
        return {doc["_id"]: {hold["id"]: hold["groups"] for hold in doc["holds"]} for doc in docs}

    async def _delete(self, ids: Sequence[Doc]) -> None:
        if ids and not (await self._keys.bulk([DeleteOne({"_id": one}) for one in ids])).sure:
            raise Unavailable("keys")


def _groups(doc: Doc) -> list[str]:
    return [one["g"] for one in doc["kept"]] if "kept" in doc else [] if doc["_id"]["g"] == HOLD else [doc["_id"]["g"]]
