"""Individual mail end to end: profile, objection and mail by the real handlers, on a real store, into a real relay."""

import asyncio
import email
import email.policy
import itertools
import shutil
import time
from dataclasses import replace

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import EnrichJob, EnrichPayload, RevokeJob
from preklic_workers import individual as rules
from preklic_workers.envelope import NoKey
from preklic_workers.keydir import KeyDirError, load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.outcomes import Dead, Done, RetryLater
from preklic_workers.record import Record
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Claim, GateBusy, GatePassed, Handover, moment
from preklic_workers.store.person_docs import FACTS, person_of, unobjected
from sending import HOUR, REGISTRY, RING, open_desk, route, send_job
from storing import now, open_test_store, put_persons

TO, BOR = "ana@primer.si", "bor@primer.si"
PROPOSALS = REGISTRY.get("proposals")
LETTER = {"title": "Predlog", "text": "Besedilo.", "url": "https://lucrum.example/predlog", "first_name": "from data"}
PROFILE = {"first_name": "Ana", "source_topic": "Kako brati bilanco", "employer": "Skriti d.o.o.", "ip": "203.0.113.77"}
INDIVIDUAL = ("Ana, pozdravljeni!", "Kako brati bilanco")
SWITCH = "proposals.profiling"


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    yield desk
    await desk.close()


def job_of(kind, payload=None, **fields):
    at = int(time.time() * 1000)
    job = kind(id=new_id(), producer="website", at=at, expires=at + HOUR, **fields)
    return Opened(job, payload, 0, "website", False, lambda: True, no_reply)


async def join(desk, data=PROFILE, *, address=TO, group="profile"):
    payload = EnrichPayload(address=address, data=data, source="free e-book")
    return await Record(desk.store, REGISTRY, RING.blind).enrich(
        job_of(EnrichJob, payload, group=group, key="record-1", sealed="AAAA")
    )


async def says_no(desk, *purposes):
    person = await desk.person(TO)
    job = job_of(
        RevokeJob, purposes="all" if purposes == ("all",) else purposes, source="preference", person=person.pid.hex()
    )
    assert await Revoke(desk.store, REGISTRY, RING.blind).handle(job) == Done()
    return job.job


async def proposal(desk, sink, **how):
    """Send one; its plain text."""
    sink.forget()
    assert await desk.send(send_job("proposals"), TO, data=LETTER, **how) == Done()
    (mail,) = sink.mails()
    message = email.message_from_bytes(mail["raw"], policy=email.policy.default)
    html = message.get_body(("html",)).get_content()
    text = message.get_body(("plain",)).get_content()
    assert all((word in html) == (word in text) for word in INDIVIDUAL)
    assert not any(secret in html + text for secret in ("Skriti", "203.0.113", "from data", "None"))
    return text


def individual(text):
    return all(word in text for word in INDIVIDUAL)


@pytest.mark.clause("U3", guard="preklic_workers.individual:individual")
async def test_after_an_objection_the_general_variant_goes_out(desk, sink):
    await desk.grant(TO, "proposals")
    assert not individual(await proposal(desk, sink))
    assert await join(desk) == Done()
    assert individual(await proposal(desk, sink))
    no = await says_no(desk, SWITCH)
    assert (await desk.person(TO)).permissions[SWITCH].state == "objected"
    general = await proposal(desk, sink)
    assert "Pozdravljeni!" in general
    assert not any(word in general for word in INDIVIDUAL)
    receipt = await desk.store.withdrawals.receipt(no.id)
    assert receipt["purposes"] == [SWITCH]


async def test_a_no_to_the_mail_is_no_objection_and_one_to_everything_is_a_no_to_that_as_well(desk):
    await desk.grant(TO, "proposals", "offers", "payment")
    await says_no(desk, "proposals")
    assert SWITCH not in (await desk.person(TO)).permissions
    await says_no(desk, "all")
    person = await desk.person(TO)
    assert person.permissions[SWITCH].state == "withdrawn"
    assert not rules.individual(person, PROPOSALS)


async def test_a_person_of_whom_half_is_known_gets_what_there_is(desk, sink):
    await desk.grant(TO, "proposals")
    await join(desk, {"source_topic": "Kako brati bilanco"})
    text = await proposal(desk, sink)
    assert "Kako brati bilanco" in text
    assert "Pozdravljeni!" in text
    await desk.grant(BOR, "proposals")
    await join(desk, {"employer": "Skriti d.o.o."}, address=BOR)
    sink.forget()
    assert await desk.send(send_job("proposals"), BOR, data=LETTER) == Done()
    assert b"Skriti" not in sink.mails()[0]["raw"]


@pytest.mark.clause("U3", guard="preklic_workers.store.person_docs:unobjected")
async def test_no_individual_mail_passes_the_gate_after_the_objection(desk):
    await desk.grant(TO, "proposals")
    await join(desk)
    store, subject = desk.store, desk.subject(TO)
    attempts = [(await claimed_proposal(desk)) for _ in range(3)]
    assert isinstance(await store.gate.pass_through(replace(attempts[0], individual=True)), GatePassed)
    await store.gate.pull(subject, attempts[0].message, 1)
    await says_no(desk, SWITCH)
    assert await store.gate.pass_through(replace(attempts[1], individual=True)) == GateBusy("changed")
    assert isinstance(await store.gate.pass_through(attempts[2]), GatePassed)


async def claimed_proposal(desk):
    message, subject = new_id(), desk.subject(TO)
    end = moment(int(time.time() * 1000) + HOUR)
    claim = Claim(message, "proposals", "proposal", subject, "website", b"b" * 32, moment(int(time.time() * 1000)), end)
    await desk.store.messages.claim(claim)
    return Handover(subject, message, 1, PROPOSALS, end)


class LastMoment:
    """The real gate, and an objection just before it is asked for the first time."""

    def __init__(self, desk):
        self._desk, self._gate, self.pull = desk, desk.store.gate, desk.store.gate.pull
        self.objected = False

    async def pass_through(self, handover):
        if not self.objected:
            self.objected = True
            assert handover.individual
            await says_no(self._desk, SWITCH)
        return await self._gate.pass_through(handover)


@pytest.mark.clause("U3", guard="preklic_workers.store.person_docs:unobjected")
async def test_an_objection_between_composing_and_the_gate_brings_the_general_mail(desk, sink):
    await desk.grant(TO, "proposals")
    await join(desk)
    job = send_job("proposals")
    store = replace(desk.store, gate=LastMoment(desk))
    assert await desk.send(job, TO, data=LETTER, deps={"store": store}) == RetryLater(5.0, "changed", count=False)
    assert sink.mails() == []
    assert await desk.send(job, TO, data=LETTER, attempt=1) == Done()
    (mail,) = sink.mails()
    assert b"Pozdravljeni!" in mail["raw"]
    assert b"bilanco" not in mail["raw"]


async def test_the_gate_and_the_rule_agree_about_every_state(desk):
    states = [None, "granted", "pending", "withdrawn", "objected"]
    for number, (mail, switch) in enumerate(itertools.product(states, states)):
        said = {key: state for key, state in (("proposals", mail), (SWITCH, switch)) if state is not None}
        await put_persons(desk.store, [f"{number:043d}"], said)
    persons = desk.store.mongo["persons"]
    passing = {doc["_id"] for doc in await persons.find(unobjected(PROPOSALS), {"_id": 1})}
    facts = [person_of(doc) for doc in await persons.find({}, FACTS)]
    assert len(facts) == 25
    assert passing == {person.id for person in facts if rules.individual(person, PROPOSALS)}


async def test_a_profile_is_read_for_many_at_once_and_only_where_a_template_asks(desk, sink, monkeypatch):
    reads = []
    find = type(desk.store.mongo["persons"]).find
    await desk.grant(TO, "proposals", "newsletter")
    await join(desk)

    async def counted(self, where, fields=None, **more):
        reads.append(fields)
        return await find(self, where, fields, **more)

    monkeypatch.setattr(type(desk.store.mongo["persons"]), "find", counted)
    assert await desk.send(send_job(), TO) == Done()
    assert {"fields.profile": 1} not in reads
    profiles = await asyncio.gather(*(desk.store.profiles.read(desk.subject(TO)) for _ in range(50)))
    assert all(profile["first_name"] == "Ana" for profile in profiles)
    assert reads.count({"fields.profile": 1}) <= 2


@pytest.mark.attack(57, guard="preklic_workers.envelope:bound_to")
async def test_a_profile_that_was_moved_ends_its_mail_and_no_other(desk, sink):
    for address in (TO, BOR):
        await desk.grant(address, "proposals")
        await join(desk, address=address)
    persons = desk.store.mongo["persons"]
    keys = desk.store.mongo.keys()
    ana, bor = desk.subject(TO), desk.subject(BOR)
    taken = await persons.find_one({"_id": bor}, {"fields.profile": 1})
    key = await keys.find_one({"_id": {"p": bor, "g": "profile"}})
    await persons.change({"_id": ana}, {"$set": {"fields.profile": taken["fields"]["profile"]}})
    await keys.change({"_id": {"p": ana, "g": "profile"}}, {"$set": {"wrapped": key["wrapped"]}})
    jobs = [send_job("proposals"), send_job("proposals")]
    answers = await asyncio.gather(desk.send(jobs[0], TO, data=LETTER), desk.send(jobs[1], BOR, data=LETTER))
    assert isinstance(answers[0], Dead)
    assert answers[0].reason == "altered"
    assert answers[1] == Done()
    assert [mail["to"] for mail in sink.mails()] == [[BOR]]


@pytest.mark.clause("U10", guard="preklic_workers.keydir:check_needed")
async def test_the_mail_workers_own_key_directory_opens_a_profile_and_no_payments_recovery_or_court(
    tmp_path, mongo_url, mongo_database
):
    root = tmp_path / "keys"
    init_keys(root, now())
    recording = await open_test_store(mongo_url, mongo_database, ring=load_ring(root / "record", "record"))
    mailing = await open_test_store(mongo_url, mongo_database, ring=load_ring(root / "send", "send"))
    closed = ("service", "payments", "recovery", "court", "evidence")
    try:
        await put_persons(recording, ["p" * 43], {"proposals": "granted"})
        for group in ("profile", *closed):
            await recording.persons.enrich("p" * 43, group, {"first_name": group}, "order", now())
        assert await mailing.profiles.read("p" * 43) == {"first_name": "profile"}
        for group in closed:
            with pytest.raises(NoKey):
                await mailing.persons.fields("p" * 43, group)
    finally:
        recording.close()
        mailing.close()
    # Nor can its directory be given such a key: the worker does not start with it.
    for group in closed:
        shutil.copy2(root / "record" / f"{group}.1.epoch", root / "send")
        with pytest.raises(KeyDirError, match="not for the role send"):
            load_ring(root / "send", "send")
        (root / "send" / f"{group}.1.epoch").unlink()
