"""Holds in a person's document, and what they keep from an erasure (U13). Pure.

What an erasure would destroy and a hold covers is moved, as it is encrypted, to `held`: no way of a mail looks there.
`waiting` names the groups whose erasure is owed; their keys go over to the holds (`held_keys`), and end with them.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from preklic_workers.officers import Signed
from preklic_workers.permission import STRICTEST
from preklic_workers.store.mongo import Doc
from preklic_workers.store.signatures import signed_doc, signed_of

MOST_HOLDS: Final = 20
# A person under a hold who comes back and is erased again adds a ciphertext each time; the first ones are kept.
MOST_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: for a `case`, over these field groups and so many mails, until a moment (UTC). `body` is what `signed`.

    `mails` is how many records of mails were copied for it; `octets`: those that leave while it stands are kept whole.
    """

    id: str
    case: str
    groups: tuple[str, ...]
    since: dt.datetime
    until: dt.datetime
    mails: int
    body: bytes
    signed: Signed
    octets: bool = False


def hold_doc(hold: Hold) -> Doc:
    """A hold as it stands in the array `holds`."""
    fields: Doc = {"id": hold.id, "case": hold.case, "groups": list(hold.groups), "from": hold.since}
    fields |= {"until": hold.until, "mails": hold.mails, "body": hold.body}
    return fields | {"signed": signed_doc(hold.signed), "octets": hold.octets}


def hold_of(doc: Doc) -> Hold:
    """A hold as it was recorded."""
    return Hold(
        id=doc["id"],
        case=doc["case"],
        groups=tuple(doc["groups"]),
        since=doc["from"],
        until=doc["until"],
        mails=doc["mails"],
        body=bytes(doc["body"]),
        signed=signed_of(doc["signed"]),
        octets=doc["octets"],
    )


def held_groups(doc: Doc) -> frozenset[str]:
    """The field groups that any hold of this person covers, until it is released."""
    return frozenset(group for hold in doc.get("holds", ()) for group in hold["groups"])


def set_aside(doc: Doc, groups: Collection[str], at: dt.datetime, now: dt.datetime) -> Doc:
    """What an erasure at `at`, applied `now`, sets so that the held groups stay, closed to mail."""
    owed = sorted({*groups, *doc.get("waiting", {}).get("groups", ())})
    fields: Doc = {"erased_seq": doc["seq"] + 1}
    if owed:
        fields["waiting"] = {"groups": owed, "at": at, "applied": now}
    for group in groups:
        if (stored := ciphertext(doc, group)) is not None:
            fields[f"held.{group}"] = [*doc.get("held", {}).get(group, ()), stored][:MOST_KEPT]
    return fields


def owed_groups(doc: Doc) -> frozenset[str]:
    """The groups whose erasure waits and which no hold covers any more: they are to be emptied now."""
    return frozenset(doc.get("waiting", {}).get("groups", ())) - held_groups(doc)


def emptying(doc: Doc, groups: Collection[str]) -> Doc:
    """The update that takes what was held of these groups away."""
    left = [group for group in doc.get("waiting", {}).get("groups", ()) if group not in groups]
    held = [group for group in doc.get("held", {}) if group not in groups]
    gone = [f"held.{group}" for group in doc.get("held", {}) if group in groups] if held else ["held"]
    update: Doc = {"$set": {"seq": doc["seq"] + 1}}
    if left:
        update["$set"]["waiting.groups"] = left
    return update | {"$unset": dict.fromkeys(gone if left else [*gone, "waiting"], "")}


def ciphertext(doc: Doc, group: str) -> bytes | None:
    """What stands in the document for one group, where mail and profiles look for it."""
    stored = doc.get("contact") if group == "contact" else doc.get("fields", {}).get(group)
    return None if stored is None else bytes(stored)


def alive(doc: Doc, group: str, states: Collection[str] = STRICTEST) -> bool:
    """Whether the group has data that no erasure has ended: then its key is in use.

    Proofs of permissions are in a collection of their own: what was said since the last erasure (one of `states`, and
    not by a contract) may have one.
    """
    if ciphertext(doc, group) is not None:
        return True
    if group != "evidence":
        return False
    said = [one for one in doc["permissions"].values() if one["seq"] > doc.get("erased_seq", -1)]
    return any(one["state"] in states and "source" not in one for one in said)


def lacking(doc: Doc, groups: Collection[str], keys: Collection[str]) -> list[str]:
    """Those of `groups` that a new hold would claim in vain; `keys` are the groups of which the person has a key.

    What is gone, and what an erasure that is under way is about to destroy, cannot be held any more.
    """
    there = held_groups(doc) | {group for group in groups if alive(doc, group, ("granted", "pending"))}
    if "erased_seq" not in doc:  # a key that no erasure is about to destroy
        there |= {"evidence"}
    return [group for group in groups if group not in there or group not in keys]
