import asyncio
import time
from dataclasses import replace

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob, RevokePayload
from preklic_workers import stories
from preklic_workers.looking import spans
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import GatePassed, GateRefused, Merge, Merged, Unavailable
from preklic_workers.store.stories import Records
from storing import MINUTE, NEWS, OFFERS, PAYMENT, REGISTRY, RING, claimed, gated, grant, now, sent, subject
from waiting import auntil

ANA = "ana@primer.si"


@pytest.fixture
def revoke(store):
    return Revoke(store, REGISTRY, RING.blind, drain_seconds=0.5)


def opened(purposes="all", *, source="api", address=None, ref=None, attempt=0, job_id=None, **more):
    at = int(time.time() * 1000)
    job = RevokeJob(
        id=job_id or new_id(), producer="website", at=at, expires=at + 1000, purposes=purposes, source=source, **more
    )
    payload = RevokePayload(address=address, ref=ref) if address or ref else None
    return Opened(job, payload, attempt, "website", True, lambda: True, no_reply)


async def answer(store, purpose=NEWS):
    return await gated(store, subject(ANA), await claimed(store, subject(ANA), purpose), purpose=purpose)


async def test_a_no_by_address_closes_its_purpose_and_leaves_a_receipt(store, revoke):
    await grant(store, ANA, NEWS, OFFERS, at=now() - MINUTE)
    job = opened(("newsletter",), address=ANA)
    assert await revoke.handle(job) == Done()
    assert await answer(store) == GateRefused("withdrawn")
    assert isinstance(await answer(store, OFFERS), GatePassed)
    receipt = await store.withdrawals.receipt(job.job.id)
    assert receipt["closed"] <= receipt["applied"]
    assert await store.messages.state(job.job.id) == "applied"


async def test_a_no_by_link_names_the_person_and_never_expires(store, revoke):
    await grant(store, ANA, at=now() - MINUTE)
    pid = (await store.persons.whole(subject(ANA))).pid
    assert await revoke.handle(opened(("newsletter",), source="one_click", person=pid.hex())) == Done()
    assert (await store.persons.whole(subject(ANA))).erased


async def test_a_link_of_nobody_changes_nothing(store, revoke):
    job = opened(("newsletter",), source="one_click", person="00" * 16)
    assert await revoke.handle(job) == Refused("unknown")
    assert await store.messages.state(job.job.id) == "refused"


async def test_a_no_waits_for_what_is_under_way_and_says_so(store, revoke):
    await grant(store, ANA, NEWS, PAYMENT, at=now() - MINUTE)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    job = opened(("newsletter",), address=ANA)
    patient = Revoke(store, REGISTRY, RING.blind, drain_seconds=20)
    task = asyncio.create_task(patient.handle(job))
    await auntil(lambda: store.withdrawals.receipt(job.job.id), 10, "the gate is closed")
    assert "applied" not in await store.withdrawals.receipt(job.job.id)
    await sent(store, ANA, message)
    assert await task == Done()
    receipt = await store.withdrawals.receipt(job.job.id)
    assert receipt["waited"] == [{"message": message, "epoch": 1}]
    assert receipt["listed"] == []


@pytest.mark.clause("P3", guard="preklic_workers.store.withdrawals:closing")
async def test_what_does_not_end_in_time_is_listed(store, revoke):
    await grant(store, ANA, NEWS, PAYMENT, at=now() - MINUTE)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    job = opened(("newsletter",), address=ANA)
    assert await revoke.handle(job) == Done()
    receipt = await store.withdrawals.receipt(job.job.id)
    assert receipt["listed"] == [{"message": message, "epoch": 1}]


async def test_a_no_whose_worker_died_is_finished_by_the_next(store, revoke):
    await grant(store, ANA, NEWS, PAYMENT, at=now() - MINUTE)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    job = opened(("newsletter",), address=ANA)
    task = asyncio.create_task(Revoke(store, REGISTRY, RING.blind, drain_seconds=60).handle(job))
    await auntil(lambda: store.withdrawals.receipt(job.job.id), 10, "the gate is closed")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    first = await store.withdrawals.receipt(job.job.id)
    await sent(store, ANA, message)
    assert await revoke.handle(job) == Done()
    receipt = await store.withdrawals.receipt(job.job.id)
    assert (receipt["seq"], receipt["closed"]) == (first["seq"], first["closed"])
    assert receipt["waited"] == [{"message": message, "epoch": 1}]


@pytest.mark.attack(16, guard="preklic_workers.permission:stopped_by")
async def test_a_complaint_ends_all_marketing_and_no_payment_mail(store, revoke):
    await grant(store, ANA, NEWS, OFFERS, PAYMENT, at=now() - MINUTE)
    assert await revoke.handle(opened(("newsletter",), source="complaint", address=ANA)) == Done()
    person = await store.persons.whole(subject(ANA))
    assert "complaint" in person.suppressed
    assert {key: said.state for key, said in person.permissions.items() if said.state == "granted"} == {
        "payment": "granted"
    }
    assert isinstance(await answer(store, PAYMENT), GatePassed)


async def test_a_bounce_suppresses_and_is_no_no(store, revoke):
    await grant(store, ANA, at=now() - MINUTE)
    assert await revoke.handle(opened(("newsletter",), source="bounce", address=ANA)) == Done()
    assert await answer(store) == GateRefused("suppressed_bounce")
    assert (await store.persons.whole(subject(ANA))).permissions["newsletter"].state == "granted"


@pytest.mark.clause("U7", guard="preklic_workers.revoke:kept_groups")
async def test_when_the_last_basis_goes_the_person_is_erased_and_not_before(store, revoke):
    await grant(store, ANA, NEWS, OFFERS, at=now() - MINUTE)
    await revoke.handle(opened(("newsletter",), address=ANA))
    assert await store.persons.address_of(subject(ANA)) == ANA
    await revoke.handle(opened(("offers",), address=ANA))
    person = await store.persons.whole(subject(ANA))
    assert person.erased
    assert person.contact is None
    assert await store.mongo.keys().find({"_id.p": subject(ANA)}) == []


@pytest.mark.clause("U5", guard="preklic_workers.permission:stopped_by")
async def test_withdraw_all_that_can_be_and_the_payment_mail_still_goes(store, revoke):
    await grant(store, ANA, NEWS, OFFERS, PAYMENT, at=now() - MINUTE)
    assert await revoke.handle(opened("all", address=ANA)) == Done()
    for purpose in (NEWS, OFFERS):
        assert isinstance(await answer(store, purpose), GateRefused)
    assert isinstance(await answer(store, PAYMENT), GatePassed)
    assert await revoke.handle(opened("all", address=ANA, erase=True)) == Done()
    assert isinstance(await answer(store, PAYMENT), GatePassed)
    assert await store.persons.address_of(subject(ANA)) == ANA
    assert {key["_id"]["g"] for key in await store.mongo.keys().find({"_id.p": subject(ANA)})} == {"contact"}
    assert await answer(store) == GateRefused("suppressed_erased")


async def test_what_nobody_can_stop_is_refused(store, revoke):
    assert await revoke.handle(opened(("payment",), address=ANA)) == Refused("purpose_denied")
    assert await revoke.handle(opened(("nonsense",), address=ANA)) == Refused("purpose_denied")


async def test_an_unknown_ref_waits_for_its_grant_and_then_for_a_person(store, revoke):
    waits = opened(("newsletter",), ref="customer-7")
    assert isinstance(await revoke.handle(waits), RetryLater)
    await grant(store, ANA, at=now() - MINUTE, ref="customer-7")
    assert await revoke.handle(waits) == Done()
    assert await answer(store) == GateRefused("erased")
    assert await revoke.handle(opened("all", ref="customer-8", attempt=8)) == Dead("unknown_ref", "ref")


async def test_a_no_is_in_hand_from_its_delivery_to_its_closed_gate_and_not_while_it_drains(store):
    await grant(store, ANA, NEWS, OFFERS, at=now() - MINUTE)
    message = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), message)
    closing, may_close = asyncio.Event(), asyncio.Event()

    class Held:
        """The withdrawals, which do not close before they are told to."""

        def __getattr__(self, name):
            return getattr(store.withdrawals, name)

        async def withdraw(self, no):
            closing.set()
            await may_close.wait()
            return await store.withdrawals.withdraw(no)

    revoke = Revoke(replace(store, withdrawals=Held()), REGISTRY, RING.blind, drain_seconds=20)
    began = store.mongo.now()
    task = asyncio.create_task(revoke.handle(opened(("newsletter",), address=ANA)))
    await closing.wait()
    later = store.mongo.now() + MINUTE
    assert began <= revoke.progress.upto(later, 0) < later
    may_close.set()
    await auntil(lambda: revoke.progress.upto(later, 0) == later, what="the gate is closed")
    assert not task.done()
    await sent(store, ANA, message)
    assert await task == Done()


async def test_a_no_that_went_back_to_a_tier_is_in_hand_no_more(store):
    class Away:
        async def withdraw(self, _no):
            raise Unavailable("test")

    revoke = Revoke(replace(store, withdrawals=Away()), REGISTRY, RING.blind)
    assert isinstance(await revoke.handle(opened("all", address=ANA)), RetryLater)
    later = store.mongo.now() + MINUTE
    assert revoke.progress.upto(later, 0) == later


async def test_why_tells_a_withdrawal_from_its_acceptance_to_what_it_waited_for(store, revoke):
    await grant(store, ANA, NEWS, OFFERS, at=now() - MINUTE)
    over, stuck = await claimed(store, subject(ANA)), await claimed(store, subject(ANA))
    for message in (over, stuck):
        await gated(store, subject(ANA), message)
    job = opened(("newsletter",), address=ANA)
    task = asyncio.create_task(revoke.handle(job))
    await auntil(lambda: store.withdrawals.receipt(job.job.id), 10, "the gate is closed")
    early = await store.withdrawals.receipt(job.job.id)
    assert "applied_after" not in spans(early)
    assert "withdrawal applied" not in story(early)
    await sent(store, ANA, over)
    assert await task == Done()
    found = await store.withdrawals.receipt(job.job.id)
    told = found | spans(found)
    assert told["waited"] == [{"message": over, "epoch": 1}]
    assert told["listed"] == [{"message": stuck, "epoch": 1}]
    # Two clocks tell the two moments: a span under a millisecond may look like one that is less than nothing.
    assert told["closed_after"] == pytest.approx(max(0.0, (told["closed"] - told["accepted"]).total_seconds()))
    assert 0.5 <= told["applied_after"] == pytest.approx((told["applied"] - told["accepted"]).total_seconds())
    assert "hand-overs: 1 waited, 1 listed" in story(told)


def story(receipt):
    """What `preklic why` says of it."""
    return "\n".join(map(stories.text, stories.told(Records(receipt["_id"], receipt=receipt))))


async def test_nobody_named_and_a_bad_address_are_dead_with_the_field(store, revoke):
    assert await revoke.handle(opened("all")) == Dead("malformed", "sealed")
    assert await revoke.handle(opened("all", address="a@x.si, b@y.si")) == Dead("malformed", "address")


@pytest.mark.clause("U1", guard="preklic_workers.store.merges:Merges.into")
async def test_a_no_by_an_old_link_is_also_one_of_whom_the_person_was_merged_into(store, revoke):
    addresses = ["stara@primer.example", "nova@primer.example", ANA]
    for address in addresses:
        await grant(store, address, NEWS, at=now() - MINUTE)
    old, middle, last = (subject(address) for address in addresses)
    for source, target in ((old, middle), (middle, last)):
        assert isinstance(await store.merges.merge(Merge(new_id(), source, target, now()), REGISTRY), Merged)
    assert isinstance(await answer(store), GatePassed)
    pid = (await store.persons.whole(old)).pid
    assert await revoke.handle(opened(("newsletter",), source="one_click", person=pid.hex())) == Done()
    assert isinstance(await answer(store), GateRefused)
