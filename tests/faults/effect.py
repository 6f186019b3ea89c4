"""From the POST of a one-click withdrawal to its closed gate: idle, under load, behind full queues, and when the broker
or one gateway's way to it is gone.

`python -m faults.effect` is the full run of `make effect`; a small one is part of `make test`.
"""

import argparse
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pymongo import MongoClient

from faults.load import BULK, Load, bury_in_jobs, queues_of
from preklic_producers import Producer
from preklic_shared.ids import new_id
from preklic_shared.jobs import Proof
from preklic_shared.settings import load_settings
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Unsubscribe
from preklic_stack.household import wait_ready
from preklic_stack.places import quick_folder
from preklic_stack.ports import free_ports
from preklic_stack.stack import Stack, running_stack
from preklic_stack.system import System
from producing import Wire
from waiting import until

BILL = {"invoice": "1", "amount": "1 EUR", "due": "1. 1. 2030", "url": "https://lucrum.example/p"}
PROOF = Proof(wording="newsletter-2026-1", source="effect run", method="form")
# After the broker is gone: sockets that it closed are read as closed within this.
NOTICED_SECONDS = 0.5
# The age of a mark at the cut, the reading that a sender believes, and what had passed the gate by then.
MARGIN_SECONDS = 4.0
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Plan:
    """`samples` withdrawals for each figure; `down` seconds without a broker; limits are p99 in seconds, None: any."""

    samples: int = 200
    senders: int = 500
    tracks: int = 1_000_000
    sends: int = 100_000
    down: float = 60
    closes_after: float = 60
    limits: tuple[float, float, float] | None = (0.25, 1.0, 5.0)


@dataclass
class Figures:
    """Seconds from the POST's start to the closed gate, as the receipt says; `seen`: to the receipt, from outside."""

    closed: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        """One row of the table, in milliseconds."""
        values = [1000 * quantile(times, share) for times in (self.closed, self.seen) for share in (0.5, 0.99, 1)]
        return f"{name:<42}{len(self.closed):>6}" + "".join(f"{value:>10.1f}" for value in values)


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@dataclass
class Report:
    """What was measured; `wrong` must be empty."""

    figures: dict[str, Figures] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The closing table."""
        names = ("p50", "p99", "max", "seen p50", "seen p99", "seen max")
        head = f"{'one-click POST to closed gate (ms)':<42}{'n':>6}" + "".join(f"{name:>10}" for name in names)
        rows = [figures.line(name) for name, figures in self.figures.items()]
        return [head, *rows, *(f"{name:<58}{value:>10.1f}" for name, value in self.facts.items())]


@dataclass
class House:
    """The running system. `people` are persons who permit the newsletter and have not withdrawn yet: (id, pid)."""

    system: System
    database: Any
    producer: Producer
    wire: Wire
    http: httpx.Client
    report: Report
    plan: Plan
    people: list[tuple[str, bytes]] = field(default_factory=list)

    def post(self) -> tuple[str, float]:
        """One person's one-click; the person and when the POST began. It must be answered with 200."""
        person, pid = self.people.pop()
        keys = load_token_keys(self.system.keys / "gateway")
        token = keys.mint(Unsubscribe(new_id(), pid, "newsletter"))
        began = time.time()
        answer = self.http.post(f"/u/{token}")
        self.expect(answer.status_code == 200, f"one-click was answered with {answer.status_code}")
        return person, began

    def pay(self) -> None:
        """One payment mail, to its end."""
        paid = self.producer.send("bill@preklic.example", "payment", "payment", BILL)
        until(lambda: self.database.messages.find_one({"_id": paid.job_id, "state": "sent"}), 20, "a payment goes out")

    def receipt(self, person: str) -> dict[str, Any] | None:
        """The person's withdrawal."""
        found: dict[str, Any] | None = self.database.withdrawals.find_one({"person": person})
        return found

    def sample(self, name: str, count: int) -> Figures:
        """So many withdrawals, one after the other, each measured."""
        figures = self.report.figures.setdefault(name, Figures())
        for _ in range(count):
            person, began = self.post()
            while (receipt := self.receipt(person)) is None and time.time() - began < 60:
                time.sleep(LOOK_SECONDS)
            if receipt is None:
                self.report.wrong.append(f"{name}: a withdrawal had no effect within 60 s")
                return figures
            figures.seen.append(time.time() - began)
            figures.closed.append(receipt["closed"].timestamp() - began)
        return figures

    def expect(self, holds: bool, problem: str) -> None:  # noqa: FBT001 - reads like an assertion
        """Note what is wrong."""
        if not holds:
            self.report.wrong.append(problem)

    def opened(self) -> int:
        """How many hand-overs were ever opened: each adds one to a person's order, and so does its end.

        Exact in its differences while nobody grants or withdraws.
        """
        stages = [{"$group": {"_id": None, "n": {"$sum": {"$add": ["$seq", {"$size": "$open"}]}}}}]
        return next(row["n"] for row in self.database.persons.aggregate(stages)) // 2


def run(system: System, plan: Plan, say: Callable[[str], None]) -> Report:
    """Prepare `system`, then measure (a) to (e)."""
    with _house(system, plan, say) as house:
        for measure in (idle, loaded, behind, broker_down, gateway_cut_off):
            measure(house)
            say(f"{measure.__name__}: done")
        return house.report


def idle(house: House) -> None:
    """(a) Nothing else is to be done."""
    _limited(house, "idle", 0)


def loaded(house: House) -> None:
    """(b) The send worker has always more to send than it can."""
    with Load(house.producer, house.system, house.plan.senders) as load:
        before = house.system.sink.counts().get("body", 0)
        until(lambda: house.system.sink.counts().get("body", 0) > before + 100, 60, "mails are sent")
        before = house.system.sink.counts().get("body", 0)
        began = time.monotonic()
        _limited(house, "under full sending load", 1)
        house.expect(load.busy(), "the load ran dry")
        rate = (house.system.sink.counts().get("body", 0) - before) / (time.monotonic() - began)
        house.report.facts["mails a second meanwhile"] = rate
        house.expect(rate > 0, "nothing was sent meanwhile")
    _purge(house)


def behind(house: House) -> None:
    """(c) Queues are full of opens and bulk mail, and both are worked off."""
    plan = house.plan
    bury_in_jobs(house.producer, house.system, plan.tracks, plan.sends, plan.senders)
    depths = queues_of(house.system)
    house.report.facts |= {"track jobs queued": depths["track"], "bulk sends queued": depths[BULK]}
    tracker = house.system.start("worker", "track", role="track")
    until(lambda: queues_of(house.system)["track"] < depths["track"], 60, "track jobs are worked off")
    _limited(house, "behind full queues", 2)
    left = queues_of(house.system)
    house.expect(min(left["track"], left[BULK]) > 0, "the queues ran dry while it was measured")
    tracker.kill()
    _purge(house)


def broker_down(house: House) -> None:
    """(d) The broker is killed while mails are at RCPT, withdrawals come in, and it is started again."""
    plan, system = house.plan, house.system
    if system.rabbit.child is None:
        return  # a broker that was given is not ours to kill
    # Every answer of the relay takes so long that many mails stand between RCPT and their gate when it happens.
    system.sink.mode("tarpit", seconds=2)
    with Load(house.producer, system, plan.senders) as load:
        until(load.busy, 60, "mails wait")
        until(lambda: _at_relay(house) >= min(32, plan.senders // 4), 60, "mails are on their way")
        load.stop()
        system.rabbit.kill()
        house.wire.cut()
        time.sleep(NOTICED_SECONDS)
        before, at_relay = house.opened(), _at_relay(house)
        posted = [house.post() for _ in range(max(1, plan.samples // 10))]
        time.sleep(plan.down)
        opened = house.opened() - before
        house.expect(all(house.receipt(person) is None for person, _ in posted), "applied without a broker")
        system.sink.mode("accept")
        began = time.time()
        system.rabbit.revive(system.children)
        house.wire.mend()
        back = time.time()
        until(lambda: all(house.receipt(person) for person, _ in posted), 120, "every withdrawal is closed")
    house.expect(opened == 0, f"{opened} hand-overs were opened without a broker")
    closed = [house.receipt(person)["closed"].timestamp() for person, _ in posted]  # type: ignore[index]
    house.report.facts |= {
        "broker down: seconds": began - posted[0][1],
        "broker down: withdrawals taken by the outbox": len(posted),
        "broker down: mails claimed when it went": at_relay,
        "broker down: hand-overs opened meanwhile": opened,
        "broker back: seconds until the last gate was closed": max(closed) - back,
    }
    _purge(house)


def gateway_cut_off(house: House) -> None:
    """(e) One gateway cannot reach the broker any more: bulk sending closes at its setting, payments go on."""
    plan, system = house.plan, house.system
    mark = {"left": False, "_id": {"$regex": "^gateway:"}}
    until(lambda: _behind(house, mark) < plan.closes_after / 2, 60, "the gateway's mark is good again")
    with Load(house.producer, system, plan.senders) as load:
        sent = system.sink.counts().get("data", 0)
        until(lambda: load.busy() and system.sink.counts().get("data", 0) > sent + 100, 60, "mails are sent")
        house.wire.cut()
        cut = time.time()
        person, _ = house.post()
        closed_after = _last_data(system, MARGIN_SECONDS, plan.closes_after + 60) - cut
        house.expect(load.left(), "no mail was left that could have been sent")
        house.expect(house.receipt(person) is None, "applied without a way to the broker")
        house.pay()
        house.wire.mend()
        mended = time.time()
        until(lambda: house.receipt(person), 60, "the withdrawal arrives")
    house.report.facts["gateway cut off: last bulk mail after (s)"] = closed_after
    house.report.facts["gateway back: seconds until its gate was closed"] = time.time() - mended
    fits = plan.closes_after - MARGIN_SECONDS <= closed_after <= plan.closes_after + MARGIN_SECONDS
    house.expect(fits, f"bulk closed after {closed_after:.1f} s, and {plan.closes_after:g} is set")
    _purge(house)


def _limited(house: House, name: str, index: int) -> None:
    figures = house.sample(name, house.plan.samples)
    if house.plan.limits is not None and figures.seen:
        # From outside it is never shorter: the receipt is told by the worker's idea of the database's clock.
        limit, took = house.plan.limits[index], quantile(figures.seen, 0.99)
        house.expect(took < limit, f"{name}: p99 is {took:.3f} s, and {limit:g} is the limit")


def _at_relay(house: House) -> int:
    found: int = house.database.messages.count_documents({"state": "claimed"})
    return found


def _behind(house: House, where: dict[str, Any]) -> float:
    found = house.database.marks.find_one(where)
    return float("inf") if found is None else time.time() - found["published"].timestamp()


def _last_data(system: System, quiet: float, seconds: float) -> float:
    """When the last DATA began (Unix time), once there was none for `quiet` seconds."""
    count, last, deadline = -1, time.time(), time.monotonic() + seconds
    while time.time() - last < quiet:
        assert time.monotonic() < deadline, "mails did not stop"
        now = system.sink.counts().get("data", 0)
        if now != count:
            count, last = now, time.time()
        time.sleep(0.02)
    return last


def _purge(house: House) -> None:
    """What is left of the load is no part of the next figure."""
    for queue in (BULK, "track"):
        house.system.rabbit.management.call("DELETE", f"queues/{house.system.vhost}/{queue}/contents")


@contextmanager
def _house(system: System, plan: Plan, say: Callable[[str], None]) -> Iterator[House]:
    settings = system.folder / "preklic.toml"
    system.prepare()
    settings.write_text(f"bulk_closes_after = {plan.closes_after}\n{settings.read_text()}")
    gateway_port, wire_port = free_ports(2)
    wire = Wire(system.rabbit.amqp_url(system.vhost), wire_port).mend()
    url = f"http://127.0.0.1:{gateway_port}"
    extra = {"PREKLIC_AMQP_URL": wire.url, "PREKLIC_PUBLIC_URL": url, "PREKLIC_OUTBOX": str(system.folder / "outbox")}
    gateway = system.start("gateway", "--port", str(gateway_port), role="gateway", extra=extra)
    wait_ready(gateway, gateway_port)
    for role in ("revoke", "record"):
        system.start("worker", role, role=role)
    client = MongoClient[dict[str, Any]](system.mongo.url, tz_aware=True)
    http = httpx.Client(base_url=url, timeout=10)
    with client, http, Producer(load_settings(system.environment()), deadline=30) as producer:
        house = House(system, client[system.database], producer, wire, http, Report(), plan)
        _grant(house)
        say(f"{len(house.people)} people will withdraw, {plan.senders} get mail")
        system.start("worker", "send", role="send")
        house.pay()  # a worker that is still starting is no idle machine
        try:
            yield house
        finally:
            wire.cut()


def _grant(house: House) -> None:
    """People who will withdraw, and then people who get mail; those keep another purpose, so that nobody is erased."""
    plan = house.plan
    leaving = 3 * plan.samples + max(1, plan.samples // 10) + 1
    _recorded(house, "leaves", leaving, leaving)
    house.people = [(doc["_id"], bytes(doc["pid"])) for doc in house.database.persons.find({})]
    _recorded(house, "stays", plan.senders, leaving + plan.senders)


def _recorded(house: House, kind: str, count: int, total: int) -> None:
    for number in range(count):
        to = f"{kind}{number}@preklic.example"
        house.producer.grant(to, ["newsletter", "offers"], proof=PROOF, confirmed=True)
    granted = {"permissions.newsletter.state": "granted"}
    until(lambda: house.database.persons.count_documents(granted) == total, 120, "grants recorded")


def main() -> int:
    """The run on a stack of its own; 1 when a limit or a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m faults.effect", description=__doc__)
    for name in ("samples", "senders", "tracks", "sends"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan, name))
    parser.add_argument("--down", type=float, default=Plan.down, help="seconds without a broker")
    parser.add_argument("--closes-after", type=float, default=Plan.closes_after, help="seconds: bulk_closes_after")
    parser.add_argument("--any-speed", action="store_true", help="judge what is true, not how fast it is")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = vars(parser.parse_args())
    file, lenient = options.pop("json"), options.pop("any_speed")
    plan = Plan(**options, limits=None if lenient else Plan.limits)
    with tempfile.TemporaryDirectory(dir=quick_folder()) as folder, running_stack(Path(folder), say) as stack:
        report = run_apart(stack, plan)
    for line in [*report.lines(), *report.wrong[:50]]:
        say(line)
    if file:
        file.write_bytes(msgspec.json.encode(report))
    return 1 if report.wrong else 0


def run_apart(stack: Stack, plan: Plan) -> Report:
    """The run on a virtual host and a database of its own."""
    name = f"effect-{uuid.uuid4().hex[:8]}"
    stack.rabbit.management.add_vhost(name)
    system = System(
        stack.run_dir / "preklic", stack.children, stack.rabbit, stack.mongo, stack.sink, name, name, connections=64
    )
    return run(system, plan, say)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
