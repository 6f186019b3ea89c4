"""The wrapped keys, in a database of their own: one for each person and field group."""

from collections.abc import Iterable, Sequence
from typing import Final

from pymongo import DeleteOne

from preklic_workers.envelope import GROUPS, DataKey, Epochs, NoKey, WrappedKey
from preklic_workers.store.mongo import DUPLICATE, Doc, Duplicate, Mongo, Unavailable

COLLECTION: Final = "persons"
Owner = tuple[str, str]
"""A person and a field group."""


class Vault:
    """Makes, finds and destroys persons' keys. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, epochs: Epochs) -> None:
        self._keys = mongo.keys()
        self._epochs = epochs

    def holds(self, group: str) -> bool:
        """Whether this role can open `group` at all."""
        return self._epochs.holds(group)

    async def key(self, person: str, group: str) -> DataKey:
        """The person's key. Raises `NoKey` (erased, or not this role's) or `Altered`."""
        found = await self._keys.find_one({"_id": key_id(person, group)})
        if found is None:
            raise NoKey(group)
        return self._epochs.unwrap(WrappedKey(found["epoch"], bytes(found["wrapped"])), person, group)

    async def key_or_new(self, person: str, group: str) -> DataKey:
        """The person's key, made now if there is none. Raises `NoKey` or `Altered`."""
        try:
            return await self.key(person, group)
        except NoKey:
            key, wrapped = self._epochs.new_key(person, group)
        doc = {"_id": key_id(person, group), "wrapped": wrapped.wrapped, "epoch": wrapped.epoch}
        try:
            await self._keys.insert(doc)
        except Duplicate:
            return await self.key(person, group)
        return key

    async def many_or_new(self, known: Sequence[Owner], fresh: Sequence[Owner] = ()) -> dict[Owner, DataKey]:
        """The keys of many, made now where there is none; `fresh` have hardly one yet. Raises `NoKey` or `Altered`."""
        keys = await self.many(known)
        wanted = [owner for owner in dict.fromkeys([*known, *fresh]) if owner not in keys]
        made = {owner: self._epochs.new_key(*owner) for owner in wanted}
        if not made:
            return keys
        docs = [{"_id": key_id(*owner), "wrapped": new.wrapped, "epoch": new.epoch} for owner, (_, new) in made.items()]
        result = await self._keys.insert_many(docs)
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("keys")
        taken = [wanted[place] for place in result.failed]
        return keys | {owner: key for owner, (key, _) in made.items()} | (await self.many(taken) if taken else {})

    async def many(self, owners: Sequence[Owner]) -> dict[Owner, DataKey]:
        """The keys of those of them that have one, in one read. Raises `NoKey` or `Altered`."""
        if not owners:
            return {}
        docs = await self._keys.find({"_id": {"$in": [key_id(*owner) for owner in owners]}})
        found = {(doc["_id"]["p"], doc["_id"]["g"]): WrappedKey(doc["epoch"], bytes(doc["wrapped"])) for doc in docs}
        return {owner: self._epochs.unwrap(wrapped, *owner) for owner, wrapped in found.items()}

    async def destroy(self, person: str, *, keep: Iterable[str] = ()) -> None:
        """Delete the person's keys, but those of the groups in `keep`: their ciphertexts are noise from then on."""
        kept = set(keep)
        ops = [DeleteOne({"_id": key_id(person, group)}) for group in GROUPS if group not in kept]
        if ops and not (await self._keys.bulk(ops)).sure:
            raise Unavailable("keys")

    async def rewrap(self, group: str, limit: int = 1000) -> int:
        """Wrap the keys of older epochs anew under the current one; how many were left to do. Resumes anywhere."""
        current = max(self._epochs.keys[group])
        where: Doc = {"_id.g": group, "epoch": {"$lt": current}}
        docs = await self._keys.find(where, limit=limit)
        for doc in docs:
            person = doc["_id"]["p"]
            key = self._epochs.unwrap(WrappedKey(doc["epoch"], bytes(doc["wrapped"])), person, group)
            new = self._epochs.wrap(key, person, group)
            fields = {"wrapped": new.wrapped, "epoch": new.epoch}
            await self._keys.change({"_id": doc["_id"], "epoch": doc["epoch"]}, {"$set": fields}, {"_id": 1})
        return len(docs)


def key_id(person: str, group: str) -> Doc:
    """The `_id` of a wrapped key; the order of its fields matters to MongoDB."""
    return {"p": person, "g": group}
