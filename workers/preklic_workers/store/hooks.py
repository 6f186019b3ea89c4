"""What became of outgoing webhooks: for each endpoint the last success and failure, and the failures that wait.

Only a failure costs a write, and a success one in a few seconds.
"""

import datetime as dt
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from preklic_workers.store.mongo import Duplicate, Mongo

_EVERY: Final = 5.0  # seconds between two writes of a last success


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of an endpoint; None where nothing is. `waiting` counts the webhooks that have failed so far."""

    delivered: dt.datetime | None
    failed: dt.datetime | None
    reason: str | None
    waiting: int


class Hooks:
    """The collections `webhooks` and `webhook_failures`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._endpoints = mongo["webhooks"]
        self._failures = mongo["webhook_failures"]
        self._written: dict[str, float] = {}

    async def delivered(self, endpoint: str, job: str | None) -> None:
        """The endpoint took one; `job` where it had failed before."""
        if job is not None:
            await self.over(job)
        if time.monotonic() - self._written.get(endpoint, float("-inf")) >= _EVERY:
            self._written[endpoint] = time.monotonic()
            await self._set(endpoint, {"delivered": self._mongo.now()})

    async def failed(self, job: str, endpoint: str, event: str, attempts: int, reason: str) -> None:
        """It has failed so often, and waits for another attempt."""
        now = self._mongo.now()
        fields = {"endpoint": endpoint, "event": event, "attempts": attempts, "reason": reason, "last": now}
        update = {"$set": fields, "$setOnInsert": {"first": now}}
        with suppress(Duplicate):  # the same job twice at a time: the other one has written it
            await self._failures.change({"_id": job}, update, {"_id": 1}, upsert=True)
        await self._set(endpoint, {"failed": now, "reason": reason})

    async def over(self, job: str) -> None:
        """It waits no more: taken, or dead."""
        await self._failures.delete({"_id": job})

    async def all(self) -> Mapping[str, Told]:
        """By endpoint."""
        counts = await self._failures.aggregate([{"$group": {"_id": "$endpoint", "n": {"$sum": 1}}}])
        waiting = {doc["_id"]: int(doc["n"]) for doc in counts}
        docs = {doc["_id"]: doc for doc in await self._endpoints.find({})}
        return {
            name: Told(
                (doc := docs.get(name, {})).get("delivered"), doc.get("failed"), doc.get("reason"), waiting.get(name, 0)
            )
            for name in {*docs, *waiting}
        }

    async def _set(self, endpoint: str, fields: Mapping[str, object]) -> None:
        with suppress(Duplicate):
            await self._endpoints.change({"_id": endpoint}, {"$set": dict(fields)}, {"_id": 1}, upsert=True)
