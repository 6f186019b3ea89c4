"""Replays on real servers: what a plan sees, what a run does, and that none of it can hurt (law 6)."""

import asyncio
import datetime as dt
import os
import random
import time
from types import SimpleNamespace

import pytest
from pymongo import UpdateOne

from commanding import Commands
from preklic_shared import wire
from preklic_shared.ids import job_id_for, new_id
from preklic_stack.system import PREKLIC
from preklic_workers import joblog, replay_plan, replay_run
from preklic_workers.judging import read_account
from preklic_workers.replay_plan import Source, TooMany, make_plan
from preklic_workers.replay_run import NotRun, run_plan
from preklic_workers.replaying import Wanted
from preklic_workers.store import DeadLetter
from preklic_workers.store.plans import Plans
from queueing import track
from sending import open_desk, route, send_job
from storing import HOUR, MINUTE, now
from waiting import auntil

TIER = "retry.5s"
MANY = int(os.environ.get("REPLAYED_JOBS", "400"))  # 10000 for the figure in docs/replay.md


def config_of(url):
    return SimpleNamespace(amqp_url=url, registry=None, template_dir=None)


def letter(job, actor="track", queue="track", fingerprint="f", at=None):
    at = at or now()
    body = wire.encode(job, actor)
    return DeadLetter(f"{job.id}.{at.timestamp()}", job.id, queue, actor, "template_error", fingerprint, 1, at, body)


async def dead(store, jobs, actor="track", queue="track", kind="track"):
    """Jobs that died, as upkeep records it."""
    await asyncio.gather(*(store.dead.add(letter(job, actor, queue)) for job in jobs))
    expires = now() + HOUR
    died = store.messages.died
    await asyncio.gather(*(died(job.id, kind, "template_error", producer="w", expires=expires) for job in jobs))


async def planned(store, url, **source):
    return await make_plan(store, config_of(url), Source(**({"dead": True} | source)), by="ana")


async def ran(store, url, plan, rate=1000, **more):
    return await run_plan(store, config_of(url), plan["_id"], reason="mended", by="ana", rate=rate, **more)


def counts(plan):
    found = {}
    for item in plan["items"]:
        found[item["outcome"]] = found.get(item["outcome"], 0) + 1
    return found


async def test_a_window_of_the_log_is_planned_and_replayed_without_growing_it(store, url, queues):
    early, void, inside, other = track(at=_ms(-2)), track(), track(), track(producer="shop")
    for job in (early, void, inside, other):
        queues.put(wire.encode(job, "track"), message_id=job.id, type="track", user_id="guest")
    queues.put(wire.encode(void, "track"), "void", message_id=void.id)
    window = {"dead": False, "since": now() - MINUTE, "until": now() + MINUTE}
    plan = await planned(store, url, **window)
    assert [item["job"] for item in plan["items"]] == [inside.id, other.id]
    shop = await planned(store, url, **window, wanted=Wanted(producer="shop"))
    assert [item["job"] for item in shop["items"]] == [other.id]
    queues.take("track")
    result = await ran(store, url, plan)
    assert (result["published"], result["skipped"], result["state"]) == (2, 0, "done")
    await auntil(lambda: queues.ready(TIER) == 2)
    account = await read_account(store, url, now() - HOUR, patience=0)
    assert (account.logged, account.unaccounted) == (3, 1)  # the early one: this test took it away
    assert joblog.extent(url).last == 4
    properties, body = queues.take(TIER)[0]
    assert body == wire.encode(inside, "track")
    # The first publisher stays the one that is judged: a replay by upkeep's user launders nothing.
    assert properties.headers == {"tier": "5s", "attempt": 0, "reason": "replayed", "by": "guest"}


async def test_more_than_a_plan_holds_is_refused_not_cut(store, url, queues, monkeypatch):
    monkeypatch.setattr(replay_plan, "MOST", 2)
    jobs = [track() for _ in range(3)]
    for job in jobs:
        queues.put(wire.encode(job, "track"), message_id=job.id, type="track")
    await dead(store, jobs)
    for source in ({}, {"dead": False, "since": now() - MINUTE}, {"dead": False, "recorded": True}):
        with pytest.raises(TooMany, match="narrow it"):
            await planned(store, url, **source)


async def test_what_is_recorded_can_be_judged_and_only_the_dead_have_a_body(store, url):
    gone, there = track(), track()
    await dead(store, [gone, there])
    await store.mongo["dead"].delete({"job": gone.id})
    applied = new_id()
    await store.messages.note(applied, "track", "applied", producer="w", expires=now() + HOUR)
    plan = await planned(store, url, dead=False, recorded=True, since=now() - MINUTE)
    assert counts(plan) == {"not replayable: body gone": 1, "would run": 1, "nothing: it is applied": 1}
    assert (await ran(store, url, plan))["published"] == 1


@pytest.mark.attack(69, guard="preklic_workers.store.plans:Plans.begin")
async def test_a_plan_runs_once_whoever_else_tries_at_the_same_time(store, url, queues):
    await dead(store, [track() for _ in range(20)])
    plan = await planned(store, url)
    answers = await asyncio.gather(*(ran(store, url, plan) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["NotRun", "NotRun", "dict"]
    await auntil(lambda: queues.ready(TIER) == 20)
    with pytest.raises(NotRun, match="done already"):
        await ran(store, url, plan)
    kinds = [act.kind for act in await store.acts.of()]
    assert kinds.count("replay_ended") == 1
    assert "replay" in kinds


async def test_stopped_it_ends_at_once_and_what_was_discarded_stays(store, url, queues):
    jobs = [track() for _ in range(100)]
    await dead(store, jobs)
    plan = await planned(store, url)
    first = plan["items"][0]
    assert await store.dead.move(first["letter"], "dead", "discarded", "let it go")
    running = asyncio.create_task(ran(store, url, plan, rate=10))
    plans = Plans(store.mongo)
    await auntil(lambda: queues.ready(TIER) >= 2)
    assert await plans.stop(plan["_id"])
    stopped = time.monotonic()
    result = await running
    assert time.monotonic() - stopped < 4  # all of it would take ten
    assert (result["state"], result["gone"]) == ("stopped", 1)
    assert first["job"] not in {properties.message_id for properties, _ in queues.take(TIER)}
    left = await store.mongo["dead"].count({"state": "dead"})
    assert left == 99 - result["published"]
    assert not await plans.stop(plan["_id"])


async def test_interrupted_it_says_so_and_exactly_the_rest_can_be_gone_on_with(store, url, queues):
    await dead(store, [track() for _ in range(30)])
    plan = await planned(store, url)
    running = asyncio.create_task(ran(store, url, plan, rate=20))
    await auntil(lambda: queues.ready(TIER) >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await Plans(store.mongo).show(plan["_id"]))["state"] == "interrupted"
    with pytest.raises(NotRun, match="--resume goes on"):
        await ran(store, url, plan)
    answers = await asyncio.gather(*(ran(store, url, plan, resume=True) for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["NotRun", "dict"]
    seen = {properties.message_id for properties, _ in await _returned(queues, 30)}
    assert seen == {item["job"] for item in plan["items"]}


async def _returned(queues, count):
    found = []

    def enough():
        found.extend(queues.take(TIER))
        return len({properties.message_id for properties, _ in found}) >= count

    await auntil(enough)
    return found


async def test_what_dies_again_of_one_cause_ends_the_replay(store, url, queues, monkeypatch):
    monkeypatch.setattr(replay_run, "_LOOK", 0.1)
    await dead(store, [track() for _ in range(60)])
    plan = await planned(store, url)
    running = asyncio.create_task(ran(store, url, plan, rate=20))
    while not running.done():
        for properties, body in queues.take(TIER):
            job = wire.decode(body, "track")[1]
            assert job.id == properties.message_id
            await store.dead.add(letter(job, fingerprint="again"))
        await asyncio.sleep(0.02)
    result = await running
    assert (result["state"], result["cause"]) == ("broken", "again")
    assert result["published"] < 60
    assert (await Plans(store.mongo).show(plan["_id"]))["cause"] == "again"


async def test_many_are_judged_and_fetched_in_groups(store, url, queues, capsys):
    jobs = [track() for _ in range(MANY)]
    await store.mongo["dead"].insert_many(
        [
            {"_id": f"{job.id}.1", "job": job.id, "queue": "track", "reason": "r", "fingerprint": "f", "attempts": 1}
            | {"actor": "track", "first": now(), "last": now(), "state": "dead", "body": wire.encode(job, "track")}
            for job in jobs
        ]
    )
    begun = time.monotonic()
    plan = await planned(store, url)
    judged = time.monotonic()
    result = await ran(store, url, plan, rate=1000)
    with capsys.disabled():
        print(f"\n{MANY} dead letters judged in {judged - begun:.2f} s, replayed at {result['rate']} of 1000/s")  # noqa: T201
    assert result["published"] == MANY
    assert await store.mongo["dead"].count({"state": "dead"}) == 0


# Two guards, each of which would do: the person is read before MAIL, and the gate asks again before DATA.
@pytest.mark.attack(18, guard="preklic_workers.permission:may")
@pytest.mark.attack(18, guard="preklic_workers.store.person_docs:permitted")
async def test_who_withdraws_while_a_killed_replay_goes_on_gets_no_mail_and_the_others_one(
    mongo_url, mongo_database, url, queues, sink, processes, tmp_path, monkeypatch
):
    """kill -9 of the runner at a random moment, withdrawals meanwhile: each mail is sent once, or refused."""
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    try:
        people = {new_id(): f"p{n}@primer.example" for n in range(40)}
        for address in people.values():
            await desk.grant(address, "newsletter")
        mails = [send_job("newsletter", job_id=job) for job in people]
        await dead(desk.store, mails, "send_bulk", "send.bulk", "send")
        plan = await planned(desk.store, url)
        assert counts(plan) == {"would run": 40}
        environment = os.environ | {"PREKLIC_AMQP_URL": url, "PREKLIC_MONGO_URL": mongo_url}
        environment |= {"PREKLIC_MONGO_DATABASE": mongo_database}
        command = [*PREKLIC, "replay", "run", plan["_id"], "--reason", "mended", "--rate", "40"]
        child = processes.start("replay", command, env=environment, log=tmp_path / "replay.log")
        await auntil(lambda: queues.ready(TIER) >= 1, 20)
        gone = random.Random().sample(sorted(people), 15)
        for job in gone[:8]:
            await desk.withdraw(people[job], ["newsletter"])
        await asyncio.sleep(random.uniform(0, 0.6))
        child.kill()
        taken = queues.take(TIER)
        for job in gone[8:]:
            await desk.withdraw(people[job], ["newsletter"])
        plans = desk.store.mongo["plans"]
        await plans.bulk([UpdateOne({"_id": plan["_id"]}, {"$set": {"beat": now() - MINUTE}})])
        assert (await Plans(desk.store.mongo).show(plan["_id"]))["state"] == "interrupted"
        await ran(desk.store, url, plan, resume=True)
        taken += await _returned(queues, 40 - len({properties.message_id for properties, _ in taken}))
        for _, body in taken:
            job = wire.decode(body, "send.bulk")[1]
            await desk.send(job, people[job.id])
        states = {job: (await desk.state(SimpleNamespace(id=job))).state for job in people}
        assert states == {job: "refused" if job in gone else "sent" for job in people}
        assert len(sink.mails()) == 25
    finally:
        await desk.close()


async def test_the_commands_show_a_plan_its_run_and_what_became_of_it(
    store, url, mongo_url, mongo_database, monkeypatch, capsys
):
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)
    named = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
    command = Commands(monkeypatch, capsys, {f"PREKLIC_{name}": value for name, value in named.items()})

    async def run(*arguments):
        return await asyncio.to_thread(command, "replay", *arguments)

    job = track(id=job_id_for("guest", "track:order-7"))
    await dead(store, [job, track()])
    code, out, _ = await run("plan", "--dead", "--producer", "guest", "--idempotency-key", "order-7")
    assert code == 0, out
    (plan,) = await Plans(store.mongo).recent()
    assert [name for name in (plan["_id"], "would run", job.id) if name not in out] == []
    assert (await run("plan"))[0] == 2
    assert (await run("plan", "--dead", "--job", "ana@primer.example"))[0] == 2
    assert (await run("run", plan["_id"], "--reason", "ana@primer.example asked"))[0] == 2
    code, out, error = await run("run", plan["_id"], "--reason", "mended", "--watch", "0")
    assert (code, "published 1 of 1" in out) == (0, True), error
    code, _, error = await run("run", plan["_id"], "--reason", "again")
    assert (code, "make a new one" in error) == (4, True)
    code, out, _ = await run("show", plan["_id"])
    assert [word for word in ("published", "mended", "dead", job.id) if word not in out] == []
    assert "mended" in (await run("list"))[1]
    assert (await run("stop", plan["_id"]))[0] == 1
    assert (await run("show", "0" * 16))[0] == 1


def _ms(hours):
    return int((now() + dt.timedelta(hours=hours)).timestamp() * 1000)
