"""Copies: the exact octets of mails to somebody whose hold asks for them (U13), recorded before they can leave.

They are encrypted under the person's key of `contact`, which goes under the hold's own at an erasure. The entry for the
ledger rides on the copy and commits to the octets' hash, so that nobody can put others in their place later. No copy
outlives the last hold that asks for it.
"""

import datetime as dt
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pymongo import DeleteMany

from preklic_workers.envelope import Altered, NoKey
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.vault import Vault

_COLLECTION: Final = "copies"
_ASKED: Final[Doc] = {"holds.octets": True}


@dataclass(frozen=True, slots=True)
class Copy:
    """The octets that one attempt (epoch) of a mail handed to its relay, if it came that far."""

    mail: str
    epoch: int
    octets: bytes


class Copies:
    """The collection `copies`. All methods raise `Unavailable`: a mail whose copy is not kept does not leave."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._mongo = mongo
        self._copies = mongo[_COLLECTION]
        self._persons = mongo["persons"]
        self._vault = vault

    async def keep(self, person: str, copy: Copy) -> None:
        """Record what is about to leave. Raises `NoKey` or `Altered`: it must not leave then."""
        name, now = f"{copy.mail}:{copy.epoch}", self._mongo.now()
        key = await self._vault.key(person, "contact")
        doc: Doc = {"_id": name, "mail": copy.mail, "epoch": copy.epoch, "person": person, "at": now}
        doc |= {"sha256": hashlib.sha256(copy.octets).hexdigest(), "size": len(copy.octets)}
        doc |= {"octets": key.encrypt(copy.octets, person, _COLLECTION, name)}
        await self._copies.insert(doc | {"leaves": [{"at": now, "what": "kept"}]})

    async def of(self, persons: Collection[str], mails: Collection[str] | None) -> list[Copy]:
        """The copies that are kept of these persons, or of these of their mails. Raises `Altered`.

        Of somebody whose last hold ended in this moment there are none: the key is gone.
        """
        where: Doc = {"person": {"$in": list(persons)}} | ({} if mails is None else {"mail": {"$in": list(mails)}})
        docs = await self._copies.find(where, sort=[("_id", 1)])
        keys = await self._vault.openers([(person, "contact") for person in sorted({doc["person"] for doc in docs})])
        asked = {doc["_id"] for doc in await self._asked({person for person, _ in keys})}
        found: list[Copy] = []
        for doc in docs:
            try:
                octets = keys[doc["person"], "contact"].decrypt(
                    bytes(doc["octets"]), doc["person"], _COLLECTION, doc["_id"]
                )
            except (NoKey, Altered):
                if doc["person"] in asked:
                    raise
                continue
            found.append(Copy(doc["mail"], doc["epoch"], octets))
        return found

    async def since(self, person: str, at: dt.datetime) -> set[str]:
        """The mails to this person of which copies were kept from this moment on."""
        where: Doc = {"person": person, "at": {"$gte": at}}
        return {doc["mail"] for doc in await self._copies.find(where, {"mail": 1})}

    async def drop(self) -> None:
        """Delete the copies that no hold asks for any more, once the ledger has their entries."""
        over: Doc = {"leaves.at": {"$exists": False}}
        persons = {doc["person"] for doc in await self._copies.find(over, {"person": 1})}
        gone = sorted(persons - {doc["_id"] for doc in await self._asked(persons)})
        if gone and not (await self._copies.bulk([DeleteMany(over | {"person": {"$in": gone}})])).sure:
            raise Unavailable(_COLLECTION)

    async def _asked(self, persons: Collection[str]) -> list[Doc]:
        return await self._persons.find({"_id": {"$in": list(persons)}, **_ASKED}, {"_id": 1})
