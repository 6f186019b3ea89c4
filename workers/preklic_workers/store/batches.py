"""One leaf for many records: their hashes stand in a document of its own, whose leaf commits to all of them.

It is written before the records, so that none is there without it; each of them names it. A hash is that of the whole
record as it is inserted (`ledger.leaves.hash_of`), in which something random stands: a salt, or a ciphertext. Once that
is gone nobody can tell what the hash was of, and an erasure has nothing to do here.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence

from preklic_shared.ids import new_id
from preklic_workers.ledger.leaves import hash_of
from preklic_workers.store.mongo import Doc, Mongo


class Batches:
    """The collection `batches`. Raises `Unavailable`: what cannot be committed to must not be written."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._batches = mongo["batches"]

    async def commit(self, what: str, records: Sequence[Doc], keep: dt.timedelta | None = None) -> None:
        """Commit to these records, each with its moment `at`, before they are inserted: each is marked with its batch.

        After `keep` the list of hashes may go. Whoever dies in between leaves hashes of what was never written, which
        say nothing.
        """
        batch, now = new_id(), _stored(self._mongo.now())
        hashes = b"".join([hash_of(_marked(record, now, batch)) for record in records])
        doc: Doc = {"_id": batch, "at": now, "count": len(records), "hashes": hashes}
        doc |= {"digest": hashlib.sha256(hashes).digest(), "leaves": [{"at": now, "what": what}]}
        await self._batches.insert(doc | ({"keep": now + keep} if keep else {}))

    async def lists(self, batches: Sequence[str]) -> dict[str, bytes]:
        """The lists of hashes, 32 octets each, of those of these batches whose lists are kept still."""
        docs = await self._batches.find({"_id": {"$in": list(batches)}}, {"hashes": 1}, majority=True)
        return {doc["_id"]: bytes(doc["hashes"]) for doc in docs}


def _stored(moment: dt.datetime) -> dt.datetime:
    """As the store gives it back: in milliseconds."""
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


def _marked(record: Doc, now: dt.datetime, batch: str) -> Doc:
    record["at"], record["recorded"], record["batch"] = _stored(record["at"]), now, batch
    return record
