"""Copies of whole databases, as `mongodump --oplog` and `mongorestore --drop` make and bring back."""

from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient


@dataclass(frozen=True)
class Dump:
    """Every document by database and collection, and the oplog's entries about them; `raw` brings back each octet."""

    docs: dict[tuple[str, str], list[Any]]
    oplog: list[Any]
    raw: dict[tuple[str, str], list[bytes]]


def dump(url: str, *names: str) -> Dump:
    with MongoClient(url, tz_aware=True, document_class=RawBSONDocument) as client:
        places = [(name, collection) for name in names for collection in client[name].list_collection_names()]
        raw = {(name, collection): [doc.raw for doc in client[name][collection].find()] for name, collection in places}
        spaces = {"$regex": f"^({'|'.join(names)})[.]"}
        logged = client["local"]["oplog.rs"].find({"$or": [{"ns": spaces}, {"o.applyOps.ns": spaces}]})
        oplog = [bson.decode(entry.raw) for entry in logged]
    return Dump({place: [bson.decode(doc) for doc in found] for place, found in raw.items()}, oplog, raw)


def restore(url: str, made: Dump) -> None:
    """Put everything back as it was; what came since is gone."""
    with MongoClient(url, document_class=RawBSONDocument) as client:
        for database in {name for name, _ in made.raw}:
            for collection in client[database].list_collection_names():
                client[database][collection].delete_many({})
        for (database, collection), docs in made.raw.items():
            if docs:
                found = [RawBSONDocument(doc) for doc in docs]
                client[database][collection].insert_many(found, bypass_document_validation=True)
