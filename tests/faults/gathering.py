"""Gathers the evidence of a fault run when everything has come to rest, and replays the log."""

import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from faults.audit import ONCE_MORE, Body, Closing, Found, Gate, bodies_of, cut_short
from faults.chaos import Seen
from faults.website import Promised
from faults.world import World
from preklic_shared.broker import PreklicBroker
from preklic_shared.publication import Publication
from preklic_shared.topology import DEAD, JOBS, QUEUES, TIERS, tier_queue
from preklic_workers import joblog
from preklic_workers.judging import logged
from preklic_workers.probes import without
from preklic_workers.replaying import MOST
from waiting import until

WORK: Final = (*QUEUES, DEAD)
HELD: Final = (*WORK, *(tier_queue(tier) for tier in TIERS))
SETTLED_SECONDS: Final = 20.0
RETURNED_SECONDS: Final = 240.0
_MANY: Final = 5_000
_PUBLISHED: Final = 1_000
_WINDOW: Final = dt.timedelta(seconds=1)


def rest(world: World, promised: Promised, seconds: float, watch: Callable[[], None]) -> bool:
    """Wait until nothing is under way: no claim, no deferred mail, nothing ready or unacked; whether that came true.

    A mail in doubt that will go out once more is under way too. What a tier's dead-letter worker holds is waited for
    longer.
    """
    once_more = {"state": "in_doubt", "purpose": {"$in": sorted(ONCE_MORE)}, "again": {"$ne": True}}
    quiet = {"$or": [{"state": {"$in": ["claimed", "deferred"]}}, once_more]}
    until_then, left = time.monotonic() + seconds, list(promised.sends)
    while (late := time.monotonic() - until_then) < 0 or (late < RETURNED_SECONDS and returning(world)):
        watch()
        if world.database.messages.count_documents(quiet, limit=1) == 0 and not any(_depths(world).values()):
            left = unrecorded(world, left)
            if not left:
                return True
        time.sleep(1)
    return False


def unrecorded(world: World, jobs: Iterable[str]) -> list[str]:
    """Those of these jobs of which nothing is recorded."""
    asked, left = list(jobs), []
    for start in range(0, len(asked), _MANY):
        some = set(asked[start : start + _MANY])
        some -= {doc["_id"] for doc in world.database.messages.find({"_id": {"$in": list(some)}}, {"_id": 1})}
        some -= {doc["job"] for doc in world.database.dead.find({"job": {"$in": list(some)}}, {"job": 1})}
        left += some
    return left


def _depths(world: World) -> dict[str, int]:
    """Ready and unacked in each queue that moves by itself, without probes of its age, which nobody may take there.

    Mails in doubt may wait in a tier for their turn.
    """
    told: Any = world.manage("GET", "queues/{vhost}?columns=name,messages")
    probes = {doc["_id"]: len(doc.get("waiting", ())) for doc in world.database.ages.find({}, {"waiting": 1})}
    return without({queue["name"]: queue.get("messages", 0) for queue in told if queue["name"] in WORK}, probes)


def unacked(world: World) -> dict[str, int]:
    """Unacked by queue; the broker's figures are seconds old, so what is not 0 is looked at again for a while."""

    def left() -> dict[str, int]:
        told: Any = world.manage("GET", "queues/{vhost}?columns=name,messages_unacknowledged")
        return {one["name"]: count for one in told if (count := one.get("messages_unacknowledged"))}

    with suppress(AssertionError):
        until(lambda: not left(), SETTLED_SECONDS)
    return left()


def returning(world: World) -> dict[str, int]:
    """Jobs by tier that its dead-letter worker holds: expired there, and not confirmed yet by the queue they return to.

    No reader sees them. RabbitMQ tries again after 3 minutes when a queue took none or did not confirm.
    """
    told: Any = world.manage("GET", "queues/{vhost}")
    return {queue["name"]: held for queue in told if (held := queue.get("messages_dlx", 0))}


def gather(world: World, promised: Promised, seen: Seen, watch: Callable[[], None]) -> Found:
    """All evidence but the second ledger. The workers are idle by now, unless the run did not come to rest."""
    database, written = world.database, bodies(world)
    watch()  # a gate is told before its body begins: those of the bodies just read are there now
    log = logged(joblog.entries(world.amqp_url("upkeep")))
    messages = {doc["_id"]: doc for doc in database.messages.find({}, {"body_hash": 0, "by": 0})}
    marked = {"$or": [{"open.0": {"$exists": True}}, {"stale.0": {"$exists": True}}]}
    return Found(
        promised={job: purpose for job, (purpose, _) in promised.sends.items()} | dict.fromkeys(promised.others, ""),
        messages=messages,
        bodies=written,
        gates=_gates(seen.told),
        closings=_closings(database, seen.told),
        logged=list(log.jobs),
        void=log.void,
        queued=_queued(world),
        buried={doc["job"]: doc["reason"] for doc in database.dead.find({"state": "dead"}, {"job": 1, "reason": 1})},
        unheard=[subject for subject, purpose in promised.clicked if _still(database, subject, purpose)],
        persons=list(database.persons.find(marked, {"open": 1, "stale": 1})),
        unacked=unacked(world),
        exposed=seen.exposed,
        cut=cut_short(_ledger(world)),
        recipients={job: address for job, (_, address) in promised.sends.items()},
    )


def bodies(world: World) -> list[Body]:
    """The whole bodies of the sink's ledger."""
    return bodies_of(_ledger(world))


def _ledger(world: World) -> Iterator[dict[str, Any]]:
    decode = msgspec.json.Decoder().decode
    with world.system.sink.ledger.open("rb") as lines:
        yield from (decode(line) for line in lines if line.endswith(b"\n"))


def effects(world: World) -> list[float]:
    """Seconds from a withdrawal's acceptance to its closed gate, sorted; not of races, which wait for their moment."""
    found = world.database.withdrawals.find({"purposes": {"$ne": ["offers"]}}, {"accepted": 1, "closed": 1})
    return sorted((doc["closed"] - doc["accepted"]).total_seconds() for doc in found)


def replay_whole(world: World, turns: int) -> int:
    """Publish every entry of the log once more, as it was, so often; how many were.

    What its website took back (voided) is left out, as a plan leaves it out.
    """
    url = world.amqp_url("upkeep")
    there = joblog.extent(url)
    void = {entry.job for entry in joblog.entries(url) if entry.void}
    broker, count = PreklicBroker(url, deadline=30), 0
    try:
        for _ in range(turns if there else 0):
            assert there is not None
            log = joblog.between(url, there.first.offset, there.last + 1)
            entries = (entry for entry in log if not entry.void and entry.job not in void)
            while chunk := list(islice(entries, _PUBLISHED)):
                jobs = [Publication(JOBS, one.queue, one.body, one.job, one.actor) for one in chunk]
                count += len(jobs) - len(broker.publish_many(jobs))
    finally:
        broker.close()
    return count


def replay_log(world: World, most: int, say: Callable[[str], None]) -> int:
    """Replay the log by the responders' commands, window after window, until `most` jobs were planned; how many were.

    What is over is skipped by the plan itself, so nothing may happen.
    """
    times = sorted(doc["created"] for doc in world.database.messages.find({"kind": "send"}, {"created": 1}))
    planned = 0
    for since, before in windows(times, most):
        status, text = world.command("replay", "plan", "--from", _utc(since), "--to", _utc(before), "--json")
        if status != 0:
            say(f"replay plan ended with {status}: {text[-200:]}")
            continue
        plan = json.loads(text)
        planned += plan["jobs"]
        run = ("replay", "run", plan["plan"], "--rate", "5000", "--watch", "0", "--reason", "I7", "--json")
        ran, text = world.command(*run)
        if ran not in {0, 4}:
            say(f"replay run ended with {ran}: {text[-200:]}")
    return planned


def windows(times: list[dt.datetime], most: int) -> Iterable[tuple[dt.datetime, dt.datetime]]:
    """Spans of whole seconds that hold these times, each with few enough for one plan (a third are mails)."""
    step = max(1, min(MOST // 4, most))
    for start in range(0, min(len(times), most), step):
        last = times[min(start + step, len(times)) - 1]
        yield times[start].replace(microsecond=0) - _WINDOW, last.replace(microsecond=0) + 2 * _WINDOW


def _utc(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _still(database: Any, subject: str, purpose: str) -> bool:
    granted = {"_id": subject, f"permissions.{purpose}.state": "granted"}
    return database.persons.count_documents(granted, limit=1) > 0


def _gates(told: list[dict[str, Any]]) -> list[Gate]:
    return [
        Gate(line["job"], line["epoch"], line["person"], line["purpose"], line["seq"], line["at"])
        for line in told
        if line["what"] == "gate" and line["answer"] == "GatePassed"
    ]


def _closings(database: Any, told: list[dict[str, Any]]) -> list[Closing]:
    """The receipts; when each was applied is what its worker noted first, just after the write."""
    applied: dict[str, int] = {}
    for line in told:
        if line["what"] == "applied":
            applied.setdefault(line["job"], line["at"])
    return [
        Closing(
            doc["_id"],
            doc["person"],
            frozenset(doc["purposes"]),
            doc["seq"],
            applied.get(doc["_id"], 0) if "applied" in doc else 0,
            frozenset((one["message"], one["epoch"]) for one in doc.get("listed", ())),
        )
        for doc in database.withdrawals.find()
    ]


def _queued(world: World) -> set[str]:
    """The ids of what waits in queues and tiers, and in the gateway's outbox."""
    found: set[str] = set()
    for name in HELD:
        body = {"count": 100_000, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1}
        held: Any = world.manage("POST", f"queues/{{vhost}}/{quote(name, safe='')}/get", body)
        found |= {str(one["properties"].get("message_id", "")) for one in held}
    return found | _boxed(world.system.folder / "gateway.outbox")


def _boxed(path: Path) -> set[str]:
    if not path.exists():
        return set()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as box:
        return {job for (job,) in box.execute("SELECT job FROM jobs")}
