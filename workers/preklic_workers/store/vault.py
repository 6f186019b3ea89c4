"""The wrapped keys, in a database of their own: one for each person and field group."""

from collections.abc import Iterable, Sequence
from typing import Final

from pymongo import DeleteOne

from preklic_workers.envelope import GROUPS, Altered, DataKey, Epochs, NoKey, WrappedKey
from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Unavailable

COLLECTION: Final = "persons"


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

    async def keys_of(self, persons: Sequence[str], group: str) -> dict[str, DataKey | NoKey | Altered]:
        """The keys of those persons who have one, in one read; why one cannot be opened stands in its place."""
        found = await self._keys.find({"_id": {"$in": [key_id(person, group) for person in persons]}})
        return {doc["_id"]["p"]: self._unwrapped(doc) for doc in found}

    def _unwrapped(self, doc: Doc) -> DataKey | NoKey | Altered:
        key, place = WrappedKey(doc["epoch"], bytes(doc["wrapped"])), doc["_id"]
        try:
            return self._epochs.unwrap(key, place["p"], place["g"])
        except (NoKey, Altered) as error:
            return error

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

    async def groups(self, person: str) -> frozenset[str]:
        """The groups of which the person has a key: something was encrypted under it and is not erased."""
        docs = await self._keys.find({"_id": {"$in": [key_id(person, group) for group in GROUPS]}}, {"_id": 1})
        return frozenset(doc["_id"]["g"] for doc in docs)

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
