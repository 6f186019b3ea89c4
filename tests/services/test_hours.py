"""Each hour of the log is closed by id before retention takes it, and looked at again until every job has ended."""

import asyncio
import datetime as dt
from itertools import pairwise

import pytest

from preklic_shared import metrics
from preklic_shared.ids import new_id
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_workers import joblog
from preklic_workers.accounting import account
from preklic_workers.audit import Audit
from preklic_workers.hours import HOUR, SETTLED_AFTER, Hours, first_hour
from preklic_workers.judging import read_account, whole
from preklic_workers.store import millis
from preklic_workers.store.accounts import Accounts, Stretch
from queueing import publication
from queueing import track as any_track
from storing import now
from waiting import until

FAR = HOUR + SETTLED_AFTER
LOGGED_WITHIN = dt.timedelta(seconds=20)


@pytest.fixture
def hours(url, store, monkeypatch):
    quick(monkeypatch)
    return Hours(url, store)


@pytest.fixture
def accounts(store):
    return Accounts(store.mongo)


@pytest.fixture
def began():
    """One moment for the whole test, far enough from the end of an hour that none turns before its jobs are logged."""
    until(lambda: (now() + LOGGED_WITHIN).hour == now().hour, 30, "the hour turns")
    return now()


@pytest.fixture
def track(began):
    """Makes a job of that moment."""

    def made(**changes):
        return any_track(**({"at": millis(began)} | changes))

    return made


def quick(monkeypatch):
    """No waiting for what a worker may hold, and a short one for the end of the log."""
    monkeypatch.setattr("preklic_workers.hours._PATIENCE", 0.0)
    monkeypatch.setattr("preklic_workers.audit.PATIENCE", 0.0)
    monkeypatch.setattr("preklic_workers.joblog._QUIET", 0.3)


async def publish(url, *jobs):
    async with Publisher(url) as publisher:
        for job in jobs:
            await publisher.publish(publication(job))


async def ended(store, job, state="applied"):
    await store.messages.note(job.id, "track", state, producer="guest", expires=now())


async def test_an_hour_is_closed_once_it_is_old_enough_and_settles(url, store, hours, accounts, queues, track, began):
    jobs = [track() for _ in range(3)]
    await publish(url, *jobs)
    queues.take("track")
    for job, end in zip(jobs, ("applied", "applied", "refused"), strict=True):
        await ended(store, job, end)
    assert await hours.round(began + SETTLED_AFTER) == 0
    assert await accounts.recent(0) == []
    assert await hours.round(began + FAR) == 0
    [hour] = await accounts.recent(0)
    assert {name: hour[name] for name in ("logged", "void", "states", "unaccounted", "settled", "lost")} == {
        "logged": 3, "void": 0, "states": {"applied": 2, "refused": 1}, "unaccounted": 0, "settled": True, "lost": 0,
    }  # fmt: skip
    assert hour["hour"] <= began < hour["hour"] + HOUR


async def test_a_lost_job_is_named_and_its_hour_stays_open(url, store, hours, accounts, queues, track, began):
    kept, lost = track(), track()
    await publish(url, kept, lost)
    queues.take("track")
    await ended(store, kept)
    assert await hours.round(began + FAR) == 1
    [hour] = await accounts.recent(0)
    assert (hour["missing"], hour["settled"]) == ([lost.id], False)
    await ended(store, lost)
    assert await hours.round(began + FAR) == 0
    [hour] = await accounts.recent(0)
    assert (hour["missing"], hour["settled"], hour["states"]) == ([], True, {"applied": 2})


async def test_an_hour_with_jobs_that_wait_is_looked_at_until_they_have_ended(
    url, store, hours, accounts, queues, track, began
):
    job = track()
    await publish(url, job)
    assert await hours.round(began + FAR) == 0
    [hour] = await accounts.recent(0)
    assert (hour["waiting"], hour["unaccounted"], hour["settled"]) == (1, 0, False)
    queues.take("track")
    assert await hours.round(began + FAR) == 1
    await ended(store, job)
    assert await hours.round(began + FAR) == 0
    assert (await accounts.recent(0))[0]["settled"]


async def test_every_entry_belongs_to_one_hour_whatever_its_clock_says(
    url, store, hours, accounts, queues, track, began
):
    await publish(url, track(), track(at=0, expires=1))
    await hours.round(began + FAR)
    await publish(url, track(at=0, expires=1), track())
    await hours.round(began + FAR + 2 * HOUR)
    stretches = [(hour["first"], hour["next"], hour["logged"]) for hour in reversed(await accounts.recent(0))]
    assert stretches[0][2] + stretches[1][2] == sum(count for *_, count in stretches) == 4
    assert all(before[1] == after[0] for before, after in pairwise(stretches))
    assert len(stretches) == 3


async def test_what_is_voided_in_the_next_hour_is_void(url, store, hours, accounts, queues, track, began):
    job = track()
    await publish(url, job)
    queues.take("track")
    assert await hours.round(began + FAR) == 1
    async with Publisher(url) as publisher:
        await publisher.publish(Publication("jobs", "void", b"", job.id, "track", mandatory=False))
    [open_one] = await accounts.unsettled(9)
    assert open_one.next == joblog.extent(url).last
    assert await hours.round(began + FAR) == 0
    assert (await accounts.recent(0))[0]["void"] == 1


async def test_two_upkeeps_close_an_hour_once(url, store, hours, accounts, queues, track, began):
    await publish(url, track())
    await hours.round(began + FAR)
    [first] = await accounts.recent(0)
    await Hours(url, store).round(began + FAR)
    assert [hour["closed"] for hour in await accounts.recent(0)] == [first["closed"]]


async def closed_before(accounts, began, stop):
    """An hour that was closed an hour ago, at the end of which the log's next offset was `stop`."""
    hour = (began - HOUR).replace(minute=0, second=0, microsecond=0)
    await accounts.close(Stretch(hour, 0, stop), account({}, (), {}, {}))


async def test_a_new_log_is_read_from_its_beginning(url, store, hours, accounts, queues, track, began):
    await closed_before(accounts, began, 1000)
    await publish(url, track())
    await hours.round(began + FAR)
    newest, *_ = await accounts.recent(0)
    assert (newest["first"], newest["logged"]) == (0, 1)


async def test_what_retention_took_before_it_was_closed_is_said(url, store, hours, accounts, queues, began):
    await closed_before(accounts, began, 20)
    first = joblog.Entry(50, new_id(), "track", "track", None, b"")
    stretch = await hours._due(began + FAR, joblog.Extent(first, 60))
    assert (stretch.first, stretch.next, stretch.lost) == (50, 61, 30)
    await accounts.close(stretch, account({}, (), {}, {}))
    assert (await accounts.recent(1))[0]["lost"] == 30


async def test_the_end_of_a_log_that_never_rests_is_found(url, monkeypatch, track):
    quick(monkeypatch)

    async def busy(publisher):
        while True:
            await publisher.publish(publication(track()))

    async with Publisher(url) as publisher:
        await publisher.publish(publication(track()))
        publishing = asyncio.create_task(busy(publisher))
        try:
            there = await asyncio.wait_for(asyncio.to_thread(joblog.extent, url), 10)
        finally:
            publishing.cancel()
    assert there.first.offset == 0 < there.last


async def test_an_empty_log_has_no_hours(url, hours, accounts, began):
    assert await hours.round(began + FAR) == 0
    assert await accounts.recent(0) == []


async def test_the_metric_covers_closed_hours_and_the_recent_window(url, store, queues, monkeypatch, track, began):
    quick(monkeypatch)
    await publish(url, track())
    queues.take("track")
    await Hours(url, store).round(began + FAR)
    audit = Audit(url, store)
    monkeypatch.setattr("preklic_workers.audit.WINDOW", dt.timedelta(seconds=-60))
    assert (await audit.once()).unaccounted == 0
    assert metrics.REGISTRY.get_sample_value("preklic_jobs_unaccounted") == 1
    metrics.JOBS_UNACCOUNTED.set(0)


async def test_the_account_compares_queue_by_queue_and_names_the_job(url, store, queues, track):
    lost = track()
    await publish(url, lost)
    queues.take("track")
    await publish(url, track())
    result = await read_account(store, url, None)
    assert (result.missing, result.waiting) == ((lost.id,), 1)


async def test_a_relays_log_is_compared_with_the_mails_of_the_log(url, store, queues):
    stranger = new_id()
    result, compared = await whole(store, url, None, 0.0, {stranger: "sent"})
    assert result.unaccounted == 0
    assert (compared.line_without_sent, compared.agrees) == ((stranger,), False)


def test_the_first_hour_is_the_oldest_jobs_as_far_as_its_clock_is_believed():
    at = dt.datetime(2026, 11, 25, 12, 30, tzinfo=dt.UTC)
    noon = at.replace(minute=0)
    assert first_hour(at - dt.timedelta(days=2), at) == noon - dt.timedelta(days=2)
    assert first_hour(None, at) == first_hour(at + HOUR, at) == noon
    assert first_hour(dt.datetime(1970, 1, 1, tzinfo=dt.UTC), at) == noon - dt.timedelta(days=14)
