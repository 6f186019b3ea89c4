"""What a hold keeps of somebody erased opens with that hold's own key, and with no other key that there is (U13)."""

import contextlib
import datetime as dt
import shutil

import pytest
from bson import encode as bson
from pymongo import UpdateOne

from canary import Canary
from lawing import MOJCA, law_of
from ledgering import sequencer_of
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.envelope import GROUPS, HOLD, Altered, Epochs, NoKey
from preklic_workers.holds import Wanted
from preklic_workers.keydir import ROLES, KeyDirError, load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.opening import DISCLOSURE, open_fields
from preklic_workers.store import DeadLetter, Event, Grant, floors
from preklic_workers.store.copies import Copy
from preklic_workers.store.held_keys import HeldKeys
from preklic_workers.store.validators import VALIDATORS
from preklic_workers.store.vault import COLLECTION, Vault, wrapped_of
from storing import HOUR, NEWS, OFFERS, REGISTRY, RING, claimed, grant, now, subject

CANARY = Canary()
ADDRESS = CANARY.address
PERSON = subject(ADDRESS)
HELD = ("contact", "profile", "evidence")
JOB = new_id()


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
async def person(store):
    """Somebody with an address, a profile, an order, proofs and a mail that was kept."""
    await grant(store, ADDRESS, NEWS, at=now() - HOUR)
    await store.persons.enrich(PERSON, "profile", {"name": CANARY.last_name}, "form", now())
    await store.persons.enrich(PERSON, "service", {"order": 7}, "shop", now())
    await store.holds.copies.keep(PERSON, Copy(JOB, 1, f"To: {ADDRESS}".encode()))
    return PERSON


async def hold(store, *groups, **more):
    wanted = Wanted("II P 12/2026", groups or HELD, now() + HOUR, "a lawsuit", **more)
    return await holds.add(law_of(store), MOJCA, PERSON, wanted)


async def erase(store):
    """What the role `revoke` does; the rest waits for upkeep."""
    assert await store.erasures.erase(new_id(), PERSON, now(), lambda _: frozenset())


def vault_of(store, role):
    """The vault as a process of this role has it."""
    return Vault(store.mongo, Epochs({group: RING.epochs.keys[group] for group in ROLES[role].groups}))


async def key_docs(store):
    return await store.mongo.keys().find({"_id.p": PERSON})


async def opens(store, role):
    """The documents of keys that a role opens, by group."""
    vault = vault_of(store, role)
    found = set()
    for doc in await key_docs(store):
        with contextlib.suppress(NoKey):
            found.add(vault._epochs.unwrap(wrapped_of(doc), PERSON, doc["_id"]["g"]) and doc["_id"]["g"])
    return found


async def by_law(store):
    """What an order would get of each held group, the proofs, and the mails that were kept."""
    fields = [await open_fields(store, REGISTRY, PERSON, group, DISCLOSURE) for group in ("contact", "profile")]
    proofs = [row["proof"]["wording"] for row in await store.proofs.opened(PERSON)]
    return [*fields, proofs, [one.octets for one in await store.holds.copies.of([PERSON], None)]]


ALL = [{"address": ADDRESS}, {"name": CANARY.last_name}, ["w"], [f"To: {ADDRESS}".encode()]]


@pytest.mark.clause("U13", guard="preklic_workers.store.held_keys:HeldKeys.move")
async def test_after_an_erasure_the_holds_own_key_alone_opens_what_is_held(store, person):
    before = {doc["_id"]["g"]: doc for doc in await key_docs(store)}
    made = await hold(store, octets=True)
    await erase(store)
    assert await store.vault.groups(person) == frozenset()  # at once: no mail and no return finds a key
    assert await by_law(store) == ALL  # what waits for upkeep is held already
    await holds.round_of(store, now())
    assert [doc["_id"] for doc in await key_docs(store)] == [{"p": person, "g": HOLD, "h": made.id}]
    assert {role: await opens(store, role) for role in ROLES} == {role: set() for role in ROLES} | {"upkeep": {HOLD}}
    assert await by_law(store) == ALL
    # The epoch keys of the groups open nothing of what lies there, whatever document one tries.
    doc = await store.mongo["persons"].find_one({"_id": person})
    for role in ("send", "record", "ledger"):
        opener = (await vault_of(store, role).openers([(person, group) for group in HELD]))[person, "contact"]
        with pytest.raises(NoKey):
            opener.decrypt(bytes(doc["held"]["contact"][0]), person, COLLECTION, "contact")
    # What the old wrapping opens is in no collection any more; the octets of no key lie about in the clear.
    everything = [bson(doc) for name in VALIDATORS for doc in await store.mongo[name].find({})]
    everything += [bson(doc) for doc in await store.mongo.keys().find({})]
    keys = [RING.epochs.unwrap(wrapped_of(doc), person, group).raw for group, doc in before.items()]
    for octets in everything:
        assert CANARY.needles().hits(octets) == []
        assert not any(bytes(doc["wrapped"]) in octets for doc in before.values())
        assert not any(key in octets for key in keys)


@pytest.mark.clause("U13", guard="preklic_workers.store.held_keys:HeldKeys.drop")
async def test_the_release_destroys_the_holds_key_and_all_under_it(store, person):
    first, second = await hold(store, octets=True), await hold(store, "contact")
    await erase(store)
    await holds.round_of(store, now())
    await holds.release_signed(law_of(store), MOJCA, first.id, "judged")
    assert [doc["_id"]["h"] for doc in await key_docs(store)] == [second.id]
    assert await open_fields(store, REGISTRY, person, "contact", DISCLOSURE) == {"address": ADDRESS}
    third = await hold(store, "contact")  # what one hold keeps another one may need too
    await holds.release_signed(law_of(store), MOJCA, second.id, "judged")
    assert await open_fields(store, REGISTRY, person, "contact", DISCLOSURE) == {"address": ADDRESS}
    await holds.release_signed(law_of(store), MOJCA, third.id, "judged")
    assert await key_docs(store) == []
    assert await by_law(store) == [{}, {}, [], []]
    doc = await store.mongo["persons"].find_one({"_id": person})
    assert {"held", "waiting"} & set(doc) == set()


@pytest.mark.attack(57, guard="preklic_workers.envelope:bound_to")
async def test_what_is_under_one_hold_does_not_open_under_another_or_elsewhere(store, person):
    one, other = await hold(store, "contact"), await hold(store, "contact")
    await erase(store)
    await holds.round_of(store, now())
    docs = {doc["_id"]["h"]: doc for doc in await key_docs(store)}
    for change in (
        {"kept": docs[other.id]["kept"]},
        {"wrapped": docs[other.id]["wrapped"]},
        {"kept": docs[other.id]["kept"], "wrapped": docs[other.id]["wrapped"]},
        {"kept": [docs[one.id]["kept"][0] | {"g": "court"}]},
    ):
        await store.mongo.keys().bulk([UpdateOne({"_id": docs[one.id]["_id"]}, {"$set": change})])
        with pytest.raises(Altered):
            await store.holds.fields(person, "contact")
        back = {name: docs[one.id][name] for name in ("wrapped", "kept")}
        await store.mongo.keys().bulk([UpdateOne({"_id": docs[one.id]["_id"]}, {"$set": back})])
    assert await store.holds.fields(person, "contact") == {"address": ADDRESS}


@pytest.mark.clause("U13", guard="preklic_workers.store.persons:Persons.with_contact")
async def test_a_dead_letter_is_not_kept_by_a_hold_for_the_role_send_opens_it(store, person):
    job = await claimed(store, person)
    await store.messages.settle(job, 1, "dead", reason="template_error")
    letter = DeadLetter(job, job, "send.bulk", "send_bulk", "template_error", "f", 1, now(), b"sealed", person=person)
    await store.dead.add(letter)
    made = await hold(store, mails=(job,))
    await erase(store)
    assert [(doc["state"], doc["body"]) for doc in await store.mongo["dead"].find({})] == [("discarded", b"")]
    assert (await store.messages.show(job))["state"] == "discarded"
    assert [mail["_id"] for mail in await store.holds.mails(person, made.id)] == [job]


async def test_a_hold_that_comes_before_upkeep_has_what_another_one_holds(store, person):
    """The erasure was first, its keys wait, and then the only hold that covered them ends."""
    first = await hold(store, "contact")
    await erase(store)
    second = await hold(store, "contact")
    await holds.release_signed(law_of(store), MOJCA, first.id, "judged")
    assert await open_fields(store, REGISTRY, PERSON, "contact", DISCLOSURE) == {"address": ADDRESS}
    await holds.round_of(store, now())
    assert await open_fields(store, REGISTRY, PERSON, "contact", DISCLOSURE) == {"address": ADDRESS}
    assert [doc["_id"].get("h") for doc in await key_docs(store)] == [second.id]


@pytest.mark.clause("U13", guard="preklic_workers.store.erasures:Erasures.end")
async def test_whoever_comes_back_has_other_keys_than_what_is_held(store, person):
    made = await hold(store)
    await store.events.record([Event(f"{JOB}|old", JOB, PERSON, "delivered", "unknown", now())])
    await sequencer_of(store).once()
    await erase(store)
    back = Grant(new_id(), PERSON, [OFFERS], now() + HOUR, {"wording": "new"}, address=None, confirmed=True)
    assert await store.grants.grant(back) == {"offers": "erased"}
    assert await grant(store, ADDRESS, OFFERS, at=now() + HOUR) == {"offers": "granted"}
    await store.persons.enrich(PERSON, "profile", {"name": "new"}, "form", now())
    await holds.round_of(store, now())
    assert await store.vault.groups(PERSON) == {"contact", "profile", "evidence"}
    own = await vault_of(store, "send").key(PERSON, "contact")
    held = (await store.mongo["persons"].find_one({"_id": PERSON}))["held"]["contact"][0]
    with pytest.raises(Altered):
        own.decrypt(bytes(held), PERSON, COLLECTION, "contact")
    assert (await store.persons.fields(PERSON, "profile"), await store.holds.fields(PERSON, "profile")) == (
        {"name": "new"},
        {"name": CANARY.last_name},
    )
    await store.events.record([Event(f"{JOB}|new", JOB, PERSON, "delivered", "unknown", now())])
    await sequencer_of(store).once()
    assert None not in await opened(store)
    await holds.release_signed(law_of(store), MOJCA, made.id, "judged")
    assert [row["purpose"] for row in await store.proofs.opened(PERSON)] == ["offers"]
    assert [event["_id"] for event in await store.mongo["events"].find({})] == [f"{JOB}|new"]
    leaves = await opened(store)
    assert (None in leaves, any(leaves)) == (True, True)
    assert (await store.exports.whole(PERSON, lambda *_: None)).address == ADDRESS
    await erase(store)
    assert await key_docs(store) == []


async def opened(store):
    runs = [run async for run in store.ledger.runs(PERSON)]
    places = [[run.start + n for n, one in enumerate(run.persons) if one == PERSON] for run in runs]
    return [
        one for run, those in zip(runs, places, strict=True) for one in (await store.ledger.opened(run, those)).values()
    ]


async def test_keys_of_holds_that_stand_nowhere_are_swept(store, person, monkeypatch):
    """Somebody died between taking a hold away and its key, or while adding one."""
    await hold(store, "contact")
    await store.holds.keys.make(person, new_id())
    assert await store.holds.keys.sweep() == 0  # it may be about to stand
    monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + dt.timedelta(minutes=11))
    assert await store.holds.keys.sweep() == 1
    assert len([doc for doc in await key_docs(store) if "h" in doc["_id"]]) == 1


async def test_a_key_that_does_not_open_stays_where_it_was_set_aside(store, person):
    await hold(store, "contact")
    await erase(store)
    (doc,) = [doc for doc in await key_docs(store) if "n" in doc["_id"]]
    await store.mongo.keys().bulk([UpdateOne({"_id": doc["_id"]}, {"$set": {"wrapped": bytes(60)}})])
    assert await store.holds.keys.move() == 0
    await store.mongo.keys().bulk([UpdateOne({"_id": doc["_id"]}, {"$set": {"wrapped": doc["wrapped"]}})])
    assert await store.holds.keys.move() == 1
    assert await store.holds.fields(person, "contact") == {"address": ADDRESS}


@pytest.mark.clause("U10", guard="preklic_workers.keydir:check_needed")
def test_no_role_but_upkeep_has_keys_of_holds(tmp_path):
    root = tmp_path / "keys"
    init_keys(root, dt.datetime.now(dt.UTC))
    assert [path.parent.name for path in root.rglob("hold.*.epoch")] == ["upkeep"]
    assert HOLD not in GROUPS
    for role in ("send", "record", "ledger"):
        shutil.copy2(root / "upkeep" / "hold.1.epoch", root / role)
        with pytest.raises(KeyDirError, match="is not for the role"):
            load_ring(root / role, role)


async def test_a_key_whose_epoch_turns_in_that_moment_follows_and_a_returning_one_does_not(store, person):
    """MongoDB takes no copy of a key of the old epoch: it waits for its new wrapping, and goes then."""
    await hold(store)
    turned = {group: RING.epochs.keys[group] | {2: bytes(range(7, 39))} for group in RING.epochs.keys}
    new = HeldKeys(store.mongo, vault := Vault(store.mongo, Epochs(turned)))
    try:
        await store.vault.refuse_older(dict.fromkeys(HELD, 2))
        await erase(store)
        assert await store.vault.groups(person) == set(HELD)
        assert await by_law(store) == ALL
        assert await new.catch_up() == 0
        for group in HELD:
            assert await vault.rewrap(group) == 1
        assert (await new.catch_up(), await new.move()) == (3, 3)
        assert await store.vault.groups(person) == frozenset()
        assert (await HeldKeys(store.mongo, vault).groups(person), await by_law(store)) == (set(HELD), ALL)
        for group in HELD:  # who comes back is about to have these: nothing is under them yet
            await vault.key_or_new(person, group)
        assert await new.catch_up() == 0
        assert await store.vault.groups(person) == set(HELD)
    finally:
        await store.mongo.command({"collMod": "keys", "validator": floors.validator({})}, keys=True)
