"""Mails to known persons by id, and the double opt-in that asks by itself and floods nobody."""

import asyncio
import datetime as dt
import email
import email.policy
from dataclasses import replace

import msgspec
import pytest

from living import at_work, settings_of, users_of
from preklic_producers import Producer, Proof
from preklic_shared.ids import job_id_for, new_id
from preklic_shared.jobs import SendPayload
from preklic_shared.relay_settings import Relay
from preklic_shared.settings import Settings
from preklic_shared.topology_apply import apply
from preklic_workers.mailing import Mailer
from preklic_workers.outcomes import Dead, Done, Refused
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.scheduling import Scheduler
from preklic_workers.send import handle
from preklic_workers.store import Scheduled
from preklic_workers.store.asking import APART, MOST
from producing import jobs_in, sealing
from sending import DATA, PROCESSOR, open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"
PROOF = Proof(wording="newsletter@1", source="https://lucrum.example", method="form")


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    opened = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    yield opened
    await opened.close()


async def send_to(desk, job, payload=None):
    payload = payload or SendPayload(data=DATA[job.template])
    return await handle(Opened(job, payload, 0, "campaign", False, lambda: True, no_reply), desk.deps)


async def by_person(desk, *, template=None, **more):
    job = send_job("newsletter", template)
    return msgspec.structs.replace(job, **({"person": (await pid(desk)).hex()} | more))


async def pid(desk):
    return (await desk.person(TO)).pid


async def test_a_mail_to_a_person_by_id_is_sent_to_the_recorded_address(desk, sink):
    await desk.grant(TO, "newsletter")
    job = await by_person(desk, campaign="jesen", variant=1)
    assert await send_to(desk, job) == Done()
    (mail,) = sink.mails()
    assert email.message_from_bytes(mail["raw"], policy=email.policy.default)["To"] == TO
    state = await desk.state(job)
    assert (state.state, state.campaign, state.variant, state.person) == ("sent", "jesen", 1, desk.subject(TO))
    assert await send_to(desk, job) == Done()
    assert len(sink.mails()) == 1


@pytest.mark.attack(14, guard="preklic_workers.addressed:may")
async def test_an_address_that_nobody_may_write_to_stays_shut(desk, sink, monkeypatch):
    await desk.grant(TO, "newsletter")
    job = await by_person(desk)
    await desk.withdraw(TO, ["newsletter"])

    async def opened(*_):
        raise AssertionError("the address of a person who said no was opened")

    monkeypatch.setattr(type(desk.store.contacts), "address_in", opened)
    assert await send_to(desk, job) == Refused("withdrawn")
    assert (await desk.state(job)).person == desk.subject(TO)
    assert sink.mails() == []


async def test_whoever_is_unknown_or_erased_gets_nothing(desk, sink):
    await desk.grant(TO, "newsletter")
    gone = await by_person(desk)
    await desk.store.persons.erase(desk.subject(TO), desk.store.mongo.now(), lambda _person: frozenset())
    strange = await by_person(desk, person="0" * 32)
    assert await send_to(desk, gone) == Refused("erased")
    assert await send_to(desk, strange) == Refused("unknown")
    assert sink.mails() == []


async def test_a_job_names_a_person_or_an_address_and_not_both(desk):
    await desk.grant(TO, "newsletter")
    job = await by_person(desk)
    assert await send_to(desk, job, SendPayload(to=TO)) == Dead("malformed", "sealed.to")
    assert await send_to(desk, send_job(), SendPayload()) == Refused("bad_address")


@pytest.mark.parametrize("switch", ["campaign:jesen", "purpose:newsletter"])
async def test_a_campaign_that_is_stopped_sends_nothing(desk, sink, switch):
    await desk.grant(TO, "newsletter")
    job = await by_person(desk, campaign="jesen")
    await desk.store.controls.stop(switch, reason="wrong price", by="ana")
    assert (await send_to(desk, job)).reason == "stopped"
    await desk.store.controls.go(switch, reason="mended", by="ana")
    assert await send_to(desk, job) == Done()


@pytest.mark.parametrize("switch", ["campaign:jesen", "relay:sink"])
async def test_a_switch_that_was_thrown_while_a_mail_was_under_way_still_holds_it(desk, sink, monkeypatch, switch):
    """Thrown after the relay was chosen and the mail claimed: the gate is the last to ask."""
    await desk.grant(TO, "newsletter")
    job = await by_person(desk, campaign="jesen")
    claim = desk.store.messages.claim

    async def claimed(wanted):
        answer = await claim(wanted)
        await desk.store.controls.stop(switch, reason="wrong price", by="ana")
        return answer

    monkeypatch.setattr(desk.store.messages, "claim", claimed)
    assert (await send_to(desk, job)).reason == "stopped"
    assert sink.mails() == []


async def test_nobody_is_asked_more_than_once_a_day_and_three_times_in_all(desk, monkeypatch):
    asking, clock = desk.store.asking, dt.datetime.now(dt.UTC)
    monkeypatch.setattr(type(desk.store.mongo), "now", lambda _self: clock)
    asked = []
    for day in range(20):
        clock = clock + APART if day else clock
        first = new_id()
        messages = [first, *(new_id() for _ in range(49))]
        asked.append(sum(await asyncio.gather(*(asking.may_ask("s" * 43, message) for message in messages))))
    assert asked == [1] * MOST + [0] * 17
    await asking.confirmed("s" * 43)
    first = new_id()
    assert await asking.may_ask("s" * 43, first)
    assert await asking.may_ask("s" * 43, first)
    assert not await asking.may_ask("s" * 43, new_id())


@pytest.mark.clause("U2", guard="preklic_workers.store.asking:Asking.may_ask")
async def test_a_second_confirmation_mail_on_one_day_is_refused_whoever_asked_for_it(desk, sink):
    await desk.grant(TO, "newsletter", confirmed=False)
    assert await desk.send(send_job("newsletter", "confirm"), TO) == Done()
    assert await desk.send(send_job("newsletter", "confirm"), TO) == Refused("confirmation_limit")
    assert await send_to(desk, await by_person(desk, template="confirm")) == Refused("confirmation_limit")
    assert len(sink.mails()) == 1


async def test_what_is_scheduled_is_cancelled_by_a_no_and_kept_once(desk):
    now = desk.store.mongo.now()
    await desk.grant(TO, "newsletter")
    mails = [
        Scheduled(new_id(), desk.subject(TO), await pid(desk), key, "newsletter", "sl", now, now + APART)
        for key in ("newsletter", "offers")
    ]
    await desk.store.schedule.put(mails)
    await desk.store.schedule.put(mails)
    assert {mail.id for mail in await desk.store.schedule.due()} == {mail.id for mail in mails}
    assert await desk.store.schedule.cancel(desk.subject(TO), ["newsletter"]) == 1
    assert [mail.purpose for mail in await desk.store.schedule.due()] == ["offers"]
    await desk.store.schedule.put([replace(mails[0], at=now + APART)])
    assert len(await desk.store.schedule.due()) == 1
    await desk.store.erasures.clear(desk.subject(TO), frozenset())
    assert await desk.store.mongo["schedule"].count({}) == 0


async def test_a_scheduled_mail_whose_purpose_is_gone_is_published_and_refused(desk, amqp_url, tmp_path):
    apply(amqp_url)
    now = desk.store.mongo.now()
    mail = Scheduled(new_id(), desk.subject(TO), b"p" * 16, "gone", "newsletter", "sl", now, now + APART)
    await desk.store.schedule.put([mail])
    mailer = Mailer(Settings(amqp_url=amqp_url, sealing_keys=sealing(tmp_path).path))
    await Scheduler(desk.store, desk.deps.registry, mailer).once()
    await mailer.close()
    (job,) = jobs_in(amqp_url, "send.bulk")
    assert (job.id, await desk.store.mongo["schedule"].count({})) == (mail.id, 0)
    assert await send_to(desk, job, SendPayload()) == Refused("unknown")
    assert (await desk.state(job)).state == "refused"


@pytest.fixture
def settings(rabbit, vhost, mongo, mongo_database, tmp_path, sink):
    relay = Relay(name="sink", host="127.0.0.1", port=sink.port, processor=PROCESSOR.name, tls="off")
    with users_of(rabbit, vhost, "website", "send", "record", "revoke", "campaign") as users:
        common = {"relays": (relay,), "processors": (PROCESSOR,), "mail_domain": "lucrum.example"}
        yield settings_of(users, mongo, mongo_database, tmp_path / "keys", **common)


async def test_a_pending_permission_is_followed_by_the_mail_that_asks(settings, sink):
    async with at_work(settings, "send", "record", "campaign", "revoke") as store:
        with Producer(settings("website")) as producer:
            grant = await asyncio.to_thread(producer.grant, TO, "newsletter", proof=PROOF)
            await auntil(sink.mails, 20, "the confirmation mail is sent")
            others = [await asyncio.to_thread(producer.grant, TO, "newsletter", proof=PROOF) for _ in range(5)]
            asked = [job_id_for("confirmation", f"{one.job_id}|newsletter") for one in (grant, *others)]

            async def ended():
                return [await store.messages.state(job) for job in asked] == ["sent", *["refused"] * 5]

            await auntil(ended, 20, "each further one is refused")
            bomb = await asyncio.to_thread(producer.revoke, TO, "newsletter", reason="asked")

            async def applied():
                return await store.messages.state(bomb.job_id) == "applied"

            await auntil(applied, 20, "the no is applied")
    (mail,) = sink.mails()
    assert mail["job"] == asked[0]
