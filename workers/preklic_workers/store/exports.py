"""All that is recorded of one person, read and opened for the person alone (GDPR 15 and 20).

One of the few modules that decrypt: `tests/unit/test_decrypting.py` holds the list of them.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_workers.envelope import GROUPS, AnyKey, NoKey
from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.persons import Persons
from preklic_workers.store.vault import COLLECTION, Owner, Vault

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
    "held_mails": "mail.created",
}
Tick = Callable[[int, int], None]
Keys = Mapping[Owner, AnyKey]


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
    held_mails: list[Doc]


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
        keys = await self._vault.openers([(subject, group) for group in GROUPS])
        rows = await asyncio.gather(*(self._rows(name, subject, by) for name, by in _BY_PERSON.items()))
        found = dict(zip(_BY_PERSON, rows, strict=True))
        return Whole(
            person=person,
            address=await self._address(subject),
            fields={group: _fields(person, group, keys) for group in sorted(person.get("fields", {}))},
            proofs={row["_id"]: _proof(row, keys) for row in found["permissions"]},
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


def _fields(person: Doc, group: str, keys: Keys) -> dict[str, Any] | None:
    return _opened(keys, (person["_id"], group), bytes(person["fields"][group]), COLLECTION, group)


def _proof(row: Doc, keys: Keys) -> dict[str, Any] | None:
    return _opened(keys, (row["person"], "evidence"), bytes(row["proof"]), "permissions", row["_id"])


def _opened(keys: Keys, owner: Owner, stored: bytes, collection: str, field: str) -> dict[str, Any] | None:
    if not stored:
        return None
    try:
        plain = keys[owner].decrypt(stored, owner[0], collection, field)
    except NoKey:
        return None
    return dict(msgspec.json.decode(plain))
