"""Mails in doubt: what their purpose says about them, and the proof that ends a doubt (laws 1e and 2).

`never` is assumed when nothing was heard for five days; `once_more` is the redelivered job's business, and is brought
back here when nobody redelivers it; all else, and what had its second turn, is asked of a person. Only proof pulls a
hand-over; *assumed* and *asked* move it to `stale` first, where every receipt lists it.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from preklic_shared.registry import Registry
from preklic_workers.store import Doc, Event, Store
from preklic_workers.store.person_docs import UNTIL

# A doubt that nothing resolved for so long is assumed: relays report within five days (RFC 5321, 4.5.4.1).
ASSUMED_AFTER: Final = dt.timedelta(days=5)
# A job that waits for its second turn is back within half an hour; after this nobody holds it any more.
FORGOTTEN_AFTER: Final = dt.timedelta(hours=2)
# What each event of a mail proves of it. A pixel or link is in that mail alone, so whoever fetched it had the mail.
PROVES: Final[Mapping[str, str]] = {
    "delivered": "sent",
    "opened": "sent",
    "clicked": "sent",
    "bounced": "bounced",
    "complained": "complained",
}
_STRENGTH: Final = ("sent", "bounced", "complained")

Step = Literal["assumed", "asked", "repeat"]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: numbers of mails, and the jobs (id -> when made) whose second turn nobody holds."""

    proven: int = 0
    assumed: int = 0
    asked: int = 0
    repeat: Mapping[str, dt.datetime] = field(default_factory=dict)


def step(doubt: Doc, policy: str | None, now: dt.datetime) -> Step | None:
    """What is to become of a mail in doubt now, None when it has to wait. Pure.

    `policy` is its purpose's (None: the registry knows it no more). Until the relay's time to answer is over, nothing.
    """
    age = now - doubt["at"]
    if doubt["state"] != "in_doubt" or age <= UNTIL:
        return None
    if policy == "never":
        return "assumed" if age > ASSUMED_AFTER else None
    if policy == "once_more" and not doubt.get("again") and doubt["expires"] > now:
        return "repeat" if age > FORGOTTEN_AFTER else None
    return "asked"


def strongest(events: Iterable[Event]) -> dict[str, Event]:
    """For each mail the event that proves most; what proves nothing is left out. Pure."""
    proofs: dict[str, Event] = {}
    for event in events:
        if event.kind in PROVES and (
            event.message not in proofs or _strength(event) > _strength(proofs[event.message])
        ):
            proofs[event.message] = event
    return proofs


async def look(store: Store, registry: Registry, now: dt.datetime) -> Round:
    """One round over all doubts. Raises store.Unavailable."""
    doubts = await store.messages.doubts()
    proven = await _by_events(store, doubts, await store.events.of_all([doc["_id"] for doc in doubts]))
    done = {"assumed": 0, "asked": 0}
    repeat = {}
    for doubt in doubts:
        purpose = registry.get(doubt["purpose"])
        match step(doubt, purpose.in_doubt if purpose else None, now):
            case "repeat":
                repeat[doubt["_id"]] = doubt["created"]
            case "assumed" | "asked" as state:
                reason = "nothing_heard" if state == "assumed" else "left_to_a_person"
                done[state] += await set_aside(store, doubt, state, reason)
    return Round(proven, done["assumed"], done["asked"], repeat)


async def heard(store: Store, events: Sequence[Event]) -> int:
    """Late evidence: end the doubts about the mails of these events; how many there were. Raises store.Unavailable."""
    proofs = strongest(events)
    doubts = await store.messages.doubtful(list(proofs)) if proofs else []
    return await _by_events(store, doubts, proofs.values())


async def prove(store: Store, doubt: Doc, state: str, reason: str, *, by: str = "", why: str = "") -> bool:
    """End a doubt with proof: `sent`, `bounced` or `complained`; False when it was resolved in the meantime.

    The hand-over goes first: a crash between leaves a doubt that is proven again, and no withdrawal waits for it.
    Nothing can claim the mail meanwhile but a second turn, and that one's hand-over has a higher epoch. Which of two
    conversations a proof is of nobody knows, so after a second turn began they are listed, not pulled.
    """
    if "person" in doubt and doubt.get("again"):
        await store.persons.to_stale(doubt["person"], doubt["_id"], doubt.get("epoch", 0))
    elif "person" in doubt:
        await store.persons.clear(doubt["person"], doubt["_id"], doubt.get("epoch", 0))
    return await store.messages.resolve(doubt["_id"], state, reason, by=by, why=why)


async def set_aside(store: Store, doubt: Doc, state: str, reason: str, *, by: str = "", why: str = "") -> bool:
    """End a doubt without proof, as `assumed` or `asked`: its hand-over moves to `stale` first."""
    if "person" in doubt:
        await store.persons.to_stale(doubt["person"], doubt["_id"], doubt.get("epoch", 0))
    return await store.messages.resolve(doubt["_id"], state, reason, by=by, why=why)


async def _by_events(store: Store, doubts: Sequence[Doc], events: Iterable[Event]) -> int:
    proofs = strongest(events)
    proven = 0
    for doubt in doubts:
        proof = proofs.get(doubt["_id"])
        # The token of one person's mail says nothing about another's.
        if proof is not None and proof.person == doubt.get("person"):
            proven += await prove(store, doubt, PROVES[proof.kind], proof.kind)
    return proven


def _strength(event: Event) -> int:
    return _STRENGTH.index(PROVES[event.kind])
