import asyncio
import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preklic_shared.ids import new_id
from preklic_workers.permission import grant_counts
from preklic_workers.store import Captured, Drain, GatePassed, GateRefused
from storing import MINUTE, NEWS, OFFERS, PAYMENT, claimed, gated, grant, now, sent, subject, withdraw

ANA = "ana@primer.si"


async def answer(store, purpose=NEWS):
    """What the gate says to a mail for Ana now."""
    return await gated(store, subject(ANA), await claimed(store, subject(ANA), purpose), purpose=purpose)


@pytest.mark.attack(16, guard="preklic_workers.store.person_docs:permitted")
async def test_a_no_twice_is_one_no(store):
    await grant(store, ANA, at=now() - MINUTE)
    job, at = new_id(), now()
    first = await withdraw(store, ANA, at=at, job=job)
    assert await withdraw(store, ANA, at=at, job=job) == first
    assert await answer(store) == GateRefused("withdrawn")
    assert (await store.persons.whole(subject(ANA))).seq == first.seq


@pytest.mark.attack(16, guard="preklic_workers.permission:grant_counts")
async def test_a_no_of_an_unknown_address_outlives_the_grant_that_comes_after(store):
    event = now() - 2 * MINUTE
    await withdraw(store, ANA)
    assert await grant(store, ANA, at=event) == {"newsletter": "after_withdrawal"}
    assert await answer(store) == GateRefused("withdrawn")


@pytest.mark.attack(16, guard="preklic_workers.permission:grant_counts")
async def test_an_older_grant_after_a_newer_no_changes_nothing(store):
    await grant(store, ANA, at=now() - 60 * MINUTE)
    await withdraw(store, ANA)
    assert await grant(store, ANA, at=now() - 30 * MINUTE) == {"newsletter": "after_withdrawal"}
    assert await answer(store) == GateRefused("withdrawn")


@pytest.mark.attack(16, guard="preklic_workers.permission:grant_counts")
async def test_a_grant_from_a_clock_four_minutes_fast_does_not_count(store):
    await withdraw(store, ANA)
    assert await grant(store, ANA, at=now() + 4 * MINUTE) == {"newsletter": "after_withdrawal"}
    assert await answer(store) == GateRefused("withdrawn")


@pytest.mark.attack(16, guard="preklic_workers.store.person_docs:permitted")
async def test_the_same_old_link_is_a_no_again_after_a_new_yes(store):
    await grant(store, ANA, at=now() - 60 * MINUTE)
    await withdraw(store, ANA, at=now() - 30 * MINUTE)
    assert await grant(store, ANA, at=now() - 10 * MINUTE) == {"newsletter": "granted"}
    assert isinstance(await answer(store), GatePassed)
    await withdraw(store, ANA)
    assert await answer(store) == GateRefused("withdrawn")


async def test_a_confirmed_token_counts_when_it_was_made_after_the_no(store):
    await withdraw(store, ANA, at=now() - 2 * MINUTE)
    assert await grant(store, ANA, token_at=now() - 3 * MINUTE) == {"newsletter": "after_withdrawal"}
    assert await grant(store, ANA, token_at=now() - MINUTE) == {"newsletter": "granted"}
    assert isinstance(await answer(store), GatePassed)


async def test_a_late_no_leaves_what_the_person_said_clearly_after_it(store):
    await grant(store, ANA, NEWS, at=now())
    await grant(store, ANA, OFFERS, at=now() - 57 * MINUTE)
    await withdraw(store, ANA, NEWS, OFFERS, at=now() - 60 * MINUTE)
    assert isinstance(await answer(store, NEWS), GatePassed)
    assert await answer(store, OFFERS) == GateRefused("withdrawn")


seconds = st.integers(-1200, 1200)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(no_after=seconds, token_after=st.none() | seconds)
async def test_the_one_write_of_a_no_judges_an_earlier_grant_as_the_rule_does(store, no_after, token_after):
    granted = now().replace(microsecond=0)
    token = None if token_after is None else granted + dt.timedelta(seconds=token_after)
    address = f"{new_id()}@primer.si"
    await grant(store, address, at=granted, token_at=token)
    no_at = granted + dt.timedelta(seconds=no_after)
    await withdraw(store, address, at=no_at)
    stands = (await store.persons.whole(subject(address))).permissions["newsletter"].state == "granted"
    assert stands == grant_counts(granted, no_at, token)


async def test_a_no_captures_what_is_under_way_and_drains_it(store):
    await grant(store, ANA, NEWS, OFFERS)
    news, offer = await claimed(store, subject(ANA)), await claimed(store, subject(ANA), OFFERS)
    await gated(store, subject(ANA), news)
    await gated(store, subject(ANA), offer, purpose=OFFERS)
    job = new_id()
    no = await withdraw(store, ANA, NEWS, job=job, at=now() + MINUTE)
    assert no.captured == (Captured(news, 1),)
    assert await store.withdrawals.drained(subject(ANA), no.captured) == Drain((Captured(news, 1),), ())
    await sent(store, ANA, news)
    assert await store.withdrawals.drained(subject(ANA), no.captured) == Drain((), ())
    await store.withdrawals.applied(job, no.captured, [])
    receipt = await store.withdrawals.receipt(job)
    assert receipt["seq"] == no.seq
    assert receipt["waited"] == [{"message": news, "epoch": 1}]
    assert receipt["listed"] == []
    assert receipt["closed"] <= receipt["applied"]


async def test_what_is_assumed_blocks_no_gate_and_every_receipt_lists_it(store):
    await grant(store, ANA)
    lost = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), lost)
    await store.messages.settle(lost, 1, "in_doubt", reason="lost_after_body")
    await store.persons.to_stale(subject(ANA), lost, 1)
    assert await store.messages.resolve(lost, "assumed", "nothing_heard")
    assert isinstance(await answer(store), GatePassed)
    no = await withdraw(store, ANA, at=now() + MINUTE)
    assert Captured(lost, 1) in no.captured
    assert (await store.withdrawals.drained(subject(ANA), no.captured)).stale == (Captured(lost, 1),)


async def test_every_write_takes_the_next_place_in_the_persons_order(store):
    await grant(store, ANA)
    first = await answer(store)
    second = await answer(store)
    no = await withdraw(store, ANA, at=now() + MINUTE)
    assert first.seq < second.seq < no.seq


async def test_a_complaint_suppresses_and_a_payment_mail_is_not_concerned(store):
    await grant(store, ANA, NEWS, PAYMENT, at=now() - MINUTE)
    await withdraw(store, ANA, NEWS, suppress="complaint")
    assert await answer(store) == GateRefused("suppressed_complaint")
    assert isinstance(await answer(store, PAYMENT), GatePassed)


async def test_a_no_that_the_store_refuses_fails_alone_and_the_others_of_its_group_close_their_gates(store):
    people = [f"person{number}@primer.si" for number in range(8)]
    for address in people:
        await grant(store, address, at=now() - MINUTE)
    nos = [
        withdraw(store, address, job="no job id at all" if number == 3 else None)
        for number, address in enumerate(people)
    ]
    ended = await asyncio.gather(*nos, return_exceptions=True)
    assert [isinstance(one, ValueError) for one in ended] == [number == 3 for number in range(8)]
    persons = [await store.persons.whole(subject(address)) for address in people]
    states = [person.permissions["newsletter"].state for person in persons]
    assert states == ["granted" if number == 3 else "withdrawn" for number in range(8)]
