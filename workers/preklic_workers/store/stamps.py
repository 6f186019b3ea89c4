"""The collection `stamps`: for a signed head of the ledger what an authority answered (RFC 3161); for good."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.runs import cut
from preklic_workers.ledger.verify import Altered
from preklic_workers.store.cosignatures import Cosignatures
from preklic_workers.store.mongo import Doc, Duplicate, Mongo

_PAGE: Final = 1000
_RUNS: Final = 20  # of at most 5,000 hashes
_TIMES: Final[Doc] = {"at": 1}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the authority answered (DER) for the head of so many leaves.

    `chain`: the certificates (PEM) that it was believed by then; `at`: when it was kept.
    """

    size: int
    response: bytes
    chain: str
    at: dt.datetime


class StampStore:
    """The stamps, and the heads that they are of, which witnesses sign, too. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self.now = mongo.now
        self.cosignatures = Cosignatures(mongo)
        self._heads = mongo["checkpoints"]
        self._stamps = mongo["stamps"]
        self._runs = mongo["ledger"]

    async def heads(self, after: int = 0, limit: int = 1) -> list[SignedHead]:
        """The heads of more than `after` leaves, the smallest first; `limit` 0: all of them."""
        found = await self._heads.find({"_id": {"$gt": after}}, sort=[("_id", 1)], limit=limit, majority=True)
        return [_head(doc) for doc in found]

    async def next_head(self, after: int, most: int) -> SignedHead | None:
        """The largest head of at most `most` leaves more than `after`, or the next one; from 0 on the newest of all."""
        within: Doc = {"$gt": after} | ({"$lte": after + most} if after else {})
        found = await self._heads.find({"_id": within}, sort=[("_id", -1)], limit=1, majority=True)
        return _head(found[0]) if found else next(iter(await self.heads(after)), None)

    async def edge_and_since(self, old: int, size: int) -> tuple[list[bytes], list[bytes]]:
        """The edge of the tree of `old` leaves, a signed head's, and the hashes of the leaves from there to `size`."""
        fields: Doc = {"hashes": 1, "edge": 1}
        before = await self._runs.find({"_id": {"$lt": old}}, fields, sort=[("_id", -1)], limit=1, majority=True)
        if not before or before[0]["_id"] + len(before[0]["hashes"]) // 32 != old:
            raise Altered(f"the run before leaf {old}: missing")
        since = await self._runs.find(
            {"_id": {"$gte": old, "$lt": size}}, {"hashes": 1}, sort=[("_id", 1)], majority=True
        )
        joined = b"".join(bytes(doc["hashes"]) for doc in since)
        return cut(bytes(before[0]["edge"])), cut(joined)[: size - old]

    async def leaf_hashes(self, size: int) -> AsyncIterator[list[bytes]]:
        """The hashes of the leaves below `size` in order, a run's at a time, and nothing else of them is read."""
        after = -1
        while docs := await self._runs.find(
            {"_id": {"$gt": after, "$lt": size}}, {"hashes": 1}, sort=[("_id", 1)], limit=_RUNS, majority=True
        ):
            for doc in docs:
                yield cut(bytes(doc["hashes"]))
            after = docs[-1]["_id"]

    async def newest_head(self) -> SignedHead | None:
        """The last signed head."""
        found = await self._heads.find({}, sort=[("_id", -1)], limit=1, majority=True)
        return _head(found[0]) if found else None

    async def head(self, size: int) -> SignedHead | None:
        """The head of so many leaves."""
        found = await self._heads.find({"_id": size}, majority=True)
        return _head(found[0]) if found else None

    async def times(self) -> Sequence[tuple[int, dt.datetime]]:
        """Of each signed head its size and when it was signed, in order."""
        docs = await self._heads.find({}, _TIMES, sort=[("_id", 1)], majority=True)
        return [(doc["_id"], doc["at"]) for doc in docs]

    async def count_after(self, size: int) -> int:
        """How many heads have more leaves."""
        return await self._heads.count({"_id": {"$gt": size}})

    async def newest(self) -> Stamp | None:
        """The stamp of the largest head that has one."""
        found = await self._stamps.find({}, sort=[("_id", -1)], limit=1, majority=True)
        return _stamp(found[0]) if found else None

    async def sizes(self) -> list[int]:
        """The sizes of the heads that have one, in order."""
        return [doc["_id"] for doc in await self._stamps.find({}, {"_id": 1}, sort=[("_id", 1)], majority=True)]

    async def last_leaf(self, size: int) -> bytes | None:
        """The last leaf under the head of so many leaves, None where it is gone."""
        place: Doc = {"$subtract": [size - 1, "$_id"]}
        stages: list[Doc] = [
            {"$match": {"_id": {"$lt": size}}},
            {"$sort": {"_id": -1}},
            {"$limit": 1},
            {"$project": {"leaf": {"$arrayElemAt": ["$leaves", place]}}},
        ]
        found = await self._runs.aggregate(stages)
        leaf = found[0].get("leaf") if found else None
        return bytes(leaf) if leaf is not None else None

    async def first_over(self, place: int) -> Stamp | None:
        """The first stamp of a head that the leaf at `place` is under."""
        found = await self._stamps.find({"_id": {"$gt": place}}, sort=[("_id", 1)], limit=1, majority=True)
        return _stamp(found[0]) if found else None

    async def all(self) -> AsyncIterator[Stamp]:
        """All stamps, in order."""
        after = 0
        while docs := await self._stamps.find({"_id": {"$gt": after}}, sort=[("_id", 1)], limit=_PAGE, majority=True):
            for doc in docs:
                yield _stamp(doc)
            after = docs[-1]["_id"]

    async def keep(self, stamp: Stamp) -> bool:
        """Keep it; False when this head has one already."""
        doc: Doc = {"_id": stamp.size, "response": stamp.response, "chain": stamp.chain, "at": stamp.at}
        try:
            await self._stamps.insert(doc)
        except Duplicate:
            return False
        return True


def _head(doc: Doc) -> SignedHead:
    return SignedHead(doc["_id"], doc["note"], doc["at"])


def _stamp(doc: Doc) -> Stamp:
    return Stamp(doc["_id"], bytes(doc["response"]), doc["chain"], doc["at"])
