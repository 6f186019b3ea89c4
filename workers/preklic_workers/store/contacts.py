"""The addresses of known persons, read in groups: for mails that name the person and no address."""

from preklic_workers.envelope import Altered, DataKey, NoKey
from preklic_workers.permission import Person
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Mongo
from preklic_workers.store.person_docs import FACTS, person_of
from preklic_workers.store.vault import COLLECTION, Vault


class Contacts:
    """All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._persons = mongo["persons"]
        self._vault = vault
        self._reads: Grouper[bytes, Person | None] = Grouper(self._read_group)
        self._keys: Grouper[str, DataKey] = Grouper(self._key_group)

    async def of(self, pid: bytes) -> Person | None:
        """What `permission.may` needs of the person of that id, with the address as it is encrypted."""
        return await self._reads(pid)

    async def address_in(self, person: Person) -> str:
        """The address in the clear. Raises `NoKey` or `Altered`."""
        key = await self._keys(person.id)
        return key.decrypt(bytes(person.contact or b""), person.id, COLLECTION, "contact").decode()

    async def _read_group(self, pids: list[bytes]) -> list[Person | Exception | None]:
        docs = await self._persons.find({"pid": {"$in": list(set(pids))}}, FACTS | {"contact": 1})
        people = {person.pid: person for person in map(person_of, docs)}
        return [people.get(pid) for pid in pids]

    async def _key_group(self, subjects: list[str]) -> list[DataKey | Exception]:
        found = await self._vault.keys_of([(subject, "contact") for subject in set(subjects)])
        keys: list[DataKey | NoKey | Altered] = [found.get((one, "contact"), NoKey("contact")) for one in subjects]
        return list(keys)
