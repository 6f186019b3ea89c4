"""How long an erasure takes among many people: `python -m bench.erasing --people 1000000 --erasures 1000`.

Real queue, real worker of `revoke`. All erasures are published at once; each is timed from before its publishing to the
moment that its receipt says: document emptied, keys destroyed, events and proofs gone. The figures are printed, nothing
is asserted about them.
"""

import argparse
import datetime as dt
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

from bench.ground import OUR_DATABASE, DoesNotRun, Ground, running_ground
from bench.house import House, house
from bench.life import attach, stop
from bench.ours import workers
from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob
from preklic_shared.publication import Publication
from preklic_shared.wire import encode

KEYS = f"{OUR_DATABASE}_keys"
_CHUNK = 5_000
_LATEST = 600.0
_GROUPS = ("contact", "profile", "evidence")


def run(ground: Ground, people: int, erasures: int) -> dict[str, float]:
    """Store so many people, erase so many of them; seconds: p50, p99 and max; erasures a second."""
    home = house(ground)
    home.people(1)
    chosen = fill(home, people, erasures)
    (worker,) = workers(home, "revoke", 1)
    try:
        attach(ground, worker, "revoke")
        began = time.time()
        jobs = {job.id: job for job in map(_job, chosen.values())}
        asked = {id_: time.time() for id_ in jobs}
        ground.publish(Publication("jobs", "revoke", encode(job, "revoke"), job.id, "revoke") for job in jobs.values())
        ended = _ended(ground, set(jobs))
    finally:
        stop(ground, worker)
    check(ground, list(chosen))
    waited = sorted(ended[id_][1] - at for id_, at in asked.items())
    closed = sorted(ended[id_][0] - at for id_, at in asked.items())
    share = {name: waited[round((len(waited) - 1) * part)] for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))}
    rate = erasures / (max(over for _, over in ended.values()) - began)
    return share | {"rate": rate, "closed": closed[round((len(closed) - 1) * 0.99)]}


def fill(home: House, people: int, erasures: int) -> dict[str, bytes]:
    """So many persons, each with keys, a proof and two events, as one real grant left them; subject -> pid of some."""
    database, keys = home.ground.raw(home.database), home.ground.raw(f"{home.database}_keys")
    first, proof = database.persons.find_one({}), database.permissions.find_one({})
    chosen: dict[str, bytes] = {}
    lucky = set(random.Random(7).sample(range(people), erasures))
    chunks = range(0, people, _CHUNK)
    for start in track(chunks, "storing people", disable=not sys.stderr.isatty()):
        numbers = range(start, min(start + _CHUNK, people))
        persons = list(_persons(first, numbers))
        chosen |= {doc["_id"]: doc["pid"] for number, doc in zip(numbers, persons, strict=True) if number in lucky}
        database.persons.insert_many(persons, ordered=False)
        keys.keys.insert_many([_key(doc["_id"], group) for doc in persons for group in _GROUPS], ordered=False)
        database.permissions.insert_many(
            [proof | {"_id": f"{new_id()}:newsletter", "person": doc["_id"]} for doc in persons], ordered=False
        )
        database.events.insert_many([_event(doc["_id"], n) for doc in persons for n in range(2)], ordered=False)
    return chosen


def check(ground: Ground, subjects: list[str]) -> None:
    """Raises `DoesNotRun` when anything of them is left."""
    database, keys = ground.raw(OUR_DATABASE), ground.raw(KEYS)
    some, ids = {"$in": subjects}, [{"p": each, "g": group} for each in subjects for group in _GROUPS]
    left = {
        "documents": database.persons.count_documents({"_id": some, "contact": {"$exists": True}}),
        "keys": keys.keys.count_documents({"_id": {"$in": ids}}),
        "events": database.events.count_documents({"person": some}),
        "proofs": database.permissions.count_documents({"person": some, "proof": {"$ne": b""}}),
    }
    if any(left.values()):
        raise DoesNotRun(f"left after the erasures: {left}")


def _persons(first: dict[str, Any], numbers: range) -> Iterator[dict[str, Any]]:
    for _ in numbers:
        yield first | {"_id": _hash(), "pid": os.urandom(16), "lookup": _hash()}


def _hash() -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(alphabet[byte & 63] for byte in os.urandom(43))


def _key(subject: str, group: str) -> dict[str, Any]:
    return {"_id": {"p": subject, "g": group}, "wrapped": os.urandom(60), "epoch": 1}


def _event(subject: str, number: int) -> dict[str, Any]:
    message, now = new_id(), dt.datetime.now(dt.UTC)
    told = {"message": message, "person": subject, "kind": "clicked", "verdict": "human", "rules": 1, "link": number}
    return told | {"_id": f"{message}|clicked|{number}|0", "at": now, "recorded": now}


def _job(pid: bytes) -> RevokeJob:
    now = time.time_ns() // 1_000_000
    fields = {"purposes": "all", "source": "operator", "person": pid.hex(), "erase": True}
    return RevokeJob(id=new_id(), producer="guest", at=now, expires=now + 86_400_000, **fields)


def _ended(ground: Ground, jobs: set[str]) -> dict[str, tuple[float, float]]:
    """When the gate of each was closed and when all was over, by its receipt; raises `DoesNotRun` after ten minutes."""
    receipts = ground.raw(OUR_DATABASE).withdrawals
    where = {"_id": {"$in": list(jobs)}, "erased.at": {"$exists": True}}
    deadline = time.monotonic() + _LATEST
    while receipts.count_documents(where) < len(jobs):
        if time.monotonic() > deadline:
            raise DoesNotRun(f"{receipts.count_documents(where)} of {len(jobs)} erasures are over")
        time.sleep(0.1)
    return {doc["_id"]: (_seconds(doc["closed"]), _seconds(doc["erased"][0]["at"])) for doc in receipts.find(where)}


def _seconds(moment: dt.datetime) -> float:
    return moment.replace(tzinfo=dt.UTC).timestamp()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.erasing", description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--erasures", type=int, default=1_000)
    options = parser.parse_args()
    if not 0 < options.erasures <= options.people:
        parser.error("--erasures is at least 1 and at most --people")
    with tempfile.TemporaryDirectory(prefix="preklic-erasing-") as folder, running_ground(Path(folder)) as ground:
        began = time.monotonic()
        found = run(ground, options.people, options.erasures)
        took = time.monotonic() - began
    print(f"{options.people:,} people stored, {options.erasures:,} erasures asked for at once, one worker")
    told = ", ".join(f"{name} {found[name]:.2f} s" for name in ("p50", "p99", "max"))
    print(f"from asking to the finished receipt: {told}; to the closed gate: p99 {found['closed']:.2f} s")
    print(f"{found['rate']:,.0f} erasures a second; {took:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
