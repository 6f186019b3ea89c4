"""How long a record waits for its place in the ledger at a steady rate, and what a leaf costs and weighs."""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.contest import Pace, Sample
from bench.ground import DoesNotRun, Ground
from bench.house import House
from bench.latency import shares
from bench.life import stop
from bench.watch import cost, look
from preklic_shared.ids import new_id
from preklic_stack.children import Child
from preklic_workers.keydir import load_ring
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.sequencing import origin_of
from preklic_workers.store import Store, open_store
from preklic_workers.store.mongo import Bulk, Doc

RATE = 1000  # records a second
_TICK = 0.01
_LOOK = 0.005
_LATEST = 30.0


@dataclass(frozen=True)
class ToLedger:
    """Acts about people at a steady rate beside the role `ledger`; from before the write to when a reader sees it."""

    name: str
    home: House
    start: Callable[[], list[Child]]

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        self.home.people(RATE)
        workers = self.start()
        try:
            at_work(self.home)
            return asyncio.run(self._timed(ground, pace, workers))
        finally:
            for worker in workers:
                stop(ground, worker)

    async def _timed(self, ground: Ground, pace: Pace, workers: list[Child]) -> Sample:
        count = pace.jobs or int(RATE * 2 * pace.seconds)
        groups = ground.services | {"worker": [worker.pid for worker in workers]}
        async with _opened(self.home) as store:
            persons = [doc["_id"] for doc in await store.mongo["persons"].find({}, {"_id": 1}, limit=RATE)]
            last, asked = await store.ledger.last(), dict[str, float]()
            assert last is not None
            begin = look(groups)
            _, seen = await asyncio.gather(_write(store, persons, count, asked), _watch(store, last.end, count))
            end = look(groups)
            weighed = await _weighed(store, self.home)
        lags = [seen[name] - at for name, at in asked.items()]
        return Sample(count / (end.at - begin.at), count, cost(begin, end, count), more=shares(lags) | weighed)


def at_work(home: House) -> None:
    """Wait until the role `ledger` of this house takes entries."""

    async def work() -> None:
        async with _opened(home) as store:
            last = await store.ledger.last()
            person = await store.mongo["persons"].find_one({}, {"_id": 1})
            assert person is not None
            start, asked = last.end if last else 0, dict[str, float]()
            await asyncio.gather(_write(store, [person["_id"]], 1, asked), _watch(store, start, 1))

    asyncio.run(work())


@asynccontextmanager
async def _opened(home: House) -> AsyncIterator[Store]:
    store = await open_store(home.settings("upkeep"), load_ring(home.keys / "upkeep", "upkeep"))
    yield store
    store.close()


async def _write(store: Store, persons: list[str], count: int, asked: dict[str, float]) -> None:
    """Acts as the store records them, some at a time; `asked` gets the moment of each, by the name of its record."""
    began, writing = time.monotonic(), list[asyncio.Task[Bulk]]()
    while len(asked) < count:
        due = min(count, int((time.monotonic() - began) * RATE) + 1)
        docs = [_act(persons[n % len(persons)], store.mongo.now()) for n in range(len(asked), due)]
        asked |= dict.fromkeys((f"acts:{doc['_id']}" for doc in docs), time.monotonic())
        if docs:
            writing.append(asyncio.create_task(store.mongo["acts"].insert_many(docs)))
        await asyncio.sleep(_TICK)
    assert not any(done.failed for done in await asyncio.gather(*writing))


def _act(person: str, now: dt.datetime) -> Doc:
    said = {"_id": new_id(), "kind": "bench", "at": now, "by": "me", "why": "x", "person": person}
    return said | {"leaves": [{"at": now, "what": "bench"}]}


async def _watch(store: Store, end: int, count: int) -> dict[str, float]:
    seen: dict[str, float] = {}
    deadline = time.monotonic() + _LATEST + count / RATE
    while len(seen) < count:
        async for run in store.ledger.runs_between(end, 2**62):
            now, end = time.monotonic(), run.end
            seen |= dict.fromkeys((name for name in run.records if name.startswith("acts:")), now)
        if time.monotonic() > deadline:
            raise DoesNotRun(f"the ledger has {len(seen)} of {count} acts")
        await asyncio.sleep(_LOOK)
    return seen


async def _weighed(store: Store, home: House) -> dict[str, float]:
    """Stored octets of a leaf with what opens it, and microseconds to verify one, of all that the ledger holds."""
    settings = home.settings("ledger")
    key = load_ring(home.keys / "ledger", "ledger").ledger
    assert key is not None
    keys = {origin_of(settings): [key.public_key().public_bytes_raw()]}
    last = await store.ledger.last()
    assert last is not None
    size: int = (await store.mongo.command({"collStats": "ledger"}))["size"]
    began = time.process_time()
    await audit(store.ledger.runs(), await store.ledger.checkpoints(), keys, dates=await store.ledger.dated())
    return {"octets": size / last.end, "verify_us": (time.process_time() - began) / last.end * 1e6}
