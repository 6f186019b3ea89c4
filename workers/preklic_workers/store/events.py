"""Events of messages: opened, clicked, delivered and so on; each is recorded once, by its own key."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from preklic_shared.randomness import random_octets
from preklic_workers.store.batches import Batches
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.indexes import KEEP_SECONDS
from preklic_workers.store.mongo import DUPLICATE, Doc, Mongo, Unavailable

# Between a mail's id and the rest of a key: what begins with both is a range of the keys, and needs no other index.
SEPARATOR: Final = "|"
_ASKED: Final = 200  # mails in one question
_SALT: Final = 16  # octets
_AFTER: Final = chr(ord(SEPARATOR) + 1)


class Event(Struct, frozen=True):
    """What happened to a mail. `id` is the key that makes it one; it begins with the mail's id and SEPARATOR.

    `verdict` is `human`, `prefetch`, `scanner` or `unknown`, by version `rules` of the table of `verdicts`. Of a
    bounce, `bounce` is `hard`, `soft` or `policy`, and `code` its enhanced status code, or empty.
    """

    id: str
    message: str
    person: str
    kind: str
    verdict: str
    at: dt.datetime
    link: int | None = None
    rules: int = 0
    bounce: str | None = None
    code: str = ""


class Events:
    """The collection `events`. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._events = mongo["events"]
        self._batches = Batches(mongo)
        self._records: Grouper[Event, bool] = Grouper(self._record_group)

    async def record(self, events: Sequence[Event]) -> list[bool]:
        """Record them; for each whether it was new. For lists: batches of some hundred."""
        return [answer is True for answer in await self._record_group(list(events))] if events else []

    async def record_one(self, event: Event) -> bool:
        """Record one, together with others of the same moment; whether it was new."""
        return await self._records(event)

    async def drop(self, events: Sequence[str]) -> None:
        """Delete these, by id."""
        await self._events.delete({"_id": {"$in": list(events)}})

    async def of(self, message: str) -> list[Event]:
        """The events of a mail, by time."""
        return await self.of_all([message])

    async def of_all(self, messages: Sequence[str]) -> list[Event]:
        """The events of these mails, by time."""
        docs: list[Doc] = []
        for start in range(0, len(messages), _ASKED):
            docs += await self._events.find({"$or": [_about(each) for each in messages[start : start + _ASKED]]})
        return sorted(map(_event, docs), key=lambda event: event.at)

    async def of_person(self, person: str, since: dt.datetime) -> list[Event]:
        """What happened to a person's mails since then, by time."""
        return list(map(_event, await self._events.find({"person": person, "at": {"$gte": since}}, sort=[("at", 1)])))

    async def batched(self, persons: Collection[str], messages: Sequence[str] | None) -> list[Doc]:
        """The events of these persons as they are recorded, of these of their mails or (None) of all of them.

        Of mails about whose person nothing is known any more those of anybody.
        """
        whose: Doc = {"person": {"$in": list(persons)}} if persons else {}
        if messages is None:
            return await self._events.find(whose | {"batch": {"$exists": True}}, majority=True)
        docs: list[Doc] = []
        for start in range(0, len(messages), _ASKED):
            about = {"$or": [_about(each) for each in messages[start : start + _ASKED]], "batch": {"$exists": True}}
            docs += await self._events.find(whose | about, majority=True)
        return docs

    async def _record_group(self, events: list[Event]) -> list[bool | Exception]:
        docs = list(map(_doc, events))
        await self._batches.commit("events", docs, dt.timedelta(seconds=KEEP_SECONDS))
        result = await self._events.insert_many(docs)
        if not result.sure:
            raise Unavailable("events")
        if other := {code for code in result.failed.values() if code != DUPLICATE}:
            raise ValueError(f"the store refused an event (codes {sorted(other)})")
        return [index not in result.failed for index in range(len(events))]


def _about(message: str) -> Doc:
    return {"_id": {"$gte": message + SEPARATOR, "$lt": message + _AFTER}}


def _event(d: Doc) -> Event:
    fixed = (d["_id"], d["message"], d["person"], d["kind"], d["verdict"], d["at"])
    return Event(*fixed, d.get("link"), d["rules"], d.get("bounce"), d.get("code", ""))


def _doc(event: Event) -> Doc:
    doc: Doc = {
        "_id": event.id,
        "message": event.message,
        "person": event.person,
        "kind": event.kind,
        "verdict": event.verdict,
        "at": event.at,
        "rules": event.rules,
        "salt": random_octets(_SALT),
    }
    if event.link is not None:
        doc["link"] = event.link
    if event.bounce is not None:
        doc["bounce"] = event.bounce
    if event.code:
        doc["code"] = event.code
    return doc
