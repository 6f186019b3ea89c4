"""The person's document: how the facts of `permission` stand in it, and the gate's condition over it. Pure."""

import datetime as dt
from collections.abc import Iterable
from typing import Final

from preklic_shared.registry import Purpose
from preklic_workers.permission import HandOver, Permission, Person
from preklic_workers.store.mongo import Doc

# Proof of how a conversation ended may take this long after its gate (RFC 5321 asks for 10 minutes after the dot).
UNTIL: Final = dt.timedelta(minutes=11)
FACTS: Final = {"pid": 1, "seq": 1, "provider": 1, "permissions": 1, "suppressed": 1, "erased": 1}
NEXT_SEQ: Final[Doc] = {"$add": [{"$ifNull": ["$seq", 0]}, 1]}


def place(purpose: str) -> str:
    """The field of a purpose or switch: MongoDB reads a dot as a path, and no purpose has a colon."""
    return purpose.replace(".", ":")


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
    )


def hand_overs(entries: Iterable[Doc]) -> tuple[HandOver, ...]:
    """The hand-overs of an array of the document."""
    return tuple(HandOver(e["message"], e["epoch"], e["purpose"], e["until"], e["seq"]) for e in entries)


def permitted(purpose: Purpose, *, confirming: bool = False) -> Doc:
    """`permission.may` as an expression over a person's document: true when `may` would answer None.

    Purposes that are no mail never come here, and a person who is not recorded has no document.
    """
    conditions: list[Doc] = [{"$ne": ["$erased", True]}]
    if purpose.needs_known_person:
        conditions.append({"$eq": ["$suppressed", literal({})]})
        state = f"$permissions.{place(purpose.key)}.state"
        if purpose.basis == "consent":
            conditions.append({"$in": [state, ["granted", "pending"] if confirming else ["granted"]]})
        else:
            conditions.append({"$not": [{"$in": [state, ["withdrawn", "objected"]]}]})
    return {"$and": conditions}


def passing(
    subject: str, message: str, epoch: int, purpose: Purpose, expires: dt.datetime, *, confirming: bool
) -> tuple[Doc, list[Doc]]:
    """The gate: one conditional write that opens a hand-over, or changes nothing. Texts are literals, never paths.

    The condition stands in the update and not in its filter: by `_id` alone MongoDB needs no query plan, which makes
    the gate a fifth cheaper, and it is as atomic.
    """
    closed = {"$in": [literal(message), "$open.message"]}
    may_pass = {"$and": [permitted(purpose, confirming=confirming), {"$not": [closed]}, {"$gt": [expires, "$$NOW"]}]}
    entry = {
        "message": literal(message),
        "epoch": literal(epoch),
        "purpose": literal(purpose.key),
        "until": {"$add": ["$$NOW", UNTIL // dt.timedelta(milliseconds=1)]},
        "seq": NEXT_SEQ,
    }
    opened = {"$mergeObjects": ["$$ROOT", {"seq": NEXT_SEQ, "open": {"$concatArrays": ["$open", [entry]]}}]}
    return {"_id": subject}, [{"$replaceWith": {"$cond": [may_pass, opened, "$$ROOT"]}}]


def literal(value: object) -> Doc:
    """A value that a pipeline takes as it is: a text that begins with `$` would be read as a path (attack 65)."""
    return {"$literal": value}


def letting_go(message: str, epoch: int) -> Doc:
    """The update that takes one epoch's hand-over off the document, wherever it stands."""
    entry = {"message": message, "epoch": epoch}
    return {"$pull": {"open": entry, "stale": entry}, "$inc": {"seq": 1}}


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
