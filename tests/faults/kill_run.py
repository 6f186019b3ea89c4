"""`kill -9` of the send worker in the middle of its work, again and again; then every job is looked up by its id.

`python -m faults.kill_run` is the full run of `make faults`; a small one is part of `make test`.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from pymongo import MongoClient

from faults.audit import ENDS, at_rest, evidence, violations
from preklic_producers import Producer
from preklic_shared.jobs import Proof
from preklic_shared.settings import load_settings
from preklic_stack.children import Child
from preklic_stack.places import quick_folder
from preklic_stack.stack import Stack, running_stack
from preklic_stack.system import System
from waiting import until

PURPOSE, TEMPLATE = "newsletter", "newsletter"
ARTICLES = [{"title": "One", "summary": "Nothing to read here.", "url": "https://lucrum.example/one"}]
DATA = {"title": "A fault run", "intro": "Sent while workers die.", "articles": ARTICLES}
CHUNK = 500
# What a killed worker had claimed comes back after its lease and a tier of 2 minutes.
STALL_SECONDS = 240
STATISTICS_SECONDS = 60


@dataclass(frozen=True)
class Plan:
    """`minimum` hand-overs are open at each kill; the sink takes `slow` seconds for each mail, so that they can be.

    `rest` is how long (seconds) everything may take to come to an end: the lease of 60 s, the tier of 2 minutes that a
    busy job is given, and time to work off what came back.
    """

    sends: int = 20_000
    kills: int = 20
    persons: int = 2_000
    minimum: int = 32
    connections: int = 64
    slow: float = 0.15
    rest: float = 400


@dataclass
class Report:
    """What the run did and found; `wrong` must be empty."""

    published: list[str] = field(default_factory=list)
    open_at_kills: list[int] = field(default_factory=list)
    exposed: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)
    bodies: int = 0
    account: str = ""
    seconds: float = 0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The closing table."""
        doubts = self.states["in_doubt"]
        return [
            f"sends published            {len(self.published)}",
            f"kills -9 of the worker     {len(self.open_at_kills)}",
            f"hand-overs open at kills   {sum(self.open_at_kills)} (least {min(self.open_at_kills, default=0)})",
            *(f"{state:<27}{count}" for state, count in sorted(self.states.items())),
            f"whole bodies in the ledger {self.bodies}",
            f"in doubt, allowed          {doubts} <= {sum(self.open_at_kills)}",
            f"seconds                    {self.seconds:.0f}",
            f"violations                 {len(self.wrong)}",
        ]


def run(system: System, plan: Plan, say: Callable[[str], None]) -> Report:
    """Prepare `system`, send, kill, let it come to rest, audit."""
    began = time.monotonic()
    report = Report()
    system.prepare()
    with MongoClient[dict[str, Any]](system.mongo.url) as client, _producer(system) as producer:
        database = client[system.database]
        _grant(system, producer, plan, database)
        say(f"{plan.persons} people permit the newsletter")
        system.sink.mode("slow_accept", seconds=plan.slow)
        system.start("worker", "upkeep", role="upkeep")
        with _publishing(producer, plan, report):
            worker = _kills(system, plan, report, database, say)
        say(f"{len(report.published)} published, {plan.kills} kills; coming to rest")
        system.sink.mode("accept")
        _rest(plan, report, database)
        worker.stop(30)
        _audit(system, report, database)
    report.seconds = time.monotonic() - began
    return report


def _producer(system: System) -> Producer:
    return Producer(load_settings(system.environment()), deadline=30)


def _grant(system: System, producer: Producer, plan: Plan, database: Any) -> None:
    proof = Proof(wording="newsletter-2026-1", source="fault run", method="form")
    for number in range(plan.persons):
        producer.grant(_address(number), [PURPOSE], proof=proof, confirmed=True)
    recorder = system.start("worker", "record", role="record")
    granted = {f"permissions.{PURPOSE}.state": "granted"}
    until(lambda: database.persons.count_documents(granted) == plan.persons, 60, "all grants recorded")
    recorder.stop(30)


@contextmanager
def _publishing(producer: Producer, plan: Plan, report: Report) -> Iterator[None]:
    """Publish in a thread while the block runs; wait for its end, and pass on what went wrong in it."""
    failed: list[Exception] = []

    def publish() -> None:
        try:
            for start in range(0, plan.sends, CHUNK):
                mails = [_mail(plan, number) for number in range(start, min(start + CHUNK, plan.sends))]
                report.published += [receipt.job_id for receipt in producer.send_many(mails)]
        except Exception as error:  # noqa: BLE001 - passed on below, on the main thread
            failed.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    thread.join()
    if failed:
        raise failed[0]


def _mail(plan: Plan, number: int) -> Any:
    return {"to": _address(number % plan.persons), "purpose": PURPOSE, "template": TEMPLATE, "data": DATA}


def _address(number: int) -> str:
    return f"person{number}@preklic.example"


def _kills(system: System, plan: Plan, report: Report, database: Any, say: Callable[[str], None]) -> Child:
    """Kill the worker `plan.kills` times, evenly over the run; the worker that lives at the end."""
    worker = _worker(system)
    for kill in range(plan.kills):
        due = plan.sends * (kill + 1) // (plan.kills + 1)
        try:
            until(lambda due=due: system.sink.counts().get("body", 0) >= due, STALL_SECONDS, f"{due} mails")
            opened = _kill(worker, plan, report, database)
        except AssertionError as stalled:
            # Sending has stopped before its time: the audit says which jobs are missing.
            report.wrong.append(f"stalled before kill {kill + 1}: {stalled}")
            return worker
        say(f"kill {kill + 1}: pid {worker.pid}, {len(opened)} hand-overs open")
        system.children.forget(worker)
        worker = _worker(system)
    return worker


def _worker(system: System) -> Child:
    return system.start("worker", "send", "--concurrency", "128", role="send")


def _kill(worker: Child, plan: Plan, report: Report, database: Any) -> set[str]:
    """Freeze the worker when enough hand-overs are open; kill it if they still are, or let it go on and look again."""

    def caught() -> bool:
        if len(_open(database, report)) < plan.minimum:
            return False
        worker.signal(signal.SIGSTOP)
        until(lambda: _process_state(worker.pid) == "T", 20, "the worker stopped")
        if len(_open(database, report)) >= plan.minimum:
            return True
        worker.signal(signal.SIGCONT)
        return False

    until(caught, 60, f"{plan.minimum} open hand-overs")
    worker.kill()
    opened = _open(database, report)
    report.open_at_kills.append(len(opened))
    report.exposed |= opened
    return opened


def _open(database: Any, report: Report) -> set[str]:
    """Messages with an open hand-over and no end yet, without those of earlier kills."""
    stages = [{"$match": {"open.0": {"$exists": True}}}, {"$unwind": "$open"}, {"$project": {"m": "$open.message"}}]
    held = {row["m"] for row in database.persons.aggregate(stages)} - report.exposed
    ended = database.messages.find({"_id": {"$in": list(held)}, "state": {"$ne": "claimed"}}, {"_id": 1})
    return held - {row["_id"] for row in ended}


def _process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _rest(plan: Plan, report: Report, database: Any) -> None:
    """Wait until every published job is at an end, or long enough: the audit names those that are not."""
    ends = {"_id": {"$in": report.published}, "state": {"$in": sorted(ENDS)}}
    with suppress(AssertionError):
        until(lambda: database.messages.count_documents(ends) == len(report.published), plan.rest)


def _audit(system: System, report: Report, database: Any) -> None:
    states = {row["_id"]: row["state"] for row in database.messages.find({"kind": "send"}, {"state": 1})}
    ledger = [line for line in system.sink.lines() if line["phase"] == "body"]
    seen = evidence(report.published, states, ledger, report.exposed)
    report.states = Counter(states[job] for job in report.published if job in states)
    report.bodies = sum(seen.bodies.values())
    unacked = unacked_in(system)
    report.wrong += violations(seen) + at_rest(database.persons.find({}, {"open": 1}), states, unacked)
    report.account = system.run("account", role="upkeep", expect=None)
    told = json.loads(system.run("account", "--json", role="upkeep", expect=None))
    report.wrong += [f"account: {told['unaccounted']} jobs are unaccounted"] * (told["unaccounted"] != 0)


def unacked_in(system: System) -> dict[str, int]:
    """Unacked messages by queue. The broker's figures are old: what is not 0 is looked at again for a while."""

    def left() -> dict[str, int]:
        queues = system.rabbit.management.call("GET", f"queues/{quote(system.vhost, safe='')}")
        return {
            queue["name"]: queue["messages_unacknowledged"] for queue in queues if queue.get("messages_unacknowledged")
        }

    with suppress(AssertionError):
        until(lambda: not left(), STATISTICS_SECONDS)
    return left()


def main() -> int:
    """The run on a stack of its own; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults.kill_run", description=__doc__)
    parser.add_argument("--sends", type=int, default=Plan.sends)
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--persons", type=int, default=Plan.persons)
    parser.add_argument("--rest", type=float, default=Plan.rest, help="seconds")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args()
    plan = Plan(sends=options.sends, kills=options.kills, persons=options.persons, rest=options.rest)
    with tempfile.TemporaryDirectory(dir=quick_folder()) as folder, running_stack(Path(folder), say) as stack:
        report = run_apart(stack, plan)
    say(report.account)
    for line in [*report.lines(), *report.wrong[:50]]:
        say(line)
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))
    return 1 if report.wrong else 0


def run_apart(stack: Stack, plan: Plan) -> Report:
    """The run on a virtual host and a database of its own: servers that were given may hold other things."""
    name = f"kill-run-{uuid.uuid4().hex[:8]}"
    stack.rabbit.management.add_vhost(name)
    system = System(
        stack.run_dir / "preklic",
        stack.children,
        stack.rabbit,
        stack.mongo,
        stack.sink,
        name,
        name,
        connections=plan.connections,
    )
    try:
        return run(system, plan, say)
    finally:
        stack.rabbit.management.delete_vhost(name)
        stack.mongo.drop(name, f"{name}_keys")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
