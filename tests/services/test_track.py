"""Opens and clicks on a real MongoDB: the permission is asked again, each event is once, nothing else is kept."""

import time

import pytest

from preklic_shared import metrics
from preklic_shared.ids import new_id
from preklic_shared.jobs import TrackJob
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Unavailable
from preklic_workers.track import Track
from sending import open_desk

ANA, BOR = "ana@primer.si", "bor@primer.si"
OPENS, CLICKS = "engagement.opens", "engagement.clicks"
NOW = int(time.time() * 1000) // 60_000 * 60_000


@pytest.fixture
async def desk(mongo_url, mongo_database):
    desk = await open_desk(mongo_url, mongo_database, [])
    yield desk
    await desk.close()


def opened(person, event="clicked", *, link=0, after=0, agent="browser", message=None, expired=False):
    job = TrackJob(
        id=new_id(),
        producer="gateway",
        at=NOW + after,
        expires=NOW + 10**9,
        event=event,
        message=message or new_id(),
        person=person if isinstance(person, str) else person.pid.hex(),
        link=link if event == "clicked" else None,
        agent=agent,
    )
    return Opened(job, None, 0, "gateway", expired, lambda: True, no_reply)


async def events(desk, *seen):
    found = [await desk.store.events.of(one.job.message) for one in seen]
    return [(event.kind, event.link, event.verdict) for group in found for event in group]


async def test_what_a_person_permits_is_recorded_with_its_verdict(desk):
    await desk.grant(ANA, "newsletter", switches=[OPENS, CLICKS])
    ana = await desk.person(ANA)
    batch = [
        opened(ana, link=2),
        opened(ana, "opened", agent="proxy"),
        opened(ana, "opened", agent="browser"),
    ]
    assert await Track(desk.store).handle(batch) == [Done()] * 3
    assert await events(desk, *batch) == [
        ("clicked", 2, "human"),
        ("opened", None, "prefetch"),
        ("opened", None, "human"),
    ]
    (event,) = await desk.store.events.of(batch[0].job.message)
    assert (event.person, event.rules) == (ana.id, 1)
    assert (await desk.state(batch[0].job)).state == "applied"


@pytest.mark.clause("U12", guard="preklic_workers.track:may_track")
@pytest.mark.attack(54, guard="preklic_workers.track:may_track")
async def test_without_a_permission_of_its_own_nothing_is_recorded(desk):
    await desk.grant(ANA, "newsletter", switches=[CLICKS])
    await desk.grant(BOR, "newsletter")
    ana, bor = await desk.person(ANA), await desk.person(BOR)
    batch = [opened(ana), opened(ana, "opened"), opened(bor), opened(bor, "opened")]
    assert await Track(desk.store).handle(batch) == [Done(), *[Refused("no_permission")] * 3]
    assert await events(desk, *batch) == [("clicked", 0, "human")]
    await desk.withdraw(ANA, [CLICKS])
    late = opened(ana)
    assert await Track(desk.store).handle([late]) == [Refused("no_permission")]
    assert await events(desk, late) == []


@pytest.mark.attack(54, guard="preklic_workers.track:refusal")
async def test_nothing_of_an_erased_or_unknown_person_is_recorded(desk):
    await desk.grant(ANA, "newsletter", switches=[OPENS, CLICKS])
    ana = await desk.person(ANA)
    await desk.store.persons.erase(ana.id, ana.permissions[CLICKS].at, lambda _person: frozenset())
    batch = [opened(ana), opened(ana, "opened"), opened(ana, "delivered"), opened("ab" * 16)]
    assert await Track(desk.store).handle(batch) == [*[Refused("erased")] * 3, Refused("unknown")]
    assert await events(desk, *batch) == []
    assert [(await desk.state(one.job)).state for one in batch] == ["refused"] * 4
    shown = await desk.store.messages.show(batch[0].job.id)
    assert "person" not in shown


async def test_the_same_click_within_a_minute_is_one_event(desk):
    await desk.grant(ANA, "newsletter", switches=[CLICKS])
    ana = await desk.person(ANA)
    mail = new_id()
    first = [opened(ana, message=mail, after=seconds * 1000) for seconds in (0, 10, 59)]
    assert await Track(desk.store).handle(first) == [Done()] * 3
    assert await Track(desk.store).handle(first[:1]) == [Done()]
    assert len(await desk.store.events.of(mail)) == 1
    await Track(desk.store).handle([opened(ana, message=mail, after=61_000), opened(ana, message=mail, link=1)])
    assert len(await desk.store.events.of(mail)) == 3


async def test_a_scanner_that_follows_every_link_is_known_by_it(desk):
    await desk.grant(ANA, "newsletter", switches=[CLICKS])
    ana = await desk.person(ANA)
    mail = new_id()
    await Track(desk.store).handle([opened(ana, message=mail, link=number, after=number) for number in range(4)])
    assert {event.verdict for event in await desk.store.events.of(mail)} == {"scanner"}


async def test_what_relays_report_needs_no_switch(desk):
    await desk.grant(ANA, "newsletter")
    ana = await desk.person(ANA)
    reported = opened(ana, "bounced")
    assert await Track(desk.store).handle([reported]) == [Done()]
    assert await events(desk, reported) == [("bounced", None, "unknown")]


async def test_an_expired_event_is_refused(desk):
    await desk.grant(ANA, "newsletter", switches=[CLICKS])
    late = opened(await desk.person(ANA), expired=True)
    assert await Track(desk.store).handle([late]) == [Refused("expired")]
    assert await events(desk, late) == []


async def test_a_full_batch_is_three_calls_and_no_document_knows_an_ip_or_user_agent(desk, monkeypatch):
    await desk.grant(ANA, "newsletter", switches=[OPENS, CLICKS])
    ana = await desk.person(ANA)
    batch = [opened(ana, "opened") for _ in range(500)]
    calls = []
    for place, name in (
        (desk.store.persons, "by_pids"),
        (desk.store.events, "record"),
        (desk.store.messages, "note_many"),
    ):
        monkeypatch.setattr(type(place), name, counted(getattr(type(place), name), name, calls))
    before = metrics.TRACK_EVENTS.labels("opened", "human")._value.get()
    assert await Track(desk.store).handle(batch) == [Done()] * 500
    assert calls == ["by_pids", "record", "note_many"]
    assert metrics.TRACK_EVENTS.labels("opened", "human")._value.get() - before == 500
    doc = await desk.store.mongo["events"].find_one({"message": batch[7].job.message})
    assert set(doc) == {"_id", "message", "person", "kind", "verdict", "at", "rules", "recorded", "salt", "batch"}


async def test_while_the_store_is_away_the_batch_waits(desk, monkeypatch):
    async def away(*_):
        raise Unavailable("away")

    monkeypatch.setattr(type(desk.store.persons), "by_pids", away)
    (outcome,) = await Track(desk.store).handle([opened("ab" * 16)])
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason, outcome.count) == ("store_away", False)


def counted(call, name, calls):
    async def counting(*arguments):
        calls.append(name)
        return await call(*arguments)

    return counting
