"""Groups written by few statements: a member that fails, fails alone."""

import asyncio

import pytest

from preklic_shared.ids import new_id
from preklic_workers.store import GateBusy, GatePassed, GateRefused, Handover
from storing import MINUTE, NEWS, claimed, gated, grant, now, put_persons, subject

PEOPLE = [f"{number:043d}" for number in range(6)]


async def mails(store):
    """One claimed newsletter to each of the people, who permit it."""
    await put_persons(store, PEOPLE, {NEWS.key: "granted"})
    await store.controls.stopped("all")
    return await asyncio.gather(*(claimed(store, person) for person in PEOPLE))


async def states(store, messages):
    return [await store.messages.state(message) for message in messages]


async def test_a_settlement_that_the_database_refuses_leaves_the_others_settled(store):
    messages = await mails(store)
    settle = [store.messages.settle(m, 1, "sent", reply={"code": 250, "enhanced": "2.0.0"}) for m in messages[:3]]
    broken = [store.messages.settle(m, 1, "refused", reason="<no word of ours>") for m in messages[3:4]]
    settle += [store.messages.settle(m, 1, "refused", reason="withdrawn") for m in messages[4:]]
    done = await asyncio.gather(*settle, *broken, return_exceptions=True)
    assert [type(each) for each in done] == [type(None)] * 5 + [ValueError]
    assert await states(store, messages) == ["sent"] * 3 + ["claimed"] + ["refused"] * 2


async def test_one_document_that_refuses_its_change_stops_nobody_elses_in_the_same_statement(store):
    messages = await mails(store)
    odd = store.mongo["messages"]
    await store.mongo.command({"collMod": "messages", "validationLevel": "off"})
    await odd.change({"_id": messages[2]}, {"$set": {"producer": 17}}, {"_id": 1})
    await store.mongo.command({"collMod": "messages", "validationLevel": "strict"})
    settle = (store.messages.settle(message, 1, "sent") for message in messages)
    done = await asyncio.gather(*settle, return_exceptions=True)
    assert [isinstance(each, ValueError) for each in done] == [message == messages[2] for message in messages]
    assert await states(store, messages) == ["claimed" if message == messages[2] else "sent" for message in messages]


async def test_a_person_who_can_take_no_hand_over_keeps_nobody_else_from_theirs(store):
    messages = await mails(store)
    entry = {"epoch": 1, "purpose": NEWS.key, "until": now() + MINUTE, "seq": 1}
    full = [entry | {"message": new_id()} for _ in range(1000)]
    await store.mongo["persons"].change({"_id": PEOPLE[1]}, {"$set": {"open": full}}, {"_id": 1})
    answers = await asyncio.gather(*(gated(store, p, m) for p, m in zip(PEOPLE, messages, strict=True)))
    assert answers[1] == GateBusy("changed")
    assert all(isinstance(answer, GatePassed) for answer in [answers[0], *answers[2:]])


async def test_two_mails_to_one_person_in_one_group_both_pass(store):
    await grant(store, "ana@primer.si")
    await store.controls.stopped("all")
    ana = subject("ana@primer.si")
    pair = await asyncio.gather(claimed(store, ana), claimed(store, ana))
    first, second = await asyncio.gather(*(gated(store, ana, message) for message in pair))
    assert isinstance(first, GatePassed)
    assert isinstance(second, GatePassed)
    assert first.seq != second.seq


@pytest.mark.parametrize("minutes", [-1, 0.1, 10])
async def test_the_end_of_one_job_is_not_the_end_of_others(store, minutes):
    messages = await mails(store)
    ends = [now() + (minutes * MINUTE if number == 0 else 10 * MINUTE) for number in range(len(messages))]
    hand_overs = [Handover(p, m, 1, NEWS, end) for p, m, end in zip(PEOPLE, messages, ends, strict=True)]
    first, *others = await asyncio.gather(*map(store.gate.pass_through, hand_overs))
    assert first == GateRefused("expired") if minutes < 0 else isinstance(first, GatePassed)
    assert all(isinstance(answer, GatePassed) for answer in others)


async def test_a_clock_that_is_behind_makes_one_late_job_nobody_elses_business(store):
    messages = await mails(store)
    store.mongo.ahead -= 2 * MINUTE
    ends = [now() - MINUTE / 2, *[now() + 10 * MINUTE] * 5]
    hand_overs = [Handover(p, m, 1, NEWS, end) for p, m, end in zip(PEOPLE, messages, ends, strict=True)]
    first, *others = await asyncio.gather(*map(store.gate.pass_through, hand_overs))
    assert not isinstance(first, GatePassed)
    assert all(isinstance(answer, GatePassed) for answer in others)


async def test_what_is_in_doubt_bears_the_mark_of_it_whatever_was_heard(store):
    message, *_ = await mails(store)
    await store.messages.settle(message, 1, "in_doubt", reason="lost_after_body", heard=True)
    shown = await store.messages.show(message)
    assert (shown["state"], shown["doubted"], len(shown["history"])) == ("in_doubt", True, 2)


async def test_what_is_let_go_together_is_each_ones_own(store):
    messages = await mails(store)
    await asyncio.gather(*(gated(store, p, m) for p, m in zip(PEOPLE, messages, strict=True)))
    await asyncio.gather(*(store.gate.pull(p, m, 1) for p, m in zip(PEOPLE[:4], messages, strict=False)))
    left = [len((await store.persons.whole(person)).open) for person in PEOPLE]
    assert left == [0, 0, 0, 0, 1, 1]
