"""What waits for its place in the ledger: entries that ride on the documents they are about, and mails' intents.

An entry of a mail that was sent stands in an `intent`, which names many mails (`settlements`); it is one for each of
them whose history says the same. One that does not say it yet is looked at again after as long as it has waited
already: its worker may have been frozen before its write, and that write counts whenever it comes.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo import DeleteMany, DeleteOne, UpdateMany, UpdateOne

from preklic_shared.ids import floor_of
from preklic_workers.ledger.leaves import MAILS, SOURCES, Fields, Riding, Source, canonical
from preklic_workers.ledger.runs import Run
from preklic_workers.moments import millis
from preklic_workers.store.indexes import KEEP_SECONDS
from preklic_workers.store.mongo import Bulk, Doc, Mongo, Op, Unavailable

KEEP: Final = dt.timedelta(seconds=KEEP_SECONDS)
MOST: Final = 5000  # leaves of one run, about
_INTENTS: Final = 1000  # read together: a worker's group is 500 mails at most
_SAID: Final = ("history.at", "history.state", "history.epoch")
_BY_NAME: Final = {source.collection: source for source in SOURCES}
_ANY: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


class Entries:
    """Finds entries, and takes them away once they are in the tree. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._intents = mongo["intents"]
        self._mails = mongo.zoneless(MAILS.collection)

    async def riding(self, limit: int = MOST, since: dt.datetime | None = None) -> list[Riding]:
        """Entries that wait, as a majority has them; of any time, or those of `since`. Few more than `limit`."""
        found = await self._intended(since, limit)
        if len(found) < limit:
            found += await self._on_all(_ANY if since is None else since, limit - len(found))
        return found

    async def left_of(self, run: Run) -> list[Riding]:
        """The entries of this run that still wait: whoever put it on died before they had moved."""
        found: list[Riding] = []
        for source in SOURCES:
            named = [name.partition(":")[2] for name in run.records if name.startswith(f"{source.collection}:")]
            if named:
                where = {"_id": {"$in": named}, "leaves": {"$exists": True}}
                docs = await self._mongo[source.collection].find(where, _fields(source), majority=True)
                found += [one for doc in docs for one in _ridings(source, doc)]
            if named and source is MAILS:
                # Without an index: this is once in a sequencer's life, and few intents wait.
                of_these = await self._intents.find({"mails": {"$in": named}}, majority=True)
                found += (await self._said(of_these))[0]
        there = {msgspec.json.decode(leaf)["id"] for leaf in run.leaves}
        return [one for one in found if one.id in there]

    async def moved(self, ridings: Sequence[Riding]) -> None:
        """These are in the tree: they leave their documents. One statement for all that are the same."""
        alike: dict[str, dict[bytes, tuple[Doc, list[str]]]] = {}
        for one in (one for one in ridings if one.intent is None):
            same = alike.setdefault(one.source.collection, {}).setdefault(canonical(one.entry), (dict(one.entry), []))
            same[1].append(one.record)
        for collection, groups in alike.items():
            ops = [
                UpdateMany({"_id": {"$in": ids}}, {"$pullAll": {"leaves": [entry]}}) for entry, ids in groups.values()
            ]
            _done(await self._mongo[collection].bulk(ops))
        if taken := _taken([(one.intent, one.record) for one in ridings if one.intent is not None]):
            _done(await self._intents.bulk(taken))

    async def _on_all(self, after: dt.datetime, limit: int) -> list[Riding]:
        """Those of so many documents, by one statement: one for each source costs as much as a thousand leaves."""
        first, *others = ((source.collection, _stages(source, after, limit)) for source in SOURCES)
        unions: list[Doc] = [{"$unionWith": {"coll": name, "pipeline": stages}} for name, stages in others]
        stages = [*first[1], *unions, {"$limit": limit}]
        docs = await self._mongo[first[0]].aggregate(stages, majority=True)
        return [one for doc in docs for one in _ridings(_BY_NAME[doc["source"]], doc)]

    async def _intended(self, since: dt.datetime | None, limit: int) -> list[Riding]:
        """The entries of intents that are due, about `limit` of them, the oldest first.

        They have no index but that of their ids, which begin with the time: nothing costs a mail less.
        """
        now = self._mongo.now()
        where: Doc = {"look": {"$lte": now}}
        where |= {"_id": {"$gt": floor_of(millis(since))}} if since is not None else {}
        due = await self._intents.find(where, sort=[("_id", 1)], limit=_INTENTS, majority=True)
        taken, count = list[Doc](), 0
        for intent in due:
            if count >= limit:
                break
            taken.append(intent)
            count += len(intent["mails"])
        found, late = await self._said(taken)
        if late:
            _done(await self._intents.bulk([_again(intent, now) for intent in late]))
        return found

    async def _said(self, intents: Sequence[Doc]) -> tuple[list[Riding], list[Doc]]:
        """The entries whose mails say the same, and the intents of which some mails do not."""
        mails = [mail for intent in intents for mail in intent["mails"]]
        if not mails:
            return [], []
        fields = _fields(MAILS) | dict.fromkeys(_SAID, 1)
        where = {"_id": {"$in": mails}}
        docs = {doc["_id"]: doc for doc in await self._mails.find(where, fields, majority=True)}
        found, late = list[Riding](), list[Doc]()
        for intent in intents:
            entry = intent["entry"]
            meant = (entry["at"].replace(tzinfo=None), entry["what"], entry["epoch"])
            true = [docs[mail] for mail in intent["mails"] if mail in docs and _says(docs[mail], meant)]
            found += [_riding(MAILS, _zoned(doc), entry, intent) for doc in true]
            if len(true) < len(intent["mails"]):
                late.append(intent)
        return found, late


def _fields(source: Source) -> Doc:
    return dict.fromkeys(("person", "leaves", *source.shown), 1)


def _stages(source: Source, after: dt.datetime, limit: int) -> list[Doc]:
    shown = _fields(source) | {"source": {"$literal": source.collection}}
    return [{"$match": {"leaves.at": {"$gt": after}}}, {"$limit": limit}, {"$project": shown}]


def _ridings(source: Source, doc: Doc) -> list[Riding]:
    return [_riding(source, doc, entry) for entry in doc["leaves"]]


def _riding(source: Source, doc: Doc, entry: Doc, intent: Doc | None = None) -> Riding:
    shown = {name: doc[name] for name in source.shown if name in doc}
    return Riding(source, doc["_id"], doc.get("person"), entry, shown, intent)


def _zoned(mail: Doc) -> Doc:
    for name in MAILS.shown:
        if isinstance(moment := mail.get(name), dt.datetime):
            mail[name] = moment.replace(tzinfo=dt.UTC)
    return mail


def _says(mail: Doc, meant: tuple[dt.datetime, str, int]) -> bool:
    """Whether the mail's own history has this entry: no other one is of its moment, which has no zone here."""
    return any((one["at"], one["state"], one["epoch"]) == meant for one in mail.get("history", ()))


def _again(intent: Doc, now: dt.datetime) -> Op:
    """When to look at it next; never, once nobody keeps its mails any more."""
    waited = now - intent["at"]
    if waited > KEEP:
        return DeleteOne({"_id": intent["_id"]})
    return UpdateOne({"_id": intent["_id"]}, {"$set": {"look": now + waited}})


def _taken(found: Sequence[tuple[Fields, str]]) -> list[Op]:
    """What takes these mails off their intents, which go when nothing is left of them."""
    intents: dict[str, tuple[list[str], list[str]]] = {}
    for intent, mail in found:
        intents.setdefault(intent["_id"], (intent["mails"], []))[1].append(mail)
    over = [name for name, (mails, taken) in intents.items() if len(taken) == len(mails)]
    ops: list[Op] = [DeleteMany({"_id": {"$in": over}})] if over else []
    rest = ((name, taken) for name, (mails, taken) in intents.items() if len(taken) < len(mails))
    return ops + [UpdateOne({"_id": name}, {"$pullAll": {"mails": taken}}) for name, taken in rest]


def _done(result: Bulk) -> None:
    if result.failed or not result.sure:
        raise Unavailable("ledger")
