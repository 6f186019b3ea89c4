"""What is known of the mails in doubt, and what a person or a relay's log answers about them."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from preklic_shared.registry import Purpose, Registry
from preklic_workers import doubt, relaylog
from preklic_workers.store import Doc, Event, Store
from preklic_workers.store.person_docs import UNTIL

Answer = Literal["sent", "assumed"]
_PAGE: Final = 1000


class TooSoon(Exception):
    """The relay may still answer: nobody may assume anything yet."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """One mail: its state before and after (None: nothing is recorded). `in_doubt` False: it was not to be resolved."""

    job: str
    before: str | None
    after: str | None
    in_doubt: bool


async def listing(store: Store, registry: Registry, *, purpose: str | None, limit: int) -> list[dict[str, Any]]:
    """The mails in doubt, the longest first, as rows of ids, times, states and codes. Raises store.Unavailable."""
    doubts = [doc for doc in await store.messages.doubts() if purpose in {None, doc["purpose"]}][:limit]
    events: dict[str, list[Event]] = {}
    for event in await store.events.of_all([doc["_id"] for doc in doubts]):
        events.setdefault(event.message, []).append(event)
    return [_row(doc, registry.get(doc["purpose"]), events.get(doc["_id"], ())) for doc in doubts]


async def resolve(store: Store, jobs: Sequence[str], state: Answer, *, by: str, why: str) -> list[Resolved]:
    """End these doubts by a person's word; what has this state already stays as it is. Raises TooSoon, Unavailable.

    Nothing is changed when one of them is too soon to be assumed.
    """
    docs = {job: doc for job in jobs if (doc := await store.messages.show(job)) is not None}
    if state == "assumed":
        early = [doc for doc in docs.values() if doc["state"] == "in_doubt" and store.mongo.now() - doc["at"] <= UNTIL]
        if early:
            until = max(doc["at"] for doc in early) + UNTIL
            raise TooSoon(f"the relay may still answer about {len(early)} of them until {until:%Y-%m-%d %H:%M} UTC")
    return [await _answer(store, job, docs.get(job), state, by, why) for job in dict.fromkeys(jobs)]


async def by_log(store: Store, proofs: Mapping[str, str], *, by: str, why: str) -> list[Resolved]:
    """End the doubts that a relay's log ends (job -> what it proves). Raises Unavailable."""
    jobs, resolved = list(proofs), []
    for start in range(0, len(jobs), _PAGE):
        for doc in await store.messages.doubtful(jobs[start : start + _PAGE]):
            proof = proofs[doc["_id"]]
            ended = await doubt.prove(store, doc, proof, "relay_log", by=by, why=why)
            resolved.append(Resolved(doc["_id"], doc["state"], proof if ended else doc["state"], ended))
    return resolved


def proofs_of(file: Path, registry: Registry) -> dict[str, str]:
    """What a relay's log proves of our mails, by job id. Raises relaylog's Unreadable, UnknownFormat, TooMuch."""
    return relaylog.read(file, registry.sender_domains)


def since(doc: Doc) -> dt.datetime:
    """When the mail came into doubt last."""
    times: Iterable[dt.datetime] = [one["at"] for one in doc.get("history", ()) if one["state"] == "in_doubt"]
    return max(times, default=doc["at"])


async def _answer(store: Store, job: str, doc: Doc | None, state: Answer, by: str, why: str) -> Resolved:
    before = None if doc is None else doc["state"]
    if doc is None or before == state:
        return Resolved(job, before, before, in_doubt=before == state)
    # A hand-over is moved or pulled only for what is in doubt: any other message's is its worker's business.
    if state == "sent" and await store.messages.doubtful([job]):
        ended = await doubt.prove(store, doc, state, "answered", by=by, why=why)
    elif state == "assumed" and before in {"in_doubt", "asked"}:
        ended = await doubt.set_aside(store, doc, state, "answered", by=by, why=why)
    else:
        ended = False
    return Resolved(job, before, state if ended else before, ended)


def _row(doc: Doc, purpose: Purpose | None, events: Sequence[Event]) -> dict[str, Any]:
    sender = purpose.sender if purpose else None
    return {
        "job": doc["_id"],
        "purpose": doc["purpose"],
        "since": since(doc),
        "state": doc["state"],
        "policy": purpose.in_doubt if purpose else "unknown purpose",
        "relay": doc.get("relay", ""),
        "message_id": f"<{doc['_id']}@{sender.address.rpartition('@')[2]}>" if sender else "",
        "reason": doc.get("reason", ""),
        "known": sorted({event.kind for event in events}),
        "second_turn": doc.get("again", False),
    }
