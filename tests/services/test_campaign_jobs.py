"""What is asked of campaigns over the queue, on a real store: each job has one effect, and a brake always holds."""

import asyncio
import datetime as dt
import random
import time

import pytest

from preklic_shared.campaign_jobs import CampaignJob, CampaignPayload
from preklic_shared.ids import new_id
from preklic_shared.wire import encode
from preklic_workers import campaign_acts, campaign_view
from preklic_workers.campaign_acts import Said
from preklic_workers.campaign_desk import LOOKS, CampaignDesk
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.store import Unavailable
from preklic_workers.upkeep import Upkeep, letter_of
from storing import REGISTRY

DATA = {"title": "Jesen"}
DAY = 86_400_000
NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def desk(emptied_store):
    return CampaignDesk(emptied_store, REGISTRY)


def now():
    return time.time_ns() // 1_000_000


def job_of(act="start", name="jesen", **more):
    at = more.pop("at", now())
    of = {"purpose": "newsletter", "template": "newsletter"} if act == "start" else {}
    fields = {"id": new_id(), "producer": "shop", "at": at, "expires": at + DAY, "key": "campaign-1", "sealed": "AAAA"}
    return CampaignJob(**fields | of | more, campaign=name, act=act)


async def done(desk, job, attempt=0, *, expired=False, **asked):
    asked = asked or ({"data": DATA} if job.act == "start" else {"reason": "case 17"})
    opened = Opened(job, CampaignPayload(**asked), attempt, "gateway", expired, lambda: True, no_reply)
    return await desk.handle(opened)


async def state(desk, name="jesen"):
    return (await desk.store.campaigns.get(name)).state


async def held(desk, name="jesen"):
    return await desk.store.controls.stopped(f"campaign:{name}") is not None


async def test_the_same_start_again_is_the_same_campaign_and_another_definition_is_refused_and_told(desk):
    assert await done(desk, first := job_of()) == Done()
    assert await done(desk, job_of()) == Done()
    others = [{"data": {"title": "Zima"}}, {"data": DATA, "segment": "provider = gmail"}, {"data": DATA, "rate": 5}]
    others += [{"data": DATA, "cap": (2, 7)}, {"data": DATA, "at": now() + DAY}]
    others += [{"data": DATA, "at": now(), "local": True}]
    jobs = [job_of() for _ in others]
    ends = [await done(desk, job, **said) for job, said in zip(jobs, others, strict=True)]
    assert ends == [Refused("idempotency_conflict")] * len(others)
    told = await campaign_view.look(desk.store, "jesen")
    assert (told["state"], told["purpose"]) == ("running", "newsletter")
    asked = {row["id"]: (row["state"], row["reason"], row["by"]) for row in told["asked"]}
    assert asked[first.id] == ("applied", "start", "shop")
    assert {asked[job.id] for job in jobs} == {("refused", "idempotency_conflict", "shop")}


@pytest.mark.attack(11, guard="preklic_workers.campaign_desk:_OVER")
async def test_a_brake_that_comes_again_a_week_later_has_no_second_effect(desk):
    await done(desk, job_of())
    stop = job_of("stop")
    assert await done(desk, stop) == Done()
    assert (await state(desk), await held(desk)) == ("stopped", True)
    assert await done(desk, job_of("resume", at=now() + 1)) == Done()
    assert (await state(desk), await held(desk)) == ("running", False)
    assert await done(desk, stop, expired=True) == Done()
    assert (await state(desk), await held(desk)) == ("running", False)
    assert (await desk.store.messages.show(stop.id))["state"] == "applied"


async def test_fifty_starts_at_once_are_one_campaign_and_the_same_job_twice_is_one_end(desk):
    twice = job_of()
    jobs = [twice, twice, *(job_of() for _ in range(48))]
    assert await asyncio.gather(*(done(desk, job) for job in jobs)) == [Done()] * 50
    assert len(await desk.store.campaigns.all()) == 1
    assert await desk.store.mongo["messages"].count({"kind": "campaign"}) == 49


@pytest.mark.attack(13, guard="preklic_shared.campaign_rules:check")
@pytest.mark.parametrize(
    ("purpose", "template"),
    [
        ("gone", "newsletter"),
        ("newsletter", "payment"),
        ("newsletter", "confirm"),
        ("payment", "payment"),
        (None, None),
    ],
)
async def test_a_purpose_that_is_none_of_campaigns_is_refused(desk, purpose, template):
    assert await done(desk, job_of(purpose=purpose, template=template)) == Refused("purpose_denied")
    told = await campaign_view.look(desk.store, "jesen")
    assert (told["state"], told["asked"][0]["reason"]) == (None, "purpose_denied")


@pytest.mark.attack(8, guard="preklic_shared.campaign_rules:_check_time")
@pytest.mark.parametrize(
    "at",
    [0, now() + 367 * DAY, now() - 367 * DAY, 253_402_300_799_999],
    ids=["never", "too late", "too early", "year 9999"],
)
@pytest.mark.parametrize("local", [False, True])
async def test_a_hostile_time_of_a_campaign_is_dead_and_names_the_field(desk, at, local):
    assert await done(desk, job_of(), at=at, local=local) == Dead("malformed", "at")
    assert await desk.store.campaigns.get("jesen") is None


async def test_what_was_asked_wrongly_ends_with_a_reason(desk):
    assert await done(desk, job_of(), segment="contact = x") == Refused("bad_segment")
    assert await done(desk, job_of(), data={"x": "y" * 100_001}) == Dead("malformed", "data")
    assert await done(desk, job_of(), local=True) == Dead("malformed", "at")
    assert await done(desk, job_of(), expired=True) == Refused("expired")
    assert await done(desk, job_of("pause"), reason="ana@primer.si asked") == Dead("malformed", "reason")
    assert await desk.store.campaigns.get("jesen") is None


async def test_killed_after_the_campaign_was_recorded_the_job_comes_again_and_it_is_one(desk, monkeypatch):
    """Whoever dies between the two writes leaves the job unacked; MongoDB away is the same, with a tier."""
    job, note = job_of(), desk.store.messages.note

    async def dies(*_, **__):
        raise asyncio.CancelledError

    async def away(*_, **__):
        raise Unavailable

    monkeypatch.setattr(desk.store.messages, "note", dies)
    with pytest.raises(asyncio.CancelledError):
        await done(desk, job)
    monkeypatch.setattr(desk.store.messages, "note", away)
    assert isinstance(again := await done(desk, job), RetryLater)
    assert not again.count
    monkeypatch.setattr(desk.store.messages, "note", note)
    assert await done(desk, job) == Done()
    assert [row.name for row in await desk.store.campaigns.all()] == ["jesen"]


async def test_a_brake_holds_whatever_arrives_first(desk):
    """A gateway's outbox may bring a `resume` after the `stop` that was said later, and a `stop` before its start."""
    begun = now() - 10_000
    assert isinstance(await done(desk, early := job_of("stop", at=begun)), RetryLater)
    assert await held(desk)
    await done(desk, job_of(at=begun - 1))
    assert await done(desk, early, attempt=1) == Done()
    assert (await state(desk), await held(desk)) == ("stopped", True)
    assert await done(desk, job_of("resume", at=begun - 1)) == Refused("braked_later")
    assert (await state(desk), await held(desk)) == ("stopped", True)
    assert await done(desk, job_of("resume", at=begun + 1)) == Done()
    assert (await state(desk), await held(desk)) == ("running", False)
    # A brake from a slow clock holds all the same; one from a fast clock does not hold for minutes.
    assert await done(desk, job_of("pause", at=begun - 60_000)) == Done()
    assert await state(desk) == "paused"
    assert await done(desk, job_of("resume")) == Done()
    assert await done(desk, job_of("stop", at=now() + 240_000)) == Done()
    await asyncio.sleep(0.005)
    assert await done(desk, job_of("resume")) == Done()
    assert await state(desk) == "running"


async def test_a_dead_start_is_told_and_a_replay_of_it_starts_once(desk):
    job = job_of()
    body = encode(job, "campaign")
    upkeep = Upkeep(desk.store, REGISTRY)
    said = {"reason": "unexpected:KeyError", "queue": "campaign", "at": now()}
    await upkeep.bury(letter_of(body, job.id, said))
    told = await campaign_view.look(desk.store, "jesen")
    assert (told["state"], [row["state"] for row in told["asked"]]) == (None, ["dead"])
    assert await done(desk, job) == Done()
    assert await done(desk, job) == Done()
    told = await campaign_view.look(desk.store, "jesen")
    assert (told["state"], [(row["state"], row["reason"]) for row in told["asked"]]) == (
        "running",
        [("applied", "start")],
    )


async def test_a_campaign_of_millions_is_told_without_its_counts(desk):
    await done(desk, job_of())
    docs = [claim_doc(number) for number in range(20_000)]
    await desk.store.mongo["messages"].insert_many(docs)
    assert (await campaign_view.look(desk.store, "jesen", 0.001))["mails"] is None
    (row,) = (await campaign_view.look(desk.store, "jesen"))["mails"]
    assert row == {"variant": 0, "state": "sent", "reason": "", "count": 20_000}


def claim_doc(number):
    fixed = dict.fromkeys(("created", "expires", "at"), NOW)
    return {"_id": f"{number:036}", "kind": "send", "state": "sent", "producer": "p", "campaign": "jesen"} | fixed


async def test_what_is_asked_of_no_campaign_waits_a_little_and_is_refused(desk):
    job = job_of("pause", name="nobody")
    ends = [await done(desk, job, attempt=attempt) for attempt in range(LOOKS + 1)]
    assert [type(end) for end in ends] == [RetryLater] * LOOKS + [Refused]
    assert ends[-1] == Refused("unknown_campaign")
    told = await campaign_view.look(desk.store, "nobody")
    assert (told["state"], told["asked"][0]["reason"]) == (None, "unknown_campaign")


async def test_stop_and_resume_at_once_never_leave_a_stopped_campaign_s_mails_going(desk, monkeypatch):
    """Every interleaving of their five writes: what is stopped at the end is held by its switch, too."""
    store, chance = desk.store, random.Random(17)
    for owner, names in ((store.campaigns, ("brake", "let_go", "get")), (store.controls, ("stop", "go"))):
        for name in names:
            monkeypatch.setattr(owner, name, _dawdling(getattr(owner, name), chance))
    stopped = 0
    for number in range(60):
        name = f"c{number}"
        await done(desk, job_of(name=name))
        await campaign_acts.move(store, name, "pause", Said("ana", now() - 10, "w"))
        at = now()
        order = [("stop", at + chance.choice([-1, 0, 1])), ("resume", at)]
        chance.shuffle(order)
        await asyncio.gather(*(campaign_acts.move(store, name, deed, Said("ana", said, "w")) for deed, said in order))
        if await state(desk, name) == "stopped":
            stopped += 1
            assert await held(desk, name), (name, order)
    assert stopped > 20


def _dawdling(write, chance):
    async def later(*args, **kwargs):
        await asyncio.sleep(chance.uniform(0, 0.004))
        return await write(*args, **kwargs)

    return later
