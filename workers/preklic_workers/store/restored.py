"""What a restored database is told before it may be used: erasures again, and mails that may have gone out."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from pymongo import DeleteOne, UpdateMany, UpdateOne

from preklic_shared.jobs import SendJob
from preklic_workers.envelope import GROUPS, Epochs
from preklic_workers.moments import moment
from preklic_workers.permission import CLOCK_DOUBT
from preklic_workers.store.holding import held_groups
from preklic_workers.store.message_states import UNDER_WAY, doubting, leaf_of
from preklic_workers.store.mongo import DUPLICATE, Bulk, Doc, Mongo, Unavailable
from preklic_workers.store.vault import Vault, key_id

REASON: Final = "restored"
_PERSON: Final = {"suppressed": 1, "erased": 1, "contact": 1, "fields": 1, "permissions": 1, "holds": 1}


class Restored:
    """Writes of `restore-check`, each conditional and repeatable. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._messages = mongo["messages"]
        self._keys = mongo.keys()
        self._vault = Vault(mongo, Epochs({}))  # it opens nothing

    async def unburied(self, stones: Sequence[tuple[str, dt.datetime]]) -> list[tuple[str, dt.datetime]]:
        """Those erasures that this database knows nothing of; of the others it destroys keys that came back.

        Those that a hold covers are set aside for it.
        """
        docs = await self._persons.find({"_id": {"$in": [who for who, _ in stones]}}, _PERSON)
        by_id = {doc["_id"]: doc for doc in docs}
        gone = [doc for doc in docs if doc.get("erased")]
        ops = [
            DeleteOne({"_id": key_id(doc["_id"], group)})
            for doc in gone
            for group in GROUPS
            if group not in held_groups(doc) and not _has(doc, group)
        ]
        if ops:
            _sure(await self._keys.bulk(ops))
        for doc in gone:
            if held := [group for group in held_groups(doc) if not _has(doc, group)]:
                await self._vault.destroy(doc["_id"], keep=[group for group in GROUPS if group not in held], held=held)
        return [(who, at) for who, at in stones if not buried(by_id.get(who), at)]

    async def doubt_under_way(self, until: dt.datetime) -> int:
        """Mails from before `until` that the copy says are under way may have gone out since it was made."""
        # Nobody claims a scheduled mail before its time, which is its lease: those of later are still to come.
        begun = {"state": {"$in": list(UNDER_WAY)}, "$nor": [{"state": "scheduled", "lease": {"$gt": until}}]}
        where = {"kind": "send", "created": {"$lte": until}} | begun
        count = await self._messages.count(where)
        _sure(await self._messages.bulk([UpdateMany(where, doubting(REASON))]))
        return count

    async def doubt_unrecorded(self, jobs: Sequence[SendJob]) -> int:
        """Mails of the log that this database knows nothing of; how many it did not know."""
        if not jobs:
            return 0
        now = self._mongo.now()
        result = await self._messages.insert_many([_doubtful(job, now) for job in jobs])
        _sure(result)
        return len(jobs) - len(result.failed)

    async def doubt_dead(self, jobs: Sequence[str]) -> int:
        """Dead mails that were asked for again since the copy was made."""
        if not jobs:
            return 0
        dead = {"_id": {"$in": list(jobs)}, "kind": "send", "state": "dead"}
        count = await self._messages.count(dead)
        _sure(await self._messages.bulk([UpdateMany(dead, doubting(REASON))]))
        return count

    async def put_keys(self, copied: Sequence[Doc], destroyed: Sequence[Doc], *, empty: bool) -> int:
        """Wrapped keys of a backup in the place of those whose epoch is destroyed (`empty`: all); how many."""
        if empty:
            result = await self._keys.insert_many(copied)
            _sure(result)
            return len(copied) - len(result.failed)
        old = {tuple(doc["_id"].items()): doc["epoch"] for doc in destroyed}
        ops = [
            # What a hold keeps is under its key: one goes with the other.
            UpdateOne(
                {"_id": doc["_id"], "epoch": old[named]},
                {"$set": {name: doc[name] for name in ("wrapped", "epoch", "kept") if name in doc}},
            )
            for doc in copied
            if (named := tuple(doc["_id"].items())) in old
        ]
        if ops:
            _sure(await self._keys.bulk(ops))
        return len(ops)

    async def keys_of(self, ids: Sequence[Doc]) -> list[Doc]:
        """These wrapped keys, as far as they are there."""
        return await self._keys.find({"_id": {"$in": list(ids)}})


def buried(doc: Doc | None, at: dt.datetime) -> bool:
    """Whether a person's document knows of the erasure at `at`, or of a clear yes after it (law 5). Pure."""
    if doc is None:
        return False
    erased = doc.get("suppressed", {}).get("erased")
    if erased is not None and erased >= at and doc.get("erased"):
        return True
    return any(_later(said, at) for said in doc.get("permissions", {}).values())


def _later(said: Doc, at: dt.datetime) -> bool:
    if said["state"] not in {"granted", "pending"}:
        return False
    later: bool = said["token"] > at if said.get("token") is not None else said["at"] > at + CLOCK_DOUBT
    return later


def _has(doc: Doc, group: str) -> bool:
    """Whether something of this group is still there: an open contract kept it."""
    return group in doc.get("fields", {}) or (group == "contact" and "contact" in doc)


def _doubtful(job: SendJob, now: dt.datetime) -> Doc:
    entry = {"at": now, "state": "in_doubt", "epoch": 0, "reason": REASON}
    return {
        "_id": job.id,
        "kind": "send",
        "state": "in_doubt",
        "doubted": True,
        "reason": REASON,
        "purpose": job.purpose,
        "template": job.template,
        "producer": job.producer,
        "created": moment(job.at),
        "expires": moment(job.expires),
        "at": now,
        "history": [entry],
        "leaves": [leaf_of(entry)],
    }


def _sure(result: Bulk) -> None:
    if not result.sure:
        raise Unavailable("restore")
    if set(result.failed.values()) - {DUPLICATE}:
        raise ValueError(f"the store refused a write (codes {sorted(set(result.failed.values()))})")
