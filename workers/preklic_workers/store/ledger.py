"""The ledger's collections: runs of leaves in the tree's order, their openings, and signed heads; all for good.

`ledger`: `_id` is the place of a run's first leaf, so that a second sequencer cannot add a run of its own at the same
place (attack 64); `hashes` are those of its leaves, `edge` the tree's right edge behind it.
"""

import datetime as dt
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from pymongo import UpdateMany, UpdateOne

from preklic_workers.envelope import Altered, DataKey, NoKey
from preklic_workers.ledger.leaves import SOURCES, Opening, Riding
from preklic_workers.store.mongo import DUPLICATE, Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.vault import Vault

MOST: Final = 5000  # leaves of one run
_PAGE: Final = 50
_PLACE: Final = "openings"


@dataclass(frozen=True, slots=True)
class Run:
    """Leaves that were put on together, from `start` on; `edge` are the hashes behind the last of them."""

    start: int
    leaves: Sequence[bytes]
    hashes: Sequence[bytes]
    edge: Sequence[bytes]
    at: dt.datetime

    @property
    def end(self) -> int:
        """The size of the tree with this run."""
        return self.start + len(self.leaves)


class LedgerStore:
    """The collections `ledger`, `openings` and `checkpoints`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._runs = mongo["ledger"]
        self._openings = mongo["openings"]
        self._checkpoints = mongo["checkpoints"]
        self._vault = vault

    async def riding(self, limit: int = MOST) -> list[Riding]:
        """Entries that wait on their documents, of each source the longest first; a majority has them."""
        found: list[Riding] = []
        for source in SOURCES:
            fields = dict.fromkeys(("person", "leaves", *source.shown), 1)
            where: Doc = {"leaves.at": {"$gt": dt.datetime.min.replace(tzinfo=dt.UTC)}}
            left = limit - len(found)
            if left <= 0:
                break
            for doc in await self._mongo[source.collection].find(where, fields, limit=left, majority=True):
                shown = {name: doc[name] for name in source.shown if name in doc}
                found += [Riding(source, doc["_id"], doc.get("person"), entry, shown) for entry in doc["leaves"]]
        return found

    async def moved(self, ridings: Sequence[Riding]) -> None:
        """These are in the tree: they leave their documents. One statement for all that are the same."""
        alike: dict[str, dict[str, tuple[Doc, list[str]]]] = {}
        for one in ridings:
            same = alike.setdefault(one.source.collection, {}).setdefault(repr(one.entry), (dict(one.entry), []))
            same[1].append(one.record)
        for collection, groups in alike.items():
            ops = [UpdateMany({"_id": {"$in": ids}}, {"$pull": {"leaves": entry}}) for entry, ids in groups.values()]
            _done(await self._mongo[collection].bulk(ops))

    async def last(self) -> Run | None:
        """The last run of all."""
        found = await self._runs.find({}, sort=[("_id", -1)], limit=1, majority=True)
        return _run(found[0]) if found else None

    async def holding(self, place: int) -> Run | None:
        """The run with the leaf at this place."""
        found = await self._runs.find({"_id": {"$lte": place}}, sort=[("_id", -1)], limit=1)
        run = _run(found[0]) if found else None
        return run if run is not None and place < run.end else None

    async def runs(self, start: int = 0) -> AsyncIterator[Run]:
        """All runs from the one that begins at `start`, in order."""
        where: Doc = {"_id": {"$gte": start}}
        while docs := await self._runs.find(where, sort=[("_id", 1)], limit=_PAGE, majority=True):
            for doc in docs:
                yield _run(doc)
            where = {"_id": {"$gt": docs[-1]["_id"]}}

    async def append(self, run: Run) -> bool:
        """Put the run on; False when another one has its place."""
        fields: Doc = {"leaves": list(run.leaves), "hashes": b"".join(run.hashes), "edge": b"".join(run.edge)}
        try:
            await self._runs.insert({"_id": run.start, "at": run.at} | fields)
        except Duplicate:
            return False
        return True

    async def opened(self, leaves: Collection[str]) -> dict[str, tuple[int, Opening | None]]:
        """The place and the opening of each of these leaves that has one; None where an erasure took what opens it."""
        docs = await self._openings.find({"_id": {"$in": list(leaves)}}, majority=True)
        keys = await self._vault.keys_of([(p, "evidence") for p in {doc.get("person") for doc in docs} if p])
        return {doc["_id"]: (doc["place"], _opened(doc, keys)) for doc in docs}

    async def keep(self, places: Mapping[str, int], openings: Mapping[str, tuple[str | None, Opening]]) -> None:
        """Keep how each leaf is opened, under the person's key, before it is in the tree: else it never could be.

        Of a person who was erased only its place is kept. `openings`: person and opening by leaf.
        """
        people = {person for person, _ in openings.values() if person is not None}
        gone = await self._mongo["persons"].find({"_id": {"$in": list(people)}, "erased": True}, {"_id": 1})
        living = people - {doc["_id"] for doc in gone}
        keys = await self._vault.many_or_new([(person, "evidence") for person in sorted(living)])
        docs = []
        for leaf, (person, opening) in openings.items():
            text, doc = msgspec.json.encode(opening), {"_id": leaf, "place": places[leaf]}
            if person is None:
                doc["clear"] = text
            elif person in living:
                doc |= {"person": person, "sealed": keys[person, "evidence"].encrypt(text, person, _PLACE, leaf)}
            docs.append(doc)
        if docs:
            result = await self._openings.insert_many(docs)
            if not result.sure:
                raise Unavailable("openings")
            # One that is there already was kept for a leaf that did not get its place.
            again = [UpdateOne({"_id": docs[place]["_id"]}, {"$set": docs[place]}) for place in result.failed]
            if again:
                _done(await self._openings.bulk(again))

    async def sign(self, size: int, note: str) -> None:
        """Keep a signed head."""
        result = await self._checkpoints.insert_many([{"_id": size, "note": note, "at": self._mongo.now()}])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("checkpoints")

    async def checkpoints(self, since: int = 0) -> list[tuple[int, str]]:
        """The signed heads of trees of at least `since` leaves, in order: the size that each is kept under, and it."""
        docs = await self._checkpoints.find({"_id": {"$gte": since}}, sort=[("_id", 1)], majority=True)
        return [(doc["_id"], doc["note"]) for doc in docs]


def _done(result: object) -> None:
    if getattr(result, "failed", None) or not getattr(result, "sure", False):
        raise Unavailable("ledger")


def _run(doc: Doc) -> Run:
    hashes, edge = bytes(doc["hashes"]), bytes(doc["edge"])
    return Run(doc["_id"], [bytes(leaf) for leaf in doc["leaves"]], _cut(hashes), _cut(edge), doc["at"])


def _cut(octets: bytes) -> list[bytes]:
    return [octets[place : place + 32] for place in range(0, len(octets), 32)]


def _opened(doc: Doc, keys: Mapping[tuple[str, str], DataKey | NoKey | Altered]) -> Opening | None:
    if "clear" in doc:
        return msgspec.json.decode(bytes(doc["clear"]), type=Opening)
    key = keys.get((doc.get("person", ""), "evidence"))
    if isinstance(key, Altered):
        raise key
    if not isinstance(key, DataKey) or "sealed" not in doc:
        return None
    return msgspec.json.decode(key.decrypt(bytes(doc["sealed"]), doc["person"], _PLACE, doc["_id"]), type=Opening)
