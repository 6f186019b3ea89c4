"""Which schemas the database has been given, and which registry: what a worker compares itself with before it starts.

A schema is known by its content. The last ones are kept, because in a rolling deploy workers of two releases run: the
older finds its own there as well. `topology apply` writes this, workers read it.
"""

import hashlib
import json
from dataclasses import astuple
from typing import Final

from preklic_workers.store.indexes import INDEXES, KEY_INDEXES
from preklic_workers.store.mongo import Doc, Duplicate, Mongo
from preklic_workers.store.operating_validators import MOST_KNOWN
from preklic_workers.store.validators import VALIDATORS

_ID: Final = "schema"
_WANTED: Final = [
    VALIDATORS,
    {name: [*map(astuple, made)] for name, made in INDEXES.items()},
    [*map(astuple, KEY_INDEXES)],
]
SCHEMA: Final = hashlib.sha256(json.dumps(_WANTED, sort_keys=True).encode()).hexdigest()
"""What this release wants of the database."""


class Versions:
    """The collection `versions`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._versions = mongo["versions"]

    async def applied(self) -> None:
        """The database has this release's schema now."""
        others: Doc = {"$filter": {"input": {"$ifNull": ["$known", []]}, "cond": {"$ne": ["$$this", SCHEMA]}}}
        known = {"$slice": [{"$concatArrays": [others, [SCHEMA]]}, -MOST_KNOWN]}
        await self._versions.change({"_id": _ID}, [{"$set": {"known": known, "at": "$$NOW"}}], {"_id": 1}, upsert=True)

    async def knows_schema(self) -> bool:
        """Whether it was ever given this release's schema."""
        return await self._versions.find_one({"_id": _ID, "known": SCHEMA}) is not None

    async def registry(self, version: int) -> str | None:
        """The fingerprint of the registry that bears this version, None when none was applied."""
        doc = await self._versions.find_one({"_id": _registry(version)})
        return None if doc is None else doc["known"][0]

    async def apply_registry(self, version: int, fingerprint: str) -> str:
        """Note a registry; the fingerprint that bears this version from now on: the first one stays."""
        try:
            await self._versions.insert({"_id": _registry(version), "known": [fingerprint], "at": self._mongo.now()})
        except Duplicate:
            return await self.registry(version) or fingerprint
        return fingerprint


def _registry(version: int) -> str:
    return f"registry:{version}"
