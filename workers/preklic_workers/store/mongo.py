"""The motor edge: nothing else in the workers imports motor, and moving to another driver changes this module alone.

Every write asks for a majority and the journal; whatever leaves its outcome open is `Unavailable`.
"""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Self

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import DeleteMany, DeleteOne, InsertOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from preklic_workers.store.answered import DUPLICATE, REFUSED, Bulk, Duplicate, Standalone, Unavailable, bulk_of, edge

__all__ = ["DUPLICATE", "REFUSED", "Bulk", "Doc", "Duplicate", "Mongo", "Standalone", "Unavailable"]

Doc = dict[str, Any]
Op = InsertOne[Any] | UpdateOne | UpdateMany | DeleteOne | DeleteMany

_DURABLE: Final = WriteConcern(w="majority", j=True, wtimeout=5_000)
_OPTIONS: Final[CodecOptions[Doc]] = CodecOptions(tz_aware=True, tzinfo=dt.UTC)
_PATIENCE: Final[dict[str, Any]] = {
    "serverSelectionTimeoutMS": 3_000,
    "connectTimeoutMS": 3_000,
    "socketTimeoutMS": 10_000,
    "waitQueueTimeoutMS": 10_000,
}


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
            return bulk_of(error)
        return Bulk()

    async def bulk(self, ops: Sequence[Op], *, ordered: bool = False) -> Bulk:
        """Write all; a failing operation fails alone unless `ordered`."""
        try:
            with edge():
                await self._raw.bulk_write(ops, ordered=ordered)
        except BulkWriteError as error:
            return bulk_of(error)
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

    async def pages(self, where: Doc, fields: Doc, size: int) -> AsyncIterator[list[Doc]]:
        """All that match, in pages of `size`, however many there are."""
        cursor = self._raw.find(where, fields, batch_size=size)
        try:
            while True:
                with edge():
                    page: list[Doc] = await cursor.to_list(size)
                if not page:
                    return
                yield page
        finally:
            await cursor.close()

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

    async def aggregate(
        self, stages: Sequence[Doc], *, seconds: float | None = None, majority: bool = False
    ) -> list[Doc]:
        """The result of an aggregation; `Unavailable` also when it takes longer than `seconds`."""
        source = self._majority if majority else self._raw
        limit = {} if seconds is None else {"maxTimeMS": int(seconds * 1000)}
        with edge():
            found: list[Doc] = await source.aggregate(list(stages), **limit).to_list(None)
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
        self._scratch = self._client.get_database(f"{database}_proof", codec_options=_OPTIONS)
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

    def zoneless(self, name: str) -> Collection:
        """The same, whose moments are in UTC and do not say so: the zone is most of what reading one costs."""
        return Collection(self._db[name].with_options(codec_options=CodecOptions()))

    def keys(self) -> Collection:
        """The wrapped keys, in their own database: a backup of one is no backup of the other."""
        return Collection(self._keys["keys"])

    def scratch(self) -> Collection:
        """Where a backup of the wrapped keys is tried: a database of its own, dropped afterwards."""
        return Collection(self._scratch["keys"].with_options(write_concern=WriteConcern(w=1)))

    async def drop_scratch(self) -> None:
        """Drop what was tried."""
        with edge():
            await self._client.drop_database(self._scratch.name)

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

        def ops(found: Mapping[str, Mapping[str, Doc]]) -> dict[str, list[UpdateOne]]:
            return {name: [UpdateOne({"_id": key}, update) for key, update in decide(found[name]).items()]}

        await self.change_across({name: ({"_id": {"$in": list(ids)}}, {})}, ops)

    async def change_across(
        self,
        read: Mapping[str, tuple[Doc, Doc]],
        decide: Callable[[Mapping[str, Mapping[str, Doc]]], Mapping[str, Sequence[UpdateOne]]],
    ) -> None:
        """The same across collections: `read` is a condition and the fields of each (none: all), by name."""

        async def work(session: Any) -> None:
            found = {}
            for name, (where, fields) in read.items():
                docs = await self._db[name].find(where, fields or None, session=session).to_list(None)
                found[name] = {doc["_id"]: doc for doc in docs}
            for name, ops in decide(found).items():
                if ops:
                    await self._db[name].bulk_write(list(ops), session=session)

        with edge():
            async with await self._client.start_session() as session:
                await session.with_transaction(work, read_concern=ReadConcern("snapshot"), write_concern=_DURABLE)

    async def collections(self, *, keys: bool = False) -> dict[str, Doc]:
        """The collections' options by name."""
        with edge():
            cursor = await (self._keys if keys else self._db).list_collections()
            return {found["name"]: found["options"] async for found in cursor}

    def changes(self, pipeline: Sequence[Doc], after: Doc | None, *, wait: int) -> Any:
        """The driver's change stream of the database after that token (None: from now); `wait` ms for a change."""
        return self._db.watch(list(pipeline), resume_after=after, max_await_time_ms=wait, batch_size=500)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
