"""`python -m bench.ledger [--leaves N] [--mails N]`: what the ledger costs, in turns on one MongoDB.

Leaves a second of the sequencer and of `preklic ledger verify`, octets a mail, seconds from a write to its place in
the tree; and a mail's writes (claim, gate, settle, pull) in turns with and without leaves and a sequencer beside them.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import multiprocessing
import os
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.watch import TICKS
from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_stack.children import Children
from preklic_stack.mongo import own_cache, start_mongo
from preklic_stack.places import quick_folder
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.sequencing import EVERY, Sequencer
from preklic_workers.store import Act, Claim, Handover, Store, message_states, open_store, schema
from preklic_workers.store.person_docs import fresh, place
from preklic_workers.store.settlements import Settlements

NAME = "bench.example/ledger"
AT_ONCE = 256
TURNS = 5
NEWS = load_registry().purposes["newsletter"]
KEY = Ed25519PrivateKey.generate()


@contextlib.asynccontextmanager
async def opened(keys: Path, url: str) -> AsyncIterator[Store]:
    """A store with the keys of upkeep, which holds those of `evidence`."""
    ring = load_ring(keys / "upkeep", "upkeep")
    store = await open_store(SimpleNamespace(mongo_url=url, mongo_database="bench_ledger"), ring)
    await schema.apply(store.mongo)
    yield store
    store.close()


async def people(store: Store, count: int) -> list[str]:
    """So many who permit newsletters."""
    names = [f"{number:043d}" for number in range(count)]
    said = {"state": "granted", "at": store.mongo.now(), "job": new_id(), "seq": 0}
    docs = [fresh(one, number.to_bytes(16, "big")) | {"permissions": {place("newsletter"): said}}
            for number, one in enumerate(names)]  # fmt: skip
    await store.mongo["persons"].insert_many(docs)
    return names


async def mail(store: Store, person: str) -> None:
    """All the writes of one mail."""
    message, now = new_id(), store.mongo.now()
    soon = now + dt.timedelta(hours=1)
    await store.messages.claim(Claim(message, "newsletter", "newsletter", person, "website", b"b" * 32, now, soon))
    await store.gate.pass_through(Handover(person, message, 1, NEWS, soon))
    await store.messages.settle(message, 1, "sent", relay="main", processor="Pošta", reply={"code": 250})
    await store.gate.pull(person, message, 1)


async def mails(store: Store, names: list[str], count: int) -> float:
    """Mails a second."""
    left = iter(range(count))

    async def work() -> None:
        for number in left:
            await mail(store, names[number % len(names)])

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - began)


@contextlib.contextmanager
def leafless() -> Iterator[None]:
    """Settlements as they would be without a ledger."""
    original = message_states._update

    def bare(*given: object, **more: object) -> dict[str, object]:
        update = original(*given, **more)
        update["$push"].pop("leaves", None)
        return update

    async def untold(*_given: object) -> dict[str, int]:
        return {}

    with patch.object(message_states, "_update", bare), patch.object(Settlements, "_intend", untold):
        yield


def following(url: str, keys: Path) -> None:
    """As the role does, in a process of its own."""

    async def work() -> None:
        async with opened(keys, url) as store:
            sequencer = Sequencer(store.ledger, store.mongo, NAME, KEY)
            while True:
                await sequencer.once()
                await asyncio.sleep(EVERY)

    asyncio.run(work())


@contextlib.contextmanager
def beside(url: str, keys: Path) -> Iterator[int]:
    """A sequencer at work meanwhile; its process."""
    process = multiprocessing.Process(target=following, args=(url, keys))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()


async def measure(store: Store, url: str, keys: Path, database: int, leaves: int, count: int) -> dict[str, float]:
    """All figures; `database` is the process of MongoDB."""
    names = await people(store, 2_000)
    rates = await throughput(store, names, leaves)
    bare, full = [], []
    for _ in range(TURNS):
        with leafless():
            bare.append(await turn(store, names, count, {"mongod": database}))
        with beside(url, keys) as sequencer:
            await asyncio.sleep(1)
            full.append(await turn(store, names, count, {"mongod": database, "sequencer": sequencer}))
    found = {
        f"{name}, us of CPU a mail, {how}": statistics.median(one[name] for one in turns)
        for how, turns in (("without", bare), ("with", full))
        for name in turns[0]
    }
    return rates | found


async def throughput(store: Store, names: list[str], leaves: int) -> dict[str, float]:
    """The sequencer's rate, that of `ledger verify`, and the size of a leaf."""
    for start in range(0, leaves, AT_ONCE):
        several = (Act("bench", "me", "x", person=names[(start + n) % len(names)]) for n in range(AT_ONCE))
        await asyncio.gather(*map(store.acts.record, several))
    sequencer = Sequencer(store.ledger, store.mongo, NAME, KEY)
    began = time.perf_counter()
    moved = await sequencer.once()
    put = time.perf_counter()
    await sequencer.checkpoint()
    signed = time.perf_counter()
    await audit(store.ledger.runs(), await store.ledger.checkpoints(), {NAME: [KEY.public_key().public_bytes_raw()]})
    return {
        "leaves put on, a second": moved / (put - began),
        "leaves verified, a second": moved / (time.perf_counter() - signed),
        "octets a leaf, with its opening": await octets(store, moved),
    }


async def turn(store: Store, names: list[str], count: int, processes: dict[str, int]) -> dict[str, float]:
    """What each process spends on a mail's writes, in microseconds of CPU."""
    groups = {"worker": [os.getpid()]} | {name: [pid] for name, pid in processes.items()}
    begin = {name: spent(pid) for name, (pid,) in groups.items()}
    await mails(store, names, count)
    if "sequencer" in processes:
        while await store.ledger.entries.riding(1):  # noqa: ASYNC110 - the other process has no event to wait for
            await asyncio.sleep(0.05)
    used = {name: (spent(pid) - begin[name]) / count * 1e6 for name, (pid,) in groups.items()}
    return used | {"all": sum(used.values())}


def spent(pid: int) -> float:
    """CPU seconds of one process since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def octets(store: Store, leaves: int) -> float:
    """Stored octets of one leaf and what opens it."""
    size: int = (await store.mongo.command({"collStats": "ledger"}))["size"]
    return size / leaves


def main() -> None:
    """Run it on a MongoDB of its own and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--leaves", type=int, default=50_000)
    parser.add_argument("--mails", type=int, default=10_000)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="preklic-", dir=quick_folder()) as made, Children() as children:
        folder = Path(made)
        mongo = start_mongo(children, folder / "mongo", options=own_cache())

        init_keys(folder / "keys", dt.datetime.now(dt.UTC))

        async def work() -> dict[str, float]:
            async with opened(folder / "keys", mongo.url) as store:
                return await measure(store, mongo.url, folder / "keys", mongo.members[0].pid, given.leaves, given.mails)

        for name, figure in asyncio.run(work()).items():
            print(f"{name:<44} {figure:>12,.1f}")


if __name__ == "__main__":
    main()
