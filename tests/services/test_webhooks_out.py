"""Outgoing webhooks on real services: what the feed publishes, what the role webhook makes of it, and who is killed."""

import asyncio
import json
import random
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from commanding import Commands
from hearing import receiving, secret_file
from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_shared.settings import load_settings
from preklic_shared.topology import JOBS, QUEUES
from preklic_shared.webhooks_out import EVENTS, WebhookOut
from preklic_stack.system import PREKLIC
from preklic_workers import replay_run
from preklic_workers.burials import letter_from
from preklic_workers.judging import read_account
from preklic_workers.outcomes import Dead, Done, RetryLater
from preklic_workers.replay_plan import Source, make_plan
from preklic_workers.store import Unavailable
from preklic_workers.store.feeds import Feeds
from preklic_workers.store.hooks import Hooks
from preklic_workers.upkeep import Upkeep
from preklic_workers.webhooks import feed as feeding
from preklic_workers.webhooks.endpoints import AT_ONCE, Endpoint
from preklic_workers.webhooks.events import Event, job_of
from preklic_workers.webhooks.feed import FEED, Feed
from preklic_workers.webhooks.posting import Poster
from preklic_workers.webhooks.telling import Telling, switch_of
from queueing import queues_of
from storing import MINUTE, NEWS, REGISTRY, claimed, grant, now, open_test_store, sent, subject, withdraw
from waiting import auntil, until

ANA = "ana.canary@primer.example"
PROGRAM = Path(__file__).with_name("feed_process.py")
DAY_MS = 24 * 3_600_000


def out(name="shop", url="http://127.0.0.1:1/", path=".", events=EVENTS):
    return WebhookOut(name=name, url=url, secret_file=Path(path), events=events)


@asynccontextmanager
async def following(feed, store):
    """The feed at work, from the moment it has a place."""
    task = asyncio.create_task(again_and_again(feed))
    try:
        await auntil(lambda: placed(store), what="the feed has a place")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def again_and_again(feed):
    while True:
        await feed.once()


async def placed(store):
    place = await Feeds(store.mongo).place(FEED)
    return place is not None and place.token is not None


def taken(queues):
    """The webhook jobs that lie on the queue, taken off it."""
    return [wire.decode(body, "webhooks")[1] for _, body in queues.take("webhooks")]


async def test_each_kind_of_change_is_told_once_and_names_nobody(store, url, queues):
    feed, jobs = Feed(store, [out()], url), []

    def enough():
        jobs.extend(taken(queues))
        return len({job.event for job in jobs}) == 6

    async with following(feed, store):
        await grant(store, ANA, NEWS)
        message = await claimed(store, subject(ANA))
        await sent(store, ANA, message)
        refused = await claimed(store, subject(ANA))
        await store.messages.settle(refused, 1, "refused", reason="withdrawn")
        no = new_id()
        await withdraw(store, ANA, job=no)
        await store.erasures.erase(no, subject(ANA), now(), lambda person: None if person.erased else frozenset())
        await store.controls.stop("purpose:offers", reason="case 17", by="ana")
        await store.controls.stop("purpose:offers", reason="still", by="ana")
        await auntil(enough, what="six events")
    await feed.close()
    told = {job.event: job for job in jobs}
    pid = (await store.persons.whole(subject(ANA))).pid.hex()
    assert len(jobs) == 6
    assert told["message.sent"].message == message
    assert (told["message.refused"].message, told["message.refused"].reason) == (refused, "withdrawn")
    assert (told["permission.withdrawn"].withdrawal, told["permission.withdrawn"].purposes) == (no, ("newsletter",))
    assert told["person.erased"].withdrawal == no
    assert told["control.stopped"].control == "purpose:offers"
    assert {job.person for event, job in told.items() if event != "control.stopped"} == {pid}
    assert "canary" not in repr(jobs)
    assert subject(ANA) not in repr(jobs)


async def test_every_change_of_many_mails_has_exactly_one_id_whatever_is_cut_off(store, url, queues):
    """The feed is cancelled and replaced at random moments; all it published, taken together, is each change once."""
    chance, expected, feeds = random.Random(7), set(), []
    await grant(store, ANA, NEWS)

    def another():
        feeds.append(Feed(store, [out()], url))
        feeds[-1]._me = "3f0f1d9e-0000-4000-8000-000000000000"  # the same holder: no lease to wait for
        return asyncio.create_task(again_and_again(feeds[-1]))

    task = another()
    await auntil(lambda: placed(store))
    for _ in range(8):
        for _ in range(6):
            message = await claimed(store, subject(ANA))
            state = chance.choice(["sent", "bounced", "failed", "refused", "in_doubt", "dead"])
            await store.messages.settle(message, 1, state, reason="x")
            expected.add((message, f"message.{state}"))
            if state == "in_doubt" and chance.random() < 0.5:
                assert await store.messages.resolve(message, "bounced", "relay_log")
                expected.add((message, "message.bounced"))
        await asyncio.sleep(chance.random() * 0.2)  # cut off at any moment: there is nothing to wait for
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        task = another()
    jobs = []

    def complete():
        jobs.extend(taken(queues))
        return {(job.message, job.event) for job in jobs} == expected

    await auntil(complete, what="every change")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(*(feed.close() for feed in feeds))
    ids = {(job.message, job.event): job.id for job in jobs}
    assert len(ids) == len(set(ids.values())) == len({job.id for job in jobs}) == len(expected)


async def test_a_place_that_the_log_has_forgotten_is_said_and_made_good_from_the_records(store, url, queues):
    feed = Feed(store, [out()], url)
    async with following(feed, store):
        await grant(store, ANA, NEWS)
        message = await claimed(store, subject(ANA))
        await sent(store, ANA, message)
        before = []
        await auntil(lambda: before.extend(taken(queues)) or len(before) == 2)
    missed = await claimed(store, subject(ANA))
    await store.messages.settle(missed, 1, "failed", reason="patience")
    no = new_id()
    await withdraw(store, ANA, job=no)
    ancient = await forgotten(store)
    where = {"_id": FEED}
    await store.mongo["feeds"].change(where, {"$set": {"token": ancient, "lease": now() - MINUTE}}, {"_id": 1})
    jobs = []

    def found():
        jobs.extend(taken(queues))
        return {job.message for job in jobs} >= {missed} and any(job.withdrawal == no for job in jobs)

    second = Feed(store, [out()], url)
    task = asyncio.create_task(again_and_again(second))
    after = await claimed(store, subject(ANA))  # the server finds out at the next event only
    await store.messages.settle(after, 1, "failed")
    await auntil(found, what="what was missed")
    await auntil(lambda: jobs.extend(taken(queues)) or any(job.message == after for job in jobs))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.gather(feed.close(), second.close())
    (gap,) = await store.acts.of(kind="webhook_gap")
    assert gap.facts["since"] < now()
    again = {job.id for job in jobs}
    assert {job.id for job in before} <= again  # told once more, under the same ids
    assert len({(job.event, job.message, job.withdrawal, job.grant) for job in jobs}) == len(again)


async def forgotten(store):
    """The token of an event that never was: the server finds the moment in its log, and not the event (code 280)."""
    raw = store.mongo.changes([], None, wait=100)
    await raw.try_next()
    await claimed(store, subject("bor@primer.example"))
    token = (await raw.try_next())["_id"]["_data"]
    await raw.close()
    return {"_data": token[:40] + f"{(int(token[40], 16) + 1) % 16:x}" + token[41:]}


async def test_one_process_reads_and_another_takes_over_when_its_lease_is_out(store, url):
    first, second = Feed(store, [out()], url), Feed(store, [out()], url)
    async with following(first, store):
        await second.once()  # returns at once: the lease is held
        assert await Feeds(store.mongo).hold(FEED, second._me) is None
        await store.mongo["feeds"].change({"_id": FEED}, {"$set": {"lease": now() - MINUTE}}, {"_id": 1})
        assert await Feeds(store.mongo).hold(FEED, second._me) is not None
    assert not await Feeds(store.mongo).save(FEED, first._me, {"_data": "82"}, now())
    await asyncio.gather(first.close(), second.close())


class Hearing:
    """A receiver, an endpoint `shop` at it (and others by path), and the handler that tells them."""

    def __init__(self, receiver, store, folder, seconds=1.0):
        self.receiver, self.store = receiver, store
        self.path, self.secrets = secret_file(folder)
        self.post = Poster(seconds)
        names = ("shop", "slow")
        self.endpoints = {n: Endpoint(out(n, f"{receiver.url}/{n}", self.path)) for n in names}
        self.telling = Telling(store, self.endpoints, self.post)

    def job(self, endpoint="shop", **data):
        moment = now()
        return job_of(Event("message.sent", new_id(), moment, {"message": new_id()} | data), endpoint, moment)

    async def tell(self, job=None, attempt=0, *, expired=False):
        job = job or self.job()
        return await self.telling.handle(SimpleNamespace(job=job, attempt=attempt, expired=expired))


@pytest.fixture
async def hearing(emptied_store, tmp_path):
    with receiving() as receiver:
        found = Hearing(receiver, emptied_store, tmp_path)
        yield found
        await found.post.close()


async def test_what_arrives_is_signed_with_each_secret_and_connections_are_used_again(hearing):
    jobs = [hearing.job() for _ in range(5)]
    for job in jobs:
        assert await hearing.tell(job) == Done()
    heard = hearing.receiver.heard
    assert [one.id for one in heard] == [job.id for job in jobs]
    for one, job in zip(heard, jobs, strict=True):
        told = one.verified_by(hearing.secrets[0])
        assert told["data"]["message"] == job.message
        assert set(told) == {"type", "timestamp", "data"}
        assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 60
    assert len(hearing.receiver.connections) == 1


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(500, "http_500"), (302, "http_302"), (308, "http_308"), ("closes", "lost"), ("hold", "timeout")],
)  # fmt: skip
async def test_whatever_is_not_a_2xx_comes_again_with_the_same_id(hearing, mode, reason):
    hearing.receiver.modes["/shop"] = mode
    hearing.post._seconds = 0.3
    job = hearing.job()
    assert await hearing.tell(job) == RetryLater(5, reason)
    assert (await Hooks(hearing.store.mongo).all())["shop"].waiting == 1
    hearing.receiver.modes["/shop"] = 200
    hearing.receiver.go.set()
    assert await hearing.tell(job, attempt=1) == Done()
    assert set(hearing.receiver.ids("/shop")) == {job.id}
    assert not [one for one in hearing.receiver.heard if isinstance(one, str) or one.path == "/elsewhere"]
    assert (await Hooks(hearing.store.mongo).all())["shop"].waiting == 0


async def test_a_receiver_that_is_away_and_an_endpoint_that_nobody_knows_wait_too(hearing):
    hearing.endpoints["shop"].url = "http://127.0.0.1:1/"
    assert await hearing.tell() == RetryLater(5, "connect")
    assert await hearing.tell(hearing.job("gone")) == RetryLater(5, "endpoint_unknown")


async def test_an_answer_without_an_end_costs_nothing(hearing):
    hearing.receiver.modes["/shop"] = "no end"
    began = time.monotonic()
    assert await hearing.tell() == Done()
    assert time.monotonic() - began < 1.8  # not the 2 s that reading may take


async def test_after_a_day_it_is_dead_and_one_that_is_replayed_is_tried_again(hearing):
    hearing.receiver.modes["/shop"] = 500
    job = hearing.job()
    attempt, outcome = 0, None
    while not isinstance(outcome, Dead):
        outcome = await hearing.tell(job, attempt)
        attempt += 1
    assert outcome == Dead("webhook_failed", "shop")
    assert attempt == 13
    assert (await Hooks(hearing.store.mongo).all())["shop"].waiting == 0
    old = hearing.job()
    old = type(old)(**{f: getattr(old, f) for f in old.__struct_fields__} | {"at": old.at - DAY_MS - 1000})
    assert isinstance(await hearing.tell(old), RetryLater)
    assert await hearing.tell(old, attempt=1) == Dead("webhook_failed", "shop")
    assert await hearing.tell(expired=True) == Dead("webhook_failed", "shop")


async def test_410_stops_the_endpoint_and_says_so_until_a_person_lets_it_go(hearing):
    hearing.receiver.modes["/shop"] = 410
    assert await hearing.tell() == RetryLater(5, "http_410")
    hearing.receiver.modes["/shop"] = 204
    assert await hearing.tell() == RetryLater(5, "endpoint_stopped")
    assert len(hearing.receiver.heard) == 1
    assert await hearing.tell(hearing.job("slow")) == Done()
    (act,) = await hearing.store.acts.of(kind="webhook_stopped")
    assert act.facts["endpoint"] == "shop"
    await hearing.store.controls.go(switch_of("shop"), reason="back", by="ana")
    assert await hearing.tell() == Done()


async def test_a_slow_endpoint_holds_neither_others_nor_more_than_its_places(hearing):
    hearing.receiver.modes["/slow"] = "hold"
    hearing.post._seconds = 20
    slow = [asyncio.create_task(hearing.tell(hearing.job("slow"))) for _ in range(5 * AT_ONCE)]
    await auntil(lambda: len(hearing.receiver.ids("/slow")) == AT_ONCE, what="its places are taken")
    assert await hearing.tell() == Done()
    turned = [task.result() for task in slow if task.done()]
    assert len(turned) == 4 * AT_ONCE
    assert {(one.reason, one.count) for one in turned} == {("endpoint_busy", False)}
    hearing.receiver.go.set()
    assert [one for one in await asyncio.gather(*slow) if one == Done()] == [Done()] * AT_ONCE


async def test_a_database_that_is_away_loses_nothing_and_what_arrived_stays_delivered(hearing, monkeypatch):
    async def away(*_):
        raise Unavailable("away")

    monkeypatch.setattr(hearing.telling._hooks, "delivered", away)
    assert await hearing.tell() == Done()
    monkeypatch.setattr(hearing.store.controls, "stopped", away)
    assert await hearing.tell() == RetryLater(30, "store_away", count=False)


async def test_a_dead_webhook_is_kept_replayable_and_in_no_account(store, url, queues):
    job = job_of(Event("message.sent", "x", now(), {"message": new_id()}), "shop", now())
    body = wire.encode(job, "webhook")
    letter = letter_from(body, job.id, {"queue": "webhooks", "reason": "webhook_failed", "attempts": 13})
    await Upkeep(store, REGISTRY).bury(letter)
    assert await store.messages.show(job.id) is None
    config = SimpleNamespace(amqp_url=url, registry=None, template_dir=None)
    plan = await make_plan(store, config, Source(dead=True), by="ana")
    ran = await replay_run.run_plan(store, config, plan["_id"], reason="back", by="ana", rate=100)
    assert ran["published"] == 1
    await auntil(lambda: queues.ready("retry.5s") == 1)
    ((_, returned),) = queues.take("retry.5s")
    assert returned == body
    account = await read_account(store, url, now() - MINUTE, patience=0)
    assert (account.logged, account.unaccounted) == (0, 0)


@pytest.fixture
def settings_of(url, mongo_url, mongo_database, tmp_path, monkeypatch):
    """The environment of a process with one endpoint."""
    monkeypatch.delenv("PREKLIC_CONFIG", raising=False)

    def environment(receiver):
        path, secrets = secret_file(tmp_path)
        given = {"AMQP_URL": url, "MONGO_URL": mongo_url, "MONGO_DATABASE": mongo_database}
        given |= {"WEBHOOKS_OUT__0__NAME": "shop", "WEBHOOKS_OUT__0__URL": f"{receiver.url}/shop?key=1"}
        given |= {"WEBHOOKS_OUT__0__SECRET_FILE": str(path), "WEBHOOKS_OUT__0__EVENTS": ",".join(EVENTS)}
        return {f"PREKLIC_{name}": value for name, value in given.items()}, secrets

    return environment


async def test_killed_between_publishing_and_its_place_and_between_post_and_ack_nothing_is_lost(
    store, url, settings_of, processes, tmp_path, monkeypatch
):
    with receiving() as receiver:
        environment, secrets = settings_of(receiver)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        feed = Feed(store, load_settings(environment).webhooks_out, url)
        async with following(feed, store):
            pass
        await feed.close()
        await store.mongo["feeds"].change({"_id": FEED}, {"$set": {"lease": now() - MINUTE}}, {"_id": 1})
        await grant(store, ANA, NEWS)
        message = await claimed(store, subject(ANA))
        await sent(store, ANA, message)

        def start(name, *argv):
            return processes.start(name, argv, log=tmp_path / f"{name}.log")

        dying = start("feed", sys.executable, str(PROGRAM), "dies")
        await auntil(lambda: not dying.alive(), 15, "the feed killed itself")
        assert dying.process.returncode == -signal.SIGKILL
        await store.mongo["feeds"].change({"_id": FEED}, {"$set": {"lease": now() - MINUTE}}, {"_id": 1})
        start("feed", sys.executable, str(PROGRAM))
        receiver.modes["/shop?key=1"] = "hold"
        worker = start("webhook", *PREKLIC, "worker", "webhook")
        await auntil(lambda: len(receiver.heard) >= 2, 20, "the worker posts")
        worker.kill()
        once = set(receiver.ids("/shop?key=1"))
        receiver.modes.clear()
        receiver.go.set()
        before = len(receiver.heard)
        start("webhook", *PREKLIC, "worker", "webhook")
        with queues_of(url) as queues:
            await auntil(lambda: len(receiver.heard) >= before + 4 and not queues.ready("webhooks"), 20, "all again")
        events = {}
        for one in receiver.heard:
            told = one.verified_by(secrets[0])
            events.setdefault((told["type"], told["data"].get("message"), told["data"].get("grant")), set()).add(one.id)
            assert b"canary" not in one.body
        assert {event for event, *_ in events} == {"message.sent", "permission.granted"}
        assert all(len(ids) == 1 for ids in events.values())
        assert once <= {each for ids in events.values() for each in ids}


@pytest.fixture
def preklic(monkeypatch, capsys, settings_of, mongo_url, mongo_database):
    """The commands, with a receiver: `preklic(...)`, `preklic.receiver`."""
    monkeypatch.setenv("COLUMNS", "200")

    async def schema():
        (await open_test_store(mongo_url, mongo_database)).close()

    asyncio.run(schema())
    with receiving() as receiver:
        environment, secrets = settings_of(receiver)
        commands = Commands(monkeypatch, capsys, environment)
        commands.receiver, commands.secrets = receiver, secrets
        commands.path = environment["PREKLIC_WEBHOOKS_OUT__0__SECRET_FILE"]
        yield commands


def test_the_commands_list_try_turn_and_stop(preklic):
    code, said, _ = preklic("webhooks", "test", "shop", "--json")
    assert (code, json.loads(said)["answer"]) == (0, 204)
    assert preklic.receiver.heard[0].verified_by(preklic.secrets[0])["type"] == "webhook.test"
    preklic.receiver.modes["/shop?key=1"] = 500
    code, _, complaint = preklic("webhooks", "test", "shop")
    assert (code, "http" in complaint or "500" in complaint) == (1, True)
    code, made, _ = preklic("webhooks", "secret", "shop")
    assert Path(preklic.path).read_text().split() == [made.strip(), *preklic.secrets]
    preklic("webhooks", "test", "shop")
    for secret in (made.strip(), *preklic.secrets):
        preklic.receiver.heard[-1].verified_by(secret)
    assert preklic("webhooks", "secret", "shop", "--retire")[0] == 0
    assert Path(preklic.path).read_text().split() == [made.strip()]
    assert Path(preklic.path).stat().st_mode & 0o777 == 0o600
    assert preklic("webhooks", "stop", "shop", "--reason", "moves, case 17")[0] == 0
    code, said, _ = preklic("webhooks", "list", "--json")
    (row,) = json.loads(said)
    assert (row["name"], row["stopped"], row["waiting"], row["delivered"]) == ("shop", True, 0, "never")
    assert "key=1" not in said
    assert preklic("webhooks", "go", "shop", "--reason", "back")[0] == 0
    assert preklic("webhooks", "stop", "shop", "--reason", "ana@primer.si asked")[0] == 2
    assert preklic("webhooks", "test", "nobody")[0] == 2


def test_webhooks_have_a_queue_of_their_own_that_no_log_binds(url, queues):
    assert "webhooks" in QUEUES
    job = job_of(Event("message.sent", "x", now(), {}), "shop", now())
    queues.put(wire.encode(job, "webhook"), "webhooks", JOBS)
    assert until(lambda: queues.ready("webhooks")) == 1
    assert feeding.QUEUE == "webhooks"
