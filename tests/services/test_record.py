import time

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import EnrichJob, EnrichPayload, GrantJob, GrantPayload, Proof
from preklic_workers.envelope import Epochs
from preklic_workers.keyring import KeyRing
from preklic_workers.outcomes import Dead, Done, Refused
from preklic_workers.record import Record
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import GatePassed, GateRefused
from storing import MINUTE, REGISTRY, RING, claimed, gated, now, open_test_store, subject, withdraw

ANA = "ana@primer.si"


@pytest.fixture
def record(store):
    return Record(store, REGISTRY, RING.blind)


def grant_job(*purposes, address=ANA, method="form", expired=False, person=None, token_at=None, **more):
    at = int(time.time() * 1000)
    job = GrantJob(
        id=new_id(),
        producer="website",
        at=at,
        expires=at + 60_000,
        key="record-1",
        sealed="AAAA",
        person=person,
        token_at=token_at,
    )
    proof = Proof(wording="newsletter-sl-3", source="https://lucrum.example/prijava", method=method)
    payload = GrantPayload(address=address, purposes=purposes or ("newsletter",), proof=proof, **more)
    return Opened(job, payload, 0, "website", expired, lambda: True, no_reply)


def enrich_job(group="profile", data=None, *, address=ANA, ref=None):
    at = int(time.time() * 1000)
    job = EnrichJob(
        id=new_id(), producer="website", at=at, expires=at + 60_000, key="record-1", sealed="AAAA", group=group
    )
    payload = EnrichPayload(address=address, ref=ref, data=data or {"name": "Ana"}, source="order form")
    return Opened(job, payload, 0, "website", False, lambda: True, no_reply)


async def answer(store, **more):
    return await gated(store, subject(ANA), await claimed(store, subject(ANA)), **more)


async def test_a_grant_is_recorded_so_that_a_send_after_it_may_go(store, record):
    job = grant_job(confirmed=True, ref="customer-7")
    assert await record.grant(job) == Done()
    assert await store.messages.state(job.job.id) == "applied"
    assert isinstance(await answer(store), GatePassed)
    assert (await store.persons.by_ref("customer-7")).id == subject(ANA)
    assert await record.grant(job) == Done()


async def test_double_opt_in_is_pending_until_its_token_confirms_it(store, record):
    assert await record.grant(grant_job()) == Done()
    assert await answer(store) == GateRefused("pending")
    pid = (await store.persons.whole(subject(ANA))).pid.hex()
    made = int(time.time() * 1000)
    confirming = grant_job(address=None, method="double_opt_in", confirmed=True, person=pid, token_at=made)
    assert await record.grant(confirming) == Done()
    assert isinstance(await answer(store), GatePassed)


@pytest.mark.attack(16, guard="preklic_workers.permission:grant_counts")
async def test_a_token_made_before_the_no_confirms_nothing(store, record):
    await record.grant(grant_job())
    made = int(time.time() * 1000)
    await withdraw(store, ANA, at=now() + MINUTE)
    pid = (await store.persons.whole(subject(ANA))).pid.hex()
    job = grant_job(address=None, confirmed=True, person=pid, token_at=made)
    assert await record.grant(job) == Refused("after_withdrawal")
    assert await store.messages.state(job.job.id) == "refused"
    assert await answer(store) == GateRefused("withdrawn")


@pytest.mark.parametrize("purposes", [("nonsense",), ("statistics",), ("newsletter", "disclosure")])
async def test_a_use_that_is_not_mail_cannot_be_granted(store, record, purposes):
    assert await record.grant(grant_job(*purposes)) == Refused("purpose_denied")
    assert await store.persons.whole(subject(ANA)) is None


async def test_engagement_means_both_its_switches(store, record):
    assert await record.grant(grant_job("newsletter", "engagement", confirmed=True)) == Done()
    said = (await store.persons.whole(subject(ANA))).permissions
    assert said["engagement.opens"].state == said["engagement.clicks"].state == "granted"


async def test_an_expired_grant_and_one_of_nobody_are_refused(store, record):
    job = grant_job(expired=True)
    assert await record.grant(job) == Refused("expired")
    assert await store.messages.state(job.job.id) == "refused"
    assert await record.grant(grant_job(address=None, person="00" * 16)) == Refused("unknown")
    assert await record.grant(grant_job(address="a b@x.si")) == Dead("malformed", "address")


async def test_fields_join_a_known_person_alone(store, record):
    assert await record.enrich(enrich_job()) == Refused("unknown")
    await record.grant(grant_job(ref="customer-7", confirmed=True))
    assert await record.enrich(enrich_job()) == Done()
    assert await record.enrich(enrich_job("payments", {"iban": "SI56"}, address=None, ref="customer-7")) == Done()
    assert await store.persons.fields(subject(ANA), "profile") == {"name": "Ana"}
    stored = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    assert b"SI56" not in bytes(stored["fields"]["payments"])


@pytest.mark.clause("U10", guard="preklic_workers.envelope:of_epoch")
async def test_what_is_joined_under_court_opens_for_no_mail_worker(store, record, mongo_url, mongo_database):
    await record.grant(grant_job(confirmed=True))
    assert await record.enrich(enrich_job("court", {"case": "P 12/2026"})) == Done()
    assert await store.persons.fields(subject(ANA), "court") == {"case": "P 12/2026"}
    mail = KeyRing("send", RING.blind, Epochs({group: RING.epochs.keys[group] for group in ("contact", "profile")}))
    sender = await open_test_store(mongo_url, mongo_database, ring=mail)
    handler = Record(sender, REGISTRY, RING.blind)
    assert await handler.enrich(enrich_job("court", {"case": "P 13/2026"})) == Dead("key_gone", "group")
    assert await sender.persons.address_of(subject(ANA)) == ANA
    sender.close()
