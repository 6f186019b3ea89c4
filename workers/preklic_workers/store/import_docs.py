"""What a list's yes becomes, by the person's document: always the stricter answer of the two. Pure."""

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import msgspec

from preklic_shared.addresses import Address
from preklic_shared.registry import Purpose
from preklic_workers.permission import strictest
from preklic_workers.proving import Proven
from preklic_workers.store.grants import last_no
from preklic_workers.store.mongo import Doc
from preklic_workers.store.person_docs import place

Yes = Literal["granted", "pending"]
ListState = Literal["granted", "pending", "kept"]
"""`kept`: what is recorded already is as strict, or stricter, and stays."""


class ListGrant(msgspec.Struct, frozen=True):
    """A yes of a list: its job, the person's suppression hash, when it was said, its proof as JSON.

    `proven` is what of the proof may stand in the clear. `state` is what the list itself says; None leaves it to the
    purpose (pending where it asks twice).
    """

    job: str
    subject: str
    address: Address
    at: dt.datetime
    proof: bytes
    proven: Proven
    state: Yes | None = None
    ref: str | None = None


def judge(doc: Doc | None, grant: ListGrant, key: str, purpose: Purpose | None) -> ListState:
    """What `grant` becomes for one purpose or switch (`purpose` None) of the person in `doc`.

    It lifts nothing: no erasure, no suppression, no no however old, no pending. Where both said yes, the one that is
    less of a yes stands. What this very grant recorded is its own answer.
    """
    asked = grant.state or ("pending" if purpose is not None and purpose.double_opt_in else "granted")
    if doc is None:
        return asked
    said = doc["permissions"].get(place(key))
    if said is not None and said["job"] == grant.job and said["state"] in {"granted", "pending"}:
        return "granted" if said["state"] == "granted" else "pending"
    if closed(doc, key, purpose):
        return "kept"
    if said is None:
        return asked
    # Only a list that says so itself makes less of a yes: one that leaves it to the purpose says nothing new.
    stands = strictest([said["state"], grant.state or "granted"])
    return "kept" if stands == said["state"] else "pending"


def closed(doc: Doc, key: str, purpose: Purpose | None) -> bool:
    """Whether anything that this person ever said or suffered speaks against a yes that comes by a list."""
    if doc.get("erased") or "erased" in doc["suppressed"]:
        return True
    rests_on_choice = purpose is None or purpose.needs_known_person
    return rests_on_choice and (bool(doc["suppressed"]) or last_no(doc, key) is not None)


def new_states(doc: Doc | None, grant: ListGrant, states: Mapping[str, ListState]) -> dict[str, ListState]:
    """Those of `states` that have still to be written."""
    permissions = doc["permissions"] if doc is not None else {}
    return {
        key: state
        for key, state in states.items()
        if state != "kept" and permissions.get(place(key), {}).get("job") != grant.job
    }


def permissions_of(grant: ListGrant, states: Mapping[str, ListState], seq: int) -> Doc:
    """The answers as they stand in a person's document, with where they come from."""
    said = {"at": grant.at, "job": grant.job, "seq": seq, "source": "import"}
    return {place(key): {"state": state} | said for key, state in states.items()}


def unchanged(doc: Doc) -> Doc:
    """The condition that nobody wrote to this person since `doc` was read: a no in between wins."""
    return {"_id": doc["_id"], "seq": doc["seq"]}
