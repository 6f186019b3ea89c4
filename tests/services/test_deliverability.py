"""Whether a mail was received (U11): replies and reports as relays write them; class and codes are kept, no word.

The listener for DSN and complaints by mail comes later; what it will report travels as track jobs, and those are here.
"""

import json
import time

import pytest

from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_shared.jobs import TrackJob
from preklic_workers.outcomes import Done, Refused
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.track import Track
from queueing import envelope, track
from scripted import scripted
from sending import open_desk, route, send_job

SAYS = "zasebno"  # stands in each text below: the address, a queue id, an explanation
TO = f"{SAYS}@primer.example"
# What the relay answers to which verb, and what is to be recorded: state, code, enhanced code.
CORPUS = [
    (b"body", b"250 2.0.0 Ok: queued as 4bX1zasebno\r\n", "sent", 250, "2.0.0"),
    (b"body", b"250 2.0.0 OK  1764200000 zasebno-9a8si.42 - gsmtp\r\n", "sent", 250, "2.0.0"),
    (b"body", b"250 Message accepted for zasebno\r\n", "sent", 250, ""),
    (
        b"RCPT",
        (b"550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n"
        b"550-5.1.1 double-checking zasebno@primer.example for typos. For more information\r\n"
        b"550 5.1.1 https://support.example/?p=NoSuchUser zasebno - gsmtp\r\n"),
        "bounced", 550, "5.1.1",
    ),
    (b"RCPT", b"550 5.1.10 RESOLVER.ADR.RecipientNotFound; <zasebno@primer.example> not found\r\n", "bounced", 550,
     "5.1.10"),
    (b"RCPT", b"550 <zasebno@primer.example>: Recipient address rejected: User unknown\r\n", "bounced", 550, ""),
    (b"RCPT", b"553 sorry, no mailbox here by that name: zasebno (#5.7.1)\r\n", "bounced", 553, ""),
    (b"RCPT", b"556 5.1.10 zasebno: domain has no MX (RFC 7505)\r\n", "bounced", 556, "5.1.10"),
    (b"RCPT", b"550 5.2.1 The email account zasebno is disabled\r\n", "bounced", 550, "5.2.1"),
    (b"body", b"550 5.1.1 zasebno: mailbox unavailable, said after the body\r\n", "bounced", 550, "5.1.1"),
    (b"RCPT", b"450 4.2.0 <zasebno@primer.example>: Greylisted, see http://postgrey.example/\r\n", "deferred", 450,
     "4.2.0"),
    (b"RCPT", b"452 4.2.2 The email account zasebno is over quota\r\n", "deferred", 452, "4.2.2"),
    (b"MAIL", b"451 4.7.500 Server busy. Please try again later from zasebno\r\n", "deferred", 451, "4.7.500"),
    (b"body", b"421 4.7.0 [TSS04] Messages from zasebno temporarily deferred\r\n", "deferred", 421, "4.7.0"),
    (b"RCPT", b"471 zasebno: a code that no standard has\r\n", "deferred", 471, ""),
    (b"RCPT", b"552 5.2.2 zasebno: mailbox full, for ever\r\n", "failed", 552, "5.2.2"),
    (b"body", b"554 5.7.1 zasebno: message looks like spam\r\n", "failed", 554, "5.7.1"),
    (b"body", b"550 5.9.9 zasebno: a class that nobody registered\r\n", "failed", 550, "5.9.9"),
    (b"RCPT", b"550 4.4.7 zasebno: the enhanced code says otherwise\r\n", "bounced", 550, ""),
    (b"RCPT", b"599 zasebno: a code that no standard has\r\n", "failed", 599, ""),
]  # fmt: skip


async def everything(store):
    """All that is recorded anywhere, as text, and as the bytes in it."""
    found = []
    for name in await store.mongo.collections():
        found += [str(doc) for doc in await store.mongo[name].find({})]
    return "\n".join(found)


@pytest.mark.clause("U11", guard="preklic_workers.smtp.replies:classify")
@pytest.mark.attack(39, guard="preklic_workers.smtp.replies:read")
async def test_of_each_reply_the_class_and_the_codes_are_kept_and_not_a_word(mongo_url, mongo_database):
    async with scripted() as relay:
        desk = await open_desk(mongo_url, mongo_database, [route(relay.port)])
        for number, (verb, answer, state, code, enhanced) in enumerate(CORPUS):
            usual = dict(relay.answers)
            relay.answers[verb.decode()] = answer
            address = f"{SAYS}{number}@primer.example"
            await desk.grant(address, "newsletter")
            job = send_job()
            await desk.send(job, address)
            relay.answers = usual
            told = await desk.state(job)
            assert (told.state, told.reply) == (state, {"code": code, "enhanced": enhanced}), answer
            assert told.processor == "Mail company"
            gone = "bounce" in (await desk.person(address)).suppressed
            assert gone == (state == "bounced")
        assert SAYS not in await everything(desk.store)
        assert "queued" not in await everything(desk.store)
        await desk.close()


@pytest.fixture
async def desk(mongo_url, mongo_database):
    desk = await open_desk(mongo_url, mongo_database, [])
    yield desk
    await desk.close()


def reported(person, event, message):
    now = int(time.time() * 1000)
    job = TrackJob(
        id=new_id(), producer="feedback", at=now, expires=now + 10**9, event=event, message=message, person=person
    )
    return Opened(job, None, 0, "feedback", False, lambda: True, no_reply)


@pytest.mark.clause("U11", guard="preklic_workers.track:identity")
async def test_reports_are_recorded_once_however_often_and_in_whatever_order_they_come(desk):
    await desk.grant(TO, "newsletter")
    pid = (await desk.person(TO)).pid.hex()
    mails = {kind: new_id() for kind in ("delivered", "deferred", "bounced", "complained")}
    batch = [reported(pid, kind, message) for kind, message in mails.items()]
    for repeated in (batch, batch[::-1], [reported(pid, kind, message) for kind, message in mails.items()]):
        assert await Track(desk.store).handle(repeated) == [Done()] * 4
    for kind, message in mails.items():
        (event,) = await desk.store.events.of(message)
        assert event.kind == kind
    # What came first does not hide what comes later: a delivered mail may bounce, and be complained about.
    later = [reported(pid, kind, mails["delivered"]) for kind in ("bounced", "complained")]
    await Track(desk.store).handle(later)
    assert {event.kind for event in await desk.store.events.of(mails["delivered"])} == {
        "delivered", "bounced", "complained",
    }  # fmt: skip
    doc = await desk.store.mongo["events"].find_one({})
    assert set(doc) == {"_id", "message", "person", "kind", "verdict", "at", "rules", "recorded", "salt", "batch"}


@pytest.mark.clause("U11", guard="preklic_workers.track:refusal")
async def test_a_report_about_nobody_is_set_aside(desk):
    unknown = reported("ab" * 16, "bounced", new_id())
    assert await Track(desk.store).handle([unknown]) == [Refused("unknown")]
    assert await desk.store.events.of(unknown.job.message) == []
    assert (await desk.state(unknown.job)).reason == "unknown"


@pytest.mark.clause("U11", guard="preklic_shared.wire:convert")
@pytest.mark.parametrize("more", [{"event": "softbounce"}, {"diagnostic": "550 <zasebno@x.example>"}, {"link": "x"}])
def test_a_report_of_an_unknown_kind_or_with_text_is_no_job(more):
    letter = envelope(track(event="bounced"))
    letter["kwargs"]["job"] |= more
    with pytest.raises(wire.Malformed) as refused:
        wire.decode(json.dumps(letter).encode(), "track")
    assert SAYS not in str(refused.value)
