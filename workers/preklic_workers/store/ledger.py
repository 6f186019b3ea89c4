"""The ledger's collections: runs of leaves in the tree's order, each with what opens them, and signed heads; for good.

`_id` of a run is the place of its first leaf, so that a second sequencer cannot add a run of its own at the same place
(attack 64). A leaf and what opens it are there in one write: neither can be lost without the other.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from bson.errors import InvalidBSON

from preklic_shared import telemetry
from preklic_workers.envelope import GROUPS, Altered, AnyKey, DataKey, NoKey
from preklic_workers.ledger.leaves import Fresh, Opening, Riding
from preklic_workers.ledger.runs import Dated, Run, dated_doc, dated_of, doc_of, note_of, run_of
from preklic_workers.ledger.verify import Altered as NotAsSigned
from preklic_workers.store.entries import Entries
from preklic_workers.store.holding import held_groups
from preklic_workers.store.mongo import DUPLICATE, Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.stamps import StampStore
from preklic_workers.store.vault import Owner, Vault

_PAGE: Final = 5
_LOOKED_THROUGH: Final = 200_000
_PLACE: Final = "ledger"
log = telemetry.logger(__name__)
_IS_THERE: Final = {"$exists": True}
_GONE: Final = b""  # what opens a leaf about a person who was erased before it got its place


class LedgerStore:
    """The collections `ledger` and `checkpoints`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._runs = mongo["ledger"]
        self._checkpoints = mongo["checkpoints"]
        self.stamps = StampStore(mongo)
        self.entries = Entries(mongo)
        self._vault = vault

    async def last(self) -> Run | None:
        """The last run of all."""
        found = await self._runs.find({}, sort=[("_id", -1)], limit=1, majority=True)
        return run_of(found[0]) if found else None

    async def runs(self, person: str | None = None) -> AsyncIterator[Run]:
        """All runs in order, or those with a leaf about this person. Raises `verify.Altered`."""
        async for run in self._read({} if person is None else {"persons": person}):
            yield run

    async def runs_with(self, person: str, records: Collection[str], size: int) -> AsyncIterator[Run]:
        """The runs that begin below `size` with a leaf about this person, or of these `records` (as a run names them).

        Persons alone have an index: the others are looked through where they lie, so many leaves at a time that each
        answer comes soon. Raises `verify.Altered`.
        """
        named: Doc = {"$or": [{"persons": person}, {"records": {"$in": list(records)}}]}
        for start in range(0, size, _LOOKED_THROUGH):
            async for run in self._read(named | {"_id": {"$lt": start + _LOOKED_THROUGH}}, {"$gte": start}):
                yield run

    async def runs_between(self, start: int, end: int) -> AsyncIterator[Run]:
        """The runs that begin at these places, `end` not with them. Raises `verify.Altered`."""
        async for run in self._read({"_id": {"$lt": end}}, {"$gte": start}):
            yield run

    async def before(self, place: int) -> Run | None:
        """The last run that begins before this place. Raises `verify.Altered`."""
        found = await self._runs.find({"_id": {"$lt": place}}, sort=[("_id", -1)], limit=1, majority=True)
        return run_of(found[0]) if found else None

    async def begin_at(self, places: Sequence[int]) -> list[int]:
        """Those of these places at which a run begins, in order."""
        found = await self._runs.find({"_id": {"$in": list(places)}}, {"_id": 1}, sort=[("_id", 1)], majority=True)
        return [doc["_id"] for doc in found]

    async def _read(self, only: Doc, after: Doc | None = None) -> AsyncIterator[Run]:
        page = _PAGE
        while True:
            where = only if after is None else only | {"_id": only.get("_id", {}) | after}
            try:
                docs = await self._runs.find(where, sort=[("_id", 1)], limit=page, majority=True)
            except InvalidBSON:
                if page == 1:
                    raise NotAsSigned(f"the run {_behind(after)}: not in its form") from None
                page = 1  # so that it is named
                continue
            for doc in docs:
                yield run_of(doc)
            if not docs:
                return
            after = {"$gt": docs[-1]["_id"]}

    async def append(self, run: Run) -> bool:
        """Put the run on; False when another one has its place."""
        try:
            await self._runs.insert(doc_of(run))
        except Duplicate:
            return False
        return True

    async def seal(self, ridings: Sequence[Riding], openings: Sequence[Fresh]) -> list[bytes]:
        """What opens each leaf, under its person's key of `evidence`. Of a person who was erased nothing is kept.

        An erasure says so on the person first and destroys keys then. A key is made here first and the person looked
        at then: one of the two takes a key away that was made in that moment, and whoever dies in between leaves the
        entries where the next one finds them.
        """
        owners = [(person, "evidence") for person in sorted({one.person for one in ridings if one.person is not None})]
        gone, kept = await self._erased(owners)
        known = await self._vault.keys_of(owners)
        odd = {owner for owner, key in known.items() if isinstance(key, Altered)}
        if odd:  # nobody opens what they would seal: these leaves stand alone, and all others go on (attack 57)
            log.error("wrapped keys do not open", kind="evidence", count=len(odd))
        keys = {owner: key for owner, key in known.items() if isinstance(key, DataKey)}
        there = {*known, *gone, *kept}
        made = await self._vault.many_or_new((), [owner for owner in owners if owner not in there])
        made |= await self._vault.new_aside(sorted(kept - set(known)))
        now_gone, now_kept = await self._erased([*made])
        gone |= now_gone
        await self._forget(owner for owner, waits in gone.items() if owner in known | made and not waits)
        await self._forget(now_kept - kept, held=("evidence",))
        keys = {owner: key for owner, key in (keys | made).items() if owner not in gone}
        return [_sealed(one, opening, keys) for one, opening in zip(ridings, openings, strict=True)]

    async def _erased(self, owners: Sequence[Owner]) -> tuple[dict[Owner, bool], set[Owner]]:
        """Those who are erased: whose evidence no hold keeps (True: a hold's end takes the key), and whose one keeps.

        The own key of the second went to the holds, so what is sealed from now on has one for the holds alone.
        """
        if not owners:
            return {}, set()
        # Whoever is erased is suppressed as erased: that has the index.
        where = {"_id": {"$in": [person for person, _ in owners]}, "erased": True, "suppressed.erased": _IS_THERE}
        docs = await self._mongo["persons"].find(where, {"waiting": 1, "holds.groups": 1})
        kept = {(doc["_id"], "evidence") for doc in docs if "evidence" in held_groups(doc)}
        waits = {(doc["_id"], "evidence"): "evidence" in doc.get("waiting", {}).get("groups", ()) for doc in docs}
        return {owner: waiting for owner, waiting in waits.items() if owner not in kept}, kept

    async def _forget(self, owners: Iterable[Owner], held: Collection[str] = ()) -> None:
        for person, group in owners:
            await self._vault.destroy(person, keep=[one for one in GROUPS if one != group], held=held)

    async def opened(self, run: Run, places: Sequence[int]) -> dict[int, Opening | None]:
        """The openings of these leaves of the run, by place; None where an erasure took what opens it."""
        wanted = {place: (run.persons[place - run.start], run.openings[place - run.start]) for place in places}
        people = {person for person, _ in wanted.values() if person}
        keys = await self._vault.openers([(person, "evidence") for person in sorted(people)])
        found: dict[int, Opening | None] = {}
        for place, (person, sealed) in wanted.items():
            text = sealed
            if person and sealed:
                text = await self._text(keys[person, "evidence"], sealed, person, run.records[place - run.start])
            found[place] = msgspec.json.decode(text, type=Opening) if text else None
        return found

    async def _text(self, key: AnyKey, sealed: bytes, person: str, record: str) -> bytes:
        """What a seal hides; of somebody who came back after an erasure what was sealed before does not open."""
        try:
            return key.decrypt(sealed, person, _PLACE, record)
        except NoKey:
            return _GONE
        except Altered:
            if await self._mongo["persons"].find_one({"_id": person, "erased_seq": {"$exists": True}}, {"_id": 1}):
                return _GONE
            raise

    async def sign(self, note: str, dated: Dated) -> None:
        """Keep a signed head, and when it was signed."""
        result = await self._checkpoints.insert_many([dated_doc(dated) | {"note": note}])
        if not result.sure or set(result.failed.values()) - {DUPLICATE}:
            raise Unavailable("checkpoints")

    async def checkpoints(self) -> list[tuple[int, str]]:
        """The signed heads in order: the size that each is kept under, and it. Raises `verify.Altered`."""
        return [note_of(doc) for doc in await self._heads({})]

    async def dated(self) -> list[Dated]:
        """When each of them was signed. Raises `verify.Altered`."""
        return [dated_of(doc) for doc in await self._heads({"note": 0})]

    async def _heads(self, fields: Doc) -> list[Doc]:
        try:
            return await self._checkpoints.find({}, fields, sort=[("_id", 1)], majority=True)
        except InvalidBSON:
            raise NotAsSigned("a checkpoint: not in its form") from None


def _behind(after: Doc | None) -> str:
    place = (after or {}).get("$gt")
    return "that comes first" if place is None else f"behind the one at leaf {place}"


def named(riding: Riding) -> str:
    """The record that an entry rides on, as a run names it."""
    return f"{riding.source.collection}:{riding.record}"


def _sealed(riding: Riding, opening: Fresh, keys: Mapping[Owner, DataKey]) -> bytes:
    text = msgspec.json.encode(opening)
    if riding.person is None:
        return text
    key = keys.get((riding.person, "evidence"))
    return _GONE if key is None else key.encrypt(text, riding.person, _PLACE, named(riding))
