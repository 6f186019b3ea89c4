"""A mail's cost where few and where very many messages and events are recorded, each in a database of its own."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.contest import Consumers, Pace, Sample
from bench.ground import Ground
from bench.house import House
from preklic_shared.ids import new_id

_CHUNK = 5_000
_DAYS = 365


@dataclass(frozen=True)
class Grown:
    """`sender`'s turn, once `home` holds so many `messages`, and as many events; None: `pace.long`."""

    home: House
    messages: int | None
    sender: Consumers

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        database = ground.raw(self.home.database)
        wanted = pace.long if self.messages is None else min(self.messages, pace.long)
        if (there := database.messages.estimated_document_count()) < wanted:
            if not there:
                self.sender.turn(ground, Pace(0, 1, jobs=10))
            _fill(database, wanted - there)
        return self.sender.turn(ground, pace)


def _fill(database: Any, count: int) -> None:
    """So many copies of one sent mail, spread over a year, with an event for each."""
    model = database.messages.find_one({"kind": "send", "state": "sent"})
    for start in range(0, count, _CHUNK):
        messages = list(_copies(model, range(start, min(start + _CHUNK, count)), count))
        events = [_event(doc) for doc in messages]
        database.messages.insert_many(messages, ordered=False)
        database.events.insert_many(events, ordered=False)


def _copies(model: dict[str, Any], numbers: range, count: int) -> Iterator[dict[str, Any]]:
    for number in numbers:
        ago = dt.timedelta(days=_DAYS * (1 - number / count))
        yield model | {"_id": new_id(), "created": model["created"] - ago, "at": model["at"] - ago}


def _event(doc: dict[str, Any]) -> dict[str, Any]:
    told = {"message": doc["_id"], "person": doc["person"], "kind": "opened", "verdict": "human", "rules": 1}
    return told | {"_id": f"{doc['_id']}|opened||0", "at": doc["at"], "recorded": doc["at"]}
