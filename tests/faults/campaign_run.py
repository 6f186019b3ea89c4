"""One campaign to very many people, its fan-out killed -9 again and again: nobody is missing, nobody gets two.

`python -m faults.campaign_run --people 1000000` is the full run; a small one is part of `make test`. With `--drain` the
mails are taken from their queue and looked at instead of being sent: that measures the fan-out alone.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pika
from pymongo import MongoClient

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.wire import decode
from preklic_stack.children import Child, Children
from preklic_stack.mailsink import start_sink
from preklic_stack.mongo import CACHE, start_mongo
from preklic_stack.places import quick_folder
from preklic_stack.rabbit import start_rabbit
from preklic_stack.system import System
from preklic_workers.keydir import load_ring
from preklic_workers.store import open_store, schema
from preklic_workers.store.person_docs import fresh
from preklic_workers.store.persons import contact_doc
from waiting import until

NAME: Final = "autumn"
CHUNK: Final = 5_000
STALL_SECONDS: Final = 300
DATA: Final = '{"title": "Autumn", "intro": "One mail to everybody.", "articles": []}'


@dataclass(frozen=True)
class Plan:
    """`senders` send workers; none with `drain`."""

    people: int = 1_000_000
    kills: int = 10
    senders: int = 2
    drain: bool = False
    seed: int = 1


@dataclass
class Report:
    """What was found; `wrong` must be empty. Times in seconds, memory in MB."""

    walked: float = 0.0
    whole: float = 0.0
    jobs: int = 0
    different: int = 0
    mails: int = 0
    memory: float = 0.0
    killed_at: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def lines(self, plan: Plan) -> list[str]:
        """The closing table."""
        return [
            f"people                        {plan.people}",
            f"kills -9 of the fan-out       {len(self.killed_at)}",
            f"fan-out, seconds, jobs/s      {self.walked:.1f}  {plan.people / max(self.walked, 0.001):.0f}",
            f"until the last mail, seconds  {self.whole:.1f}",
            f"jobs taken, different         {self.jobs}  {self.different}" if plan.drain else f"mails  {self.mails}",
            f"most memory of a fan-out, MB  {self.memory:.0f}",
            f"violations                    {len(self.wrong)}",
        ]


def run(system: System, plan: Plan, say: Callable[[str], None]) -> Report:
    """Prepare `system`, put the people there, walk and kill, and count."""
    report = Report()
    system.prepare()
    began = time.monotonic()
    asyncio.run(_people(system, plan.people))
    say(f"{plan.people} people permit the newsletter ({time.monotonic() - began:.0f} s)")
    with MongoClient[dict[str, Any]](system.mongo.url) as client:
        database = client[system.database]
        workers = [] if plan.drain else [_worker(system, "send") for _ in range(plan.senders)]
        data = system.folder / "data.json"
        data.write_text(DATA)
        words = ("--purpose", "newsletter", "--template", "newsletter", "--data", str(data))
        system.run("campaign", "start", NAME, *words, role="upkeep")
        began, walked = time.monotonic(), threading.Event()
        draining = threading.Thread(target=_drain, args=(system, report, walked))
        if plan.drain:
            draining.start()
        _walk(system, plan, report, database, say)
        report.walked = time.monotonic() - began
        say(f"everybody was walked after {report.walked:.1f} s")
        walked.set()
        if plan.drain:
            draining.join()
            missing = plan.people - report.different
            report.wrong += [f"{missing} people are missing"] * (missing != 0)
        else:
            _wait_for_mails(system, plan, report, database)
        report.whole = time.monotonic() - began
        for worker in workers:
            worker.stop(30)
    return report


async def _people(system: System, count: int) -> None:
    ring = load_ring(system.keys / "record", "record")
    place = SimpleNamespace(mongo_url=system.mongo.url, mongo_database=system.database)
    store = await open_store(place, ring)
    await schema.apply(store.mongo)
    job, now = new_id(), store.mongo.now()
    said = {"newsletter": {"state": "granted", "at": now, "job": job, "seq": 1, "source": "import"}}
    for start in range(0, count, CHUNK):
        people = [parse(f"person{number}@preklic.example") for number in range(start, min(start + CHUNK, count))]
        subjects = {ring.blind.subject(address): address for address in people}
        keys = await store.vault.many_or_new([], [(subject, "contact") for subject in subjects])
        docs = [
            fresh(subject, os.urandom(16))
            | contact_doc(keys[subject, "contact"], ring.blind, subject, address, None)
            | {"permissions": said, "seq": 1}
            for subject, address in subjects.items()
        ]
        result = await store.mongo["persons"].insert_many(docs)
        assert result.sure
        assert not result.failed
    store.close()


def _walk(system: System, plan: Plan, report: Report, database: Any, say: Callable[[str], None]) -> None:
    """Until the campaign is done; the fan-out dies at `kills` random places."""
    chance = random.Random(plan.seed)
    places = sorted(chance.randrange(plan.people) for _ in range(plan.kills))
    worker = _worker(system, "campaign")

    def reached(place: int) -> bool:
        report.memory = max(report.memory, _memory(worker.pid))
        doc = database.campaigns.find_one({"_id": NAME}) or {}
        return doc.get("state") == "done" or doc.get("walked", 0) > place

    # With senders the fan-out waits for the mails that are already in the queue: it is as fast as they are.
    longest = STALL_SECONDS + plan.people / 200
    for place in places:
        until(lambda place=place: reached(place), longest, f"{place} people are walked")
        worker.kill()
        report.killed_at.append(database.campaigns.find_one({"_id": NAME})["walked"])
        system.children.forget(worker)
        worker = _worker(system, "campaign")
    until(lambda: reached(plan.people), longest, "everybody is walked")
    until(lambda: database.campaigns.find_one({"_id": NAME})["state"] == "done", 60, "done")
    worker.stop(30)
    walked = database.campaigns.find_one({"_id": NAME})["walked"]
    say(f"killed after {report.killed_at} people; {walked} walked in all")
    report.wrong += [f"{walked} people were walked"] * (walked != plan.people)


def _drain(system: System, report: Report, walked: threading.Event) -> None:
    """Take every job off the queue until the walk is over and nothing comes any more: each person has one id."""
    people: dict[str, str] = {}
    with pika.BlockingConnection(pika.URLParameters(system.rabbit.amqp_url(system.vhost))) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=2000)
        for method, _, body in channel.consume("send.bulk", inactivity_timeout=2):
            if method is None:
                if walked.is_set():
                    break
                continue
            report.jobs += 1
            _, job = decode(body, "send.bulk")
            people.setdefault(job.person, job.id)
            report.wrong += [f"{job.person} has two ids"] * (people[job.person] != job.id)
            if report.jobs % 1000 == 0:
                channel.basic_ack(method.delivery_tag, multiple=True)
        channel.cancel()
    report.different = len(people)


def _wait_for_mails(system: System, plan: Plan, report: Report, database: Any) -> None:
    """Until every mail has its end: each is sent, and the relay took so many bodies and no more."""
    sent = {"campaign": NAME, "state": "sent"}

    def over() -> bool:
        before = report.mails
        report.mails = database.messages.count_documents(sent)
        return report.mails >= plan.people or (report.mails == before and not system.sink.counts())

    until(over, STALL_SECONDS + plan.people / 200, "every mail is sent")
    persons = len(database.messages.distinct("person", {"campaign": NAME})) if plan.people <= 100_000 else report.mails
    bodies = system.sink.counts().get("body", 0)
    told = {"sent": report.mails, "persons": persons, "bodies at the relay": bodies}
    report.wrong += [
        f"{count} {name}, and {plan.people} people" for name, count in told.items() if count != plan.people
    ]


def _worker(system: System, role: str) -> Child:
    return system.start("worker", role, "--concurrency", "256", role=role)


def _memory(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


def say(line: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """The run on services of its own; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults.campaign_run", description=__doc__)
    parser.add_argument("--people", type=int, default=Plan.people)
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--senders", type=int, default=Plan.senders)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--drain", action="store_true", help="look at the jobs instead of sending the mails")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = vars(parser.parse_args())
    told = options.pop("json")
    plan = Plan(**options)
    with tempfile.TemporaryDirectory(dir=quick_folder()) as name, Children() as children:
        folder = Path(name)
        rabbit = start_rabbit(children, folder / "rabbit")
        mongo = start_mongo(children, folder / "mongo", options=(CACHE, "4"))
        sink = start_sink(children, folder / "sink", "--keep", "0")
        system = System(folder / "preklic", children, rabbit, mongo, sink, connections=128)
        report = run(system, plan, say)
    if told:
        told.write_bytes(msgspec.json.encode(report))
    for line in [*report.lines(plan), *report.wrong[:50]]:
        say(line)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
