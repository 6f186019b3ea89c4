"""Mails that came back after a relay had taken them: their state follows what was reported."""

from collections.abc import Mapping
from typing import Final

from pymongo import UpdateOne

from preklic_workers.store.message_states import resolving
from preklic_workers.store.mongo import Mongo, Unavailable

# What a report may end by itself; doubts are ended by proof (`doubt`), and a claim by the worker that holds it.
_FROM: Final[Mapping[str, tuple[str, ...]]] = {"bounced": ("sent",), "complained": ("sent", "bounced")}


class Returned:
    """Follows reports in the collection `messages`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._messages = mongo["messages"]

    async def record(self, states: Mapping[str, str]) -> set[str]:
        """Set each mail's state (`bounced` or `complained`); those that a worker still holds, and that stay."""
        ops = [
            UpdateOne({"_id": message, "state": {"$in": list(_FROM[state])}}, resolving(state, state, "", ""))
            for message, state in states.items()
        ]
        if not (await self._messages.bulk(ops)).sure:
            raise Unavailable("messages")
        held = await self._messages.find({"_id": {"$in": list(states)}, "state": "claimed"}, {"_id": 1})
        return {doc["_id"] for doc in held}
