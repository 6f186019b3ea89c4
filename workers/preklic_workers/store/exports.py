"""All that is recorded of one person, read and opened for the person alone (GDPR 15 and 20).

One of the few modules that decrypt: `tests/unit/test_decrypting.py` holds the list of them.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_workers.envelope import NoKey
from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.persons import Persons
from preklic_workers.store.vault import COLLECTION, Vault

# A mail is found by its time: an index by person would have to be written with each of them.
WINDOW: Final = dt.timedelta(days=30)
# Collections whose documents name the person, each with its time.
_BY_PERSON: Final = {
    "permissions": "at",
    "events": "at",
    "withdrawals": "accepted",
    "dead": "first",
    "acts": "at",
    "copies": "at",
}
Tick = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Whole:
    """One person's documents as they are, with what was encrypted in the clear.

    `fields` by group: name -> {value, source, at}. `proofs` by row. None where the key is gone.
    """

    person: Doc
    address: str | None
    fields: dict[str, dict[str, Any] | None]
    proofs: dict[str, dict[str, Any] | None]
    permissions: list[Doc]
    mails: list[Doc]
    events: list[Doc]
    withdrawals: list[Doc]
    dead: list[Doc]
    acts: list[Doc]
    copies: list[Doc]


class Exports:
    """Reads persons whole. Raises `Unavailable`, `Altered` when a ciphertext does not open where it stands."""

    def __init__(self, mongo: Mongo, persons: Persons, vault: Vault) -> None:
        self._mongo = mongo
        self._people = persons
        self._vault = vault

    async def whole(self, subject: str, tick: Tick) -> Whole | None:
        """The person, None when nobody is recorded; `tick` is told how many months of mails are read, and of how many.

        What a role may not open is not left out in silence: it needs the keys of every group.
        """
        person = await self._mongo["persons"].find_one({"_id": subject})
        if person is None:
            return None
        rows = await asyncio.gather(*(self._rows(name, subject, by) for name, by in _BY_PERSON.items()))
        found = dict(zip(_BY_PERSON, rows, strict=True))
        return Whole(
            person=person,
            address=await self._address(subject),
            fields={group: await self._fields(person, group) for group in sorted(person.get("fields", {}))},
            proofs={row["_id"]: await self._proof(row) for row in found["permissions"]},
            mails=await self._mails(subject, tick),
            **found,
        )

    async def _rows(self, collection: str, subject: str, by: str) -> list[Doc]:
        return await self._mongo[collection].find({"person": subject}, {"body": 0, "octets": 0}, sort=[(by, 1)])

    async def _address(self, subject: str) -> str | None:
        try:
            return await self._people.address_of(subject)
        except NoKey:
            return None

    async def _fields(self, person: Doc, group: str) -> dict[str, Any] | None:
        found = await self._opened(person["_id"], group, bytes(person["fields"][group]), COLLECTION, group)
        return None if found is None else dict(msgspec.json.decode(found))

    async def _proof(self, row: Doc) -> dict[str, Any] | None:
        found = await self._opened(row["person"], "evidence", bytes(row["proof"]), "permissions", row["_id"])
        return None if found is None else dict(msgspec.json.decode(found))

    async def _opened(self, subject: str, group: str, stored: bytes, collection: str, field: str) -> bytes | None:
        if not stored:
            return None
        try:
            key = await self._vault.key(subject, group)
        except NoKey:
            return None
        return key.decrypt(stored, subject, collection, field)

    async def _mails(self, subject: str, tick: Tick) -> list[Doc]:
        messages = self._mongo["messages"]
        first = await messages.find({}, {"created": 1}, sort=[("created", 1)], limit=1)
        start = first[0]["created"] if first else self._mongo.now()
        end = self._mongo.now() + dt.timedelta(days=1)
        months = -((start - end) // WINDOW)
        found: list[Doc] = []
        for month in range(months):
            begin = start + month * WINDOW
            where = {"created": {"$gte": begin, "$lt": begin + WINDOW}, "person": subject}
            found += await messages.find(where, sort=[("created", 1)])
            tick(month + 1, months)
        return found
