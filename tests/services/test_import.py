"""A list in a real store: what it may change, what it must leave, and that a kill anywhere is no other import."""

import asyncio
import io
import itertools
from collections import Counter

import pytest

from preklic_workers import import_noes, importing
from preklic_workers.import_file import BadFile, RowRefused
from preklic_workers.importing import Import, digest_of
from preklic_workers.permission import may
from preklic_workers.store import GatePassed, Unavailable, imports
from preklic_workers.store.imports import Imports
from preklic_workers.store.mongo import Collection
from storing import (
    HOUR,
    NEWS,
    OFFERS,
    PAYMENT,
    REGISTRY,
    RING,
    claimed,
    gated,
    grant,
    now,
    open_test_store,
    put_persons,
    subject,
    withdraw,
)
from waiting import auntil

HEADER = "address,wording,source,language,at,ref,state\n"
LONG_AGO = "2020-03-01T10:00:00+01:00"
ANA, BOR, CENE = "ana@primer.example", "bor@primer.example", "cene@primer.example"
BOTH = {NEWS.key: NEWS, OFFERS.key: OFFERS}


def row(address, state="", at=LONG_AGO, ref=""):
    return f"{address},newsletter@1,web,sl,{at},{ref},{state}\n"


async def run(store, *rows, purposes=None, dry=False, told=None):
    file = io.BytesIO((HEADER + "".join(rows)).encode())
    digest = digest_of(file)
    made = Import(store, REGISTRY, RING.blind, purposes or {OFFERS.key: OFFERS}, digest, dry=dry)
    return await made.run(file, (lambda _: None) if told is None else told.append)


async def states(store, address):
    person = await store.persons.whole(subject(address))
    return {key: said.state for key, said in person.permissions.items()} if person else None


async def test_a_list_records_addresses_permissions_and_proofs(store):
    summary = await run(store, row(ANA, "granted", ref="stranka 7"), row("Bor@Primer.example"), purposes=BOTH)
    assert summary.answers == {"granted": 3, "pending": 1}
    assert await states(store, ANA) == {"newsletter": "granted", "offers": "granted"}
    # The newsletter asks twice: what no list says to be confirmed is pending.
    assert await states(store, BOR) == {"newsletter": "pending", "offers": "granted"}
    assert await store.persons.address_of(subject(BOR)) == "Bor@primer.example"
    assert (await store.persons.by_ref("stranka 7")).id == subject(ANA)
    proofs = await store.mongo["permissions"].find({"person": subject(ANA)})
    assert {(proof["purpose"], proof["action"]) for proof in proofs} == {
        ("newsletter", "granted"),
        ("offers", "granted"),
    }
    words = await store.proofs.wording(proofs[0]["wording"])
    assert words["text"] == REGISTRY.wordings["newsletter", "1", "sl"].text
    clear = {name: proofs[0][name] for name in ("version", "language", "method", "source", "producer")}
    known = {"version": "newsletter@1", "language": "sl", "method": "import", "source": "import", "producer": "import"}
    assert clear == known
    key = await store.vault.key(subject(ANA), "evidence")
    plain = key.decrypt(bytes(proofs[0]["proof"]), subject(ANA), "permissions", proofs[0]["_id"])
    assert b"newsletter@1" in plain
    message = await claimed(store, subject(ANA))
    assert isinstance(await gated(store, subject(ANA), message), GatePassed)


@pytest.mark.clause("U2", guard="preklic_workers.importing:unproven")
async def test_a_row_whose_wording_nobody_can_show_is_refused(store):
    summary = await run(store, row(ANA).replace("newsletter@1", "newsletter@77"), row(BOR))
    assert (summary.refused, summary.answers.total()) == ({"unknown_wording": 1}, 1)
    assert await store.persons.read(subject(ANA)) is None


# What is recorded, said of `offers`, and what the import of a yes and of a pending leaves.
STAYS = {
    "granted": ("granted", "pending"),
    "pending": ("pending", "pending"),
    "withdrawn": ("withdrawn", "withdrawn"),
    "objected": ("objected", "objected"),
}


@pytest.mark.attack(16, guard="preklic_workers.store.import_docs:closed")
@pytest.mark.clause("U7", guard="preklic_workers.store.import_docs:closed")
async def test_a_list_lifts_nothing(store):
    people = {}
    for number, (state, kinds, erased) in enumerate(
        itertools.product([None, *STAYS], [(), ("bounce",), ("complaint",), ("erased",)], [False, True])
    ):
        people[f"oseba{number}@primer.example"] = (state, kinds, erased)
        said = {OFFERS.key: state} if state else {}
        await put_persons(store, [subject(f"oseba{number}@primer.example")], said, kinds, erased=erased)
    before = {name: await store.persons.whole(subject(name)) for name in people}
    for asked in ("granted", "pending"):
        await run(store, *(row(name, asked, at="2026-06-01T00:00:00Z") for name in people))
        for name, (state, kinds, erased) in people.items():
            after = await store.persons.whole(subject(name))
            assert (dict(after.suppressed), after.erased) == (dict(before[name].suppressed), erased)
            closed = bool(kinds) or erased
            if state is not None:
                said = after.permissions[OFFERS.key].state
                stricter = STAYS[state][0 if asked == "granted" else 1]
                assert said == (state if closed else stricter), (name, state, kinds, erased)
            elif closed:
                assert (after.permissions, after.contact) == ({}, None)
            if state is not None and may(before[name], OFFERS) is not None:
                assert may(after, OFFERS) is not None


async def test_no_yes_of_a_list_stands_against_a_no_however_old_or_new(store):
    await withdraw(store, ANA, OFFERS, at=now() - 10_000 * HOUR)
    await grant(store, BOR, OFFERS)
    await withdraw(store, BOR, OFFERS)
    erased_at = now() - 9000 * HOUR
    await grant(store, CENE, OFFERS, at=erased_at - HOUR)
    await store.persons.erase(subject(CENE), erased_at, lambda _person: frozenset())
    today = now().isoformat()
    told = []
    summary = await run(store, *(row(name, "granted", today) for name in (ANA, BOR, CENE)), told=told)
    assert summary.answers == {"kept": 3}
    assert told[0].refused == [RowRefused(line, importing.STRICTER) for line in (2, 3, 4)]
    assert (await states(store, ANA))["offers"] == (await states(store, BOR))["offers"] == "withdrawn"
    assert await store.persons.address_of(subject(CENE)) is None
    assert await store.mongo["permissions"].count({"_id": {"$regex": "^........-....-5"}}) == 0


async def test_a_no_of_a_list_ends_even_a_younger_yes_and_has_its_receipt(store):
    await grant(store, ANA, OFFERS, NEWS)
    message = await claimed(store, subject(ANA), OFFERS)
    assert isinstance(await gated(store, subject(ANA), message, purpose=OFFERS), GatePassed)
    run_it = asyncio.create_task(run(store, row(ANA, "withdrawn"), row(BOR, "objected"), row(BOR, "withdrawn")))
    receipts = store.mongo["withdrawals"]
    await auntil(lambda: receipts.find({"person": subject(ANA)}), 10, "the gate is closed")
    found = await receipts.find({"person": subject(ANA)})
    assert await states(store, ANA) == {"offers": "withdrawn", "newsletter": "granted"}
    assert "applied" not in found[0]
    await store.gate.pull(subject(ANA), message, 1)
    assert (await run_it).answers == {"withdrawn": 2, "objected": 1}
    (receipt,) = await receipts.find({"person": subject(ANA)})
    assert (receipt["reason"], receipt["waited"]) == ("import", [{"message": message, "epoch": 1}])
    assert await states(store, BOR) == {"offers": "objected"}


async def test_a_no_never_ends_what_a_contract_demands(store):
    await grant(store, ANA, PAYMENT)
    summary = await run(store, row(ANA, "withdrawn"), purposes={PAYMENT.key: PAYMENT})
    assert summary.refused == {importing.NOT_STOPPABLE: 1}
    assert await states(store, ANA) == {"payment": "granted"}


@pytest.mark.attack(15, guard="preklic_workers.store.import_docs:unchanged")
async def test_a_no_between_reading_and_writing_a_person_wins(store, monkeypatch):
    await grant(store, ANA, PAYMENT)
    unlock = Imports._unlock

    async def then_withdrawn(imports, *arguments):
        await unlock(imports, *arguments)
        monkeypatch.undo()
        await withdraw(store, ANA, OFFERS)

    with monkeypatch.context() as patch:
        patch.setattr(Imports, "_unlock", then_withdrawn)
        summary = await run(store, row(ANA, "granted", now().isoformat()))
        patch.setattr(Imports, "_unlock", unlock)
    assert (summary.answers, (await states(store, ANA))["offers"]) == ({"kept": 1}, "withdrawn")


LIST = [
    row(ANA), row(BOR, "granted"), row(ANA, "pending"), row(CENE, "withdrawn"), row("x"), row(CENE, "granted"),
    row("dana@primer.example", ref="stranka 7"), row("eva@primer.example"), row(BOR, "objected"),
]  # fmt: skip


async def dump(store):
    """All that a list may change, without what is random (keys, ciphertexts, pids) and what tells the time."""
    found = {}
    for doc in await store.mongo["persons"].find({}):
        said = {
            key: {name: value for name, value in one.items() if name not in {"withdrawn", "at", "seq"}}
            for key, one in doc["permissions"].items()
        }
        rest = {name: doc.get(name) for name in ("erased", "lookup", "ref_hash", "provider")}
        found[doc["_id"]] = said, rest, sorted(doc["suppressed"]), "contact" in doc
    for doc in await store.mongo["permissions"].find({}):
        found[doc["_id"]] = doc["action"], doc["person"], doc["at"]
    for doc in await store.mongo["withdrawals"].find({}):
        found[doc["_id"]] = doc["person"], "applied" in doc
    keys = await store.mongo.keys().find({})
    return found, {(doc["_id"]["p"], doc["_id"]["g"]) for doc in keys}


async def test_a_list_that_was_killed_at_any_write_is_the_same_after_it_ran_again(
    store, mongo_url, mongo_database, monkeypatch
):
    monkeypatch.setattr(importing, "CHUNK", 4)
    monkeypatch.setattr(import_noes, "_TOGETHER", 1)
    whole = await run(store, *LIST, purposes=BOTH)
    expected = await dump(store)
    assert whole.refused == {"address_at_sign": 1}
    other = await open_test_store(mongo_url, f"{mongo_database}_other", validators=False)
    for writes in itertools.count():
        with monkeypatch.context() as dying:
            kill_after(dying, writes)
            try:
                await run(other, *LIST, purposes=BOTH)
            except Unavailable:
                pass
            else:
                break
        summary = await run(other, *LIST, purposes=BOTH)
        assert await dump(other) == expected, f"killed after {writes} writes"
        assert summary.rows == whole.rows
        await empty(other)
    assert writes > 10
    await other.mongo.command("dropDatabase")
    await other.mongo.command("dropDatabase", keys=True)
    other.close()


async def empty(store):
    for name in ("persons", "permissions", "withdrawals"):
        await store.mongo[name].delete({})
    await store.mongo.keys().delete({})


def kill_after(patch, writes):
    left = itertools.count(writes, -1)

    def dying(name):
        method = getattr(Collection, name)

        async def once(self, *arguments, **more):
            if next(left) <= 0:
                raise Unavailable("killed")
            return await method(self, *arguments, **more)

        patch.setattr(Collection, name, once)

    for name in ("insert", "insert_many", "bulk", "change"):
        dying(name)


async def test_a_leaf_stands_for_so_many_rows_at_most(store, monkeypatch):
    monkeypatch.setattr(imports, "_BATCH", 2)
    await run(store, row(ANA), row(BOR), row(CENE))
    counted = {batch["_id"]: batch["count"] for batch in await store.mongo["batches"].find({})}
    assert sorted(counted.values()) == [1, 2]
    assert Counter(proof["batch"] for proof in await store.mongo["permissions"].find({})) == counted


async def test_run_again_it_changes_nothing_and_tells_the_same(store, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 3)
    first = await run(store, *LIST[:-1], purposes=BOTH)
    seqs = {doc["_id"]: doc["seq"] for doc in await store.mongo["persons"].find({}, {"seq": 1})}
    again = await run(store, *LIST[:-1], purposes=BOTH)
    assert {doc["_id"]: doc["seq"] for doc in await store.mongo["persons"].find({}, {"seq": 1})} == seqs
    assert (again.rows, again.refused, again.answers["granted"]) == (
        first.rows,
        first.refused,
        first.answers["granted"],
    )


async def test_chunks_are_recorded_together_but_the_rows_of_one_person_in_their_order(store, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 1)
    grant, writing, most = Imports.grant, set(), []

    async def slowly(self, grants, purposes):
        people = {one.subject for one in grants}
        assert not people & writing, "two chunks write one person"
        writing.update(people)
        most.append(len(writing))
        first = len(most) == 1
        await auntil(lambda: len(most) >= 3)
        if first:  # the others overtake it
            await auntil(lambda: writing == people)
        granted = await grant(self, grants, purposes)
        writing.difference_update(people)
        return granted

    monkeypatch.setattr(Imports, "grant", slowly)
    told = []
    rows = [row(ANA, "pending"), row(BOR), row(CENE), row(ANA, "granted"), row(BOR, "withdrawn"), row(BOR)]
    await run(store, *rows, told=told)
    assert max(most) == 3
    assert [one.octets for one in told] == sorted(one.octets for one in told)
    assert len(told) == len(rows)
    assert await states(store, ANA) == {"offers": "pending"}
    assert await states(store, BOR) == {}  # the only yes was withdrawn, and no later row lifts that


async def test_a_dry_run_changes_nothing(store):
    await withdraw(store, ANA, OFFERS)
    before = await dump(store)
    summary = await run(store, *LIST, dry=True)
    assert summary.answers == {"granted": 4, "kept": 2, "withdrawn": 1, "objected": 1}
    assert await dump(store) == before
    with pytest.raises(BadFile):
        await Import(store, REGISTRY, RING.blind, {}, "d", dry=True).run(io.BytesIO(b"x\n"), lambda _: None)


@pytest.mark.attack(28, guard="preklic_workers.import_file:parse")
async def test_a_look_alike_in_a_list_never_becomes_its_twin(store):
    await grant(store, "ace@primer.example", NEWS)
    twin = "\u0430\u0441\u0435@primer.example"  # three letters of another script
    told = []
    await run(store, row("\uff41ce@primer.example"), row("a\u200bce@primer.example"), row(twin), told=told)
    assert [one.reason for one in told[0].refused] == ["address_homoglyph", "address_control"]
    assert await states(store, "ace@primer.example") == {"newsletter": "granted"}
    assert await states(store, twin) == {"offers": "granted"}
    assert await store.mongo["persons"].count({}) == 2


@pytest.mark.clause("U7", guard="preklic_workers.store.erasures:Erasures.among")
async def test_an_erasure_that_overtakes_a_list_leaves_no_proof_and_no_key(store, monkeypatch):
    prove = Imports.prove

    async def late(imports, granted):
        await store.persons.erase(subject(ANA), now(), lambda _person: frozenset())
        return await prove(imports, granted)

    monkeypatch.setattr(Imports, "prove", late)
    await run(store, row(ANA), row(BOR))
    assert await store.mongo.keys().find({"_id.p": subject(ANA)}) == []
    assert [row["proof"] for row in await store.mongo["permissions"].find({"person": subject(ANA)})] == [b""]
    assert len(await store.mongo.keys().find({"_id.p": subject(BOR)})) == 2
