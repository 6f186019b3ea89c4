import hashlib
import json
import time

import msgspec
import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import EnrichJob, EnrichPayload, GrantJob, GrantPayload, Proof
from preklic_shared.registry import load_registry
from preklic_workers.envelope import Epochs
from preklic_workers.keyring import KeyRing
from preklic_workers.outcomes import Dead, Done, Refused
from preklic_workers.record import Record
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import GatePassed, GateRefused, Withdraw, moment
from storing import MINUTE, NEWS, OFFERS, REGISTRY, RING, claimed, gated, now, open_test_store, subject, withdraw

ANA = "ana@primer.si"
SWITCH = "proposals.profiling"


@pytest.fixture
def record(store):
    return Record(store, REGISTRY, RING.blind)


def grant_job(
    *purposes, address=ANA, method="form", wording="newsletter-sl-3", expired=False, person=None, token_at=None, **more
):
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
    language = more.pop("language", "sl")
    proof = Proof(wording=wording, source="https://lucrum.example/prijava", method=method, language=language)
    payload = GrantPayload(address=address, purposes=purposes or ("newsletter",), proof=proof, **more)
    return Opened(job, payload, 0, "website", expired, lambda: True, no_reply)


def enrich_job(group="profile", data=None, *, address=ANA, ref=None):
    at = int(time.time() * 1000)
    job = EnrichJob(
        id=new_id(), producer="website", at=at, expires=at + 60_000, key="record-1", sealed="AAAA", group=group
    )
    payload = EnrichPayload(address=address, ref=ref, data=data or {"name": "Ana"}, source="order form")
    return Opened(job, payload, 0, "website", False, lambda: True, no_reply)


async def answer(store, purpose=NEWS, **more):
    message = await claimed(store, subject(ANA), purpose)
    return await gated(store, subject(ANA), message, purpose=purpose, **more)


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


async def rows_of(store, address=ANA):
    return await store.mongo["permissions"].find({"person": subject(address)}, sort=[("at", 1)])


async def test_a_proof_keeps_the_words_themselves_and_they_outlive_the_registry(store, record):
    words = REGISTRY.wordings["newsletter", "1", "en"]
    assert await record.grant(grant_job(wording="newsletter@1", language="en", confirmed=True)) == Done()
    assert await record.grant(grant_job("offers", wording="newsletter@1", language="en")) == Done()
    for row in await rows_of(store):
        assert (row["wording"], row["version"], row["language"]) == (words.hash, "newsletter@1", "en")
        assert (row["method"], row["source"], row["producer"]) == ("form", "web", "website")
        kept = await store.proofs.wording(row["wording"])
        assert (kept["text"], kept["id"], kept["version"], kept["language"]) == (words.text, "newsletter", "1", "en")
    assert len(await store.mongo["wordings"].find({})) == 1


@pytest.mark.clause("U2", guard="preklic_workers.proving:unproven")
@pytest.mark.parametrize(("wording", "language"), [("newsletter@2", "sl"), ("newsletter@1", "de"), ("gone@1", "sl")])
async def test_words_that_nobody_can_show_prove_nothing(store, record, wording, language):
    job = grant_job(wording=wording, language=language, confirmed=True)
    assert await record.grant(job) == Refused("unknown_wording")
    assert await store.messages.state(job.job.id) == "refused"
    assert await store.persons.whole(subject(ANA)) is None
    assert await rows_of(store) == []


async def test_free_words_are_kept_encrypted_and_found_by_a_keyed_hash(store, record):
    free = "Yes, said Ana on the telephone"
    for purpose in ("offers", "newsletter"):
        await record.grant(grant_job(purpose, wording=free, method="paper"))
    rows = await rows_of(store)
    assert {row["wording"] for row in rows} == {RING.blind.wording(free)}
    assert [row["source"] for row in rows] == ["paper", "paper"]
    assert not any(free in str(row) or hashlib.sha256(free.encode()).hexdigest() in str(row) for row in rows)
    key = await store.vault.key(subject(ANA), "evidence")
    plain = key.decrypt(bytes(rows[0]["proof"]), subject(ANA), "permissions", rows[0]["_id"])
    assert json.loads(plain)["wording"] == free


async def test_each_yes_and_each_no_leaves_a_row_with_who_when_and_how(store, record):
    await record.grant(grant_job())
    pid = (await store.persons.whole(subject(ANA))).pid.hex()
    made = int(time.time() * 1000)
    await record.grant(grant_job(address=None, method="double_opt_in", confirmed=True, person=pid, token_at=made))
    await withdraw(store, ANA, at=now() + MINUTE)
    history = await store.proofs.history(subject(ANA))
    assert [row["action"] for row in history] == ["pending", "granted", "withdrawn"]
    assert "confirmed" not in history[0]
    assert history[1]["confirmed"] == {"token": moment(made), "at": history[1]["at"]}
    assert (history[2]["purposes"], history[2]["reason"]) == (["newsletter"], "one_click")
    assert not any("proof" in row for row in history)


async def test_the_exception_for_customers_takes_a_contract_and_nothing_else(store):
    customers = msgspec.structs.replace(OFFERS, basis="existing_customer")
    registry = load_registry()
    registry.purposes = {**registry.purposes, "offers": customers}
    record = Record(store, registry, RING.blind)
    assert await record.grant(grant_job("offers")) == Refused("no_contract")
    assert await answer(store, purpose=customers) == GateRefused("unknown")
    assert await record.grant(grant_job("newsletter", confirmed=True)) == Done()
    assert await answer(store, purpose=customers) == GateRefused("no_permission")
    assert await record.grant(grant_job("offers", method="contract")) == Done()
    assert isinstance(await answer(store, purpose=customers), GatePassed)
    await withdraw(store, ANA, customers, at=now() + MINUTE)
    assert await answer(store, purpose=customers) == GateRefused("withdrawn")


@pytest.mark.clause("U10", guard="preklic_shared.joined:shortened")
async def test_an_ip_address_is_stored_as_its_network_alone(store, record):
    await record.grant(grant_job(confirmed=True))
    assert (
        await record.enrich(enrich_job("service", {"ip": "203.0.113.77", "first_visit": "2001:db8:1:2::3"})) == Done()
    )
    kept = await store.persons.fields(subject(ANA), "service")
    assert kept == {"ip": "203.0.113.0/24", "first_visit": "2001:db8:1::/48"}
    assert await record.enrich(enrich_job("service", {"ip": "no address"})) == Dead("malformed", "ip")


async def test_where_each_joined_field_came_from_and_when_is_kept_with_it(store, record):
    await record.grant(grant_job(confirmed=True))
    await record.enrich(enrich_job("profile", {"first_name": "Ana"}))
    doc = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    key = await store.vault.key(subject(ANA), "profile")
    plain = json.loads(key.decrypt(bytes(doc["fields"]["profile"]), subject(ANA), "persons", "profile"))
    assert plain["first_name"].keys() == {"value", "source", "at"}
    assert plain["first_name"]["source"] == "order form"


async def test_a_person_has_so_many_fields_and_no_more(store, record):
    await record.grant(grant_job(confirmed=True))
    for start in range(0, 200, 50):
        assert await record.enrich(enrich_job(data={f"f{n}": n for n in range(start, start + 50)})) == Done()
    assert await record.enrich(enrich_job(data={"f7": "new"})) == Done()
    job = enrich_job(data={"one_more": 1})
    assert await record.enrich(job) == Refused("too_many_fields")
    large = {f"f{n}": "x" * 10_000 for n in range(30)}
    assert await record.enrich(enrich_job(data=large)) == Refused("too_many_fields")
    kept = await store.persons.fields(subject(ANA), "profile")
    assert (len(kept), kept["f7"], kept["f1"]) == (200, "new", 1)


async def test_the_switch_against_individual_mail_can_be_turned_on_again(store, record):
    await record.grant(grant_job("proposals", confirmed=True))
    no = Withdraw(new_id(), subject(ANA), [SWITCH], "preference", now() - 6 * MINUTE, objected=frozenset({SWITCH}))
    await store.withdrawals.withdraw(no)
    assert (await store.persons.whole(subject(ANA))).permissions[SWITCH].state == "objected"
    assert await record.grant(grant_job(SWITCH)) == Done()
    assert (await store.persons.whole(subject(ANA))).permissions[SWITCH].state == "granted"
    assert await record.grant(grant_job("offers.profiling")) == Refused("purpose_denied")
