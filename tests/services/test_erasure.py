"""Erasure on a real MongoDB: a dump afterwards holds nothing of the person, whatever ran beside it (U7)."""

import base64
import json
import time
from dataclasses import replace

import bson
import pytest

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import AskJob, RevokeJob, RevokePayload, SendJob, TrackJob
from preklic_shared.wire import encode
from preklic_workers.answer import Answer, receipt_of
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.permission import may
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Erasures, GateRefused, Grants, Persons, Unavailable
from preklic_workers.store.proofs import Proofs
from preklic_workers.track import Track
from preklic_workers.upkeep import Upkeep, letter_of
from storing import (
    MINUTE,
    NEWS,
    OFFERS,
    PAYMENT,
    REGISTRY,
    RING,
    claim_of,
    claimed,
    gated,
    grant,
    now,
    sent,
    state,
    subject,
)

ANA, NAME, REF = "ana@primer.si", "Ana Erasmus", "customer-4711"
URL_SAFE = bytes.maketrans(b"+/", b"-_")
SWITCHES = ["engagement.clicks", "engagement.opens"]


@pytest.fixture
def revoke(store):
    return Revoke(store, REGISTRY, RING.blind, drain_seconds=0.5)


def erasing(*, job=None, erase=True, purposes="all", source="operator"):
    at = int(time.time() * 1000)
    job = RevokeJob(
        id=job or new_id(), producer="website", at=at, expires=at + 1000, purposes=purposes, source=source, erase=erase
    )
    return Opened(job, RevokePayload(address=ANA), 0, "website", False, lambda: True, no_reply)


def event(pid, kind="clicked", message=None):
    at = int(time.time() * 1000)
    fields = {"event": kind, "message": message or new_id(), "person": pid.hex(), "agent": "browser"}
    link = 1 if kind == "clicked" else None
    job = TrackJob(id=new_id(), producer="gateway", at=at, expires=at + 10**6, link=link, **fields)
    return Opened(job, None, 0, "gateway", False, lambda: True, no_reply)


async def dead_mail(store, purpose=NEWS):
    """A mail of Ana's that died, as upkeep keeps it; the sealed part of its body is her address, to be searched for."""
    job, at = new_id(), int(time.time() * 1000)
    fields = {"template": purpose.templates[0], "key": "send-1", "sealed": base64.b64encode(ANA.encode()).decode()}
    body = encode(
        SendJob(id=job, producer="website", at=at, expires=at + 10**6, purpose=purpose.key, **fields), "send_bulk"
    )
    await store.messages.claim(claim_of(job, subject(ANA), purpose))
    headers = {"reason": "template_error", "queue": "send.bulk", "attempts": 1, "at": at, "fingerprint": "abc"}
    return letter_of(body, job, headers)


async def a_whole_life(store, *more):
    """Ana with everything that is kept of a person; her pid."""
    await grant(store, ANA, NEWS, OFFERS, *more, at=now() - MINUTE, ref=REF, switches=SWITCHES)
    await store.persons.enrich(subject(ANA), "profile", {"name": NAME}, "form", now())
    await store.persons.enrich(subject(ANA), "court", {"case": "I Pg 1/2026"}, "court", now())
    pid = (await store.persons.whole(subject(ANA))).pid
    mail = await claimed(store, subject(ANA))
    await gated(store, subject(ANA), mail)
    await sent(store, ANA, mail)
    assert await Track(store).handle([event(pid), event(pid, "opened"), event(pid, "delivered", mail)]) == [Done()] * 3
    await Upkeep(store, REGISTRY).bury(await dead_mail(store))
    return pid


async def dump(store):
    """Every document of both databases as BSON, by collection: what a dump would hold."""
    found = {}
    for keys in (False, True):
        for name in await store.mongo.collections(keys=keys):
            docs = await (store.mongo.keys() if keys else store.mongo[name]).find({})
            found[f"{'keys:' if keys else ''}{name}"] = b"".join(map(bson.encode, docs))
    return found


def forms(value):
    """A secret as it might stand in a dump: as it is, in lower case, base64, base64url and hex."""
    raw = value if isinstance(value, bytes) else value.encode()
    codes = [base64.b64encode(raw[cut : cut + (len(raw) - cut) // 3 * 3]) for cut in range(3)]
    return {
        raw,
        raw.lower(),
        raw.hex().encode(),
        *codes,
        *(code.translate(bytes.maketrans(b"+/", b"-_")) for code in codes),
    }


async def secrets_of(store):
    """What must be nowhere: the address, its look-up hashes, name and ref; each wrapped key and each ciphertext."""
    doc = await store.mongo["persons"].find_one({"_id": subject(ANA)})
    proofs = await store.mongo["permissions"].find({"person": subject(ANA)})
    named = {"address": ANA, "local part and domain": "primer.si", "name": NAME, "ref": REF}
    named |= {"look-up": RING.blind.find(parse(ANA)), "ref hash": RING.blind.ref(REF), "contact": doc["contact"]}
    named |= {f"field {group}": value for group, value in doc["fields"].items()}
    named |= {f"proof {row['_id']}": row["proof"] for row in proofs}
    return named | {f"key {key['_id']['g']}": key["wrapped"] for key in await store.mongo.keys().find({})}


def hits(found, secrets):
    return {
        (name, place)
        for name, secret in secrets.items()
        for place, content in found.items()
        if any(form in content for form in forms(secret))
    }


@pytest.mark.clause("U7", guard="preklic_workers.store.erasures:Erasures.clear")
async def test_a_dump_after_an_erasure_holds_nothing_of_the_person(store, revoke):
    await a_whole_life(store)
    secrets = await secrets_of(store)
    planted = hits(await dump(store), secrets)
    # The search finds what is there: each kind of secret, in each kind of place.
    assert {place for _, place in planted} == {"persons", "permissions", "dead", "keys:keys"}
    assert {name for name, _ in planted} >= {"address", "look-up", "ref hash", "contact", "field court", "key evidence"}
    job = erasing()
    assert await revoke.handle(job) == Done()
    after = await dump(store)
    assert hits(after, secrets) == set()
    assert after["events"] == after["keys:keys"] == b""
    assert {place for place, content in after.items() if subject(ANA).encode() in content} == {
        "persons", "messages", "permissions", "withdrawals", "dead"
    }  # fmt: skip
    receipt = await store.erasures.by(job.job.id, subject(ANA))
    assert (receipt.groups, receipt.kept) == (["contact", "court", "evidence", "profile"], [])
    assert (receipt.events, receipt.proofs, receipt.dead) == (3, 4, 1)
    assert receipt.at is not None


async def test_what_is_queued_for_an_erased_person_is_refused_and_a_dead_mail_runs_no_more(store, revoke):
    await a_whole_life(store)
    assert await revoke.handle(erasing()) == Done()
    assert await gated(store, subject(ANA), await claimed(store, subject(ANA))) == GateRefused("erased")
    assert may(await store.persons.read(subject(ANA)), NEWS) == "erased"
    (letter,) = await store.mongo["dead"].find({})
    assert (letter["state"], letter["why"], letter["body"]) == ("discarded", "erased", b"")
    assert await state(store, letter["job"]) == "discarded"
    assert await store.dead.find() == []


async def test_a_mail_that_dies_after_the_erasure_keeps_no_body(store, revoke):
    await a_whole_life(store)
    letter = await dead_mail(store)
    assert await revoke.handle(erasing()) == Done()
    await Upkeep(store, REGISTRY).bury(letter)
    assert {doc["body"] for doc in await store.mongo["dead"].find({})} == {b""}


async def test_an_open_contract_keeps_its_own_and_no_click(store, revoke):
    pid = await a_whole_life(store, PAYMENT)
    await Upkeep(store, REGISTRY).bury(await dead_mail(store, PAYMENT))
    job = erasing()
    assert await revoke.handle(job) == Done()
    assert await store.persons.address_of(subject(ANA)) == ANA
    assert [doc["kind"] for doc in await store.mongo["events"].find({})] == ["delivered"]
    assert {doc["state"] for doc in await store.mongo["dead"].find({})} == {"dead"}
    assert (await store.erasures.by(job.job.id, subject(ANA))).kept == ["contact"]
    late = event(pid, "delivered")
    assert await Track(store).handle([late]) == [Done()]
    assert len(await store.events.of(late.job.message)) == 1


class Dying:
    """The vault of a worker that dies before it destroys the keys."""

    def __init__(self, vault):
        self._vault = vault

    def __getattr__(self, name):
        return getattr(self._vault, name)

    async def destroy(self, *_, **__):
        raise Unavailable("killed")


@pytest.mark.parametrize("asked", [True, False])
async def test_an_erasure_that_was_killed_half_way_is_finished_by_the_next_delivery(store, revoke, asked):
    await a_whole_life(store)
    no = erasing(erase=asked, source="operator" if asked else "api")
    persons = Persons(store.mongo, Dying(store.vault), RING.blind)
    dying = replace(revoke, store=replace(store, erasures=Erasures(store.mongo, persons, store.vault)))
    assert isinstance(await dying.handle(no), RetryLater)
    assert len(await store.mongo.keys().find({})) == 4
    assert await revoke.handle(no) == Done()
    assert await store.mongo.keys().find({}) == []
    assert await store.mongo["events"].find({}) == []
    receipt = await store.erasures.by(no.job.id, subject(ANA))
    assert (receipt.groups, receipt.events) == (["contact", "court", "evidence", "profile"], 3)
    assert receipt.at is not None


class Overtaken:
    """Something of the store; before it does what `name` says, the person is erased."""

    def __init__(self, there, name, revoke):
        self._there, self._name, self._revoke = there, name, revoke

    def __getattr__(self, name):
        found = getattr(self._there, name)
        if name != self._name:
            return found

        async def later(*arguments):
            assert await self._revoke.handle(erasing()) == Done()
            return await found(*arguments)

        return later


@pytest.mark.attack(54, guard="preklic_workers.track:overtaken")
@pytest.mark.clause("U7", guard="preklic_workers.track:overtaken")
async def test_a_click_that_an_erasure_overtakes_is_not_kept(store, revoke):
    pid = await a_whole_life(store)
    late = replace(store, events=Overtaken(store.events, "record", revoke))
    assert await Track(late).handle([event(pid), event(pid, "delivered")]) == [Done()] * 2
    assert await store.mongo["events"].find({}) == []
    assert await Track(store).handle([event(pid)]) == [Refused("erased")]


@pytest.mark.clause("U7", guard="preklic_workers.store.persons:Persons.finish")
async def test_a_grant_that_an_erasure_overtakes_leaves_no_key(store, revoke):
    await a_whole_life(store)
    # The yes is recorded, then the person is erased, then the proof is written under a new key.
    grants = Grants(store.persons, Proofs(store.mongo, Overtaken(store.vault, "key_or_new", revoke)))
    assert await grant(replace(store, grants=grants), ANA, NEWS) == {"newsletter": "granted"}
    assert await store.mongo.keys().find({}) == []


@pytest.mark.clause("U7", guard="preklic_workers.store.persons:Persons.finish")
async def test_an_enrichment_that_an_erasure_overtakes_leaves_no_key(store, revoke):
    await a_whole_life(store)
    persons = Persons(store.mongo, Overtaken(store.vault, "key_or_new", revoke), RING.blind)
    assert not await persons.enrich(subject(ANA), "service", {"order": "17"}, "shop", now())
    assert await store.mongo.keys().find({}) == []


async def test_an_old_grant_that_comes_late_leaves_no_proof_that_opens(store, revoke):
    await a_whole_life(store)
    assert await revoke.handle(erasing()) == Done()
    assert await grant(store, ANA, NEWS, at=now() - MINUTE) == {"newsletter": "after_withdrawal"}
    assert await store.mongo.keys().find({}) == []


async def test_the_person_is_told_by_the_link_that_is_left(store, revoke):
    pid = await a_whole_life(store)
    answers = []

    async def reply(body):
        answers.append(json.loads(body))

    async def ask():
        at = int(time.time() * 1000)
        job = AskJob(
            id=new_id(), producer="gateway", at=at, expires=at + 2000, question="preferences", person=pid.hex()
        )
        await Answer(store, REGISTRY, RING.blind).ask(Opened(job, None, 0, "gateway", False, lambda: True, reply))
        return answers[-1]

    assert "erased" not in await ask()
    no = erasing()
    assert await revoke.handle(no) == Done()
    told = (await ask())["erased"]
    assert (told["receipt"], told["kept"]) == (no.job.id, [])
    assert abs(told["at"] - time.time()) < 60
    # Asking again erases nothing more, and the first receipt stays the receipt.
    assert await revoke.handle(erasing()) == Done()
    assert (await ask())["erased"]["receipt"] == no.job.id
    assert receipt_of(None) == {}


async def test_who_gave_no_sign_for_long_is_listed_and_a_contract_or_a_click_is_a_sign(store):
    people = {"silent@primer.si": NEWS, "customer@primer.si": PAYMENT, "reader@primer.si": NEWS, "new@primer.si": NEWS}
    for address, purpose in people.items():
        old = {} if address.startswith("new") else {"at": now() - 100 * 24 * 60 * MINUTE}
        await grant(store, address, purpose, switches=SWITCHES, **old)
    reader = await store.persons.whole(subject("reader@primer.si"))
    await Track(store).handle([event(reader.pid), event(reader.pid, "opened")])
    alive = (await store.persons.whole(reader.id)).alive
    await Track(store).handle([event(reader.pid)])
    again = await store.persons.whole(reader.id)
    assert (again.alive, again.seq) == (alive, reader.seq + 1)  # once a day
    found = await store.signs.silent(now() - 90 * 24 * 60 * MINUTE, ["payment"])
    assert [one.subject for one in found] == [subject("silent@primer.si")]
    assert await store.signs.count(now() - 90 * 24 * 60 * MINUTE, ["payment"]) == 1
    await gated(store, subject("silent@primer.si"), await claimed(store, subject("silent@primer.si")))
    assert await store.signs.count(now() - 90 * 24 * 60 * MINUTE, ["payment"]) == 0
