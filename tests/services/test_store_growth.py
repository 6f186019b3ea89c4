"""What a job costs must not grow with what is recorded: the profiler shows how many documents each command read."""

import asyncio
import datetime as dt
import uuid

import pytest
from pymongo import MongoClient

from preklic_shared.ids import new_id
from preklic_shared.tokens import PID_BYTES
from preklic_workers.store import Captured, Event
from storing import NEWS, claim_of, claimed, gated, grant, lease_passes, now, put_persons, sent, subject, withdraw

PEOPLE, RECORDED = 2_000, 4_000
ANA, BOR = "ana@primer.si", "bor@primer.si"
# A handful of documents each, whatever happens: switches and marks.
SMALL = {"controls", "marks"}


async def fill(store):
    """Thousands of people, of sent mails and of events."""
    await put_persons(store, [f"{number:043d}" for number in range(PEOPLE)], {NEWS.key: "granted"})
    persons = store.mongo["persons"]
    docs = await persons.find({}, {"_id": 1})
    assert len(docs) == PEOPLE
    old = [claim_of(new_id(), doc["_id"]) for doc in docs for _ in range(RECORDED // PEOPLE)]
    await asyncio.gather(*(store.messages.claim(claim) for claim in old))
    await asyncio.gather(*(store.messages.settle(claim.id, 1, "sent") for claim in old))
    await store.events.record([event_of(claim.id) for claim in old])


def event_of(message):
    return Event(f"{message}|{uuid.uuid4().hex}", message, "p" * 32, "opened", "human", now(), None, 1)


async def live(store):
    """Everything that handlers and the rounds of upkeep ask for, once."""
    await grant(store, ANA, ref="customer 17")
    await grant(store, BOR)
    first, second, third = [await claimed(store, subject(name)) for name in (ANA, ANA, BOR)]
    await store.persons.read(subject(ANA))
    await gated(store, subject(ANA), first)
    await sent(store, ANA, first)
    await lease_passes(store, second)
    await store.messages.claim(claim_of(second, subject(ANA)))
    await gated(store, subject(BOR), third)
    await store.messages.settle(second, 2, "deferred", reason="deferred")
    await withdraw(store, BOR, job=(no := new_id()))
    await store.withdrawals.drained(subject(BOR), [Captured(third, 1)])
    await store.withdrawals.applied(no, [], [Captured(third, 1)])
    await store.withdrawals.receipt(no)
    await store.events.record([event_of(first)])
    await store.events.of(first)
    for pid in (bytes(PID_BYTES), (await store.persons.read(subject(ANA))).pid):
        await store.persons.by_pid(pid)
    await store.persons.all_by_ref("customer 17")
    await lease_passes(store, third)
    await store.messages.overdue()
    await store.messages.reap(third, 1)
    await store.messages.lapsed()
    await store.messages.retried(now() - dt.timedelta(minutes=5))
    await store.messages.doubts()
    await store.messages.count_doubts()
    await store.handed(third, 2)
    await store.once_more(third, subject(BOR), 1)


@pytest.mark.timeout(120)
async def test_no_command_of_a_job_or_a_round_reads_more_than_what_it_is_about(store, mongo_url, mongo_database):
    await fill(store)
    with MongoClient(mongo_url) as client:
        database = client[mongo_database]
        database.command("profile", 2)
        await live(store)
        database.command("profile", 0)
        seen = list(database["system.profile"].find({"ns": {"$ne": f"{mongo_database}.system.profile"}}))
    reads = [(one["ns"].partition(".")[2], one.get("docsExamined", 0), one.get("planSummary", "")) for one in seen]
    assert len(reads) > 40
    assert {"persons", "messages", "withdrawals", "events"} <= {name for name, _, _ in reads}
    assert [read for read in reads if read[1] > 10 and read[0] not in SMALL] == []
    assert [read for read in reads if "COLLSCAN" in read[2] and read[0] not in SMALL] == []
