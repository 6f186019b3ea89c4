"""`python -m bench.ledger_verify [--leaves N]`: leaves a second of `ledger verify`, by one process and by all."""

import argparse
import asyncio
import datetime as dt
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.ledger import KEY, NAME, opened, spent
from preklic_stack.children import Children
from preklic_stack.mongo import own_cache, start_mongo
from preklic_stack.places import quick_folder
from preklic_workers.keyfiles import init_keys
from preklic_workers.ledger.auditing import audit
from preklic_workers.ledger.leaves import Opening, leaf
from preklic_workers.ledger.notes import sign
from preklic_workers.ledger.parts import audit_parts
from preklic_workers.ledger.runs import Run, dated, sealed
from preklic_workers.ledger.tree import Edge
from preklic_workers.ledger.verify import Head, leaf_hash
from preklic_workers.moments import millis
from preklic_workers.store import Store
from preklic_workers.store.entries import MOST

KEYS = {NAME: [KEY.public_key().public_bytes_raw()]}
OPENING = 400  # octets: what a sent mail has


async def fill(store: Store, leaves: int) -> None:
    """So many leaves in full runs, with a head behind each, as if the sequencer had put them on."""
    edge, openings = Edge(), [os.urandom(OPENING)] * MOST
    while edge.size < leaves:
        now, start = store.mongo.now(), edge.size
        several = [leaf(f"{start + n:032x}", "mail.sent", Opening(b"", {"n": n}), millis(now)) for n in range(MOST)]
        hashes = list(map(leaf_hash, several))
        edge.extend(hashes)
        records = [f"messages:{start + n:036d}" for n in range(MOST)]
        persons = [f"{n:043d}" for n in range(MOST)]
        run = Run(start, several, hashes, edge.hashes, now, records, persons, openings)
        await store.ledger.append(sealed(run, NAME, KEY))
        head = Head(NAME, edge.size, edge.root())
        await store.ledger.sign(sign(head, KEY), dated(edge.size, now, NAME, KEY))


async def measure(store: Store, leaves: int, database: int) -> dict[str, float]:
    """Leaves a second by one process and by all, and CPU a leaf; `database` is the process of MongoDB."""
    await fill(store, leaves)
    ledger = store.ledger
    before, began = (spent(os.getpid()), spent(database)), time.perf_counter()
    await audit(ledger.runs(), await ledger.checkpoints(), KEYS, dates=await ledger.dated())
    one = time.perf_counter()
    own, theirs = (spent(pid) - used for pid, used in zip((os.getpid(), database), before, strict=True))
    await audit_parts(ledger, await ledger.checkpoints(), KEYS)
    return {
        "by one process, a second": leaves / (one - began),
        "by all processes, a second": leaves / (time.perf_counter() - one),
        "us of CPU a leaf, verifier": own / leaves * 1e6,
        "us of CPU a leaf, mongod": theirs / leaves * 1e6,
    }


def main() -> None:
    """Run it on a MongoDB of its own and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger_verify", description=__doc__)
    parser.add_argument("--leaves", type=int, default=2_000_000)
    leaves = parser.parse_args().leaves
    with TemporaryDirectory(prefix="preklic-", dir=quick_folder()) as made, Children() as children:
        folder = Path(made)
        mongo = start_mongo(children, folder / "mongo", options=own_cache())
        os.environ |= {"PREKLIC_MONGO_URL": mongo.url, "PREKLIC_MONGO_DATABASE": "bench_ledger"}
        init_keys(folder / "keys", dt.datetime.now(dt.UTC))

        async def work() -> dict[str, float]:
            async with opened(folder / "keys", mongo.url) as store:
                return await measure(store, leaves, mongo.members[0].pid)

        for name, figure in asyncio.run(work()).items():
            print(f"leaves verified, {name:<28} {figure:>12,.2f}")


if __name__ == "__main__":
    main()
