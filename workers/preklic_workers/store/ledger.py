"""The ledger's collections: runs of leaves in the tree's order, each with what opens them, and signed heads; for good.

`_id` of a run is the place of its first leaf, so that a second sequencer cannot add a run of its own at the same place
(attack 64). A leaf and what opens it are there in one write: neither can be lost without the other.
"""

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from pymongo import UpdateMany

from preklic_shared import telemetry
from preklic_workers.envelope import Altered, DataKey
from preklic_workers.ledger.leaves import SOURCES, Opening, Riding, Source
from preklic_workers.store.mongo import DUPLICATE, Bulk, Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.vault import Vault

MOST: Final = 5000  # leaves of one run
_PAGE: Final = 20
_PLACE: Final = "ledger"
log = telemetry.logger(__name__)
_GONE: Final = b""  # what opens a leaf about a person who was erased before it got its place


@dataclass(frozen=True, slots=True)
class Run:
    """Leaves that were put on together, from `start` on; `edge` are the hashes behind the last of them.

    Beside each leaf: its `records`, as `collection:id`; its `persons`, empty where it is about nobody; what opens it.
    """

    start: int
    leaves: Sequence[bytes]
    hashes: Sequence[bytes]
    edge: Sequence[bytes]
    at: dt.datetime
    records: Sequence[str]
    persons: Sequence[str]
    openings: Sequence[bytes]

    @property
    def end(self) -> int:
        """The size of the tree with this run."""
        return self.start + len(self.leaves)


class LedgerStore:
    """The collections `ledger` and `checkpoints`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._runs = mongo["ledger"]
        self._checkpoints = mongo["checkpoints"]
        self._vault = vault

    async def riding(self, limit: int = MOST) -> list[Riding]:
        """Entries that wait on their documents, as a majority has them."""
        where: Doc = {"leaves.at": {"$gt": dt.datetime.min.replace(tzinfo=dt.UTC)}}
        found: list[Riding] = []
        for source in SOURCES:
            if len(found) < limit:
                found += await self._riding(source, where, limit - len(found))
        return found[:limit]

    async def left_of(self, run: Run) -> list[Riding]:
        """The entries of this run that still ride: whoever put it on died before they had moved."""
        found: list[Riding] = []
        for source in SOURCES:
            named = [name.partition(":")[2] for name in run.records if name.startswith(f"{source.collection}:")]
            if named:
                found += await self._riding(source, {"_id": {"$in": named}, "leaves": {"$exists": True}}, 0)
        there = {msgspec.json.decode(leaf)["id"] for leaf in run.leaves}
        return [one for one in found if one.id in there]

    async def _riding(self, source: Source, where: Doc, limit: int) -> list[Riding]:
        fields = dict.fromkeys(("person", "leaves", *source.shown), 1)
        found: list[Riding] = []
        for doc in await self._mongo[source.collection].find(where, fields, limit=limit, majority=True):
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
            ops = [
                UpdateMany({"_id": {"$in": ids}}, {"$pullAll": {"leaves": [entry]}}) for entry, ids in groups.values()
            ]
            _done(await self._mongo[collection].bulk(ops))

    async def last(self) -> Run | None:
        """The last run of all."""
        found = await self._runs.find({}, sort=[("_id", -1)], limit=1, majority=True)
        return _run(found[0]) if found else None

    async def runs(self, person: str | None = None) -> AsyncIterator[Run]:
        """All runs in order, or those with a leaf about this person."""
        only: Doc = {} if person is None else {"persons": person}
        where = only
        while docs := await self._runs.find(where, sort=[("_id", 1)], limit=_PAGE, majority=True):
            for doc in docs:
                yield _run(doc)
            where = only | {"_id": {"$gt": docs[-1]["_id"]}}

    async def append(self, run: Run) -> bool:
        """Put the run on; False when another one has its place."""
        fields: Doc = {"leaves": list(run.leaves), "hashes": b"".join(run.hashes), "edge": b"".join(run.edge)}
        fields |= {name: list(getattr(run, name)) for name in ("records", "persons", "openings")}
        try:
            await self._runs.insert({"_id": run.start, "at": run.at} | fields)
        except Duplicate:
            return False
        return True

    async def seal(self, ridings: Sequence[Riding], openings: Sequence[Opening]) -> list[bytes]:
        """What opens each leaf, under its person's key of `evidence`. Of a person who was erased nothing is kept."""
        people = {one.person for one in ridings if one.person is not None}
        gone = await self._mongo["persons"].find({"_id": {"$in": list(people)}, "erased": True}, {"_id": 1})
        living = sorted(people - {doc["_id"] for doc in gone})
        owners = [(person, "evidence") for person in living]
        known = await self._vault.keys_of(owners)
        odd = {owner for owner, key in known.items() if isinstance(key, Altered)}
        if odd:  # nobody opens what they would seal: these leaves stand alone, and all others go on (attack 57)
            log.error("wrapped keys do not open", kind="evidence", count=len(odd))
        keys = await self._vault.many_or_new([owner for owner in owners if owner not in odd])
        return [_sealed(one, opening, keys) for one, opening in zip(ridings, openings, strict=True)]

    async def opened(self, run: Run, places: Sequence[int]) -> dict[int, Opening | None]:
        """The openings of these leaves of the run, by place; None where an erasure took what opens it."""
        wanted = {place: (run.persons[place - run.start], run.openings[place - run.start]) for place in places}
        keys = await self._vault.keys_of([(p, "evidence") for p in {person for person, _ in wanted.values()} if p])
        found: dict[int, Opening | None] = {}
        for place, (person, sealed) in wanted.items():
            key = keys.get((person, "evidence"))
            if isinstance(key, Altered):
                raise key
            text = sealed if not person else b""
            if isinstance(key, DataKey) and sealed:
                text = key.decrypt(sealed, person, _PLACE, run.records[place - run.start])
            found[place] = msgspec.json.decode(text, type=Opening) if text else None
        return found

    async def sign(self, size: int, note: str) -> None:
        """Keep a signed head."""
        result = await self._checkpoints.insert_many([{"_id": size, "note": note, "at": self._mongo.now()}])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("checkpoints")

    async def checkpoints(self) -> list[tuple[int, str]]:
        """The signed heads in order: the size that each is kept under, and it."""
        docs = await self._checkpoints.find({}, sort=[("_id", 1)], majority=True)
        return [(doc["_id"], doc["note"]) for doc in docs]


def named(riding: Riding) -> str:
    """The record that an entry rides on, as a run names it."""
    return f"{riding.source.collection}:{riding.record}"


def _sealed(riding: Riding, opening: Opening, keys: Mapping[tuple[str, str], DataKey]) -> bytes:
    text = msgspec.json.encode(opening)
    if riding.person is None:
        return text
    key = keys.get((riding.person, "evidence"))
    return _GONE if key is None else key.encrypt(text, riding.person, _PLACE, named(riding))


def _done(result: Bulk) -> None:
    if result.failed or not result.sure:
        raise Unavailable("ledger")


def _run(doc: Doc) -> Run:
    hashes, edge = bytes(doc["hashes"]), bytes(doc["edge"])
    leaves, openings = [*map(bytes, doc["leaves"])], [*map(bytes, doc["openings"])]
    return Run(doc["_id"], leaves, _cut(hashes), _cut(edge), doc["at"], doc["records"], doc["persons"], openings)


def _cut(octets: bytes) -> list[bytes]:
    return [octets[place : place + 32] for place in range(0, len(octets), 32)]
