"""`python -m bench.ledger [--leaves N] [--mails N]`: what the ledger costs, in turns on one MongoDB.

Leaves a second of the sequencer and of `preklic ledger verify`, octets a mail, seconds from a write to its place in
the tree; and a mail's writes (claim, gate, settle, pull) in turns with and without leaves and a sequencer beside them.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_stack.children import Children
from preklic_stack.mongo import CACHE, start_mongo
from preklic_stack.places import quick_folder
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.sequencing import EVERY, Sequencer
from preklic_workers.store import Act, Claim, Handover, Store, message_states, open_store, schema
from preklic_workers.store.person_docs import fresh, place

NAME = "bench.example/ledger"
AT_ONCE = 256
TURNS = 5
NEWS = load_registry().purposes["newsletter"]
KEY = Ed25519PrivateKey.generate()


@contextlib.asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[Store]:
    """A store with the keys of upkeep, which holds those of `evidence`."""
    init_keys(folder / "keys", dt.datetime.now(dt.UTC))
    ring = load_ring(folder / "keys" / "upkeep", "upkeep")
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

    with patch.object(message_states, "_update", bare):
        yield


async def following(sequencer: Sequencer) -> None:
    """As the role does."""
    while True:
        await sequencer.once()
        await asyncio.sleep(EVERY)


async def measure(store: Store, leaves: int, count: int) -> dict[str, float]:
    """All figures."""
    sequencer = Sequencer(store.ledger, store.mongo, NAME, KEY)
    names = await people(store, 2_000)
    for start in range(0, leaves, AT_ONCE):
        await asyncio.gather(
            *(
                store.acts.record(Act("bench", "me", "x", person=names[(start + n) % len(names)]))
                for n in range(AT_ONCE)
            )
        )
    began = time.perf_counter()
    moved = await sequencer.once()
    rate = moved / (time.perf_counter() - began)
    await sequencer.checkpoint()
    began = time.perf_counter()
    await audit(store.ledger.runs(), await store.ledger.checkpoints(), {NAME: [KEY.public_key().public_bytes_raw()]})
    verified = moved / (time.perf_counter() - began)
    size = await octets(store, moved)
    bare, full = [], []
    for _ in range(TURNS):
        with leafless():
            bare.append(await mails(store, names, count))
        beside = asyncio.create_task(following(sequencer))
        full.append(await mails(store, names, count))
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
        await sequencer.once()
    cost = [without / with_it - 1 for without, with_it in zip(bare, full, strict=True)]
    return {
        "leaves put on, a second": rate,
        "leaves verified, a second": verified,
        "octets a leaf, with its opening": size,
        "mails' writes a second, without": statistics.median(bare),
        "mails' writes a second, with": statistics.median(full),
        "what the ledger costs them, %": statistics.median(cost) * 100,
    }


async def octets(store: Store, leaves: int) -> float:
    """Stored octets of one leaf and its opening."""
    sizes = [await store.mongo.command({"collStats": name}) for name in ("ledger", "openings")]
    return sum(one["size"] for one in sizes) / leaves


def main() -> None:
    """Run it on a MongoDB of its own and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--leaves", type=int, default=50_000)
    parser.add_argument("--mails", type=int, default=10_000)
    given = parser.parse_args()
    with TemporaryDirectory(prefix="preklic-", dir=quick_folder()) as made, Children() as children:
        folder = Path(made)
        mongo = start_mongo(children, folder / "mongo", options=(CACHE, "2"))

        async def work() -> dict[str, float]:
            async with opened(folder, mongo.url) as store:
                return await measure(store, given.leaves, given.mails)

        for name, figure in asyncio.run(work()).items():
            print(f"{name:<36} {figure:>12,.1f}")


if __name__ == "__main__":
    main()
