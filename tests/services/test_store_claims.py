import asyncio

import pytest

from preklic_shared.ids import new_id
from preklic_workers.store import Busy, Claimed, Conflict, Ended, GateLost, GatePassed, GateRefused
from storing import NEWS, claim_of, claimed, gated, grant, lease_passes, now, state, subject, withdraw

ANA = "ana@primer.si"


@pytest.mark.attack(11, guard="preklic_workers.store.message_states:takeover")
async def test_the_same_job_fifty_times_at_once_is_claimed_once(store):
    claim = claim_of(new_id(), subject(ANA))
    answers = await asyncio.gather(*(store.messages.claim(claim) for _ in range(50)))
    assert sum(isinstance(answer, Claimed) for answer in answers) == 1
    assert sum(isinstance(answer, Busy) for answer in answers) == 49
    assert all(1 <= answer.seconds <= 60 for answer in answers if isinstance(answer, Busy))


@pytest.mark.attack(11, guard="preklic_workers.store.message_states:takeover")
async def test_the_same_job_a_week_later_has_ended(store):
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "sent")
    await lease_passes(store, message)
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Ended("sent", None, 1)


async def test_a_lease_that_is_over_gives_the_next_epoch_once(store):
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    claim = claim_of(message, subject(ANA))
    answers = await asyncio.gather(*(store.messages.claim(claim) for _ in range(20)))
    assert [answer for answer in answers if isinstance(answer, Claimed)] == [Claimed(2)]


async def test_another_body_under_the_same_id_is_a_conflict(store):
    message = await claimed(store, subject(ANA))
    other = claim_of(message, subject(ANA), body=b"c" * 32)
    assert await store.messages.claim(other) == Conflict()
    await store.messages.settle(message, 1, "sent")
    assert await store.messages.claim(other) == Conflict()


async def test_a_zombie_epoch_loses_at_the_gate_and_leaves_nothing_open(store):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(2)
    assert await gated(store, subject(ANA), message, epoch=1) == GateLost()
    assert (await store.persons.whole(subject(ANA))).open == ()
    assert isinstance(await gated(store, subject(ANA), message, epoch=2), GatePassed)


async def test_sent_holds_whatever_the_epoch_and_all_else_belongs_to_it(store):
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    await store.messages.claim(claim_of(message, subject(ANA)))
    await store.messages.settle(message, 1, "refused", reason="withdrawn")
    assert await state(store, message) == "claimed"
    await store.messages.settle(message, 1, "sent")
    assert await state(store, message) == "sent"
    await store.messages.settle(message, 2, "failed")
    assert await state(store, message) == "sent"


@pytest.mark.parametrize("end", ["refused", "expired", "cancelled", "failed", "dead"])
async def test_a_message_once_in_doubt_returns_to_it(store, end):
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "in_doubt", reason="lost_after_body")
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Ended("in_doubt", "lost_after_body", 1)
    assert await store.once_more(message, subject(ANA), 1)
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(2, doubted=True, again=True)
    await store.messages.settle(message, 2, end, reason="why")
    assert await state(store, message) == "in_doubt"
    assert not await store.once_more(message, subject(ANA), 1)


async def test_an_answer_that_comes_after_the_reaper_ends_its_own_doubt(store):
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    assert await store.messages.reap(message, 1)
    assert await state(store, message) == "in_doubt"
    await store.messages.settle(message, 1, "failed", reason="relay_busy")
    assert await state(store, message) == "in_doubt"
    await store.messages.settle(message, 1, "failed", reason="mailbox_gone", heard=True)
    assert await state(store, message) == "failed"


async def test_not_now_that_comes_after_the_reaper_is_an_end_for_its_job_may_be_gone(store):
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    assert await store.messages.reap(message, 1)
    await store.messages.settle(message, 1, "deferred", reason="greylisted", heard=True)
    assert await state(store, message) == "failed"


async def test_a_deferred_mail_may_be_claimed_at_once(store):
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "deferred", reason="greylisted")
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(2)


async def test_a_bounce_that_comes_before_the_settlement_is_not_overwritten(store):
    message = await claimed(store, subject(ANA))
    await store.messages.settle(message, 1, "in_doubt", reason="lost_after_body")
    assert await store.messages.resolve(message, "bounced", "dsn")
    await store.messages.settle(message, 1, "sent")
    assert await state(store, message) == "bounced"


async def test_one_claim_that_is_refused_does_not_spoil_its_group(store):
    good = [claim_of(new_id(), subject(ANA)) for _ in range(9)]
    bad = claim_of("no id", subject(ANA))
    answers = await asyncio.gather(
        *(store.messages.claim(claim) for claim in [*good[:4], bad, *good[4:]]), return_exceptions=True
    )
    assert [answer for answer in answers if answer == Claimed(1)] == [Claimed(1)] * 9
    assert isinstance(answers[4], ValueError)


@pytest.mark.attack(18, guard="preklic_workers.store.person_docs:permitted")
async def test_a_dead_letter_that_is_replayed_meets_todays_permissions(store):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await store.messages.died(message, "send", "template_error", producer="website", expires=now())
    assert await state(store, message) == "dead"
    await withdraw(store, ANA)
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(2)
    assert await gated(store, subject(ANA), message, epoch=2) == GateRefused("withdrawn")


async def test_a_job_that_died_before_its_first_claim_may_be_claimed_when_replayed(store):
    message = new_id()
    await store.messages.died(message, "send", "key_gone", producer="website", expires=now())
    assert await store.messages.state(message) == "dead"
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(1)
    shown = await store.messages.show(message)
    assert (shown["purpose"], shown["person"], shown["state"]) == (NEWS.key, subject(ANA), "claimed")
