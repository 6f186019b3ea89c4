import asyncio
import itertools
import random
from collections import Counter

import pytest
from msgspec import structs
from pymongo import MongoClient

from preklic_shared.ids import new_id
from preklic_workers.permission import Person, may
from preklic_workers.store import Captured, GateBusy, GatePassed, GateRefused, Handover, Unavailable, Withdraw
from preklic_workers.store.person_docs import FACTS, permitted, person_of
from storing import (
    MINUTE,
    NEWS,
    OFFERS,
    PAYMENT,
    REGISTRY,
    claim_of,
    claimed,
    gated,
    grant,
    now,
    open_test_store,
    put_persons,
    subject,
    withdraw,
)

ANA = "ana@primer.si"
INTEREST = structs.replace(OFFERS, key="notices", basis="interest")
CUSTOMERS = structs.replace(OFFERS, key="customers", basis="existing_customer")
MAILS = [purpose for purpose in REGISTRY.purposes.values() if purpose.mail] + [INTEREST, CUSTOMERS]
SUPPRESSIONS = [kinds for size in range(4) for kinds in itertools.combinations(("bounce", "complaint", "erased"), size)]
STATES = [None, "granted", "pending", "withdrawn", "objected"]


def person_id(number: int) -> str:
    return f"{number:043d}"


async def put_table(store):
    """One person for each state of a permission, suppression and erasure; the same state for every purpose."""
    table = list(itertools.product(STATES, SUPPRESSIONS, [False, True]))
    for number, (state, suppressed, erased) in enumerate(table):
        said = {purpose.key: state for purpose in MAILS} if state else {}
        await put_persons(store, [person_id(number)], said, suppressed, erased=erased)
    return [person_id(number) for number in range(len(table))]


async def test_the_gates_condition_and_may_agree_on_every_person(store):
    people = await put_table(store)
    docs = await store.mongo["persons"].find({}, FACTS)
    facts: dict[str, Person] = {doc["_id"]: person_of(doc) for doc in docs}
    verdicts = Counter()
    for purpose, confirming in itertools.product(MAILS, (False, True)):
        condition = permitted(purpose, confirming=confirming)
        passing = {doc["_id"] for doc in await store.mongo["persons"].find(condition, {"_id": 1})}
        for name in people:
            no = may(facts[name], purpose, confirming=confirming)
            assert (name in passing) == (no is None), (facts[name], purpose.key, confirming)
            verdicts[no] += 1
    assert set(verdicts) >= {None, "erased", "withdrawn", "objected", "pending", "no_permission", "suppressed_bounce"}


@pytest.mark.attack(14, guard="preklic_workers.store.person_docs:permitted")
async def test_the_gate_gives_the_reason_that_may_gives(store):
    people = await put_table(store)
    facts = {name: await store.persons.read(name) for name in people}
    for purpose in (NEWS, PAYMENT):
        messages = await asyncio.gather(*(claimed(store, name, purpose) for name in people))
        answers = await asyncio.gather(
            *(gated(store, name, message, purpose=purpose) for name, message in zip(people, messages, strict=True))
        )
        for name, answer in zip(people, answers, strict=True):
            no = may(facts[name], purpose)
            assert isinstance(answer, GatePassed) if no is None else answer == GateRefused(no)


async def test_an_unknown_person_and_a_use_that_is_no_mail_are_refused(store):
    message = await claimed(store, subject(ANA))
    assert await gated(store, subject(ANA), message) == GateRefused("unknown")
    assert await gated(store, subject(ANA), message, purpose=REGISTRY.get("statistics")) == GateRefused(
        "purpose_denied"
    )


async def test_an_expired_job_does_not_pass(store):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    late = Handover(subject(ANA), message, 1, NEWS, now() - MINUTE)
    assert await store.gate.pass_through(late) == GateRefused("expired")


async def test_one_hand_over_of_a_message_is_open_at_most(store):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    assert isinstance(await gated(store, subject(ANA), message), GatePassed)
    await store.mongo["messages"].change({"_id": message}, {"$set": {"epoch": 2}}, {"_id": 1})
    assert await gated(store, subject(ANA), message, epoch=2) == GateBusy("open")
    await store.gate.pull(subject(ANA), message, 1)
    assert isinstance(await gated(store, subject(ANA), message, epoch=2), GatePassed)


async def test_a_stopped_purpose_waits(store):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await store.controls.stop(f"purpose:{NEWS.key}", reason="incident 7", by="ops")
    assert await gated(store, subject(ANA), message) == GateBusy(f"stopped:purpose:{NEWS.key}")
    await store.controls.go(f"purpose:{NEWS.key}", reason="over", by="ops")
    assert isinstance(await gated(store, subject(ANA), message), GatePassed)


@pytest.mark.attack(65, guard="preklic_workers.store.person_docs:literal")
async def test_a_value_that_looks_like_a_path_stays_a_value(mongo_url, mongo_database):
    store = await open_test_store(mongo_url, mongo_database, validators=False)
    await grant(store, ANA)
    await withdraw(store, ANA, job="$seq")
    doc = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    assert [entry["job"] for entry in doc["withdrawals"]] == ["$seq"]
    store.close()


def fail(mongo_url, times, **data):
    """Make the server itself fail the next commands (a fail point of the development build)."""
    with MongoClient(mongo_url) as client:
        client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)


async def test_a_gate_whose_write_never_arrived_opens_nothing(store, mongo_url):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await store.controls.stopped("all")
    fail(mongo_url, 2, failCommands=["update"], closeConnection=True)
    with pytest.raises(Unavailable):
        await gated(store, subject(ANA), message)
    assert isinstance(await gated(store, subject(ANA), message), GatePassed)


async def test_a_gate_whose_write_is_not_certain_is_read_back(store, mongo_url):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    fail(mongo_url, 1, failCommands=["update"], writeConcernError={"code": 64, "errmsg": "waiting timed out"})
    assert isinstance(await gated(store, subject(ANA), message), GatePassed)
    assert [one.message for one in (await store.persons.whole(subject(ANA))).open] == [message]


async def test_what_an_unknown_outcome_left_open_is_given_back_before_the_next_gate(store, mongo_url):
    await grant(store, ANA)
    first, second = await claimed(store, subject(ANA)), await claimed(store, subject(ANA))
    await store.controls.stopped("all")
    fail(mongo_url, 4, failCommands=["find"], closeConnection=True)
    with pytest.raises(Unavailable):
        await gated(store, subject(ANA), first)
    assert [one.message for one in (await store.persons.whole(subject(ANA))).open] == [first]
    assert isinstance(await gated(store, subject(ANA), second), GatePassed)
    assert [one.message for one in (await store.persons.whole(subject(ANA))).open] == [second]


async def race(store, other, name, mails):
    """One withdrawal, by another worker, and `mails` gates of one person in the same moment: the answers, the no."""
    messages = [new_id() for _ in range(mails)]
    await asyncio.gather(*(store.messages.claim(claim_of(message, name)) for message in messages))
    no = Withdraw(new_id(), name, [NEWS.key], "one_click", now())

    async def withdrawal():
        await asyncio.sleep(random.uniform(0, 0.03))  # the gate has one step more to go: let both win sometimes
        return await other.withdrawals.withdraw(no)

    calls = [gated(store, name, message) for message in messages] + [withdrawal()]
    order = random.sample(range(len(calls)), len(calls))
    tasks = [asyncio.create_task(calls[place]) for place in order]
    done = await asyncio.gather(*tasks)
    answers = [answer for _, answer in sorted(zip(order, done, strict=True), key=lambda pair: pair[0])]
    return messages, answers[:-1], answers[-1]


PEOPLE, MAILS_EACH, AT_ONCE = 2000, 5, 100


@pytest.mark.timeout(300)
@pytest.mark.attack(15, guard="preklic_workers.store.person_docs:permitted")
async def test_no_gate_passes_after_the_withdrawal_in_ten_thousand_races(store, mongo_url, mongo_database):
    other = await open_test_store(mongo_url, mongo_database, validators=False)
    people = [person_id(number) for number in range(PEOPLE)]
    await put_persons(store, people, {NEWS.key: "granted"})
    seen = Counter()
    for start in range(0, PEOPLE, AT_ONCE):
        races = await asyncio.gather(
            *(race(store, other, name, MAILS_EACH) for name in people[start : start + AT_ONCE])
        )
        for messages, answers, no in races:
            for message, answer in zip(messages, answers, strict=True):
                seen[type(answer).__name__] += 1
                if isinstance(answer, GatePassed):
                    assert answer.seq < no.seq
                    assert Captured(message, 1) in no.captured
                else:
                    assert answer == GateRefused("withdrawn")
    assert seen.total() == PEOPLE * MAILS_EACH
    assert min(seen["GatePassed"], seen["GateRefused"]) > 100, seen
    other.close()


async def test_a_withdrawal_of_one_purpose_stops_that_one_alone(store):
    await grant(store, ANA, NEWS, OFFERS, PAYMENT)
    await withdraw(store, ANA, NEWS)
    answers = {
        purpose.key: await gated(store, subject(ANA), await claimed(store, subject(ANA), purpose), purpose=purpose)
        for purpose in (NEWS, OFFERS, PAYMENT)
    }
    assert answers["newsletter"] == GateRefused("withdrawn")
    assert isinstance(answers["offers"], GatePassed)
    assert isinstance(answers["payment"], GatePassed)
