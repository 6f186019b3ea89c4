"""Withdrawals: one atomic write closes the gate, takes its place in the person's order and captures what is under way.

The same write on the same document as the gate's: no gate passes after it. The receipt of each withdrawal is a document
of its own: closed, then applied, with what was waited for and what is listed (law 1f). Withdrawals that run at the same
time share their round trips, as gates do: each is still one atomic write of its own document.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pymongo import UpdateOne

from preklic_shared.randomness import random_octets
from preklic_shared.tokens import PID_BYTES
from preklic_workers.moments import millis
from preklic_workers.permission import CLOCK_DOUBT, Suppression
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import DUPLICATE, Bulk, Doc, Mongo, Unavailable
from preklic_workers.store.person_docs import NEXT_SEQ, literal, place, reached

KEPT: Final = 20
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A no: `subject` the suppression hash, `at` the event's time, `purposes` what ends.

    `objected` names those of `purposes` that rest on interest, or are about individual mail; `suppress` also suppresses
    the person.
    """

    job: str
    subject: str
    purposes: Sequence[str]
    reason: str
    at: dt.datetime
    objected: frozenset[str] = field(default_factory=frozenset)
    suppress: Suppression | None = None


@dataclass(frozen=True, slots=True, order=True)
class Captured:
    """A hand-over that a withdrawal found under way."""

    message: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The gate is closed: `seq` is the place in the person's order."""

    seq: int
    captured: tuple[Captured, ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """What of the captured is left: `open` may still end, `stale` will not and is listed."""

    open: tuple[Captured, ...]
    stale: tuple[Captured, ...]


class Withdrawals:
    """Closes gates and keeps receipts. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._receipts = mongo["withdrawals"]
        self._closings: Grouper[Withdraw, Withdrawal] = Grouper(self._close_group)
        self._writes: Grouper[UpdateOne, None] = Grouper(self._write_group)
        self._looks: Grouper[str, Doc] = Grouper(self._look_group)

    async def withdraw(self, no: Withdraw) -> Withdrawal:
        """Close the gate for these purposes; an unknown person is recorded with the no. Twice is once.

        A later no under the same job (a website's idempotency key that serves again) closes it again.
        """
        closed = await self._close(no)
        now = self._mongo.now()
        receipt = {
            "person": no.subject,
            "purposes": sorted(no.purposes),
            "reason": no.reason,
            "seq": closed.seq,
            "accepted": no.at,
            "closed": now,
            "leaves": [{"at": now, "what": "closed"}],
        }
        await self._writes(UpdateOne({"_id": no.job}, {"$setOnInsert": receipt}, upsert=True))
        return closed

    async def drained(self, subject: str, captured: Iterable[Captured]) -> Drain:
        """Which of the captured hand-overs have not ended yet."""
        wanted = set(captured)
        if not wanted:
            return Drain((), ())
        doc = await self._looks(subject)
        left = [
            tuple(sorted({Captured(e["message"], e["epoch"]) for e in doc.get(name, ())} & wanted))
            for name in ("open", "stale")
        ]
        return Drain(left[0], left[1])

    async def applied(self, job: str, waited: Sequence[Captured], listed: Sequence[Captured]) -> None:
        """Record that no DATA begins any more for what was withdrawn, but for the hand-overs in `listed`."""
        now = self._mongo.now()
        fields: Doc = {"applied": now, "waited": [*map(_doc, waited)], "listed": [*map(_doc, listed)]}
        update = {"$set": fields, "$push": {"leaves": {"at": now, "what": "applied"}}}
        await self._writes(UpdateOne({"_id": job, "applied": {"$exists": False}}, update))

    async def receipt(self, job: str) -> Doc | None:
        """The receipt of a withdrawal: purposes, `seq`, `accepted`, `closed`, `applied`, `waited`, `listed`."""
        return await self._receipts.find_one({"_id": job}, {"leaves": 0})

    async def _close(self, no: Withdraw) -> Withdrawal:
        return await self._closings(no)

    async def _close_group(self, noes: list[Withdraw]) -> list[Withdrawal | Exception]:
        found: dict[int, Withdrawal | Exception] = {}
        for _ in range(_TRIES):
            # A duplicate was made in this moment by another job, or this very withdrawal was here before.
            left = {index: no for index, no in enumerate(noes) if index not in found}
            if not left:
                break
            result = await self._persons.bulk(
                [UpdateOne(_open_to(no), closing(no), upsert=True) for no in left.values()]
            )
            refused = _refused(result)
            found |= {index: refused[place] for place, index in enumerate(left) if place in refused}
            found |= await self._closed({index: no for index, no in left.items() if index not in found})
        missing = RuntimeError("the person's document cannot be closed")
        return [found.get(index, missing) for index in range(len(noes))]

    async def _closed(self, noes: Mapping[int, Withdraw]) -> dict[int, Withdrawal]:
        """What the closing writes left on the documents: an entry stays as it was written."""
        docs = await self._persons.find({"_id": {"$in": [no.subject for no in noes.values()]}}, {"withdrawals": 1})
        entries = {doc["_id"]: doc["withdrawals"] for doc in docs}
        found = {index: _entry(no, entries.get(no.subject, ())) for index, no in noes.items()}
        return {index: one for index, one in found.items() if one is not None}

    async def _write_group(self, writes: list[UpdateOne]) -> list[Exception | None]:
        refused = _refused(await self._receipts.bulk(writes))
        return [refused.get(place) for place in range(len(writes))]

    async def _look_group(self, subjects: list[str]) -> list[Doc | Exception]:
        docs = await self._persons.find({"_id": {"$in": list(set(subjects))}}, {"open": 1, "stale": 1})
        by_id = {doc["_id"]: doc for doc in docs}
        return [by_id.get(subject, {}) for subject in subjects]


def _refused(result: Bulk) -> dict[int, Exception]:
    """What the store refused of a group of writes, by place; that something is there already is no failure."""
    if not result.sure:
        raise Unavailable("withdrawals")
    return {
        place: ValueError(f"the store refused a withdrawal (code {code})")
        for place, code in result.failed.items()
        if code != DUPLICATE
    }


def _open_to(no: Withdraw) -> Doc:
    """The person's document, unless this no has closed it already."""
    return {"_id": no.subject, "withdrawals": {"$not": {"$elemMatch": {"job": no.job, "at": {"$gte": no.at}}}}}


def _entry(no: Withdraw, entries: Iterable[Doc]) -> Withdrawal | None:
    for entry in entries:
        if entry["job"] == no.job and millis(entry["at"]) >= millis(no.at):
            return Withdrawal(entry["seq"], tuple(Captured(c["message"], c["epoch"]) for c in entry["captured"]))
    return None


def closing(no: Withdraw) -> list[Doc]:
    """The pipeline of the one write. What the person said clearly later stays (law 5); doubt is a no."""
    under_way = {"$concatArrays": [{"$ifNull": ["$open", []]}, {"$ifNull": ["$stale", []]}]}
    captured = {
        "$map": {
            "input": {
                "$filter": {
                    "input": under_way,
                    "as": "one",
                    "cond": {"$in": ["$$one.purpose", literal(reached(no.purposes))]},
                }
            },
            "as": "one",
            "in": {"message": "$$one.message", "epoch": "$$one.epoch"},
        }
    }
    entry = {
        "job": literal(no.job),
        "purposes": literal(sorted(no.purposes)),
        "at": no.at,
        "seq": NEXT_SEQ,
        "captured": captured,
    }
    kept = {"$concatArrays": [{"$ifNull": ["$withdrawals", []]}, [entry]]}
    fields: Doc = {name: {"$ifNull": [f"${name}", empty]} for name, empty in _EMPTY.items()}
    fields |= {"pid": {"$ifNull": ["$pid", random_octets(PID_BYTES)]}, "erased": {"$ifNull": ["$erased", False]}}
    fields |= {"seq": NEXT_SEQ, "withdrawals": {"$slice": [kept, -KEPT]}}
    said = {f"permissions.{place(purpose)}": _said(no, purpose) for purpose in no.purposes}
    if no.suppress is not None:
        said[f"suppressed.{no.suppress}"] = {"$max": [f"$suppressed.{no.suppress}", no.at]}
    # Two stages would let the second see the first one's `seq`: the permissions are set first, from the same counter.
    return [{"$set": said}, {"$set": fields}] if said else [{"$set": fields}]


_EMPTY: Final[Doc] = {
    "permissions": {"$literal": {}},
    "suppressed": {"$literal": {}},
    "open": [],
    "stale": [],
}


def _said(no: Withdraw, purpose: str) -> Doc:
    here = f"$permissions.{place(purpose)}"
    last = {"$max": [f"{here}.withdrawn", no.at]}
    objected = {"$eq": [f"{here}.state", "objected"]}
    ended = {
        # An objection is the stricter no of the two (law 5).
        "state": "objected" if purpose in no.objected else {"$cond": [objected, "objected", "withdrawn"]},
        "at": no.at,
        "job": literal(no.job),
        "seq": NEXT_SEQ,
        "withdrawn": last,
    }
    later = {
        "$cond": [
            {"$gt": [f"{here}.token", None]},
            {"$gt": [f"{here}.token", no.at]},
            {"$gt": [f"{here}.at", no.at + CLOCK_DOUBT]},
        ]
    }
    stands = {"$and": [{"$in": [f"{here}.state", ["granted", "pending"]]}, later]}
    return {"$cond": [stands, {"$mergeObjects": [here, {"withdrawn": last}]}, ended]}


def _doc(captured: Captured) -> Doc:
    return {"message": captured.message, "epoch": captured.epoch}
