"""The person's document: how the facts of `permission` stand in it, and the gate's condition over it. Pure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pymongo import UpdateMany

from preklic_shared.registry import Purpose
from preklic_workers.permission import HandOver, Permission, Person
from preklic_workers.store.mongo import Doc

# Proof of how a conversation ended may take this long after its gate (RFC 5321 asks for 10 minutes after the dot).
UNTIL: Final = dt.timedelta(minutes=11)
FACTS: Final = {"pid": 1, "seq": 1, "provider": 1, "permissions": 1, "suppressed": 1, "erased": 1, "holds.octets": 1}
NEXT_SEQ: Final[Doc] = {"$add": [{"$ifNull": ["$seq", 0]}, 1]}


def place(purpose: str) -> str:
    """The field of a purpose or switch: MongoDB reads a dot as a path, and no purpose has a colon."""
    return purpose.replace(".", ":")


def facts_of(switches: Iterable[str]) -> Doc:
    """The fields that say whether somebody may be watched: of the permissions these alone."""
    return {"pid": 1, "suppressed": 1, "erased": 1} | {f"permissions.{place(switch)}": 1 for switch in switches}


def person_of(doc: Doc) -> Person:
    """The facts of a document; what was not asked for is empty."""
    permissions = {
        name.replace(":", "."): Permission(said["state"], said["at"], said["job"], said["seq"])
        for name, said in doc.get("permissions", {}).items()
    }
    return Person(
        id=doc["_id"],
        pid=bytes(doc.get("pid", b"")),
        seq=doc.get("seq", 0),
        provider=doc.get("provider", ""),
        contact=doc.get("contact"),
        permissions=permissions,
        suppressed=doc.get("suppressed", {}),
        erased=doc.get("erased", False),
        open=hand_overs(doc.get("open", ())),
        stale=hand_overs(doc.get("stale", ())),
        alive=doc.get("alive"),
        keeps=any(hold.get("octets") for hold in doc.get("holds", ())),
    )


def hand_overs(entries: Iterable[Doc]) -> tuple[HandOver, ...]:
    """The hand-overs of an array of the document."""
    return tuple(HandOver(e["message"], e["epoch"], e["purpose"], e["until"], e["seq"]) for e in entries)


class Opening(NamedTuple):
    """One hand-over: of this message, in this epoch, to this person (the suppression hash)."""

    person: str
    message: str
    epoch: int


def permitted(purpose: Purpose, *, confirming: bool = False) -> Doc:
    """`permission.may` as a filter over persons: it matches when `may` would answer None.

    Purposes that are no mail never come here, and a person who is not recorded has no document.
    """
    where: Doc = {"erased": {"$ne": True}}
    if not purpose.needs_known_person:
        return where
    state = f"permissions.{place(purpose.key)}.state"
    if purpose.needs_yes:
        said: Doc = {"$in": ["granted", "pending"] if confirming else ["granted"]}
    else:
        said = {"$nin": ["withdrawn", "objected"]}
    return where | {"suppressed": {}, state: said}


def unobjected(purpose: Purpose) -> Doc:
    """`individual.individual` as a filter over persons: no objection to individual mail stands."""
    if purpose.profiling is None:
        return {}
    return {f"permissions.{place(purpose.profiling)}.state": {"$in": [None, "granted"]}}


def passing(
    openings: Sequence[Opening], expires: Sequence[dt.datetime], purpose: Purpose, *, confirming: bool, individual: bool
) -> UpdateMany:
    """The gate of mails to different persons: opens the hand-over of each whom the condition lets pass, atomically.

    `expires` are the ends of these jobs. Each person finds the own ones by the place of the own hash. An `individual`
    mail passes only while nobody objects to that: one that was composed before an objection is composed again.
    """
    persons = [opening.person for opening in openings]
    entries = [{"message": each.message, "epoch": each.epoch, "purpose": purpose.key} for each in openings]
    own = {"$indexOfArray": [literal(persons), "$_id"]}
    where = {
        "_id": {"$in": persons},
        **permitted(purpose, confirming=confirming),
        **(unobjected(purpose) if individual else {}),
        "open.message": {"$nin": [opening.message for opening in openings]},
        "$expr": {"$gt": [{"$arrayElemAt": [literal(expires), own]}, "$$NOW"]},
    }
    rest = {"until": {"$add": ["$$NOW", UNTIL // dt.timedelta(milliseconds=1)]}, "seq": NEXT_SEQ}
    entry = {"$mergeObjects": [{"$arrayElemAt": [literal(entries), own]}, rest]}
    opened = {"seq": NEXT_SEQ, "alive": "$$NOW", "open": {"$concatArrays": ["$open", [entry]]}}
    return UpdateMany(where, [{"$set": opened}])


def literal(value: object) -> Doc:
    """A value that a pipeline takes as it is: a text that begins with `$` would be read as a path (attack 65)."""
    return {"$literal": value}


def letting_go(persons: Sequence[str], messages: Sequence[str], epoch: int) -> UpdateMany:
    """Takes one epoch's hand-overs of these messages off these persons' documents, wherever they stand there."""
    entry = {"message": {"$in": messages}, "epoch": epoch}
    return UpdateMany({"_id": {"$in": persons}}, {"$pull": {"open": entry, "stale": entry}, "$inc": {"seq": 1}})


def reached(purposes: Iterable[str]) -> list[str]:
    """The purposes whose mails under way a no may be about: a switch (`proposals.profiling`) is about its purpose's."""
    return sorted({*purposes, *(purpose.partition(".")[0] for purpose in purposes)})


def fresh(subject: str, pid: bytes) -> Doc:
    """A document that says nothing yet."""
    return {
        "_id": subject,
        "pid": pid,
        "seq": 0,
        "permissions": {},
        "suppressed": {},
        "erased": False,
        "open": [],
        "stale": [],
        "withdrawals": [],
    }
