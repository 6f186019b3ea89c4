"""What comes back about a mail, on a real MongoDB: states, suppressions and stops, in whatever order it comes."""

import itertools
import random
import time

import pytest

from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob, TrackJob
from preklic_workers import returns
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.permission import may
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Event
from preklic_workers.track import Track
from storing import (
    NEWS,
    OFFERS,
    REGISTRY,
    RING,
    claimed,
    gated,
    now,
    open_test_store,
    put_persons,
    sent,
    state,
    subject,
)

ANA, BOR = "ana@primer.si", "bor@primer.si"


@pytest.fixture
async def store(mongo_url, mongo_database):
    opened = await open_test_store(mongo_url, mongo_database)
    await put_persons(opened, [subject(ANA), subject(BOR)], {"newsletter": "granted", "offers": "granted"})
    yield opened
    opened.close()


def job_of(kind, **fields):
    at = int(time.time() * 1000) - fields.pop("days", 0) * 86_400_000
    job = kind(id=new_id(), producer="feedback", at=at, expires=at + 10**10, **fields)
    return Opened(job, None, 0, "feedback", False, lambda: True, no_reply)


def report(message, event="bounced", **fields):
    return job_of(TrackJob, event=event, message=message, **fields)


def no(message, source="one_click", purposes="mail"):
    return job_of(RevokeJob, message=message, source=source, purposes=purposes)


async def taken(store, address=ANA, *, purpose=NEWS):
    """A mail that a relay took."""
    message = await claimed(store, subject(address), purpose)
    await gated(store, subject(address), message, purpose=purpose)
    await sent(store, address, message)
    return message


async def may_mail(store, address=ANA, purpose=NEWS):
    return may(await store.persons.read(subject(address)), purpose)


@pytest.mark.attack(42, guard="preklic_workers.returns:follow")
async def test_a_bounce_is_of_whom_its_mail_was_sent_to(store):
    message, other = await taken(store), await taken(store, BOR)
    bounce = report(message, bounce="hard", code="5.1.1")
    assert await Track(store).handle([bounce]) == [Done()]
    (event,) = await store.events.of(message)
    assert (event.person, event.bounce, event.code) == (subject(ANA), "hard", "5.1.1")
    assert (await state(store, message), await state(store, other)) == ("bounced", "sent")
    revoke = Revoke(store, REGISTRY, RING.blind)
    assert await revoke.handle(no(message, "bounce", "all")) == Done()
    assert (await may_mail(store), await may_mail(store, BOR)) == ("suppressed_bounce", None)


@pytest.mark.attack(46, guard="preklic_workers.revoke:Revoke._named")
async def test_a_mailed_unsubscribe_ends_the_purpose_of_that_mail_alone(store):
    message = await taken(store)
    assert await Revoke(store, REGISTRY, RING.blind).handle(no(message)) == Done()
    assert (await may_mail(store), await may_mail(store, purpose=OFFERS)) == ("withdrawn", None)


async def test_a_no_about_a_mail_that_nobody_knows_is_refused_and_stops_nobody(store):
    revoke = no(new_id())
    assert await Revoke(store, REGISTRY, RING.blind).handle(revoke) == Refused("unknown")
    assert await store.controls.stopped("marketing") is None


async def test_a_complaint_ends_all_marketing_and_repeated_it_is_one(store):
    message = await taken(store)
    complaint = no(message, "complaint", "all")
    for _ in range(2):
        assert await Revoke(store, REGISTRY, RING.blind).handle(complaint) == Done()
        assert await Track(store).handle([report(message, "complained")]) == [Done()]
    assert await may_mail(store, purpose=OFFERS) == "suppressed_complaint"
    assert (await state(store, message), len(await store.events.of(message))) == ("complained", 1)


async def test_a_report_that_was_faster_than_the_worker_comes_again(store):
    message = await claimed(store, subject(ANA))
    bounce = report(message, bounce="hard")
    (later,) = await Track(store).handle([bounce])
    assert isinstance(later, RetryLater)
    assert await store.messages.state(bounce.job.id) is None
    await gated(store, subject(ANA), message)
    await sent(store, ANA, message)
    assert await Track(store).handle([bounce]) == [Done()]
    assert (await state(store, message), await state(store, bounce.job.id)) == ("bounced", "applied")


async def test_an_address_that_bounces_softly_on_three_days_is_suppressed(store):
    mails = [await taken(store) for _ in range(3)]
    for days, message in zip((4, 2), mails, strict=False):
        await Track(store).handle([report(message, bounce="soft", code="4.2.2", days=days)])
    assert await may_mail(store) is None
    await Track(store).handle([report(mails[2], bounce="soft", code="4.2.2")])
    assert await may_mail(store) == "suppressed_bounce"


async def test_a_refusal_of_us_stops_the_purpose_and_not_the_person(store):
    message = await taken(store)
    await Track(store).handle([report(message, bounce="policy", code="5.7.26")])
    assert await store.controls.stopped("purpose:newsletter") == "purpose:newsletter"
    assert await may_mail(store) is None
    await store.controls.go("purpose:newsletter", reason="mended", by="ana")
    await Track(store).handle([report(message, bounce="policy", code="5.7.26", days=1)])
    assert await store.controls.stopped("purpose:newsletter") is None


async def test_any_order_and_any_repetition_of_reports_ends_the_same(store):
    """Fifty shuffles of the same reports about mails of as many people."""
    revoke, track, ends = Revoke(store, REGISTRY, RING.blind), Track(store), set()
    chance = random.Random(7)
    for number in range(50):
        address = f"oseba{number}@primer.si"
        await put_persons(store, [subject(address)], {"newsletter": "granted", "offers": "granted"})
        message = await taken(store, address)
        told = [
            (track, report(message, "delivered")),
            (track, report(message, bounce="hard", code="5.1.1")),
            (track, report(message, "complained")),
            (revoke, no(message, "bounce", "all")),
            (revoke, no(message, "complaint", "all")),
        ]
        told += chance.choices(told, k=3)
        chance.shuffle(told)
        for handler, opened in told:
            await handler.handle([opened] if handler is track else opened)
        person = await store.persons.whole(subject(address))
        said = tuple(sorted((key, one.state) for key, one in person.permissions.items()))
        kinds = tuple(sorted(event.kind for event in await store.events.of(message)))
        ends.add((await state(store, message), said, tuple(sorted(person.suppressed)), kinds))
    assert len(ends) == 1
    assert next(iter(ends))[0] == "complained"


def event(day, kind="bounced", *, bounce=None, verdict="unknown"):
    return Event(f"m|{day}|{kind}", "m", "p", kind, verdict, now().replace(year=2026, month=3, day=day), bounce=bounce)


SOFT = [event(day, bounce="soft") for day in (1, 3, 5)]


def test_worn_out_is_three_days_without_a_sign_of_the_mailbox():
    assert all(returns.worn_out(order) for order in itertools.permutations(SOFT))
    assert not returns.worn_out(SOFT[:2])
    assert not returns.worn_out([*SOFT[:2], *SOFT[:2]])
    assert not returns.worn_out([*SOFT, event(4, "delivered")])
    assert not returns.worn_out([*SOFT, event(4, "opened", verdict="human")])
    assert returns.worn_out([*SOFT, event(4, "opened", verdict="prefetch")])
    assert returns.worn_out([*SOFT, event(6, "delivered")])
    assert not returns.worn_out([event(day, bounce="policy") for day in (1, 3, 5)])
