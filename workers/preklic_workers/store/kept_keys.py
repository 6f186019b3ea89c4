"""The keys that an erasure leaves to legal holds (U13), as they stand in the collection `keys`. Pure.

A hold has a key of its own, wrapped under the epoch keys of `hold`. In its document stand the keys of the person's
groups that it covers, each encrypted under it and bound to person, hold, group and name: that is all that is left of
them once an erasure is through. Until upkeep has put them there they are set aside: the person's own key no more.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from preklic_workers.envelope import HOLD, Altered, DataKey, WrappedKey
from preklic_workers.store.mongo import Doc

_PLACE: Final = "keys"
MOST: Final = 10_000  # keys in one hold's document: 1.5 MB


class Kept(NamedTuple):
    """A key that is left of a person's group; `name` tells it from others of that group."""

    person: str
    group: str
    name: str
    key: DataKey


def hold_id(person: str, hold: str) -> Doc:
    """The `_id` of a hold's key; the order of its fields matters to MongoDB."""
    return {"p": person, "g": HOLD, "h": hold}


def hold_key(person: str, hold: str, wrapped: WrappedKey, at: dt.datetime) -> Doc:
    """A hold's key that keeps nothing yet, made at `at`."""
    fields: Doc = {"_id": hold_id(person, hold), "wrapped": wrapped.wrapped, "epoch": wrapped.epoch}
    return fields | {"held": person, "made": at, "kept": []}


def aside(person: str, group: str, wrapped: WrappedKey, at: dt.datetime) -> Doc:
    """A person's key that waits for its holds; of the same wrapped key it is the same document."""
    name = hashlib.sha256(wrapped.wrapped).hexdigest()[:32]
    fields: Doc = {"_id": {"p": person, "g": group, "n": name}, "wrapped": wrapped.wrapped, "epoch": wrapped.epoch}
    return fields | {"held": person, "aside": at}


def entry(under: DataKey, hold: str, kept: Kept) -> Doc:
    """A key as a hold's document keeps it: encrypted `under` the hold's key."""
    wrapped = under.encrypt(kept.key.raw, kept.person, _PLACE, _field(hold, kept.group, kept.name))
    return {"g": kept.group, "n": kept.name, "wrapped": wrapped}


def kept_in(doc: Doc, under: DataKey) -> Iterator[Kept]:
    """What a hold's document keeps; another one keeps nothing. Raises `Altered`."""
    person, hold = doc["_id"]["p"], doc["_id"].get("h")
    for one in doc.get("kept", ()):
        raw = under.decrypt(bytes(one["wrapped"]), person, _PLACE, _field(hold, one["g"], one["n"]))
        yield Kept(person, one["g"], one["n"], DataKey(raw))


def opens(key: DataKey, stored: bytes, person: str, collection: str, field: str) -> bool:
    """Whether a ciphertext at this place is under this key."""
    try:
        key.decrypt(stored, person, collection, field)
    except Altered:
        return False
    return True


def _field(hold: str, group: str, name: str) -> str:
    return f"{hold}.{group}.{name}"
