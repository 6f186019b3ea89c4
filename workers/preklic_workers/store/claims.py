"""A claim and its answers: what a delivery says of its job, and what a message's document says to that. Pure."""

import datetime as dt
from dataclasses import dataclass

import msgspec

from preklic_workers.store.message_states import CERTAIN, CLAIMABLE, LEASE
from preklic_workers.store.mongo import Doc


class Claim(msgspec.Struct, frozen=True):
    """What a delivery says of its job. `person` is the suppression hash, `body_hash` the keyed hash of the body.

    `relay` and `processor` will learn the address (law 7: recorded before it happens).
    """

    id: str
    purpose: str
    template: str
    person: str | None
    producer: str
    body_hash: bytes
    created: dt.datetime
    expires: dt.datetime
    relay: str | None = None
    processor: str | None = None
    campaign: str | None = None
    variant: int | None = None


class Claimed(msgspec.Struct, frozen=True):
    """Ours for 60 s. `doubted`: an earlier attempt may have sent it; `again`: this is the one repetition."""

    epoch: int
    doubted: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """Over, in this state; a repeated delivery is acked.

    After a certain end `epoch` is the one that ended it, which need not be the latest (0: proof from outside did): its
    hand-over is to be pulled once more, for its worker may have died before it did. Else it is the latest.
    """

    state: str
    reason: str | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has it for so many seconds at most."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another body was claimed under this id (`idempotency_conflict`)."""


ClaimAnswer = Claimed | Ended | Busy | Conflict


def first_document(claim: Claim, now: dt.datetime) -> Doc:
    """The document that the first claim inserts."""
    return fixed_fields(claim) | {
        "_id": claim.id,
        "kind": "send",
        "state": "claimed",
        "epoch": 1,
        "lease": now + LEASE,
        "at": now,
        "history": [{"at": now, "state": "claimed", "epoch": 1}],
    }


def fixed_fields(claim: Claim) -> Doc:
    """What a claim says of its job; it never changes, but for the relay."""
    fixed: Doc = {
        "purpose": claim.purpose,
        "template": claim.template,
        "producer": claim.producer,
        "body_hash": claim.body_hash,
        "created": claim.created,
        "expires": claim.expires,
    }
    known: Doc = {"person": claim.person, "relay": claim.relay, "processor": claim.processor}
    known |= {"campaign": claim.campaign, "variant": claim.variant}
    return fixed | {name: value for name, value in known.items() if value is not None}


def answer_to(claim: Claim, doc: Doc | None, by: bytes, now: dt.datetime) -> ClaimAnswer:
    """What the document, read after the takeover, says to a claim that marked itself with `by`."""
    if doc is None:
        return Busy(1.0)
    if doc.get("body_hash") not in (None, claim.body_hash):
        return Conflict()
    if doc.get("by") == by:
        return Claimed(doc["epoch"], doc.get("doubted", False), doc.get("again", False))
    if doc["state"] in CLAIMABLE:
        return Busy(max(1.0, (doc.get("lease", now) - now).total_seconds()))
    epoch = "ended" if doc["state"] in CERTAIN else "epoch"
    return Ended(doc["state"], doc.get("reason"), doc.get(epoch, 0))
