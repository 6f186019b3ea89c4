"""Everything that must be in the ledger is in it: each thing is done for real, and found after one round."""

import asyncio
import hashlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lawing import BORIS, COURT_HEX, MOJCA, ZALA, law_of
from ledgering import sequencer_of
from preklic_shared.ids import new_id
from preklic_shared.wire import encode
from preklic_workers import breakglass, commands_export, disclosures, erasing, holds, switching
from preklic_workers.declaring import Declared, names_of
from preklic_workers.importing import Import, digest_of
from preklic_workers.keyring import KeyRing
from preklic_workers.ledger.leaves import SOURCES, canonical, hash_of, plain
from preklic_workers.ledger.verify import read_canonical
from preklic_workers.officers import Denied
from preklic_workers.operating import admit
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.replay_plan import Source, make_plan
from preklic_workers.replay_run import run_plan
from preklic_workers.store import DeadLetter, Event, Unavailable, Withdraw, millis
from preklic_workers.store.mongo import Collection
from preklic_workers.store.standing import Standing
from preklic_workers.upkeep import Upkeep
from queueing import track
from sending import open_desk, route, send_job
from storing import (
    HOUR,
    OFFERS,
    REGISTRY,
    RING,
    claim_of,
    claimed,
    gated,
    grant,
    lease_passes,
    now,
    put_persons,
    sent,
    subject,
)

ANA, BOR = "ana@primer.si", "bor@primer.si"
WHEN = "2020-03-01T10:00:00+01:00"


@pytest.fixture
def store(emptied_store):
    return emptied_store


async def leaves(store):
    """All that one round of the sequencer puts on: each leaf's kind, and what opens it, None where nothing does."""
    await sequencer_of(store).once()
    assert await store.ledger.entries.riding() == []
    found = []
    async for run in store.ledger.runs():
        opened = await store.ledger.opened(run, range(run.start, run.end))
        for place, octets in enumerate(run.leaves, run.start):
            found.append((read_canonical(octets, "it"), opened[place] and opened[place].content))
    return found


async def kinds(store):
    return sorted(leaf["kind"] for leaf, _ in await leaves(store))


@pytest.fixture
async def desk(store, mongo_url, one_database, sink):
    desk = await open_desk(mongo_url, one_database, [route(sink.port)], schema=False)
    await desk.grant(ANA, "newsletter")
    yield desk
    await desk.close()


async def taken(store, address=ANA):
    """A mail that a relay took."""
    message = await claimed(store, subject(address))
    await gated(store, subject(address), message)
    await sent(store, address, message)
    return message


def event(message, kind="clicked", address=ANA):
    bounce = {"bounce": "hard", "code": "5.1.1"} if kind == "bounced" else {}
    return Event(f"{message}|{kind}||0", message, subject(address), kind, "human", now(), rules=1, **bounce)


async def imported(store, *addresses):
    rows = "".join(f"{one},newsletter@1,web,sl,{WHEN}\n" for one in addresses)
    file = io.BytesIO(f"address,wording,source,language,at\n{rows}".encode())
    made = Import(store, REGISTRY, RING.blind, {OFFERS.key: OFFERS}, digest_of(file))
    return await made.run(file, lambda _: None)


def gates(found):
    """Of each mail's leaf: what became of it, and whether it passed the gate."""
    entries = [one["entry"] for leaf, one in found if leaf["kind"].startswith("mail.")]
    return [(entry["what"], entry.get("reason"), entry.get("passed")) for entry in entries]


@pytest.mark.clause("P3", guard="preklic_workers.store.message_states:leaf_of")
async def test_that_it_passed_the_gate_is_in_the_leaf_of_a_mails_end(desk, sink):
    assert await desk.send(send_job(), ANA) == Done()
    sink.mode("refuse_after_dot", code=451, times=1)
    assert isinstance(await desk.send(send_job(), ANA), RetryLater)
    sink.mode("accept")
    await desk.withdraw(ANA, ["newsletter"])
    assert await desk.send(send_job(), ANA) == Refused("withdrawn")
    told = gates(await leaves(desk.store))
    assert told == [("sent", None, True), ("deferred", "deferred", True), ("refused", "withdrawn", None)]


async def test_a_gate_whose_worker_died_is_in_the_leaf_of_the_doubt(desk):
    job, other = send_job(), send_job()
    for one in (job, other):
        await desk.store.messages.claim(claim_of(one.id, desk.subject(ANA)))
    await gated(desk.store, desk.subject(ANA), job.id)
    for one in (job, other):
        await lease_passes(desk.store, one.id)
    assert (await Upkeep(desk.store, REGISTRY).reap(now())).in_doubt == 1
    assert gates(await leaves(desk.store)) == [("in_doubt", "lease_over", True)]


async def test_what_came_back_is_in_the_ledger(store):
    await put_persons(store, [subject(ANA), subject(BOR)], {"newsletter": "granted"})
    bounced, complained = await taken(store), await taken(store, BOR)
    await store.returned.record({bounced: "bounced", complained: "complained"})
    assert {"mail.bounced", "mail.complained", "mail.sent"} <= set(await kinds(store))


@pytest.mark.clause("P3", guard="preklic_workers.store.batches:Batches.commit")
async def test_one_leaf_commits_to_all_events_of_a_batch(store):
    events = [event(new_id()), event(new_id(), "opened"), event(new_id(), "bounced")]
    await store.events.record(events)
    await store.events.record(events)  # told again: nothing new, and nothing that says otherwise
    docs = await store.mongo["events"].find({})
    (batch,) = {doc["batch"] for doc in docs}
    (content,) = [one for _, one in await leaves(store) if one["of"] == batch]
    whole = await store.mongo["batches"].find_one({"_id": batch})
    hashes = bytes(whole["hashes"])
    assert content["record"] == plain({"count": 3, "digest": hashlib.sha256(hashes).digest()})
    there = {hashes[place : place + 32] for place in range(0, len(hashes), 32)}
    assert {hash_of(doc) for doc in docs} == there
    assert hash_of(docs[0] | {"verdict": "scanner"}) not in there
    assert len({bytes(doc["salt"]) for doc in docs}) == 3


@pytest.mark.clause("P3", guard="preklic_workers.store.batches:Batches.commit")
async def test_no_event_and_no_row_of_a_list_is_there_without_its_leaf(store, monkeypatch):
    insert = Collection.insert

    async def away(self, doc):
        if "hashes" in doc:
            raise Unavailable("away")
        await insert(self, doc)

    with monkeypatch.context() as patch:
        patch.setattr(Collection, "insert", away)
        with pytest.raises(Unavailable):
            await store.events.record([event(new_id())])
        with pytest.raises(Unavailable):
            await imported(store, ANA)
    assert await store.mongo["events"].find({}) == await store.mongo["permissions"].find({}) == []
    await imported(store, ANA)
    assert await kinds(store) == ["batch.permissions"]


async def test_one_leaf_commits_to_all_proofs_of_a_chunk_until_an_erasure_takes_them(store):
    await imported(store, ANA, BOR)
    assert await kinds(store) == ["batch.permissions"]
    (batch,) = await store.mongo["batches"].find({})
    rows = await store.mongo["permissions"].find({"batch": batch["_id"]})
    assert [hash_of(row) in bytes(batch["hashes"]) for row in rows] == [True, True]
    await store.erasures.erase(new_id(), subject(ANA), now(), lambda _person: frozenset())
    rows = await store.mongo["permissions"].find({"batch": batch["_id"]}, sort=[("proof", 1)])
    assert [hash_of(row) in bytes(batch["hashes"]) for row in rows] == [False, True]
    assert "keep" not in batch


@pytest.mark.clause("U7", guard="preklic_workers.store.erasures:Erasures._end")
async def test_an_erasures_steps_are_leaves_that_its_receipt_proves_and_nothing_opens(store):
    await grant(store, ANA)
    await store.events.record([event(await taken(store))])
    job = new_id()
    await store.withdrawals.withdraw(Withdraw(job, subject(ANA), ["newsletter"], "operator", now()))
    assert await store.erasures.erase(job, subject(ANA), now(), lambda _person: frozenset())
    found = {leaf["kind"]: (leaf, content) for leaf, content in await leaves(store)}
    receipt = (await store.withdrawals.receipt(job))["erased"][0]
    entry = {"at": receipt["at"], "what": "erased", "about": receipt["person"]}
    named = canonical({"in": "withdrawals", "of": job, "entry": entry})
    ended, content = found["withdrawal.erased"]
    assert (ended["id"], content) == (hashlib.sha256(named).hexdigest()[:32], None)
    assert "withdrawal.erasing" in found


async def test_every_turn_of_a_switch_is_in_the_ledger_whoever_turned_it(store):
    await admit(store, None, "stop")
    await switching.turn(store, ["purpose:newsletter"], "a wrong list", on=True)
    await switching.turn(store, ["purpose:newsletter"], "mended", on=False)
    await store.controls.stop("relay:main", reason="too many refusals", by="upkeep", until=now() + HOUR)
    assert not await store.controls.stop("relay:main", reason="x", by="track", until=now() + HOUR / 2)
    await store.controls.close(reason="a backup was restored", by="upkeep")
    found = await leaves(store)
    turned = [
        (one["of"], one["entry"]["what"], one["entry"]["by"]) for leaf, one in found if "control." in leaf["kind"]
    ]
    assert [(name, what) for name, what, _ in turned if name.startswith("purpose")] == [
        ("purpose:newsletter", "stopped"),
        ("purpose:newsletter", "goes"),
    ]
    assert {("relay:main", "stopped", "upkeep"), ("restored", "stopped", "upkeep")} <= set(turned)
    assert len(turned) == 4
    assert [leaf["kind"] for leaf, _ in found].count("act.control") == 2


@pytest.mark.clause("U14", guard="preklic_workers.store.acts:Acts.record")
async def test_what_the_law_lets_people_do_and_what_it_denies_them_is_in_the_ledger(store):
    await grant(store, ANA)
    law, ana = law_of(store), subject(ANA)
    held = await holds.add(law, MOJCA, ana, holds.Wanted("II P 12/2026", ("contact",), now() + HOUR, "a lawsuit"))
    await holds.release_signed(law, MOJCA, held.id, "it is over")
    asked = breakglass.Wanted(case="INC-7", reason="a mistake", person=ana, groups=("contact",), minutes=5)
    request = await breakglass.ask(law, MOJCA, asked)
    with pytest.raises(Denied):
        await breakglass.look(law, MOJCA, request.id)
    await breakglass.approve(law, BORIS, request.id)
    await breakglass.look(law, MOJCA, request.id)
    grounds = {"authority": "OK", "order": "II Kpr 1/2026", "provision": "ZKP 219", "receiver": COURT_HEX}
    scope = {"person": ana, "groups": ("contact",), "scope": ("contact",), "until": millis(now() + HOUR)}
    wanted = await disclosures.ask(law, MOJCA, disclosures.Wanted(**grounds | scope))
    for signer in (BORIS, ZALA):
        await disclosures.approve(law, signer, wanted.id)
    await disclosures.export(law, MOJCA, wanted.id, io.BytesIO())
    acts = {"hold_added", "hold_released", "breakglass_asked", "breakglass_denied", "breakglass_approved"}
    acts |= {"breakglass_read", "disclosure_asked", "disclosure_approved", "disclosed"}
    assert {f"act.{kind}" for kind in acts} <= set(await kinds(store))


async def test_what_operators_do_is_in_the_ledger(store, url):
    await admit(store, None, "law")
    await grant(store, ANA)
    config = SimpleNamespace(amqp_url=url, registry=None, template_dir=None, producer="website")
    job = track()
    body = encode(job, "track")
    await store.dead.add(DeadLetter(job.id, job.id, "track", "track", "template_error", "f", 1, now(), body))
    await store.messages.died(job.id, "track", "template_error", producer="w", expires=now() + HOUR)
    plan = await make_plan(store, config, Source(dead=True), by="ana")
    await run_plan(store, config, plan["_id"], reason="mended", by="ana", rate=1000)
    await erasing.ask(store, config, [subject(ANA)], by="ana", why="asked by mail")
    await commands_export._export(store, REGISTRY, [subject(ANA)], "asked by mail", "json")
    acts = {"act.replay", "act.replay_ended", "act.erasure_asked", "act.exported"}
    assert acts <= set(await kinds(store))


def test_each_source_of_leaves_is_in_the_table_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text("utf-8")
    assert [source.kind for source in SOURCES if f"`{source.kind}." not in text] == []


def ring(**more):
    return KeyRing("send", RING.blind, RING.epochs, **more)


@pytest.mark.clause("P3", guard="preklic_workers.store.standing:Standing.declare")
async def test_a_key_that_is_made_or_gone_and_another_registry_are_in_the_ledger(store):
    key = Ed25519PrivateKey.generate()
    first, second = ring(), ring(ledger=key)
    await Declared(store.mongo, "send", REGISTRY, first).once()
    many = [Declared(store.mongo, "send", REGISTRY, second) for _ in range(5)]
    await asyncio.gather(*(one.once() for one in many))
    await Declared(store.mongo, "send", REGISTRY, first).once()
    await Standing(store.mongo).declare("registry", "registry", ["another"])
    found = [one["entry"] for leaf, one in await leaves(store) if leaf["kind"].startswith("standing.")]
    name = f"ledger.ed25519 {key.public_key().public_bytes_raw().hex()}"
    told = [(entry["what"], entry["names"]) for entry in found]
    assert told.count(("key_new", sorted(names_of(first)))) == 1
    assert told.count(("key_new", [name])) == told.count(("key_gone", [name])) == 1
    assert [what for what, _ in told if "registry" in what] == ["registry_new", "registry_new", "registry_gone"]


def test_no_key_and_no_part_of_one_stands_in_what_is_declared():
    names = " ".join(names_of(ring(ledger=Ed25519PrivateKey.generate())))
    secrets = [key for keys in RING.epochs.keys.values() for key in keys.values()]
    assert not any(key.hex()[:8] in names for key in secrets)
