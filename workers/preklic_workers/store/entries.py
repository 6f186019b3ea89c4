"""What waits for its place in the ledger: entries that ride on the documents they are about, and mails' intents.

An entry of a mail that was sent stands in an `intent`, which names many mails (`settlements`); it is one for each of
them whose history says the same. One that does not say it yet is looked at again after as long as it has waited
already: its worker may have been frozen before its write, and that write counts whenever it comes.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec
from pymongo import UpdateMany, UpdateOne

from preklic_workers.ledger.leaves import MAILS, SOURCES, Riding, Source, canonical
from preklic_workers.ledger.runs import Run
from preklic_workers.store.mongo import Bulk, Doc, Mongo, Unavailable

MOST: Final = 5000  # leaves of one run, about
_ANY: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


class Entries:
    """Finds entries, and takes them away once they are in the tree. All methods raise `Unavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._intents = mongo["intents"]

    async def riding(self, limit: int = MOST, since: dt.datetime | None = None) -> list[Riding]:
        """Entries that wait, as a majority has them; of any time, or those of `since`. Few more than `limit`."""
        after: Doc = {"$gt": _ANY if since is None else since}
        found = await self._intended(after, limit)
        for source in SOURCES:
            if len(found) < limit:
                found += await self._on_documents(source, {"leaves.at": after}, limit - len(found))
        return found

    async def left_of(self, run: Run) -> list[Riding]:
        """The entries of this run that still wait: whoever put it on died before they had moved."""
        found: list[Riding] = []
        for source in SOURCES:
            named = [name.partition(":")[2] for name in run.records if name.startswith(f"{source.collection}:")]
            if named:
                found += await self._on_documents(source, {"_id": {"$in": named}, "leaves": {"$exists": True}}, 0)
            if named and source is MAILS:
                # Without an index: this is once in a sequencer's life, and few intents wait.
                of_these = await self._intents.find({"mails": {"$in": named}}, majority=True)
                found += (await self._said(of_these))[0]
        there = {msgspec.json.decode(leaf)["id"] for leaf in run.leaves}
        return [one for one in found if one.id in there]

    async def moved(self, ridings: Sequence[Riding]) -> None:
        """These are in the tree: they leave their documents. One statement for all that are the same."""
        alike: dict[str, dict[bytes, tuple[Doc, list[str]]]] = {}
        intents: dict[str, list[str]] = {}
        for one in ridings:
            if one.intent is not None:
                intents.setdefault(one.intent, []).append(one.record)
                continue
            same = alike.setdefault(one.source.collection, {}).setdefault(canonical(one.entry), (dict(one.entry), []))
            same[1].append(one.record)
        for collection, groups in alike.items():
            ops = [
                UpdateMany({"_id": {"$in": ids}}, {"$pullAll": {"leaves": [entry]}}) for entry, ids in groups.values()
            ]
            _done(await self._mongo[collection].bulk(ops))
        if intents:
            those = [UpdateOne({"_id": name}, {"$pullAll": {"mails": mails}}) for name, mails in intents.items()]
            _done(await self._intents.bulk(those))
            await self._intents.delete({"_id": {"$in": list(intents)}, "mails": []})

    async def _on_documents(self, source: Source, where: Doc, limit: int) -> list[Riding]:
        fields = dict.fromkeys(("person", "leaves", *source.shown), 1)
        found: list[Riding] = []
        for doc in await self._mongo[source.collection].find(where, fields, limit=limit, majority=True):
            found += [_riding(source, doc, entry) for entry in doc["leaves"]]
        return found

    async def _intended(self, look: Doc, limit: int) -> list[Riding]:
        """The entries of intents that are due, about `limit` of them."""
        now = self._mongo.now()
        due = await self._intents.find({"look": look | {"$lte": now}}, sort=[("look", 1)], limit=limit, majority=True)
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
        fields = dict.fromkeys(("person", "history", *MAILS.shown), 1)
        where = {"_id": {"$in": mails}}
        docs = {doc["_id"]: doc for doc in await self._mongo[MAILS.collection].find(where, fields, majority=True)}
        found, late = list[Riding](), list[Doc]()
        for intent in intents:
            entry = intent["entry"]
            true = [docs[mail] for mail in intent["mails"] if mail in docs and _says(docs[mail], entry)]
            found += [_riding(MAILS, doc, entry, intent["_id"]) for doc in true]
            if len(true) < len(intent["mails"]):
                late.append(intent)
        return found, late


def _riding(source: Source, doc: Doc, entry: Doc, intent: str | None = None) -> Riding:
    shown = {name: doc[name] for name in source.shown if name in doc}
    return Riding(source, doc["_id"], doc.get("person"), entry, shown, intent)


def _says(mail: Doc, entry: Doc) -> bool:
    """Whether the mail's own history has this entry: no other one is of its moment."""
    meant = (entry["at"], entry["what"], entry["epoch"])
    return any((one["at"], one["state"], one["epoch"]) == meant for one in mail.get("history", ()))


def _again(intent: Doc, now: dt.datetime) -> UpdateOne:
    return UpdateOne({"_id": intent["_id"]}, {"$set": {"look": now + (now - intent["at"])}})


def _done(result: Bulk) -> None:
    if result.failed or not result.sure:
        raise Unavailable("ledger")
