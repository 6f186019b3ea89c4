"""Intents: what was sent is told to the ledger once for many mails, and counts for those whose history says so."""

import asyncio
import datetime as dt
import json
import random

import pytest

from ledgering import Dying, audited, sequencer_of
from preklic_workers.ledger.leaves import MAILS, canonical
from preklic_workers.ledger.verify import read_canonical
from preklic_workers.store.message_states import Settlement, alike, settling
from preklic_workers.store.mongo import Unavailable
from preklic_workers.store.settlements import Settlements
from preklic_workers.store.statements import write_together
from storing import claimed, put_persons, subject

ANA = subject("ana@primer.example")
REPLY = {"code": 250}


@pytest.fixture
async def store(emptied_store):
    await put_persons(emptied_store, [ANA], {"newsletter": "granted"})
    return emptied_store


async def mails(store, count):
    return [await claimed(store, ANA) for _ in range(count)]


async def settled(store, names, state="sent"):
    said = {"relay": "main", "processor": "Pošta", "reply": REPLY, "passed": True}
    await asyncio.gather(*(store.messages.settle(name, 1, state, **said) for name in names))


async def told(store):
    """What is in the ledger: (kind, record, entry) of each leaf."""
    found = []
    async for run in store.ledger.runs():
        opened = await store.ledger.opened(run, range(run.start, run.end))
        for place, octets in enumerate(run.leaves, run.start):
            content = opened[place].content
            found.append((read_canonical(octets, "it")["kind"], content["of"], content["entry"]))
    return found


@pytest.mark.clause("P3", guard="preklic_workers.store.settlements:Settlements._intend")
async def test_what_was_sent_is_said_once_and_each_mail_has_its_leaf(store):
    names = await mails(store, 40)
    await settled(store, names)
    intents = await store.mongo["intents"].find({})
    assert sorted(mail for one in intents for mail in one["mails"]) == sorted(names)
    assert len(intents) < 5
    assert await store.mongo["messages"].count({"leaves": {"$exists": True}}) == 0
    await sequencer_of(store).once()
    found = await told(store)
    assert sorted(record for _, record, _ in found) == sorted(names)
    assert {kind for kind, _, _ in found} == {"mail.sent"}
    entry = found[0][2]
    assert (entry["relay"], entry["processor"], entry["reply"], entry["passed"]) == ("main", "Pošta", REPLY, True)
    assert await store.mongo["intents"].find({}) == []
    assert (await audited(store)).size == len(names)


async def test_a_leaf_shows_of_its_mail_what_is_recorded_with_the_zone_of_each_moment(store):
    (name,) = await mails(store, 1)
    await settled(store, [name])
    await sequencer_of(store).once()
    (run,) = [run async for run in store.ledger.runs()]
    (opening,) = (await store.ledger.opened(run, [run.start])).values()
    mail = await store.mongo["messages"].find_one({"_id": name})
    shown = {field: mail[field] for field in MAILS.shown if field in mail}
    assert opening.content["record"] == json.loads(canonical(shown))
    assert {field for field, said in shown.items() if isinstance(said, dt.datetime)} == {"created", "expires"}


@pytest.mark.clause("P3", guard="preklic_workers.store.entries:_says")
async def test_an_intent_alone_is_nothing_and_its_write_counts_whenever_it_comes(store, monkeypatch):
    """The worker is frozen between its two writes; meanwhile others go on."""
    late, other = await mails(store, 2)
    settlements, settlement = Settlements(store.mongo), Settlement(late, 1, "sent", relay="main")
    frozen = settlements._moment()
    await settlements._intend([settlement], frozen)
    await settled(store, [other])
    sequencer = sequencer_of(store)
    assert await sequencer.once() == 1
    assert [record for _, record, _ in await told(store)] == [other]
    for waited in (10, 60, 3600):
        monkeypatch.setattr(store.mongo, "ahead", dt.timedelta(seconds=waited))
        assert await sequencer.once() == 0
    (intent,) = await store.mongo["intents"].find({})
    assert dt.timedelta(hours=1) < intent["look"] - store.mongo.now() <= dt.timedelta(hours=1, seconds=30)
    await write_together(store.mongo["messages"], [settlement], alike, lambda those: settling(those, frozen))
    assert await sequencer.once() == 0  # not due yet
    monkeypatch.setattr(store.mongo, "ahead", dt.timedelta(hours=3))
    assert await sequencer.once() == 1
    assert [record for _, record, _ in await told(store)] == [other, late]
    assert await store.mongo["intents"].find({}) == []


async def test_a_settlement_that_is_repeated_has_one_leaf(store, monkeypatch):
    """Its answer was lost, so the worker says it again, in the same millisecond by its clock."""
    names = await mails(store, 3)
    moment = store.mongo.now()
    monkeypatch.setattr(store.mongo, "now", lambda: moment)
    await settled(store, names)
    await settled(store, names)
    monkeypatch.undo()
    assert await store.mongo["intents"].count({}) >= 2
    await sequencer_of(store).once()
    assert sorted(record for _, record, _ in await told(store)) == sorted(names)


async def test_a_mail_that_is_settled_twice_at_once_has_one_leaf(store):
    (name,) = await mails(store, 1)
    await settled(store, [name, name, name])
    await sequencer_of(store).once()
    assert [record for _, record, _ in await told(store)] == [name]
    assert await store.mongo["intents"].find({}) == []


async def test_other_ends_ride_on_their_mails_as_ever(store):
    names = await mails(store, 3)
    await settled(store, names[:2], "failed")
    await settled(store, names[2:])
    assert await store.mongo["messages"].count({"leaves.what": "failed"}) == 2
    await sequencer_of(store).once()
    assert sorted(kind for kind, _, _ in await told(store)) == ["mail.failed", "mail.failed", "mail.sent"]


async def test_an_intent_that_is_refused_takes_no_other_settlement_along(store):
    good, bad = await mails(store, 2)
    answers = await asyncio.gather(
        store.messages.settle(good, 1, "sent", relay="main"),
        store.messages.settle(bad, 1, "sent", relay="not a <word>"),
        return_exceptions=True,
    )
    assert answers[0] is None
    assert isinstance(answers[1], ValueError)
    assert [await store.messages.state(name) for name in (good, bad)] == ["sent", "claimed"]


@pytest.mark.attack(64, guard="preklic_workers.store.entries:Entries.left_of")
async def test_sequencers_that_die_at_any_write_lose_no_mail_and_have_none_twice(store):
    chance, names = random.Random(11), []
    for turn in range(40):
        new = await mails(store, chance.randint(1, 6))
        names += new
        await settled(store, new)
        dying = Dying(store.ledger, chance.randint(1, 4), after=turn % 2 == 0)
        sequencer = sequencer_of(store, dying)
        try:
            await sequencer.once()
            await sequencer.once()
            await sequencer.checkpoint()
        except Unavailable:
            assert dying.left == 0
    await sequencer_of(store).once()
    assert sorted(record for _, record, _ in await told(store)) == sorted(names)
    assert await store.mongo["intents"].find({}) == []


async def test_more_than_one_run_can_hold_goes_into_several(store, monkeypatch):
    """A backlog: each look takes whole intents until there is enough."""
    names = await mails(store, 30)
    for start in range(0, len(names), 6):
        await settled(store, names[start : start + 6])
    assert 10 <= len(await store.ledger.entries.riding(10)) < 10 + 6
    monkeypatch.setattr("preklic_workers.ledger.sequencing.MOST", 10)
    assert await sequencer_of(store).once() == len(names)
    assert len([run async for run in store.ledger.runs()]) == 3
