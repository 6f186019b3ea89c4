"""Dead letters that a person lets go, and takes back: a letter and its job's record turn together, or neither does.

A transaction holds them together. What a replay has taken is its own: it is not `dead` any more, or it is claimed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import UpdateOne

from preklic_workers.store.erasures import GONE
from preklic_workers.store.message_states import HISTORY, UNDER_WAY, told
from preklic_workers.store.mongo import Doc, Mongo

TOGETHER: Final = 500  # letters that are given at a time: one transaction
_LETTERS: Final = "dead"
_MESSAGES: Final = "messages"
_CHOSEN: Final[Doc] = dict.fromkeys(("job", "queue", "actor", "reason", "fingerprint", "person", "state"), 1)
Found = Mapping[str, Mapping[str, Doc]]


@dataclass(frozen=True, slots=True)
class Turn:
    """From which state to which, who decided it, why, and the act that records it."""

    old: str
    new: str
    by: str
    why: str
    act: str


class Discards:
    """Letters of the collection `dead`, with the messages of their jobs. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._dead = mongo[_LETTERS]

    async def named(self, names: Sequence[str]) -> list[Doc]:
        """The letters of these ids, their own or their jobs', in any state; no bodies."""
        these = {"$in": list(names)}
        return await self._dead.find({"$or": [{"_id": these}, {"job": these}]}, _CHOSEN)

    async def matching(self, state: str, where: Doc) -> list[Doc]:
        """All letters in this state that meet the condition, the oldest first; no bodies."""
        asked = {"state": state} | ({"$and": [where]} if where else {})
        return await self._dead.find(asked, _CHOSEN, sort=[("last", 1), ("_id", 1)])

    async def discard(self, letters: Sequence[Doc], by: str, why: str, act: str) -> int:
        """Let go of these, and of all dead letters of their jobs; how many letters. What runs again stays as it is."""
        jobs = [one["job"] for one in letters if "job" in one]
        asked = {"state": "dead", "$or": [{"_id": {"$in": _ids(letters)}}, {"job": {"$in": jobs}}]}
        return await self._turned(asked, jobs, Turn("dead", "discarded", by, why, act))

    async def undiscard(self, letters: Sequence[Doc], by: str, why: str, act: str) -> int:
        """Take these back; how many. What an erasure has emptied stays discarded."""
        jobs = [one["job"] for one in letters if "job" in one]
        asked = {"state": "discarded", "_id": {"$in": _ids(letters)}, "body": {"$ne": GONE}}
        return await self._turned(asked, jobs, Turn("discarded", "dead", by, why, act))

    async def _turned(self, asked: Doc, jobs: Sequence[str], turn: Turn) -> int:
        changed, now = 0, self._mongo.now()

        def decide(found: Found) -> dict[str, list[UpdateOne]]:
            nonlocal changed
            ops = turning(found[_LETTERS], found[_MESSAGES], turn, now)
            changed = len(ops[_LETTERS])
            return ops

        fields = {"state": 1, "epoch": 1}
        read = {_LETTERS: (asked, {"job": 1}), _MESSAGES: ({"_id": {"$in": list(jobs)}}, fields)}
        await self._mongo.change_across(read, decide)
        return changed


def turning(
    letters: Mapping[str, Doc], messages: Mapping[str, Doc], turn: Turn, now: dt.datetime
) -> dict[str, list[UpdateOne]]:
    """The updates that turn these letters and their jobs' records; a job that is under way again keeps both. Pure."""
    free = {key: one for key, one in letters.items() if not under_way(messages.get(one.get("job", "")))}
    jobs = {one["job"] for one in free.values() if "job" in one}
    turned = [messages[job] for job in sorted(jobs & messages.keys()) if messages[job]["state"] == turn.old]
    said: Doc = {"at": now, "state": turn.new, "by": turn.by, "why": turn.why}
    letter = {"$set": {"state": turn.new, "why": turn.why, "moved": now}} | _noted(said | {"act": turn.act})
    return {
        _MESSAGES: [
            # The reason of its death stays: it is why it was let go, and true again if it is taken back.
            UpdateOne(
                {"_id": one["_id"], "state": turn.old},
                {"$set": {"state": turn.new, "at": now}} | told(said | {"epoch": one.get("epoch", 0)}),
            )
            for one in turned
        ],
        _LETTERS: [UpdateOne({"_id": key, "state": turn.old}, letter) for key in free],
    }


def under_way(message: Doc | None) -> bool:
    """Whether its job runs again: a replay has it, and nobody may say meanwhile that it was let go."""
    return message is not None and message["state"] in UNDER_WAY


def _noted(entry: Doc) -> Doc:
    return {"$push": {"history": {"$each": [entry], "$slice": -HISTORY}}}


def _ids(letters: Sequence[Doc]) -> list[str]:
    return [one["_id"] for one in letters]
