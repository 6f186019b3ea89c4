"""What changed, read from the database's own log (a change stream): nothing is written for it on a mail's way.

The server itself leaves out what nobody asked for. Where the log no longer reaches back, `since` reads the records.
"""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo.errors import OperationFailure

from preklic_workers.store.answered import edge
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.webhooks.events import Change, Known

BATCH: Final = 500
WAIT_MS: Final = 500
# A mail that bounces or is complained about later than this after its claim is not found again by `since`.
_OLDEST_MAIL: Final = dt.timedelta(days=45)
# The server's codes for a place that it cannot find: history lost, no such event, and tokens of another server.
_LOST: Final = frozenset({260, 280, 286, 40585, 50795, 50811, 50816})
_MAIL: Final[Doc] = dict.fromkeys(("kind", "state", "purpose", "template", "campaign", "person", "reason", "reply"), 1)


class HistoryLost(Exception):
    """The log does not reach back to the token, or the database was dropped: what was in between is not there."""


class Stream:
    """An open change stream."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def batch(self) -> tuple[list[Change], Doc | None]:
        """The next changes, none after half a second without any; and the token to go on from. Raises HistoryLost."""
        found: list[Change] = []
        enough = time.monotonic() + WAIT_MS / 1000
        with edge(), _told_lost():
            while len(found) < BATCH and (raw := await self._raw.try_next()) is not None:
                found.append(_change(raw))
                if time.monotonic() > enough:
                    break
        if not self._raw.alive:
            raise HistoryLost
        return found, self._raw.resume_token


class Changes:
    """Reads changes of mails, permissions, withdrawals and switches. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    @asynccontextmanager
    async def stream(self, after: Doc | None, states: Sequence[str]) -> AsyncIterator[Stream]:
        """Changes after that token (None: from now), mails of these states only. Raises HistoryLost."""
        raw = self._mongo.changes(pipeline(states), after, wait=WAIT_MS)
        try:
            yield Stream(raw)
        finally:
            await asyncio.shield(raw.close())

    async def known(self, changes: Iterable[Change]) -> Known:
        """What is needed to understand these: two rounds of reads, whatever their number."""
        of = list(changes)
        mails, receipts = await asyncio.gather(
            self._docs("messages", [c.id for c in of if c.collection == "messages"], _MAIL),
            self._docs("withdrawals", [c.id for c in of if c.collection == "withdrawals"], {"erased": 1}),
        )
        persons = {doc["person"] for doc in mails.values() if "person" in doc}
        persons |= {entry["person"] for doc in receipts.values() for entry in doc.get("erased", ())}
        persons |= {c.fields["person"] for c in of if "person" in c.fields}
        pids = await self._docs("persons", list(persons), {"pid": 1})
        return Known(mails, receipts, {key: bytes(doc["pid"]).hex() for key, doc in pids.items()})

    async def since(self, at: dt.datetime, states: Sequence[str]) -> AsyncIterator[list[Change]]:
        """What the records themselves say happened since then, in pages: the last state of each, whole."""
        mails = {"created": {"$gte": at - _OLDEST_MAIL}, "at": {"$gte": at}, "kind": "send"}
        asked: list[tuple[str, Doc, bool]] = [
            ("messages", mails | {"state": {"$in": list(states)}}, False),
            ("permissions", {"recorded": {"$gte": at}, "action": "granted"}, True),
            ("withdrawals", {"closed": {"$gte": at}}, True),
            ("withdrawals", {"erased.at": {"$gte": at}, "closed": {"$lt": at}}, False),
            ("controls", {"at": {"$gte": at}, "stopped": True}, False),
        ]
        for name, where, new in asked:
            async for page in self._mongo[name].pages(where, {}, BATCH):
                now = self._mongo.now()
                # Not by `is_news`: who reads the records knows since when.
                yield [Change(name, doc["_id"], doc, min(now, at), new) for doc in page]

    async def _docs(self, name: str, ids: Sequence[str], fields: Doc) -> dict[str, Doc]:
        if not ids:
            return {}
        found = await self._mongo[name].find({"_id": {"$in": list(set(ids))}}, fields, majority=True)
        return {doc["_id"]: doc for doc in found}


def pipeline(states: Sequence[str]) -> list[Doc]:
    """The server's filter. The diff of an update bears the state only when that changed."""
    told = {"$in": list(states)}
    switched: Doc = {"$or": [{"fullDocument.stopped": True}, {"updateDescription.updatedFields.stopped": True}]}
    mail: Doc = {"$or": [{"fullDocument.state": told}, {"updateDescription.updatedFields.state": told}]}
    granted: Doc = {"operationType": "insert", "fullDocument.action": "granted"}
    wanted: list[Doc] = [
        {"ns.coll": "messages", **mail},
        {"ns.coll": "permissions", **granted, "fullDocument.method": {"$ne": "import"}},
        {"ns.coll": "withdrawals"},
        {"ns.coll": "controls", **switched},
    ]
    return [{"$match": {"operationType": {"$in": ["insert", "update", "replace"]}, "$or": wanted}}]


def _change(raw: Doc) -> Change:
    whole = raw.get("fullDocument")
    fields: Doc = whole if whole is not None else raw["updateDescription"]["updatedFields"]
    new = raw["operationType"] == "insert"
    return Change(raw["ns"]["coll"], raw["documentKey"]["_id"], fields, raw["clusterTime"].as_datetime(), new)


class _told_lost:  # noqa: N801 -- a context manager, named for how it reads
    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _frames: object) -> None:
        if isinstance(error, OperationFailure) and error.code in _LOST:
            raise HistoryLost from None
        if isinstance(error, OperationFailure) and error.has_error_label("ResumableChangeStreamError"):
            raise Unavailable(type(error).__name__) from None
