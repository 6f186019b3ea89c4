"""The fields that mail may be made individual with: read for many persons at once, and only for mails that ask."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from preklic_workers.envelope import Altered, DataKey, NoKey
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Mongo
from preklic_workers.store.vault import COLLECTION, Vault

GROUP: Final = "profile"


class Profiles:
    """One field group of persons, opened. Raises `Unavailable`, `NoKey` (erased, or not this role's) or `Altered`."""

    def __init__(self, mongo: Mongo, vault: Vault) -> None:
        self._persons = mongo["persons"]
        self._vault = vault
        self._reads: Grouper[str, Mapping[str, Any]] = Grouper(self._read_group)

    async def read(self, subject: str) -> Mapping[str, Any]:
        """The person's fields by name, without where they came from; empty when there are none."""
        return await self._reads(subject)

    async def _read_group(self, subjects: list[str]) -> list[Mapping[str, Any] | Exception]:
        wanted = list(set(subjects))
        # Two databases, one round trip.
        docs, keys = await asyncio.gather(
            self._persons.find({"_id": {"$in": wanted}}, {f"fields.{GROUP}": 1}),
            self._vault.keys_of([(subject, GROUP) for subject in wanted]),
        )
        stored = {doc["_id"]: doc.get("fields", {}).get(GROUP) for doc in docs}
        return [opened(subject, stored.get(subject), keys.get((subject, GROUP))) for subject in subjects]


def opened(subject: str, stored: bytes | None, key: DataKey | NoKey | Altered | None) -> Mapping[str, Any] | Exception:
    """The fields of one ciphertext, or why it does not open: one person's fault is nobody else's."""
    if stored is None:
        return {}
    if not isinstance(key, DataKey):
        return key or NoKey(GROUP)
    try:
        plain = key.decrypt(bytes(stored), subject, COLLECTION, GROUP)
    except Altered as altered:
        return altered
    return {name: said["value"] for name, said in msgspec.json.decode(plain).items()}
