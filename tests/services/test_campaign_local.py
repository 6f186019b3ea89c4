"""Campaigns by local time on a real broker and store: each person by their own clock, and each at most once."""

import asyncio
import copy
import datetime as dt
import random

import msgspec
import pytest

from cutting import Cutter
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import RevokeJob
from preklic_shared.purposes import Fields
from preklic_shared.settings import Settings
from preklic_workers import campaigning, keyfiles
from preklic_workers.campaigning import Depth, FanOut, job_of
from preklic_workers.envelope import NoKey
from preklic_workers.keydir import load_ring
from preklic_workers.local_time import begins
from preklic_workers.mailing import Mailer
from preklic_workers.moments import millis
from preklic_workers.outcomes import Done
from preklic_workers.revoke import Revoke
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.scheduling import Scheduler
from preklic_workers.store import Campaign, Grant, Scheduled
from preklic_workers.store.campaigns import Addressee, Campaigns
from preklic_workers.store.local_sends import LocalSends
from producing import jobs_in, sealing
from storing import REGISTRY, RING, grant, open_test_store, subject

HOUR = dt.timedelta(hours=1)
PROPOSALS = REGISTRY.get("proposals")
HOME = "ana@primer.si"
# The morning after the clocks of Ljubljana were put forward: 09:00 is 07:00 UTC there, and was 08:00 the day before.
NINE = dt.datetime(2027, 3, 28, 9, 0, tzinfo=dt.UTC)
ZONES = {
    HOME: None,
    "mai@primer.si": "Asia/Tokyo",
    "tom@primer.si": "America/New_York",
    "ida@primer.si": "Europe/Ljubljana",
    "leo@primer.si": "Mars/Olympus",
    "eva@primer.si": "Asia/Kathmandu",
}


def allowing(*fields):
    """The registry, but what mail of `proposals` may know of a person is this."""
    registry = copy.copy(REGISTRY)
    one = msgspec.structs.replace(PROPOSALS, fields=Fields(profile=("first_name", *fields)))
    registry.purposes = dict(REGISTRY.purposes) | {"proposals": one}
    return registry


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
async def walker(store, url, tmp_path):
    """Another walker of the same campaigns, each with a connection of its own."""
    path, made = sealing(tmp_path).path, []

    def one(*fields):
        mailer = Mailer(Settings(amqp_url=url, sealing_keys=path))
        made.append(FanOut(store, allowing(*fields), mailer, Depth(url), f"w{len(made)}"))
        return made[-1]

    yield one
    for each in made:
        await each.mailer.close()
        await each.depth.close()


@pytest.fixture
def at(store):
    """Set the clock of the store."""

    def set_to(moment):
        store.mongo.ahead = moment - dt.datetime.now(dt.UTC)

    yield set_to
    store.mongo.ahead = dt.timedelta()


async def people(store, zones=ZONES, *, switches=()):
    for address, zone in zones.items():
        await grant(store, address, PROPOSALS, switches=switches)
        said = {"first_name": "x"} | ({"timezone": zone} if zone else {})
        await store.persons.enrich(subject(address), "profile", said, "shop", dt.datetime.now(dt.UTC))


def campaign(name="spomlad", wall=NINE, **more):
    return Campaign(name, "proposals", "proposal", b'{"title": "P"}', begins(wall), wall=wall, **more)


async def rows(store):
    docs = await store.mongo["schedule"].find({}, {"person": 1, "at": 1})
    return {doc["person"]: doc["at"] for doc in docs}


async def pid(store, address):
    return (await store.persons.whole(subject(address))).pid.hex()


async def says_no(store, address, purposes):
    now = millis(dt.datetime.now(dt.UTC))
    fields = {"id": new_id(), "producer": "shop", "at": now, "expires": now + 3_600_000, "source": "preference"}
    no = RevokeJob(**fields, purposes=purposes, person=await pid(store, address))
    opened = Opened(no, None, 0, "gateway", False, lambda: True, no_reply)
    return await Revoke(store, REGISTRY, RING.blind).handle(opened)


def utc(hour, minute=0, day=28):
    return dt.datetime(2027, 3, day, hour, minute, tzinfo=dt.UTC)


async def test_each_gets_it_by_their_own_clock_over_a_change_of_clocks(store, walker, at, url):
    await people(store)
    await store.campaigns.start(campaign())
    one = walker("timezone")
    at(begins(NINE) - HOUR)
    await one.once()
    assert await rows(store) == {}
    at(begins(NINE))
    await one.once()
    expected = {HOME: utc(7), "mai@primer.si": utc(0), "tom@primer.si": utc(13), "ida@primer.si": utc(7)}
    expected |= {"leo@primer.si": utc(7), "eva@primer.si": utc(3, 15)}
    assert await rows(store) == {subject(address): moment for address, moment in expected.items()}
    got = {}
    for moment in sorted({*expected.values()}):
        at(moment - dt.timedelta(seconds=1))
        await one.once()
        assert jobs_in(url, "send.bulk") == []
        at(moment)
        await one.once()
        got |= {job.person: moment for job in jobs_in(url, "send.bulk")}
        assert (await store.campaigns.get("spomlad")).state == ("done" if moment == utc(13) else "running")
    assert got == {await pid(store, address): moment for address, moment in expected.items()}
    found = await store.campaigns.get("spomlad")
    assert (found.walked, found.published, await rows(store)) == (6, 6, {})


async def test_a_time_that_no_clock_shows_is_later_and_one_shown_twice_is_the_first(store, walker, at):
    await people(store, {HOME: None, "tom@primer.si": "America/New_York"})
    gap, fold = utc(2, 30), dt.datetime(2027, 10, 31, 2, 30, tzinfo=dt.UTC)
    one = walker("timezone")
    found = {}
    for name, wall in (("gap", gap), ("fold", fold)):
        await store.campaigns.start(campaign(name, wall))
        at(begins(wall))
        await one.once()
        found[name] = (await rows(store))[subject(HOME)]
        await store.mongo["schedule"].delete({})
    assert found == {"gap": utc(1, 30), "fold": dt.datetime(2027, 10, 31, 0, 30, tzinfo=dt.UTC)}


@pytest.mark.clause("U10", guard="preklic_workers.clocks:may_use")
async def test_a_zone_that_the_registry_does_not_allow_is_not_opened(store, walker, at, monkeypatch):
    async def read(_subject):
        raise AssertionError("a profile was opened")

    await people(store)
    monkeypatch.setattr(store.profiles, "read", read)
    await store.campaigns.start(campaign())
    at(begins(NINE))
    await walker().once()
    assert set((await rows(store)).values()) == {utc(7)}


@pytest.mark.clause("U3", guard="preklic_workers.store.person_docs:unobjected")
async def test_who_objected_to_individual_mail_gets_it_by_the_company_s_clock(store, walker, at):
    await people(store, {"mai@primer.si": "Asia/Tokyo", "tom@primer.si": "America/New_York"})
    assert await says_no(store, "mai@primer.si", ("proposals.profiling",)) == Done()
    await store.campaigns.start(campaign())
    at(begins(NINE))
    await walker("timezone").once()
    assert await rows(store) == {subject("mai@primer.si"): utc(7), subject("tom@primer.si"): utc(13)}


async def test_a_no_between_the_walk_and_the_time_ends_it_and_a_pause_holds_it(store, walker, at, url):
    await people(store)
    await store.campaigns.start(campaign())
    one = walker("timezone")
    at(begins(NINE))
    await one.once()
    assert await says_no(store, "mai@primer.si", "all") == Done()
    assert subject("mai@primer.si") not in await rows(store)
    # While it is paused nothing of it goes, and what else is due is not kept waiting behind it.
    await store.campaigns.move("spomlad", ["running"], "paused")
    at(utc(14))
    other = Scheduled(new_id(), "o" * 43, b"p" * 16, "newsletter", "confirm", "sl", utc(13, 59), utc(15))
    await store.schedule.put([other])
    scheduler = Scheduler(store, REGISTRY, one.mailer)
    await asyncio.gather(one.once(), scheduler.once())
    assert [job.id for job in jobs_in(url, "send.bulk")] == [other.id]
    assert await LocalSends(store.mongo).waiting("spomlad") == 5
    await store.campaigns.move("spomlad", ["paused"], "running")
    await asyncio.gather(one.once(), scheduler.once())
    persons = {job.person for job in jobs_in(url, "send.bulk")}
    assert persons == {await pid(store, address) for address in ZONES if address != "mai@primer.si"}


async def test_killed_anywhere_and_walked_by_two_each_gets_one_and_nobody_is_missing(
    store, walker, at, url, monkeypatch
):
    monkeypatch.setattr(campaigning, "CHUNK", 3)
    monkeypatch.setattr("preklic_workers.store.campaigns.LEASE", dt.timedelta(0))
    addresses = {f"p{number}@primer.si": ("Asia/Tokyo" if number % 3 else None) for number in range(60)}
    await people(store, addresses)
    await store.campaigns.start(campaign())
    at(utc(7))
    cutter, jobs = Cutter(random.Random(11), monkeypatch), []
    cutter.watch(Campaigns, "take", "people", "advance", "move")
    cutter.watch(LocalSends, "put", "any", "due", "published")
    cutter.watch(Mailer, "publish")
    while (await store.campaigns.get("spomlad")).state != "done":
        await cutter.run(walker("timezone").once(), walker("timezone").once(), calls=18)
        jobs += jobs_in(url, "send.bulk")
    everybody = {await pid(store, address) for address in addresses}
    ids = {job_of(campaign(), Addressee("", bytes.fromhex(person))) for person in everybody}
    assert cutter.cuts >= 5
    assert {job.person for job in jobs} == everybody
    assert {job.id for job in jobs} == ids
    assert await rows(store) == {}


async def test_a_field_that_does_not_open_is_one_person_s_fault_alone(store, walker, at):
    await people(store, {"mai@primer.si": "Asia/Tokyo", "tom@primer.si": "America/New_York"})
    mai = subject("mai@primer.si")
    stored = (await store.mongo["persons"].find_one({"_id": mai}))["fields"]["profile"]
    spoilt = bytes(stored)[:-1] + bytes([bytes(stored)[-1] ^ 1])
    await store.mongo["persons"].change({"_id": mai}, {"$set": {"fields.profile": spoilt}}, {"_id": 1})
    await store.campaigns.start(campaign())
    at(begins(NINE))
    await walker("timezone").once()
    assert await rows(store) == {mai: utc(7), subject("tom@primer.si"): utc(13)}


async def test_the_role_campaign_opens_the_profile_and_nothing_else(mongo_url, one_database, store, tmp_path):
    keyfiles.init_keys(tmp_path, dt.datetime.now(dt.UTC))
    record, campaign_ = (load_ring(tmp_path / role, role) for role in ("record", "campaign"))
    writing = await open_test_store(mongo_url, one_database, ring=record, validators=False)
    reading = await open_test_store(mongo_url, one_database, ring=campaign_, validators=False)
    ana = record.blind.subject(parse(HOME))
    said = Grant(new_id(), ana, [PROPOSALS], dt.datetime.now(dt.UTC), {"wording": "w"}, parse(HOME), confirmed=True)
    await writing.grants.grant(said)
    for group in ("profile", "service"):
        await writing.persons.enrich(ana, group, {"timezone": "Asia/Tokyo"}, "shop", dt.datetime.now(dt.UTC))
    assert (await reading.profiles.read(ana)) == {"timezone": "Asia/Tokyo"}
    with pytest.raises(NoKey):
        await reading.persons.fields(ana, "service")
    with pytest.raises(NoKey):
        await reading.persons.address_of(ana)
    writing.close()
    reading.close()
