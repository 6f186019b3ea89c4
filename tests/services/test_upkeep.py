import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import GrantJob
from preklic_shared.wire import encode
from preklic_workers import doubt
from preklic_workers.doubt import ASSUMED_AFTER
from preklic_workers.store import Busy, Captured, Claimed, Ended, GatePassed
from preklic_workers.upkeep import Upkeep, letter_of
from storing import (
    MINUTE,
    NEWS,
    PAYMENT,
    REGISTRY,
    claim_of,
    claimed,
    gated,
    grant,
    lease_passes,
    now,
    sent,
    state,
    subject,
)

ANA = "ana@primer.si"


@pytest.fixture
def upkeep(store):
    return Upkeep(store, REGISTRY)


async def lost_in_data(store, purpose=NEWS) -> str:
    """A mail whose worker died with its hand-over open, a minute ago."""
    await grant(store, ANA, purpose)
    message = await claimed(store, subject(ANA), purpose)
    assert isinstance(await gated(store, subject(ANA), message, purpose=purpose), GatePassed)
    await lease_passes(store, message)
    return message


@pytest.mark.attack(17, guard="preklic_workers.store.messages:Messages.overdue")
async def test_a_worker_that_died_with_a_hand_over_open_leaves_doubt(store, upkeep):
    message = await lost_in_data(store)
    assert (await upkeep.reap(now())).in_doubt == 1
    assert await state(store, message) == "in_doubt"
    assert [one.message for one in (await store.persons.whole(subject(ANA))).open] == [message]
    assert isinstance(await store.messages.claim(claim_of(message, subject(ANA))), Ended)


async def test_a_claim_without_a_hand_over_is_left_to_redelivery(store, upkeep):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await lease_passes(store, message)
    assert (await upkeep.reap(now())).in_doubt == 0
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Claimed(2)


async def test_a_claim_whose_lease_runs_is_nobodys_business(store, upkeep):
    await grant(store, ANA)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    assert (await upkeep.reap(now() + 60 * MINUTE)).in_doubt == 0
    assert isinstance(await store.messages.claim(claim_of(message, subject(ANA))), Busy)


async def test_marketing_in_doubt_is_assumed_in_the_end_and_never_sent_again(store, upkeep):
    message = await lost_in_data(store)
    await upkeep.reap(now())
    assert (await upkeep.reap(now() + ASSUMED_AFTER / 2)).round.assumed == 0
    assert (await upkeep.reap(now() + ASSUMED_AFTER + MINUTE)).round.assumed == 1
    assert await store.messages.claim(claim_of(message, subject(ANA))) == Ended("assumed", "nothing_heard", 1)
    person = await store.persons.whole(subject(ANA))
    assert (person.open, [one.message for one in person.stale]) == ((), [message])


async def test_a_payment_in_doubt_is_not_assumed(store, upkeep):
    message = await lost_in_data(store, PAYMENT)
    await upkeep.reap(now())
    assert (await upkeep.reap(now() + 2 * ASSUMED_AFTER)).round.assumed == 0
    assert await state(store, message) == "asked"


async def test_proof_resolves_doubt_and_takes_the_hand_over_away(store, upkeep):
    message = await lost_in_data(store)
    await upkeep.reap(now())
    [doc] = await store.messages.doubts()
    assert await doubt.prove(store, doc, "bounced", "dsn")
    assert await state(store, message) == "bounced"
    assert (await store.persons.whole(subject(ANA))).open == ()


async def test_once_more_moves_the_hand_over_aside_and_every_receipt_lists_it(store, upkeep):
    message = await lost_in_data(store, PAYMENT)
    await upkeep.reap(now())
    assert await store.once_more(message, subject(ANA), 1)
    assert await store.messages.claim(claim_of(message, subject(ANA), PAYMENT)) == Claimed(2, doubted=True, again=True)
    assert isinstance(await gated(store, subject(ANA), message, 2, PAYMENT), GatePassed)
    await sent(store, ANA, message, 2)
    person = await store.persons.whole(subject(ANA))
    assert [Captured(one.message, one.epoch) for one in person.stale] == [Captured(message, 1)]
    assert person.open == ()


async def test_a_dead_letter_is_kept_as_it_came_and_grouped(store, upkeep):
    at = int(now().timestamp() * 1000)
    headers = {"reason": "bad_envelope", "queue": "send.now", "attempts": 1, "at": at, "fingerprint": "abcdef012345"}
    letters = [letter_of(b"\xff not json", new_id(), headers) for _ in range(3)]
    for letter in [*letters, letters[0]]:
        await upkeep.bury(letter)
    [group] = await store.dead.groups()
    assert (group.count, group.reason, group.queue) == (3, "bad_envelope", "send.now")
    shown = await store.dead.show(letters[0].id)
    assert bytes(shown["body"]) == b"\xff not json"
    assert "body" not in (await store.dead.find())[0]
    assert await store.dead.move(letters[0].id, "dead", "discarded", "noise")
    assert len(await store.dead.find()) == 2
    assert not await store.dead.move(letters[0].id, "dead", "discarded", "twice")


async def test_a_dead_job_says_so_where_its_producer_asks(store, upkeep):
    at = int(now().timestamp() * 1000)
    job = GrantJob(id=new_id(), producer="website", at=at, expires=at + 1000, key="record-1", sealed="AAAA")
    headers = {"reason": "key_gone", "field": "key", "queue": "record", "attempts": 1, "at": at, "fingerprint": "f00"}
    await upkeep.bury(letter_of(encode(job, "grant"), new_id(), headers))
    assert await store.messages.state(job.id) == "dead"
    assert (await store.dead.show(job.id))["actor"] == "grant"
