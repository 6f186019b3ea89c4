"""Persons: one document for each address, unique by its suppression hash; read, found, joined and emptied here."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from preklic_shared.addresses import Address
from preklic_shared.providers import provider_of
from preklic_shared.randomness import random_octets
from preklic_shared.registry import Purpose
from preklic_shared.tokens import PID_BYTES
from preklic_workers.blind import Blind
from preklic_workers.envelope import DataKey
from preklic_workers.permission import Person
from preklic_workers.store.acts import Acts
from preklic_workers.store.emptying import emptied_doc
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.holding import held_groups
from preklic_workers.store.holds import tell_held
from preklic_workers.store.mongo import Doc, Duplicate, Mongo, Unavailable
from preklic_workers.store.person_docs import FACTS, fresh, person_of, place
from preklic_workers.store.vault import COLLECTION, Vault

_TRIES: Final = 50
MOST_FIELDS: Final = 200  # of one group of one person
MOST_OCTETS: Final = 256 * 1024
_WHOLE: Final = {"withdrawals": 0}


class TooManyFields(Exception):
    """No further field fits into this group of this person."""


class Persons:
    """The collection `persons`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault, blind: Blind) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._vault = vault
        self._blind = blind
        self._acts = Acts(mongo)
        self._reads: Grouper[str, Person | None] = Grouper(self._read_group)

    async def read(self, subject: str) -> Person | None:
        """What `permission.may` needs of a person; the hand-overs and the address are left out."""
        return await self._reads(subject)

    async def whole(self, subject: str) -> Person | None:
        """All facts of a person, hand-overs included."""
        return await self._one({"_id": subject}, _WHOLE)

    async def by_pid(self, pid: bytes) -> Person | None:
        """The person whose tokens carry `pid`; an erased one is found too, so that old links still say no."""
        return await self._one({"pid": pid})

    async def by_pids(self, pids: Sequence[bytes], fields: Doc = FACTS) -> dict[bytes, Person]:
        """Those of them that exist, by pid, with their last sign of life: one read for a batch, of these fields."""
        return {person.pid: person for person in await self._some("pid", pids, fields)}

    async def by_ids(self, subjects: Sequence[str], fields: Doc = FACTS) -> dict[str, Person]:
        """`by_pids`, but by suppression hash."""
        return {person.id: person for person in await self._some("_id", subjects, fields)}

    async def by_ref(self, ref: str) -> Person | None:
        """The person whom a website calls `ref`."""
        return await self._one({"ref_hash": self._blind.ref(ref)})

    async def all_by_ref(self, ref: str) -> list[str]:
        """The subject of every person whom a website calls `ref`: one who changed the address has two documents."""
        return [doc["_id"] for doc in await self._persons.find({"ref_hash": self._blind.ref(ref)}, {"_id": 1})]

    async def with_contact(self, subjects: Sequence[str]) -> set[str]:
        """Those of them whose address is recorded."""
        where = {"_id": {"$in": list(subjects)}, "contact": {"$exists": True}}
        return {doc["_id"] for doc in await self._persons.find(where, {"_id": 1})}

    async def by_lookup(self, address: Address) -> Person | None:
        """The person with this address, by the look-up hash: erased and merely suppressed ones have none."""
        return await self._one({"lookup": self._blind.find(address)})

    async def ensure(self, address: Address, purpose: Purpose, job: str, at: dt.datetime, source: str) -> Person:
        """Record an address that a contract brings (law 5), with its provenance; a known one stays as it is.

        Somebody erased is back for this purpose alone: the suppression `erased` stays, and so does every no.
        """
        subject = self._blind.subject(address)
        contact = await self.contact_fields(subject, address)

        def joined(doc: Doc) -> Doc | None:
            if doc.get("contact") is not None and place(purpose.key) in doc["permissions"]:
                return None
            said = {"state": "granted", "at": at, "job": job, "seq": doc["seq"] + 1, "source": source}
            return {"$set": contact | {"erased": False, f"permissions.{place(purpose.key)}": said}}

        return person_of(await self.change(subject, joined))

    async def contact_fields(self, subject: str, address: Address, ref: str | None = None) -> Doc:
        """The fields that join an address to its person: encrypted, and found by hash only."""
        key = await self._vault.key_or_new(subject, "contact")
        return contact_doc(key, self._blind, subject, address, ref)

    async def address_of(self, subject: str) -> str | None:
        """The address in the clear, None when it is not recorded. Raises `NoKey` or `Altered`."""
        if not (doc := await self._persons.find_one({"_id": subject}, {"contact": 1})) or doc.get("contact") is None:
            return None
        key = await self._vault.key(subject, "contact")
        return key.decrypt(bytes(doc["contact"]), subject, COLLECTION, "contact").decode()

    async def enrich(self, subject: str, group: str, data: Mapping[str, Any], source: str, at: dt.datetime) -> bool:
        """Join fields of one group, each with its provenance; False when the person is unknown or erased.

        Raises `NoKey` when this role may not open the group, `Altered` when what is there does not open, and
        `TooManyFields`.
        """
        for _ in range(_TRIES):
            doc = await self._persons.find_one({"_id": subject}, {"seq": 1, "erased": 1, f"fields.{group}": 1})
            if doc is None or doc.get("erased"):
                await self.finish(subject)
                return False
            key = await self._vault.key_or_new(subject, group)
            stored = doc.get("fields", {}).get(group)
            old = key.decrypt(bytes(stored), subject, COLLECTION, group) if stored is not None else b"{}"
            now = {name: {"value": value, "source": source, "at": at.isoformat()} for name, value in data.items()}
            plain = msgspec.json.encode(joined := msgspec.json.decode(old) | now)
            if len(joined) > MOST_FIELDS or len(plain) > MOST_OCTETS:
                raise TooManyFields
            fields = {f"fields.{group}": key.encrypt(plain, subject, COLLECTION, group), "seq": doc["seq"] + 1}
            if (
                await self._persons.change({"_id": subject, "seq": doc["seq"]}, {"$set": fields}, {"_id": 1})
                is not None
            ):
                return True
        raise Unavailable("contention")

    async def fields(self, subject: str, group: str) -> dict[str, Any]:
        """The person's fields of one group: name -> value; empty when there are none. Raises `NoKey` or `Altered`."""
        doc = await self._persons.find_one({"_id": subject}, {f"fields.{group}": 1})
        if (stored := (doc or {}).get("fields", {}).get(group)) is None:
            return {}
        key = await self._vault.key(subject, group)
        plain = key.decrypt(bytes(stored), subject, COLLECTION, group)
        return {name: said["value"] for name, said in msgspec.json.decode(plain).items()}

    async def _one(self, where: Doc, fields: Doc = FACTS) -> Person | None:
        doc = await self._persons.find_one(where, fields)
        return person_of(doc) if doc else None

    async def _some(self, field: str, values: Sequence[Any], fields: Doc) -> list[Person]:
        where = {field: {"$in": list(set(values))}}
        return list(map(person_of, await self._persons.find(where, fields | {"alive": 1})))

    async def change(self, subject: str, decide: Callable[[Doc], Doc | None]) -> Doc:
        """Change a person's document by its own facts: `decide` sees it and answers an update, or None to leave it.

        Each change rises `seq` by one, and is tried again when somebody else's came between. Creates the document.
        """
        for _ in range(_TRIES):
            doc = await self._persons.find_one({"_id": subject}, _WHOLE)
            if doc is None:
                await self._create(subject)
                continue
            if (update := decide(doc)) is None:
                return doc
            update.setdefault("$set", {})["seq"] = doc["seq"] + 1
            if (changed := await self._persons.change({"_id": subject, "seq": doc["seq"]}, update, _WHOLE)) is not None:
                return changed
        raise Unavailable("contention")

    async def erase(
        self, subject: str, at: dt.datetime, kept: Callable[[Person], frozenset[str] | None]
    ) -> frozenset[str] | None:
        """Empty the document to its hash and destroy the keys, if `kept` says so; what it said.

        `kept` sees the person of that very moment and answers the groups that stay for an open contract, or None to
        leave the person alone. What a hold covers is set aside in that write (U13), and its keys then: upkeep puts them
        under the hold's own. The hash, the `pid` for old links and hand-overs under way stay. Repeating it finishes
        what was killed. `Erasures` empties the rest.
        """
        answer: frozenset[str] | None = None
        before: Doc = {}

        def emptied(doc: Doc) -> Doc | None:
            nonlocal answer, before
            answer, before = kept(person_of(doc)), doc
            return None if answer is None else emptied_doc(doc, at, answer, self._mongo.now())

        doc = await self.change(subject, emptied)
        if answer is None and not doc["erased"]:
            return None
        if answer is not None and (aside := held_groups(before) - answer):
            await tell_held(self._acts, before, aside, at)
        await self._vault.destroy(subject, keep=answer or (), held=held_groups(before))
        return (answer or frozenset()) | held_groups(before)

    async def finish(self, subject: str) -> None:
        """After a job that made a key: destroy it if the person was erased meanwhile, or was not there to be known."""
        doc = await self._persons.find_one({"_id": subject, "erased": True}, {"holds": 1})
        if doc is not None:
            await self._vault.destroy(subject, held=held_groups(doc))

    async def to_stale(self, subject: str, message: str, upto: int) -> None:
        """Move a message's hand-overs aside: they block no gate and no drain, and every receipt lists them.

        Only those up to the epoch `upto`: a second turn may have begun since somebody read that the first is in doubt.
        """

        def moved(doc: Doc) -> Doc | None:
            going = [entry for entry in doc["open"] if entry["message"] == message and entry["epoch"] <= upto]
            if not going:
                return None
            staying = [entry for entry in doc["open"] if entry not in going]
            return {"$set": {"open": staying, "stale": [*doc["stale"], *going]}}

        await self.change(subject, moved)

    async def clear(self, subject: str, message: str, epoch: int) -> None:
        """Take a message's hand-overs off up to this epoch: there is proof of how those conversations ended."""
        there = {"_id": subject, "$or": [{"open.message": message}, {"stale.message": message}]}
        entry = {"message": message, "epoch": {"$lte": epoch}}
        await self._persons.change(there, {"$pull": {"open": entry, "stale": entry}, "$inc": {"seq": 1}}, {"_id": 1})

    async def open_hand_overs(self, messages: Mapping[str, str]) -> set[str]:
        """Those of `messages` (message -> subject) that have an open hand-over."""
        where = {"_id": {"$in": list(set(messages.values()))}}
        docs = await self._persons.find(where, {"open.message": 1})
        return {entry["message"] for doc in docs for entry in doc.get("open", ())} & set(messages)

    async def _create(self, subject: str) -> None:
        try:
            await self._persons.insert(fresh(subject, random_octets(PID_BYTES)))
        except Duplicate:
            return

    async def _read_group(self, subjects: list[str]) -> list[Person | Exception | None]:
        docs = await self._persons.find({"_id": {"$in": list(set(subjects))}}, FACTS)
        found = {doc["_id"]: person_of(doc) for doc in docs}
        return [found.get(subject) for subject in subjects]


def contact_doc(key: DataKey, blind: Blind, subject: str, address: Address, ref: str | None) -> Doc:
    """An address and a website's own name as they stand in a person's document."""
    fields: Doc = {
        "contact": key.encrypt(address.text.encode(), subject, COLLECTION, "contact"),
        "lookup": blind.find(address),
        "provider": provider_of(address.domain),
    }
    return fields | ({"ref_hash": blind.ref(ref)} if ref is not None else {})
