"""The motor edge: nothing else in the workers imports motor, and moving to another driver changes this module alone.

Every write asks for a majority and the journal; whatever leaves its outcome open is `Unavailable`.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteMany, DeleteOne, InsertOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

Doc = dict[str, Any]
Op = InsertOne[Any] | UpdateOne | UpdateMany | DeleteOne | DeleteMany

DUPLICATE: Final = 11000
_DURABLE: Final = WriteConcern(w="majority", j=True, wtimeout=5_000)
_OPTIONS: Final[CodecOptions[Doc]] = CodecOptions(tz_aware=True, tzinfo=dt.UTC)
_PATIENCE: Final[dict[str, Any]] = {
    "serverSelectionTimeoutMS": 3_000,
    "connectTimeoutMS": 3_000,
    "socketTimeoutMS": 10_000,
    "waitQueueTimeoutMS": 10_000,
}


class Unavailable(Exception):
    """MongoDB is away, or will not say whether a write lasts. Nothing may be done on the strength of it."""


class Standalone(Exception):
    """The MongoDB given is no replica set: majority writes would mean nothing there."""


class Duplicate(Exception):
    """A document with this unique key is there already."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """How an unordered bulk write ended: server codes by operation; `sure` False when a majority is not certain."""

    failed: Mapping[int, int] = field(default_factory=dict)
    sure: bool = True


@contextmanager
def edge() -> Iterator[None]:
    """Turn the driver's errors into this module's words."""
    try:
        yield
    except DuplicateKeyError:
        raise Duplicate from None
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as error:
        raise Unavailable(type(error).__name__) from None
    except OperationFailure as error:
        if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
            raise Unavailable(type(error).__name__) from None
        raise


class Collection:
    """One collection, with durable writes. All methods raise `Unavailable`."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._majority = raw.with_options(read_concern=ReadConcern("majority"))

    async def insert(self, doc: Doc) -> None:
        """Insert one; `Duplicate` when its key is taken."""
        with edge():
            await self._raw.insert_one(doc)

    async def insert_many(self, docs: Sequence[Doc]) -> Bulk:
        """Insert all, unordered; a taken key fails its own document only."""
        try:
            with edge():
                await self._raw.insert_many(docs, ordered=False)
        except BulkWriteError as error:
            return _bulk(error)
        return Bulk()

    async def bulk(self, ops: Sequence[Op], *, ordered: bool = False) -> Bulk:
        """Write all; a failing operation fails alone unless `ordered`."""
        try:
            with edge():
                await self._raw.bulk_write(ops, ordered=ordered)
        except BulkWriteError as error:
            return _bulk(error)
        return Bulk()

    async def find(
        self,
        where: Doc,
        fields: Doc | None = None,
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
        majority: bool = False,
    ) -> list[Doc]:
        """All that match. `majority`: only what a majority has, whatever happens to the primary."""
        source = self._majority if majority else self._raw
        with edge():
            found: list[Doc] = await source.find(where, fields, sort=sort, limit=limit).to_list(None)
        return found

    async def find_one(self, where: Doc, fields: Doc | None = None) -> Doc | None:
        """The first that matches."""
        with edge():
            found: Doc | None = await self._raw.find_one(where, fields)
        return found

    async def change(
        self, where: Doc, update: Doc | Sequence[Doc], fields: Doc | None = None, *, upsert: bool = False
    ) -> Doc | None:
        """One atomic conditional update; the document after it, or None without a match. `Duplicate` on a race."""
        with edge():
            found: Doc | None = await self._raw.find_one_and_update(
                where, update, projection=fields, upsert=upsert, return_document=ReturnDocument.AFTER
            )
        return found

    async def count(self, where: Doc) -> int:
        """How many match."""
        with edge():
            found: int = await self._raw.count_documents(where)
        return found

    async def aggregate(self, stages: Sequence[Doc]) -> list[Doc]:
        """The result of an aggregation."""
        with edge():
            found: list[Doc] = await self._raw.aggregate(list(stages)).to_list(None)
        return found

    async def delete(self, where: Doc) -> int:
        """Delete all that match; how many there were."""
        with edge():
            result = await self._raw.delete_many(where)
        deleted: int = result.deleted_count
        return deleted

    async def indexes(self) -> dict[str, Doc]:
        """The indexes by name; empty when the collection is not there."""
        with edge():
            found: dict[str, Doc] = await self._raw.index_information()
        return found

    async def create_index(self, keys: Sequence[tuple[str, int]], **options: Any) -> None:
        """Create an index; nothing happens when the same one is there."""
        with edge():
            await self._raw.create_index(list(keys), **options)

    async def drop_index(self, name: str) -> None:
        """Drop the index `name`."""
        with edge():
            await self._raw.drop_index(name)


class Mongo:
    """The connection: the database of records, and the one of wrapped keys beside it."""

    def __init__(self, url: str, database: str) -> None:
        # The driver's second try costs a fifth of every write. Ours are conditional, and whoever asked for one repeats
        # it or reads it back: an unknown outcome is `Unavailable`.
        self._client: Any = AsyncIOMotorClient(
            url, tz_aware=True, tzinfo=dt.UTC, retryWrites=False, retryReads=True, appname="preklic", **_PATIENCE
        )
        self._db = self._client.get_database(database, codec_options=_OPTIONS, write_concern=_DURABLE)
        self._keys = self._client.get_database(f"{database}_keys", codec_options=_OPTIONS, write_concern=_DURABLE)
        self.ahead = dt.timedelta()
        """How far the server's clock is ahead of ours."""

    @classmethod
    async def open(cls, url: str, database: str) -> Self:
        """Connect. `Standalone` when the server is no member of a replica set, `Unavailable` when it is away."""
        mongo = cls(url, database)
        try:
            mongo.greet(await mongo.command("hello"))
        except BaseException:
            mongo.close()
            raise
        return mongo

    def greet(self, hello: Doc) -> None:
        """Learn the server's clock from its greeting; `Standalone` when it is no member of a replica set."""
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise Standalone("PREKLIC_MONGO_URL is no replica set: start mongod with --replSet and rs.initiate()")
        self.ahead = hello["localTime"] - dt.datetime.now(dt.UTC)

    def __getitem__(self, name: str) -> Collection:
        return Collection(self._db[name])

    def keys(self) -> Collection:
        """The wrapped keys, in their own database: a backup of one is no backup of the other."""
        return Collection(self._keys["keys"])

    def now(self) -> dt.datetime:
        """The server's time, as far as this process knows it."""
        return dt.datetime.now(dt.UTC) + self.ahead

    async def command(self, command: Doc | str, *, keys: bool = False) -> Doc:
        """Run a command of the database."""
        with edge():
            answer: Doc = await (self._keys if keys else self._db).command(command, codec_options=_OPTIONS)
        return answer

    async def change_together(
        self, name: str, ids: Sequence[str], decide: Callable[[Mapping[str, Doc]], Mapping[str, Doc]]
    ) -> None:
        """Change some documents as one. `decide` sees them and answers updates; it is asked again on a conflict."""
        found = self._db[name]

        async def work(session: Any) -> None:
            docs = await found.find({"_id": {"$in": list(ids)}}, session=session).to_list(None)
            for key, update in decide({doc["_id"]: doc for doc in docs}).items():
                await found.update_one({"_id": key}, update, session=session)

        with edge():
            async with await self._client.start_session() as session:
                await session.with_transaction(work, read_concern=ReadConcern("snapshot"), write_concern=_DURABLE)

    async def collections(self, *, keys: bool = False) -> dict[str, Doc]:
        """The collections' options by name."""
        with edge():
            cursor = await (self._keys if keys else self._db).list_collections()
            return {found["name"]: found["options"] async for found in cursor}

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def _bulk(error: BulkWriteError) -> Bulk:
    details: Any = error.details
    failed = {write["index"]: write["code"] for write in details["writeErrors"]}
    return Bulk(failed, sure=not details["writeConcernErrors"])
