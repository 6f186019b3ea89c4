"""Every worker restarted one after the other under full load, again and again; then every job is looked up by its id.

As a rolling deploy does it: the new one takes jobs before the old one is asked to end. Nothing may be lost or sent
twice, everybody must end by itself, and no job may wait long. `python -m faults.rolling` is the full run, and a small
one is in `make test`.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from pymongo import MongoClient

from faults.audit import ENDS, at_rest, evidence, violations
from faults.beside import beside
from faults.kill_run import say, unacked_in
from faults.witnesses import made
from preklic_producers import Producer, Proof
from preklic_shared.settings import load_settings
from preklic_stack.children import Child
from preklic_stack.household import wait_ready
from preklic_stack.places import quick_folder
from preklic_stack.ports import free_ports
from preklic_stack.stack import Stack, running_stack
from preklic_stack.system import System
from preklic_workers import joblog
from preklic_workers.judging import read_account
from preklic_workers.looking import KEYLESS
from preklic_workers.store import open_store
from waiting import until

BILL = {"invoice": "1", "amount": "1 EUR", "due": "1. 1. 2030"}
PROOF = Proof(wording="rolling-1", source="fault run", method="form")
LANE = "send.now"
CONCURRENCY = 32  # as many as a worker has sessions: a job that it holds does not wait for one
_APPLIED = ENDS | {"applied"}


@dataclass(frozen=True)
class Plan:
    """`rounds` restarts of each worker of `fleet`; `waiting` mails lie in the queue all the time, `rest` in seconds.

    The workers never wait for the load: they are as busy as they can be; with `pause` (seconds after each chunk) less
    so. `drain` is how long (seconds) a worker may take to end.
    """

    rounds: int = 10
    fleet: tuple[str, ...] = ("send", "send", "record")
    waiting: int = 200
    chunk: int = 50
    pause: float = 0.02
    drain: float = 30
    rest: float = 60


@dataclass
class Report:
    """What the run did and found; `wrong` must be empty. Delays are in seconds, from the publication to the end."""

    published: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    restarts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    bodies: int = 0
    delays: dict[str, float] = field(default_factory=dict)
    drains: list[float] = field(default_factory=list)
    seconds: float = 0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The closing table."""
        rate = len(self.published) / self.seconds if self.seconds else 0
        return [
            f"mails published            {len(self.published)} ({rate:.0f} a second)",
            f"grants published           {len(self.granted)}",
            f"workers restarted          {self.restarts}",
            f"longest drain, seconds     {max(self.drains, default=0):.2f}",
            *(f"{state:<27}{count}" for state, count in sorted(self.states.items())),
            f"whole bodies in the ledger {self.bodies}",
            *(f"delay {name:<21}{seconds:.3f} s" for name, seconds in self.delays.items()),
            f"seconds                    {self.seconds:.0f}",
            f"violations                 {len(self.wrong)}",
        ]


def run(system: System, plan: Plan, tell: Callable[[str], None]) -> Report:
    """Prepare `system`, load it, restart everybody, let it come to rest, audit."""
    report = Report()
    system.prepare()
    fleet = started(system, *plan.fleet)
    began = time.monotonic()
    with _loading(system, plan, report):
        until(lambda: system.sink.counts().get("body", 0) > plan.waiting, 30, "it is under way")
        for number in range(plan.rounds):
            fleet = [_restarted(system, one, plan, report) for one in fleet]
            tell(f"round {number + 1}: {len(report.published)} mails published")
    report.seconds = time.monotonic() - began
    with MongoClient[dict[str, Any]](system.mongo.url, tz_aware=True) as client:
        _rest(plan, report, client[system.database])
        report.wrong += [f"{one.name} did not end by itself" for one in fleet if one.stop(plan.drain) != 0]
        _audit(system, report, client[system.database])
    return report


def started(system: System, *roles: str) -> list[Child]:
    """A worker for each of these, all taking jobs."""
    ports = free_ports(len(roles))
    system.children.ports += ports
    fleet = [
        system.start(
            "worker", role, "--concurrency", str(CONCURRENCY), role=role, extra={"PREKLIC_METRICS_PORT": str(port)}
        )
        for role, port in zip(roles, ports, strict=True)
    ]
    for child, port in zip(fleet, ports, strict=True):
        wait_ready(child, port)
    return fleet


def _restarted(system: System, old: Child, plan: Plan, report: Report) -> Child:
    (new,) = started(system, old.name)
    began = time.monotonic()
    if (status := old.stop(plan.drain)) != 0:
        report.wrong.append(f"{old.name} ended with {status}")
    report.drains.append(time.monotonic() - began)
    report.restarts += 1
    system.children.forget(old)
    return new


def _loading(system: System, plan: Plan, report: Report) -> AbstractContextManager[None]:
    """Keep mails waiting while the block runs."""
    url = system.rabbit.amqp_url(system.vhost)

    def publish(over: threading.Event) -> None:
        with Producer(load_settings(system.environment()), deadline=30) as producer:
            while not over.is_set():
                if joblog.depths(url)[LANE] < plan.waiting:
                    _publish(producer, plan, report)
                over.wait(plan.pause)

    return beside(publish)


def _publish(producer: Producer, plan: Plan, report: Report) -> None:
    mails = [_bill(len(report.published) + number) for number in range(plan.chunk)]
    report.published += [receipt.job_id for receipt in producer.send_many(mails)]
    if "record" not in plan.fleet:
        return
    receipt = producer.grant(_bill(len(report.granted))["to"], ["newsletter"], proof=PROOF, confirmed=True)
    report.granted.append(receipt.job_id)


def _bill(number: int) -> Any:
    return {"to": f"person{number}@preklic.example", "purpose": "payment", "template": "payment", "data": BILL}


def _rest(plan: Plan, report: Report, database: Any) -> None:
    ids = [*report.published, *report.granted]
    ends = {"_id": {"$in": ids}, "state": {"$in": sorted(_APPLIED)}}
    with suppress(AssertionError):
        until(lambda: database.messages.count_documents(ends) == len(ids), plan.rest)


def _audit(system: System, report: Report, database: Any) -> None:
    docs = {doc["_id"]: doc for doc in database.messages.find({}, {"state": 1, "at": 1, "kind": 1})}
    states = {job: doc["state"] for job, doc in docs.items() if doc["kind"] == "send"}
    published = frozenset(report.published)
    ledger = [line for line in system.sink.lines() if line["phase"] == "body" and line.get("job") in published]
    seen = evidence(report.published, states, ledger, ())
    report.states = Counter(doc["state"] for doc in docs.values())
    report.bodies = sum(seen.bodies.values())
    report.wrong += violations(seen) + at_rest(database.persons.find({}, {"open": 1}), states, unacked_in(system))
    lost = [job for job in report.granted if docs.get(job, {}).get("state") != "applied"]
    report.wrong += [f"{job}: a grant that is not applied" for job in lost]
    report.delays = delays(docs)
    nowhere = asyncio.run(_unaccounted(system))
    report.wrong += [f"account: {nowhere} jobs are unaccounted"] * (nowhere != 0)


async def _unaccounted(system: System) -> int:
    place = SimpleNamespace(mongo_url=system.mongo.url, mongo_database=system.database)
    store = await open_store(place, KEYLESS)
    try:
        return (await read_account(store, system.rabbit.amqp_url(system.vhost), None, patience=5)).unaccounted
    finally:
        store.close()


def delays(docs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """How long jobs took from their making to their end."""
    taken = sorted(doc["at"].timestamp() - made(job) for job, doc in docs.items())
    if not taken:
        return {}
    return {
        name: taken[min(int(len(taken) * part), len(taken) - 1)]
        for name, part in (("p50", 0.5), ("p99", 0.99), ("most", 1))
    }


def main() -> int:
    """The run on a stack of its own; 1 when a promise was broken, or the 99th percentile is 5 s or more."""
    parser = argparse.ArgumentParser(prog="python -m faults.rolling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=quick_folder()) as folder, running_stack(Path(folder), say) as stack:
        report = run_apart(stack, Plan(rounds=options.rounds))
    if report.delays.get("p99", 0) >= 5:
        report.wrong.append("a job in a hundred took 5 s or longer")
    for line in [*report.lines(), *report.wrong[:50]]:
        say(line)
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))
    return 1 if report.wrong else 0


def run_apart(stack: Stack, plan: Plan) -> Report:
    """The run on a virtual host and a database of its own: servers that were given may hold other things."""
    name = f"rolling-{uuid.uuid4().hex[:8]}"
    stack.rabbit.management.add_vhost(name)
    parts = (stack.run_dir / "preklic", stack.children, stack.rabbit, stack.mongo, stack.sink)
    try:
        return run(System(*parts, name, name), plan, say)
    finally:
        stack.rabbit.management.delete_vhost(name)
        stack.mongo.drop(name, f"{name}_keys")


if __name__ == "__main__":
    sys.exit(main())
