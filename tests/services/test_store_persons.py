import asyncio
from dataclasses import replace

import pytest

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.providers import provider_of
from preklic_workers.envelope import Altered, Epochs, NoKey
from preklic_workers.store import GatePassed, GateRefused
from storing import (
    HOUR,
    MINUTE,
    NEWS,
    OFFERS,
    PAYMENT,
    RING,
    claimed,
    gated,
    grant,
    now,
    open_test_store,
    subject,
    withdraw,
)

ANA, BOR = "ana@primer.si", "bor@primer.si"
NOTHING_KEPT = frozenset()


async def answer(store, purpose=NEWS, address=ANA, **more):
    who = subject(address)
    return await gated(store, who, await claimed(store, who, purpose), purpose=purpose, **more)


@pytest.mark.clause("U2", guard="preklic_workers.store.person_docs:permitted")
async def test_an_unconfirmed_sign_up_gets_the_confirmation_mail_alone(store):
    assert await grant(store, ANA, confirmed=False) == {"newsletter": "pending"}
    assert await answer(store) == GateRefused("pending")
    assert isinstance(await answer(store, confirming=True), GatePassed)
    assert await grant(store, ANA, token_at=now()) == {"newsletter": "granted"}
    assert isinstance(await answer(store), GatePassed)


async def test_an_unconfirmed_request_does_not_take_a_confirmed_permission_back(store):
    await grant(store, ANA)
    assert await grant(store, ANA, confirmed=False) == {"newsletter": "kept"}
    assert isinstance(await answer(store), GatePassed)


async def test_the_same_grant_twice_at_once_is_one(store):
    job, event = new_id(), now()
    answers = await asyncio.gather(*(grant(store, ANA, job=job, at=event) for _ in range(10)))
    assert answers == [{"newsletter": "granted"}] * 10
    person = await store.persons.whole(subject(ANA))
    assert person.seq == 1
    assert len(await store.mongo["permissions"].find({"person": subject(ANA)})) == 1


async def test_the_proof_of_a_grant_is_kept_encrypted(store):
    job = new_id()
    await grant(store, ANA, job=job)
    row = await store.mongo["permissions"].find_one({"_id": f"{job}:newsletter"})
    assert (row["action"], row["person"]) == ("granted", subject(ANA))
    key = await store.vault.key(subject(ANA), "evidence")
    assert b'"wording":"w"' in key.decrypt(bytes(row["proof"]), subject(ANA), "permissions", row["_id"])
    assert b"wording" not in bytes(row["proof"])


async def test_an_import_takes_the_strictest_answer(store):
    await withdraw(store, ANA, at=now() - 24 * HOUR)
    assert await grant(store, ANA, NEWS, OFFERS, imported=True) == {"newsletter": "kept", "offers": "granted"}
    assert await answer(store) == GateRefused("withdrawn")


@pytest.mark.clause("U7", guard="preklic_workers.store.emptying:emptied_doc")
async def test_an_erased_person_is_a_hash_that_no_import_brings_back(store):
    await grant(store, ANA, NEWS, at=now() - HOUR)
    await store.persons.enrich(subject(ANA), "profile", {"name": "Ana"}, "form", now())
    await store.persons.erase(subject(ANA), now(), lambda _person: NOTHING_KEPT)
    doc = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    left = {"_id", "pid", "seq", "suppressed", "no_at", "erased", "erased_seq", "untold", "fields"}
    assert {name for name in doc if doc[name]} <= left
    assert not doc.get("fields")
    assert await store.mongo.keys().find({}) == []
    assert await answer(store) == GateRefused("erased")
    assert await grant(store, ANA, NEWS, imported=True) == {"newsletter": "kept"}
    assert await grant(store, ANA, OFFERS, at=now() - MINUTE) == {"offers": "after_withdrawal"}
    assert await answer(store, OFFERS) == GateRefused("erased")


async def test_an_erased_person_who_says_yes_again_is_back_for_that_alone(store):
    await grant(store, ANA, NEWS, OFFERS, at=now() - HOUR)
    pid = (await store.persons.whole(subject(ANA))).pid
    await store.persons.erase(subject(ANA), now() - 20 * MINUTE, lambda _person: NOTHING_KEPT)
    assert await grant(store, ANA, OFFERS) == {"offers": "granted"}
    assert isinstance(await answer(store, OFFERS), GatePassed)
    assert await answer(store, NEWS) == GateRefused("no_permission")
    assert await store.persons.address_of(subject(ANA)) == ANA
    assert (await store.persons.by_pid(pid)).id == subject(ANA)  # old links still say no
    assert await grant(store, ANA, NEWS, at=now() - 30 * MINUTE) == {"newsletter": "after_withdrawal"}


async def test_an_open_contract_keeps_the_contact_and_nothing_else(store):
    await grant(store, ANA, NEWS, PAYMENT, at=now() - HOUR)
    await store.persons.enrich(subject(ANA), "profile", {"name": "Ana"}, "form", now())
    await store.persons.erase(subject(ANA), now(), lambda _person: frozenset({"contact"}))
    assert isinstance(await answer(store, PAYMENT), GatePassed)
    assert await answer(store) == GateRefused("suppressed_erased")
    assert await store.persons.address_of(subject(ANA)) == ANA
    assert await store.persons.fields(subject(ANA), "profile") == {}
    assert {key["_id"]["g"] for key in await store.mongo.keys().find({})} == {"contact"}


async def test_a_contract_records_an_unknown_address_with_its_provenance(store):
    address, job = parse(ANA), new_id()
    person = await store.persons.ensure(address, PAYMENT, job, now(), "payment mail")
    assert person.permissions["payment"].job == job
    assert isinstance(await answer(store, PAYMENT), GatePassed)
    assert await answer(store) == GateRefused("no_permission")
    again = await store.persons.ensure(address, PAYMENT, new_id(), now(), "payment mail")
    assert again.permissions == person.permissions


async def test_fields_are_joined_with_their_source_and_merged(store):
    await grant(store, ANA)
    await store.persons.enrich(subject(ANA), "profile", {"name": "Ana", "city": "Kranj"}, "form", now())
    await store.persons.enrich(subject(ANA), "profile", {"city": "Piran"}, "order", now())
    assert await store.persons.fields(subject(ANA), "profile") == {"name": "Ana", "city": "Piran"}
    assert not await store.persons.enrich(subject(BOR), "profile", {"name": "Bor"}, "form", now())


async def test_ten_enrichments_at_once_are_all_kept(store):
    await grant(store, ANA)
    await asyncio.gather(
        *(store.persons.enrich(subject(ANA), "profile", {f"f{n}": n}, "form", now()) for n in range(10))
    )
    assert await store.persons.fields(subject(ANA), "profile") == {f"f{n}": n for n in range(10)}


@pytest.mark.attack(57, guard="preklic_workers.envelope:bound_to")
@pytest.mark.clause("P3", guard="preklic_workers.envelope:bound_to")
async def test_a_ciphertext_or_key_that_was_moved_is_found_and_others_are_not_concerned(store):
    for address in (ANA, BOR):
        await grant(store, address)
        await store.persons.enrich(subject(address), "profile", {"name": address}, "form", now())
    persons, keys = store.mongo["persons"], store.mongo.keys()
    bor = await keys.find_one({"_id": {"p": subject(BOR), "g": "profile"}})
    await keys.change({"_id": {"p": subject(ANA), "g": "profile"}}, {"$set": {"wrapped": bor["wrapped"]}})
    doc = await persons.find_one({"_id": subject(BOR)})
    await persons.change({"_id": subject(ANA)}, {"$set": {"fields": doc["fields"]}})
    with pytest.raises(Altered):
        await store.persons.fields(subject(ANA), "profile")
    assert await store.persons.fields(subject(BOR), "profile") == {"name": BOR}


@pytest.mark.parametrize("change", [lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: c[:20], lambda c: c[:5]])
async def test_a_ciphertext_that_was_edited_or_cut_is_found(store, change):
    await grant(store, ANA)
    doc = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    edited = change(bytes(doc["contact"]))
    await store.mongo["persons"].change({"_id": subject(ANA)}, {"$set": {"contact": edited}})
    with pytest.raises(Altered):
        await store.persons.address_of(subject(ANA))


@pytest.mark.attack(59, guard="preklic_workers.store.person_docs:person_of")
async def test_an_erased_person_among_others_does_not_hide_them(store):
    for address in (ANA, BOR):
        await grant(store, address)
    await store.persons.erase(subject(ANA), now(), lambda _person: NOTHING_KEPT)
    ana, bor = await asyncio.gather(store.persons.read(subject(ANA)), store.persons.read(subject(BOR)))
    assert ana.erased
    assert not bor.erased
    with pytest.raises(NoKey):
        await store.vault.key(subject(ANA), "contact")
    assert await store.persons.address_of(subject(BOR)) == BOR


@pytest.mark.clause("U15", guard="preklic_shared.providers:provider_of")
async def test_the_provider_is_counted_by_class_without_the_address(store):
    for address in ("a@gmail.com", "b@googlemail.com", "c@primer.si"):
        await grant(store, address)
    found = await store.mongo["persons"].aggregate(
        [{"$group": {"_id": "$provider", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
    )
    assert {row["_id"]: row["n"] for row in found} == {"gmail": 2, "other": 1}
    assert provider_of("live.com") == "outlook"


@pytest.mark.attack(62, guard="preklic_workers.envelope:of_epoch")
async def test_a_rotation_that_was_killed_half_way_resumes_with_both_epochs_readable(mongo_url, mongo_database):
    old = await open_test_store(mongo_url, mongo_database)
    addresses = [f"p{number}@primer.si" for number in range(20)]
    for address in addresses:
        await grant(old, address)
    keys = {group: {**held, 2: bytes(range(1, 33))} for group, held in RING.epochs.keys.items()}
    new = await open_test_store(mongo_url, mongo_database, ring=replace(RING, epochs=Epochs(keys)))
    assert await new.vault.rewrap("contact", limit=7) == 7  # and killed here
    epochs = [doc["epoch"] for doc in await new.mongo.keys().find({"_id.g": "contact"})]
    assert sorted(set(epochs)) == [1, 2]
    assert [await new.persons.address_of(subject(address)) for address in addresses] == addresses
    while await new.vault.rewrap("contact", limit=7):
        pass
    only_new = {group: {2: held[2]} for group, held in keys.items()}
    last = await open_test_store(mongo_url, mongo_database, ring=replace(RING, epochs=Epochs(only_new)))
    assert [await last.persons.address_of(subject(address)) for address in addresses] == addresses
    for each in (old, new, last):
        each.close()
