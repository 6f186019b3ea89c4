"""How long a record waits for its place in the ledger at a steady rate, and what a leaf costs and weighs."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.contest import Pace, Sample
from bench.ground import DoesNotRun, Ground
from bench.house import House
from bench.latency import shares
from bench.life import stop
from bench.watch import cost, look
from preklic_stack.children import Child
from preklic_workers.keydir import load_ring
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.sequencing import origin_of
from preklic_workers.store import Act, Store, open_store

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
            return asyncio.run(self._timed(ground, pace, workers))
        finally:
            for worker in workers:
                stop(ground, worker)

    async def _timed(self, ground: Ground, pace: Pace, workers: list[Child]) -> Sample:
        store = await open_store(self.home.settings("upkeep"), load_ring(self.home.keys / "upkeep", "upkeep"))
        persons = [doc["_id"] for doc in await store.mongo["persons"].find({}, {"_id": 1}, limit=RATE)]
        count = pace.jobs or int(RATE * 2 * pace.seconds)
        last = await store.ledger.last()
        groups = ground.services | {"worker": [worker.pid for worker in workers]}
        begin, asked = look(groups), dict[str, float]()
        start = last.end if last else 0
        _, seen = await asyncio.gather(_write(store, persons, count, asked), _watch(store, start, count))
        end = look(groups)
        weighed = await _weighed(store, self.home)
        store.close()
        lags = [seen[name] - at for name, at in asked.items()]
        return Sample(count / (end.at - begin.at), count, cost(begin, end, count), more=shares(lags) | weighed)


async def _write(store: Store, persons: list[str], count: int, asked: dict[str, float]) -> None:
    """`asked` gets the moment of each, by the name of its record."""

    async def one(act: Act) -> None:
        asked[f"acts:{act.id}"] = time.monotonic()
        await store.acts.record(act)

    began, writing = time.monotonic(), list[asyncio.Task[None]]()
    while len(writing) < count:
        due = min(count, int((time.monotonic() - began) * RATE) + 1)
        for number in range(len(writing), due):
            act = Act("bench", "me", "x", person=persons[number % len(persons)])
            writing.append(asyncio.create_task(one(act)))
        await asyncio.sleep(_TICK)
    await asyncio.gather(*writing)


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
