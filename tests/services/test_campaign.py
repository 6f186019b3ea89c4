"""Campaigns on a real broker and store: each person who permits it is in once, whatever is killed meanwhile."""

import asyncio
import datetime as dt
import itertools
import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cutting import Cutter
from preklic_shared.ids import new_id
from preklic_shared.segments import Joined, Not, Term, parse
from preklic_shared.settings import Settings
from preklic_shared.topology_apply import apply
from preklic_workers import campaigning
from preklic_workers.campaigning import Depth, FanOut, variant_of
from preklic_workers.mailing import Mailer
from preklic_workers.segments import filter_of, matches
from preklic_workers.store import Campaign
from preklic_workers.store.campaigns import Campaigns
from preklic_workers.store.person_docs import fresh
from producing import jobs_in, sealing
from storing import HOUR, REGISTRY, claim_of, now, open_test_store, put_persons

PEOPLE = [f"{number:04d}".ljust(43, "p") for number in range(500)]


@pytest.fixture
async def store(mongo_url, mongo_database):
    opened = await open_test_store(mongo_url, mongo_database)
    yield opened
    opened.close()


@pytest.fixture
def queues(amqp_url):
    apply(amqp_url)
    return amqp_url


@pytest.fixture
async def walker(store, queues, tmp_path):
    """Another walker of the same campaigns, each with a connection of its own."""
    path, made = sealing(tmp_path).path, []

    def one(name="w"):
        mailer = Mailer(Settings(amqp_url=queues, sealing_keys=path))
        made.append(FanOut(store, REGISTRY, mailer, Depth(queues), f"{name}{len(made)}"))
        return made[-1]

    yield one
    for each in made:
        await each.mailer.close()
        await each.depth.close()


def campaign(name="jesen", **more):
    return Campaign(name, "newsletter", "newsletter", b'{"title": "Jesen"}', now() - HOUR, **more)


async def put(store, people, **fields):
    await put_persons(store, people, {"newsletter": "granted"})
    update = {"contact": b"c" * 40} | fields
    for person in people:
        await store.mongo["persons"].change({"_id": person}, {"$set": update}, {"_id": 1})


async def pids(store, people):
    docs = await store.mongo["persons"].find({"_id": {"$in": list(people)}}, {"pid": 1})
    return {bytes(doc["pid"]).hex() for doc in docs}


def mails(url):
    return jobs_in(url, "send.bulk")


async def test_everybody_who_permits_it_gets_one_job_that_names_no_address(store, walker, queues, monkeypatch):
    monkeypatch.setattr(campaigning, "CHUNK", 30)
    await put(store, PEOPLE[:100])
    await put_persons(store, PEOPLE[100:110], {"newsletter": "withdrawn"})
    await put_persons(store, PEOPLE[110:120], {"newsletter": "granted"}, ["complaint"])
    await store.campaigns.start(campaign())
    await walker().once()
    jobs = mails(queues)
    assert {job.person for job in jobs} == await pids(store, PEOPLE[:100])
    assert len({job.id for job in jobs}) == len(jobs) == 100
    assert {(job.campaign, job.purpose, job.variant) for job in jobs} <= {("jesen", "newsletter", v) for v in range(10)}
    done = await store.campaigns.get("jesen")
    assert (done.state, done.walked, done.published) == ("done", 100, 100)
    assert await store.campaigns.start(campaign()) == done
    assert await store.campaigns.start(campaign(segment="provider = gmail")) is None


async def test_killed_anywhere_and_walked_by_two_nobody_is_missing_and_nobody_is_in_twice(
    store, walker, queues, monkeypatch
):
    """Walkers are cut off at random calls, two at a time; their leases run out at once."""
    monkeypatch.setattr(campaigning, "CHUNK", 3)
    monkeypatch.setattr("preklic_workers.store.campaigns.LEASE", dt.timedelta(0))
    await put(store, PEOPLE)
    await store.campaigns.start(campaign())
    cutter, jobs = Cutter(random.Random(11), monkeypatch), []
    cutter.watch(Campaigns, "take", "people", "advance", "move")
    cutter.watch(Mailer, "publish")
    while (await store.campaigns.get("jesen")).state != "done":
        await cutter.run(walker().once(), walker().once(), calls=24)
        jobs += mails(queues)
    jobs += mails(queues)
    assert cutter.cuts >= 10
    assert {job.person for job in jobs} == await pids(store, PEOPLE)
    assert len({job.id for job in jobs}) == len(PEOPLE)
    assert len({(job.id, job.person) for job in jobs}) == len(PEOPLE)


@pytest.mark.parametrize("switch", ["campaign:jesen", "purpose:newsletter", "marketing", "all"])
async def test_the_walk_of_a_stopped_campaign_waits_and_fills_no_tier(store, walker, queues, switch):
    await put(store, PEOPLE[:5])
    await store.campaigns.start(campaign())
    walk = walker()
    await store.controls.stop(switch, reason="wrong price", by="ana")
    await walk.once()
    assert (mails(queues), (await store.campaigns.get("jesen")).state) == ([], "running")
    await store.controls.go(switch, reason="mended", by="ana")
    await walk.once()
    assert len(mails(queues)) == 5


async def test_pause_stop_and_what_is_said_meanwhile(store, walker, queues, monkeypatch):
    monkeypatch.setattr(campaigning, "CHUNK", 20)
    await put(store, PEOPLE[:60])
    await store.campaigns.start(campaign())
    one = walker()
    found = await store.campaigns.take("jesen", "w0")
    assert await one._step(found)
    assert await store.campaigns.move("jesen", ["running"], "paused")
    await one.once()
    assert len(mails(queues)) == 20
    for person in PEOPLE[40:50]:
        await store.mongo["persons"].change(
            {"_id": person}, {"$set": {"permissions.newsletter.state": "withdrawn"}}, {"_id": 1}
        )
    assert await store.campaigns.move("jesen", ["paused", "stopped"], "running")
    await one.once()
    assert {job.person for job in mails(queues)} == await pids(store, [*PEOPLE[20:40], *PEOPLE[50:60]])


async def test_a_rate_is_kept_and_a_full_queue_is_waited_for(store, walker, queues, monkeypatch):
    await put(store, PEOPLE[:200])
    await store.campaigns.start(campaign(rate=50.0))
    one = walker()
    begun = asyncio.get_running_loop().time()
    while (await store.campaigns.get("jesen")).published < 100:
        await one.once()
        await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - begun >= 0.9  # the first second's 50 go at once
    monkeypatch.setattr(campaigning, "DEEP", 10)
    one.depth._seen.clear()
    published = (await store.campaigns.get("jesen")).published
    await one.once()
    assert (await store.campaigns.get("jesen")).published == published
    assert len(mails(queues)) == published


async def test_a_cap_leaves_out_who_got_enough(store, walker, queues):
    await put(store, PEOPLE[:4])
    for person, count in zip(PEOPLE[:4], (0, 1, 2, 3), strict=True):
        for number in range(count):
            claim = claim_of(new_id(), person)
            await store.messages.claim(
                type(claim)(**{f: getattr(claim, f) for f in claim.__slots__} | {"campaign": f"c{number}"})
            )
    await store.campaigns.start(campaign(cap=(2, 7)))
    await walker().once()
    assert {job.person for job in mails(queues)} == await pids(store, PEOPLE[:2])


async def test_a_campaign_whose_template_is_gone_waits_for_somebody(store, walker, queues):
    await put(store, PEOPLE[:2])
    await store.campaigns.start(Campaign("x", "newsletter", "gone", b"{}", now() - HOUR))
    await store.campaigns.start(campaign("y", segment="no segment"))
    await store.campaigns.start(campaign("z", rate=0.5))
    await walker().once()
    states = {name: (await store.campaigns.get(name)).state for name in "xyz"}
    assert (states, len(mails(queues))) == ({"x": "paused", "y": "paused", "z": "running"}, 1)


async def test_it_begins_when_it_is_time(store, walker, queues):
    await put(store, PEOPLE[:2])
    await store.campaigns.start(Campaign("x", "newsletter", "newsletter", b"{}", now() + HOUR))
    await walker().once()
    assert mails(queues) == []


def test_the_variants_are_of_about_equal_size_and_differ_by_campaign():
    people = [os.urandom(16) for _ in range(5000)]
    sizes = [sum(variant_of("a", pid) == v for pid in people) for v in range(10)]
    assert min(sizes) > 380
    assert any(variant_of("a", pid) != variant_of("b", pid) for pid in people)


days = st.sampled_from(["2026-01-01", "2026-03-01", "2026-06-01"])
terms = st.builds(
    lambda field, order, value: parse(f"{field} {order} {value}"),
    st.sampled_from(["granted", "alive"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    days,
) | st.builds(
    lambda order, value: parse(f"provider {order} {value}"),
    st.sampled_from(["=", "!="]),
    st.sampled_from(["gmail", "siol"]),
)
segments = st.recursive(
    terms,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


async def test_the_filter_finds_whom_the_segment_means(store):
    """Every kind of person there is, and many segments: MongoDB and Python agree."""
    moments = [None, *(dt.datetime.fromisoformat(f"2026-0{month}-01T00:00+00:00") for month in (1, 3, 6))]
    docs = []
    for number, (provider, granted, alive) in enumerate(itertools.product(["gmail", "siol", None], moments, moments)):
        doc = fresh(f"{number:04d}".ljust(43, "s"), os.urandom(16))
        doc |= {"provider": provider} if provider else {}
        doc |= {"alive": alive} if alive else {}
        said = {"state": "granted", "at": granted, "job": new_id(), "seq": 0}
        doc["permissions"] = {"newsletter": said} if granted else {}
        docs.append(doc)
    await store.mongo["persons"].insert_many(docs)
    loop = asyncio.get_running_loop()
    drawn: list[Term | Joined | Not] = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(segments)
    def draw(segment):
        drawn.append(segment)

    await loop.run_in_executor(None, draw)
    for segment in drawn:
        found = await store.mongo["persons"].find(filter_of(segment, "newsletter"), {"_id": 1})
        assert {doc["_id"] for doc in found} == {doc["_id"] for doc in docs if matches(segment, doc, "newsletter")}
