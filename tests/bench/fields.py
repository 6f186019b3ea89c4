"""`python -m bench.fields [--people N]`: what encryption at rest costs, and a whole turn of the epoch with MongoDB."""

import argparse
import asyncio
import datetime as dt
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from preklic_stack.children import Children
from preklic_stack.mongo import start_mongo
from preklic_workers.envelope import DataKey, Epochs
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.store import Store, open_store, schema
from preklic_workers.store.vault import COLLECTION, key_id
from preklic_workers.turning import Turn

GROUPS = ("contact", "profile")
_CHUNK = 5_000


def rates(count: int) -> dict[str, float]:
    """Fields encrypted and decrypted, and wrapped keys opened and wrapped, each a second on one core."""
    epochs = Epochs({"contact": {1: os.urandom(32)}})
    key, wrapped = epochs.new_key("p" * 43, "contact")
    stored = key.encrypt(b"ana@primer.example", "p" * 43, COLLECTION, "contact")
    return {
        "fields encrypted": _rate(lambda: key.encrypt(b"ana@primer.example", "p" * 43, COLLECTION, "contact"), count),
        "fields decrypted": _rate(lambda: key.decrypt(stored, "p" * 43, COLLECTION, "contact"), count),
        "keys unwrapped": _rate(lambda: epochs.unwrap(wrapped, "p" * 43, "contact"), count),
        "keys wrapped": _rate(lambda: epochs.wrap(key, "p" * 43, "contact"), count),
    }


def _rate(work, count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        work()
    return count / (time.perf_counter() - began)


async def turn(url: str, database: str, folder: Path, people: int) -> dict[str, float]:
    """Seconds of each step of a turn with so many people, each with a key of two groups, and of all of it."""
    root, state = folder / "keys", folder / "state"
    init_keys(root, dt.datetime.now(dt.UTC))
    state.mkdir(mode=0o700)
    ring = load_ring(root / "upkeep", "upkeep")
    store = await open_store(SimpleNamespace(mongo_url=url, mongo_database=database), ring)
    try:
        await schema.apply(store.mongo)
        await _fill(store, ring.epochs, people)
        steps: dict[str, float] = {}
        before = began = time.perf_counter()

        def tell(step: str, _done: int, _total: int) -> None:
            nonlocal before
            now, step = time.perf_counter(), step.partition(":")[0]  # groups are wrapped side by side
            steps[step] = steps.get(step, 0.0) + now - before
            before = now

        turned = await Turn(store, ring.epochs, root, state, "bench", tell).run()
        assert turned.rewrapped == people * len(GROUPS)
        return steps | {"the whole turn": time.perf_counter() - began}
    finally:
        store.close()


async def _fill(store: Store, epochs: Epochs, people: int) -> None:
    for start in range(0, people, _CHUNK):
        docs = []
        for number in range(start, min(start + _CHUNK, people)):
            person = f"{number:043d}"
            for group in GROUPS:
                wrapped = epochs.wrap(DataKey(os.urandom(32)), person, group)
                docs.append({"_id": key_id(person, group), "wrapped": wrapped.wrapped, "epoch": wrapped.epoch})
        await store.mongo.keys().insert_many(docs)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.fields", description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--fields", type=int, default=200_000)
    options = parser.parse_args()
    for what, rate in rates(options.fields).items():
        print(f"{what:32} {rate:12,.0f}/s")
    with tempfile.TemporaryDirectory(prefix="preklic-fields-") as folder, Children() as children:
        mongo = start_mongo(children, Path(folder) / "mongo")
        print(f"a turn with {options.people:,} people and {options.people * len(GROUPS):,} keys:")
        steps = asyncio.run(turn(mongo.url, f"fields_{os.getpid()}", Path(folder), options.people))
        mongo.drop(f"fields_{os.getpid()}", f"fields_{os.getpid()}_keys")
    for what, seconds in steps.items():
        print(f"  {what:30} {seconds:10.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
