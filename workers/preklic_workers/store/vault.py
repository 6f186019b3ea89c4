"""The wrapped keys, in a database of their own: one for each person and field group, and what holds keep of them."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final

from pymongo import DeleteOne, UpdateOne
from pymongo.errors import WriteError

from preklic_shared import telemetry
from preklic_workers.envelope import GROUPS, HOLD, Altered, AnyKey, DataKey, Epochs, NoKey, WrappedKey
from preklic_workers.store.floors import raise_floors
from preklic_workers.store.kept_keys import Kept, aside, kept_in
from preklic_workers.store.mongo import DUPLICATE, REFUSED, Doc, Duplicate, Mongo, Unavailable

COLLECTION: Final = "persons"
PAGE: Final = 5000

Owner = tuple[str, str]
"""A person and a field group."""

log = telemetry.logger(__name__)


class Vault:
    """Makes, finds and destroys persons' keys. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, epochs: Epochs) -> None:
        self._mongo = mongo
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
        return self._epochs.unwrap(wrapped_of(found), person, group)

    async def keys_of(self, owners: Sequence[Owner]) -> dict[Owner, DataKey | NoKey | Altered]:
        """The keys of those of them that have one, in one read; why one cannot be opened stands in its place."""
        if not owners:
            return {}
        docs = await self._keys.find({"_id": {"$in": [key_id(*owner) for owner in owners]}})
        return {(doc["_id"]["p"], doc["_id"]["g"]): self.opened(doc) for doc in docs}

    def opened(self, doc: Doc) -> DataKey | NoKey | Altered:
        """The key in a document of the collection, or why it does not open."""
        try:
            return self._epochs.unwrap(wrapped_of(doc), doc["_id"]["p"], doc["_id"]["g"])
        except (NoKey, Altered) as error:
            return error

    async def key_or_new(self, person: str, group: str) -> DataKey:
        """The person's key, made now if there is none. Raises `NoKey` or `Altered`."""
        try:
            return await self.key(person, group)
        except NoKey:
            key, wrapped = self._epochs.new_key(person, group)
        try:
            await self._insert(person, group, wrapped)
        except Duplicate:
            return await self.key(person, group)
        except WriteError as error:
            if error.code != REFUSED or not self._epochs.refresh():
                raise
            # The epoch turned in this moment: MongoDB takes no key of the old one any more.
            await self._insert(person, group, self._epochs.wrap(key, person, group))
        return key

    async def openers(self, owners: Sequence[Owner]) -> dict[Owner, AnyKey]:
        """All that may open each of these, for the law and the person alone. Raises `Altered`; a missing key is none.

        Mail asks for `key`: what holds keep opens with the epoch keys of `hold`, which only upkeep has.
        """
        own = await self.keys_of(owners)
        if altered := next((key for key in own.values() if isinstance(key, Altered)), None):
            raise altered
        found = {owner: [key] if isinstance(key := own.get(owner), DataKey) else [] for owner in owners}
        for one in await self.kept(sorted({person for person, _ in owners})):
            found.get((one.person, one.group), []).append(one.key)
        return {owner: AnyKey(owner[1], tuple(keys)) for owner, keys in found.items()}

    async def kept(self, persons: Sequence[str]) -> list[Kept]:
        """The keys that holds keep of these persons, or are to keep, as far as this role opens them.

        Raises `Altered`.
        """
        if not persons:
            return []
        found: list[Kept] = []
        for doc in await self._keys.find({"held": {"$in": list(persons)}}, sort=[("_id", 1)]):
            key = self.opened(doc)
            if isinstance(key, Altered):
                raise key
            if isinstance(key, DataKey):
                named = doc["_id"]
                found += kept_in(doc, key) if named["g"] == HOLD else [Kept(named["p"], named["g"], named["n"], key)]
        return found

    def lost(self, doc: Doc) -> bool:
        """Whether a wrapped key is of an epoch that was destroyed: nothing opens it, but a backup may have it anew."""
        held = self._epochs.numbers().get(doc["_id"]["g"], [])
        return bool(held) and doc["epoch"] < held[0]

    def fresh(self, person: str, group: str) -> tuple[DataKey, WrappedKey]:
        """A new key that is recorded nowhere yet. Raises `NoKey`."""
        return self._epochs.new_key(person, group)

    async def put(self, docs: Sequence[Doc]) -> None:
        """Record wrapped keys; one whose place is taken stays as it is."""
        result = await self._keys.insert_many(docs)
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            self._epochs.refresh()  # MongoDB takes no key of an epoch that has turned
            raise Unavailable("keys")

    async def new_aside(self, owners: Sequence[Owner]) -> dict[Owner, DataKey]:
        """New keys of erased persons, for their holds alone: set aside from the beginning. Raises `NoKey`."""
        made = {owner: self.fresh(*owner) for owner in owners}
        if made:
            now = self._mongo.now()
            await self.put([aside(*owner, wrapped, now) for owner, (_, wrapped) in made.items()])
        return {owner: key for owner, (key, _) in made.items()}

    async def groups(self, person: str) -> frozenset[str]:
        """The groups of which the person has a key: something was encrypted under it and is not erased."""
        docs = await self._keys.find({"_id": {"$in": [key_id(person, group) for group in GROUPS]}}, {"_id": 1})
        return frozenset(doc["_id"]["g"] for doc in docs)

    async def many_or_new(self, known: Sequence[Owner], fresh: Sequence[Owner] = ()) -> dict[Owner, DataKey]:
        """The keys of many, made now where there is none; `fresh` have hardly one yet. Raises `NoKey` or `Altered`."""
        keys = await self.many(known)
        wanted = [owner for owner in dict.fromkeys([*known, *fresh]) if owner not in keys]
        if not wanted:
            return keys
        made = self._epochs.new_keys(wanted)
        docs = [_doc(*owner, wrapped) for owner, (_, wrapped) in zip(wanted, made, strict=True)]
        result = await self._keys.insert_many(docs)
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            self._epochs.refresh()  # MongoDB takes no key of an epoch that has turned
            raise Unavailable("keys")
        taken = [wanted[place] for place in result.failed]
        keys.update({owner: key for owner, (key, _) in zip(wanted, made, strict=True)})
        return keys | (await self.many(taken)) if taken else keys

    async def many(self, owners: Sequence[Owner]) -> dict[Owner, DataKey]:
        """The keys of those of them that have one, in one read. Raises `NoKey` or `Altered`."""
        keys: dict[Owner, DataKey] = {}
        for owner, key in (await self.keys_of(owners)).items():
            if not isinstance(key, DataKey):
                raise key
            keys[owner] = key
        return keys

    async def destroy(self, person: str, *, keep: Iterable[str] = (), held: Collection[str] = ()) -> frozenset[str]:
        """Delete the person's keys, but those of the groups in `keep`: their ciphertexts are noise from then on.

        Those of the groups in `held` are set aside first, where no mail and no return of the person finds them. One
        that MongoDB refuses there, for the epoch turns in this moment, stays for `HeldKeys.catch_up`: of these groups.
        """
        left = await self._set_aside(person, [group for group in held if group not in set(keep)])
        kept = {*keep, *left}
        ops = [DeleteOne({"_id": key_id(person, group)}) for group in GROUPS if group not in kept]
        if ops and not (await self._keys.bulk(ops)).sure:
            raise Unavailable("keys")
        return left

    async def _set_aside(self, person: str, groups: Sequence[str]) -> frozenset[str]:
        """Copy the person's own keys of these groups aside; the groups whose copy was refused."""
        docs = await self._keys.find({"_id": {"$in": [key_id(person, group) for group in groups]}}) if groups else []
        if not docs:
            return frozenset()
        now = self._mongo.now()
        result = await self._keys.insert_many([aside(person, doc["_id"]["g"], wrapped_of(doc), now) for doc in docs])
        if not result.sure or set(result.failed.values()) - {DUPLICATE, REFUSED}:
            raise Unavailable("keys")
        return frozenset(docs[place]["_id"]["g"] for place, code in result.failed.items() if code == REFUSED)

    async def refuse_older(self, numbers: dict[str, int]) -> None:
        """From now on MongoDB refuses keys that are wrapped under older epochs than these (group -> number)."""
        await raise_floors(self._mongo, numbers)

    async def rewrap(self, group: str, limit: int = PAGE) -> int:
        """Wrap keys of older epochs anew under the current one; how many. 0: none is left that opens.

        Resumes anywhere: each write is conditional on the epoch that was read.
        """
        current = self._epochs.current(group)
        docs = await self._keys.find({"_id.g": group, "epoch": {"$in": self._older(group)}}, limit=limit)
        ops = [op for doc in docs if (op := self._rewrapped(doc)) is not None]
        if ops and not (await self._keys.bulk(ops)).sure:
            raise Unavailable("keys")
        if len(ops) < len(docs):
            log.error("wrapped keys do not open", kind=group, epoch=current, count=len(docs) - len(ops))
        return len(ops)

    async def older(self, group: str) -> int:
        """How many keys are wrapped under an older epoch whose key is still held."""
        return await self._keys.count({"_id.g": group, "epoch": {"$in": self._older(group)}})

    async def counts(self) -> list[tuple[str, int, int]]:
        """How many wrapped keys there are: (group, epoch, number), sorted."""
        stages: list[Doc] = [{"$group": {"_id": {"g": "$_id.g", "e": "$epoch"}, "n": {"$sum": 1}}}]
        return sorted((row["_id"]["g"], row["_id"]["e"], row["n"]) for row in await self._keys.aggregate(stages))

    async def pages(self, size: int = PAGE) -> AsyncIterator[list[Doc]]:
        """All wrapped keys in the order of their ids, as a majority has them."""
        where: Doc = {}
        while docs := await self._keys.find(where, sort=[("_id", 1)], limit=size, majority=True):
            yield docs
            where = {"_id": {"$gt": docs[-1]["_id"]}}

    def opens(self, doc: Doc) -> bool:
        """Whether this wrapped key opens with the keys that are held, and what it keeps under it. Raises `Altered`."""
        key = self.opened(doc)
        return isinstance(key, DataKey) and all(True for _ in kept_in(doc, key))

    async def _insert(self, person: str, group: str, wrapped: WrappedKey) -> None:
        await self._keys.insert(_doc(person, group, wrapped))

    def _older(self, group: str) -> list[int]:
        return self._epochs.numbers()[group][:-1]

    def _rewrapped(self, doc: Doc) -> UpdateOne | None:
        key = self.opened(doc)
        if not isinstance(key, DataKey):
            return None
        new = self._epochs.wrap(key, doc["_id"]["p"], doc["_id"]["g"])
        fields = {"wrapped": new.wrapped, "epoch": new.epoch}
        return UpdateOne({"_id": doc["_id"], "epoch": doc["epoch"]}, {"$set": fields})


def key_id(person: str, group: str) -> Doc:
    """The `_id` of a wrapped key; the order of its fields matters to MongoDB."""
    return {"p": person, "g": group}


def _doc(person: str, group: str, wrapped: WrappedKey) -> Doc:
    return {"_id": key_id(person, group), "wrapped": wrapped.wrapped, "epoch": wrapped.epoch}


def wrapped_of(doc: Doc) -> WrappedKey:
    """The wrapped key in a document of the collection."""
    return WrappedKey(doc["epoch"], bytes(doc["wrapped"]))
