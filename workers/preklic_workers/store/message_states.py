"""What may become of a message's document: settlements as conditional updates. Pure.

`models/gate.py` searches these rules: `sent` holds whatever the epoch, because who holds the hand-over knows; all else
belongs to the epoch that claimed; and a message once in doubt never becomes a no, it returns to in doubt.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateMany, UpdateOne

from preklic_workers.store.mongo import Doc
from preklic_workers.store.person_docs import literal
from preklic_workers.store.statements import Alike

LEASE: Final = dt.timedelta(seconds=60)
HISTORY: Final = 20
# Without this hint MongoDB tries the index of what is under way as well, for each statement: twice the cost.
_ITSELF: Final = "_id_"

# A delivery may take these up again once the lease is over; a settled `deferred` or `dead` has none.
CLAIMABLE: Final = ("claimed", "deferred", "scheduled", "dead")
# Not over yet: somebody holds it, or a tier or the schedule does.
UNDER_WAY: Final = ("claimed", "deferred", "scheduled")
# Nothing changes these but news from outside: a delivered mail may still bounce or be complained about.
DELIVERED: Final = ("sent", "bounced", "complained")
# Claims that no body went out. After doubt that is not known, so they turn into `in_doubt`.
NEVER_LEFT: Final = ("refused", "expired", "cancelled", "failed", "dead", "discarded")
# Nobody knows whether it arrived: a purpose's rule, a person or late evidence ends that.
DOUBTS: Final = ("in_doubt", "asked")
# Certain ends of a conversation: they also end a doubt about that very conversation, and pull its hand-over.
CERTAIN: Final = ("sent", "failed", "bounced", "deferred")


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended. `reply` is {code, enhanced}; `heard`: the relay answered to DATA or later.

    `passed`: it passed the gate, which the ledger is told. Not its place in the person's order: what differs from mail
    to mail makes a statement of its own for each of them.
    """

    id: str
    epoch: int
    state: str
    reason: str | None = None
    relay: str | None = None
    processor: str | None = None
    reply: Doc | None = None
    heard: bool = False
    passed: bool = False


def alike(settlement: Settlement) -> Alike:
    """Settlements that say the same of different messages."""
    reply = tuple(sorted((settlement.reply or {}).items()))
    said = (settlement.epoch, settlement.state, settlement.reason, settlement.relay, settlement.processor)
    return Alike((*said, reply, settlement.heard, settlement.passed), settlement.id)


def settling(settlements: Sequence[Settlement], at: dt.datetime) -> list[UpdateMany]:
    """The updates that record settlements which are alike; their conditions exclude each other: one matches at most."""
    one = settlements[0]
    these: Doc = {"_id": {"$in": [settlement.id for settlement in settlements]}}
    mine = these | {"epoch": one.epoch}
    claimed = mine | {"state": "claimed"}
    if one.state == "sent":
        # Whatever the epoch, unless stronger news is there already.
        found = [(these | {"state": {"$nin": list(DELIVERED)}}, _update(one, "sent", at, doubted=False))]
    elif one.state == "in_doubt":
        found = [(claimed, _update(one, "in_doubt", at, doubted=True))]
    elif one.state not in NEVER_LEFT:
        found = [(claimed, _update(one, one.state, at))]
    else:
        found = [
            (claimed | {"doubted": {"$ne": True}}, _update(one, one.state, at)),
            (claimed | {"doubted": True}, _update(one, "in_doubt", at)),
        ]
    if one.heard and one.state not in {"sent", "in_doubt"}:
        # The reaper was early: the relay's answer to this epoch came after its lease, and nobody went on since. The job
        # may be acked by then, so a 4xx is an end as well: nobody would come for a deferred one.
        own_doubt = mine | {"state": {"$in": list(DOUBTS)}, "again": {"$ne": True}}
        late = "failed" if one.state == "deferred" else one.state
        found.append((own_doubt, _update(one, late, at, doubted=False)))
    return [UpdateMany(where, update, hint=_ITSELF) for where, update in found]


def ending(doc: Doc, state: str, reason: str, at: dt.datetime) -> UpdateOne:
    """End a mail that no attempt will end: `state`, or in doubt if it ever was. `doc` as it was read, or nothing."""
    doubted = bool(doc.get("doubted"))
    where: Doc = {"_id": doc["_id"], "state": doc["state"], "epoch": doc.get("epoch")}
    where["doubted"] = True if doubted else {"$ne": True}
    settlement = Settlement(doc["_id"], doc.get("epoch", 0), "in_doubt" if doubted else state, reason)
    return UpdateOne(where, _update(settlement, settlement.state, at))


def told(entry: Doc, **more: Any) -> Doc:
    """What a new state writes down: its entry in the history, and the same, with `more`, for the ledger."""
    update = _noted(entry)
    update["$push"]["leaves"] = leaf_of(entry) | more
    return update


def _noted(entry: Doc) -> Doc:
    return {"$push": {"history": {"$each": [entry], "$slice": -HISTORY}}}


def leaf_of(entry: Doc) -> Doc:
    """An entry of the history as it rides on the record until the ledger has it."""
    return {"what": entry["state"]} | {name: value for name, value in entry.items() if name != "state"}


def reaping(message: str, epoch: int, at: dt.datetime) -> Doc:
    """The update that puts a mail in doubt because its claim's time is over, and its hand-over is still open."""
    return _update(Settlement(message, epoch, "in_doubt", "lease_over", passed=True), "in_doubt", at, doubted=True)


def doubting(reason: str) -> list[Doc]:
    """The update that puts a mail in doubt whatever its epoch."""
    return [*resolving("in_doubt", reason, "", ""), {"$set": {"doubted": True}}]


def resolvable(state: str) -> Doc:
    """The messages in doubt that may become `state`.

    Proof outlives an assumption, and comes in time for a second turn that has not begun; a hand-over that is under way
    again is its own worker's business.
    """
    if state == "asked":
        return {"state": "in_doubt"}
    if state == "assumed":
        return {"state": {"$in": list(DOUBTS)}}
    return {"$or": [{"state": {"$in": [*DOUBTS, "assumed"]}}, {"state": "deferred", "doubted": True}]}


def resolving(state: str, reason: str, by: str, why: str) -> list[Doc]:
    """The update that ends a doubt, with who said so and why in the message's history."""
    said: Doc = {"at": "$$NOW", "state": state, "epoch": {"$ifNull": ["$epoch", 0]}}
    said |= {name: literal(text) for name, text in (("reason", reason), ("by", by), ("why", why)) if text}
    history = {"$slice": [{"$concatArrays": [{"$ifNull": ["$history", []]}, [said]]}, -HISTORY]}
    leaves = {"$concatArrays": [{"$ifNull": ["$leaves", []]}, [leaf_of(said)]]}
    fields: Doc = {"state": state, "reason": literal(reason), "at": "$$NOW", "history": history, "leaves": leaves}
    return [{"$set": fields}] + ([{"$unset": ["doubted", "ended"]}] if state in DELIVERED else [])


def takeover(message: str, fixed: Doc, by: bytes) -> UpdateOne:
    """Compare-and-set on epoch and lease by the server's own clock: the next epoch, or nothing.

    `fixed` are the claim's own fields; a job that died before its first claim has none of them yet.
    """
    where = {
        "_id": message,
        "state": {"$in": list(CLAIMABLE)},
        "body_hash": {"$in": [fixed["body_hash"], None]},
        "$expr": {"$lte": ["$lease", "$$NOW"]},
    }
    epoch = {"$add": [{"$ifNull": ["$epoch", 0]}, 1]}
    entry = {"at": "$$NOW", "state": "claimed", "epoch": epoch}
    history = {"$concatArrays": [{"$ifNull": ["$history", []]}, [entry]]}
    fields: Doc = {name: {"$ifNull": [f"${name}", {"$literal": value}]} for name, value in fixed.items()}
    # Each attempt may take another relay.
    fields |= {name: {"$literal": fixed[name]} for name in ("relay", "processor") if name in fixed}
    fields |= {
        "state": "claimed",
        "epoch": epoch,
        "by": by,
        "at": "$$NOW",
        "lease": {"$add": ["$$NOW", LEASE // dt.timedelta(milliseconds=1)]},
        "history": {"$slice": [history, -HISTORY]},
    }
    return UpdateOne(where, [{"$set": fields}, {"$unset": "ended"}])


def _update(settlement: Settlement, state: str, at: dt.datetime, *, doubted: bool | None = None) -> Doc:
    fields = _facts(settlement, state, at)
    if state in CLAIMABLE:
        fields["lease"] = at
    if doubted:
        fields["doubted"] = True
    entry, carried = _entry(settlement, state, at), _carried(settlement)
    # What was sent is told to the ledger by its intent: see `settlements`.
    said = _noted(entry) if state == "sent" else told(entry, **carried)
    update: Doc = {"$set": fields} | said
    # A reason belongs to its end: one that an earlier end left would explain this one wrongly.
    gone = {"reason": settlement.reason is None, "doubted": doubted is False}
    if unset := {name: "" for name, over in gone.items() if over}:
        update["$unset"] = unset
    return update


def intended(settlement: Settlement, at: dt.datetime) -> Doc:
    """The ledger's entry of a mail that was sent."""
    return leaf_of(_entry(settlement, "sent", at)) | _carried(settlement)


def _entry(settlement: Settlement, state: str, at: dt.datetime) -> Doc:
    entry: Doc = {"at": at, "state": state, "epoch": settlement.epoch}
    return entry if settlement.reason is None else entry | {"reason": settlement.reason}


def _carried(settlement: Settlement) -> Doc:
    """What the ledger is told besides."""
    given = {"relay": settlement.relay, "processor": settlement.processor, "reply": settlement.reply}
    carried: Doc = {name: value for name, value in given.items() if value is not None}
    return carried | {"passed": True} if settlement.passed else carried


def _facts(settlement: Settlement, state: str, at: dt.datetime) -> Doc:
    given: dict[str, Any] = {
        "reason": settlement.reason,
        "relay": settlement.relay,
        "processor": settlement.processor,
        "reply": settlement.reply,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    fields |= {"state": state, "at": at}
    if state in CERTAIN:
        fields["ended"] = settlement.epoch
    return fields | ({"sent_at": at} if state == "sent" else {})
