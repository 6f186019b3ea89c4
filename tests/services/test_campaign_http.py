"""Campaigns over HTTP: real gateway, broker and workers, each with a broker user of its own role."""

import asyncio
import datetime as dt
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from living import at_work, permitted, settings_of, users_of
from preklic_producers import Producer, Rejected
from preklic_shared.ids import new_id
from preklic_shared.jobs import CampaignPayload
from preklic_shared.settings import ApiToken, Settings
from preklic_shared.token_keys import write_token_key
from preklic_shared.topology_apply import apply
from preklic_stack import system
from preklic_workers import judging
from producing import Answerer, Served, jobs_in, sealing
from waiting import auntil

SECRET, OTHER = "secret-of-the-editor", "secret-of-the-shop"
AUTUMN = {"name": "autumn", "purpose": "offers", "template": "offer", "data": {"title": "Jesen"}}
NOW = dt.datetime.now(dt.UTC)


def token(name, secret, *scopes):
    return ApiToken(name=name, hash=hashlib.sha256(secret.encode()).hexdigest(), scopes=scopes)


TOKENS = (token("editor", SECRET, "campaigns", "status"), token("shop", OTHER, "messages", "status"))


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def settings(amqp_url, sealed, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    box = tmp_path / "outbox.sqlite"
    return Settings(amqp_url=amqp_url, key_dir=tmp_path, sealing_keys=sealed.path, outbox=box, tokens=TOKENS)


@contextmanager
def client(url, secret=SECRET):
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=20) as http:
        yield http


def test_what_the_gateway_can_know_is_refused_there_and_the_rest_lies_sealed(settings, sealed, amqp_url, free_port):
    """One gateway for all of it: who may, what is wrong and where, what is taken, and who answers or does not."""
    with Served(settings, free_port) as served, client(served.url) as http:
        with client(served.url, OTHER) as other:
            for method, path in [("POST", ""), ("GET", ""), ("GET", "/autumn"), ("POST", "/autumn/stop")]:
                assert other.request(method, f"/v1/campaigns{path}", json=AUTUMN).status_code == 403
        assert httpx.get(f"{served.url}/v1/campaigns").status_code == 401
        refused(http)
        assert jobs_in(amqp_url, "campaign") == []
        taken(http, sealed, amqp_url)
        away = http.get("/v1/campaigns/autumn")
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        with Answerer(amqp_url, lambda job: b"{}" if job.campaign else b'{"campaigns": [{"name": "autumn"}]}'):
            assert http.get("/v1/campaigns/autumn").status_code == 404
            assert http.get("/v1/campaigns").json() == {"data": [{"name": "autumn"}]}


def refused(http):
    wrong = {
        "name": ["", "Autumn", "a" * 61, "a\n", {"$ne": 1}],
        "purpose": ["gone", "payment", "customer_check", 7],
        "template": [None],
        "segment": ["contact = x", "provider = gmial", "provider = {$ne: 1}", "x" * 501],
        "at": ["2026-12-01T09:00:00", "soon", 2**62, -1, "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"],
        "rate": [-1, 2**62, "fast"],
        "cap": ["2", "0/7d", "2/7", 7],
        "data": [{"$where": "1"}, {"a.b": 1}, [], {"x": "y" * 70_000}],
        "local_time": ["yes"],
        "of": ["x"],
    }
    for field, values in wrong.items():
        for value in values:
            answer = http.post("/v1/campaigns", json=AUTUMN | {field: value})
            assert answer.status_code == 422, (field, value)
            named = answer.json()["field"]
            assert named == field or (field, named) == ("template", "purpose") or named.startswith(f"{field}."), value
    confirm = http.post("/v1/campaigns", json=AUTUMN | {"purpose": "newsletter", "template": "confirm"})
    assert (confirm.status_code, confirm.json()["field"]) == (422, "purpose")
    for at in (None, "2026-12-01T09:00:00+01:00"):
        answer = http.post("/v1/campaigns", json=AUTUMN | {"at": at, "local_time": True})
        assert (answer.status_code, answer.json()["field"]) == (422, "at")
    for reason in ("", " ", "ana@primer.si asked", "x" * 501, "a\nb"):
        answer = http.post("/v1/campaigns/autumn/stop", json={"reason": reason})
        assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert http.post("/v1/campaigns/No!/stop", json={"reason": "x"}).json()["field"] == "name"
    assert http.get("/v1/campaigns/No!").status_code == 422


def taken(http, sealed, amqp_url):
    at = (NOW + dt.timedelta(days=3)).replace(tzinfo=None, microsecond=0)
    more = {"at": at.isoformat(), "local_time": True, "segment": "provider = gmail", "rate": 5, "cap": "2/7d"}
    answer = http.post("/v1/campaigns", json=AUTUMN | more)
    assert answer.status_code == 202
    assert http.post("/v1/campaigns/autumn/pause", json={"reason": "case 17"}).status_code == 202
    start, pause = jobs_in(amqp_url, "campaign")
    assert (start.id, start.producer) == (answer.json()["data"]["id"], "editor")
    assert (start.campaign, start.act, start.purpose, start.template) == ("autumn", "start", "offers", "offer")
    wall = int(at.replace(tzinfo=dt.UTC).timestamp() * 1000)
    said = CampaignPayload(data={"title": "Jesen"}, segment="provider = gmail", at=wall, local=True, rate=5, cap=(2, 7))
    assert sealed.open(start) == said
    assert (pause.act, sealed.open(pause)) == ("pause", CampaignPayload(reason="case 17"))
    key = {"idempotency-key": "once"}
    twice = [http.post("/v1/campaigns", json=AUTUMN, headers=key) for _ in range(2)]
    assert twice[0].json() == twice[1].json()
    assert http.post("/v1/campaigns", json=AUTUMN | {"name": "b"}, headers=key).status_code == 422
    assert len(jobs_in(amqp_url, "campaign")) == 1


@pytest.fixture
def of(rabbit, vhost, mongo, mongo_database, tmp_path):
    with users_of(rabbit, vhost, "gateway", "website", "record", "campaign", "answer") as users:
        common = {"tokens": TOKENS, "outbox": tmp_path / "outbox.sqlite"}
        yield settings_of(users, mongo, mongo_database, tmp_path / "keys", **common)


async def test_a_campaign_from_its_start_over_http_to_its_end(of, free_port, rabbit, vhost):
    """Accepted while no worker runs; started once, however often and by however many it was asked for."""
    with Served(of("gateway"), free_port) as served, client(served.url) as http, ThreadPoolExecutor(20) as pool:

        async def ask(method, path, **how):
            return await asyncio.get_running_loop().run_in_executor(
                pool, lambda: http.request(method, f"/v1/campaigns{path}", **how)
            )

        accepted = await asyncio.gather(*(ask("POST", "", json=AUTUMN) for _ in range(20)))
        assert {answer.status_code for answer in accepted} == {202}
        jobs = [answer.json()["data"]["id"] for answer in accepted]
        async with at_work(of, "answer", "record") as store:
            with Producer(of("website", outbox=None)) as producer:
                await permitted(store, producer, "ana@primer.si", "offers")
                await killed(of, store, jobs)
                async with at_work(of, "campaign"):
                    await story(store, producer, ask, jobs)
            acts = await store.mongo["acts"].find({"kind": "campaign"})
            assert {act["why"] for act in acts} == {"start", "case 17"}
            result, _ = await judging.whole(store, rabbit.amqp_url(vhost), None, 1, None)
            # The mail to the one person waits: nobody sends here.
            assert (result.unaccounted, result.waiting) == (0, 1)
            assert result.states == {"applied": 25, "refused": 1}


async def killed(of, store, jobs):
    """A worker of the role, a process of its own, dies as soon as it has recorded the first of the starts."""
    config = of("campaign")
    names = ("amqp_url", "mongo_url", "mongo_database", "key_dir", "sealing_keys", "sealing_pin")
    given = {f"PREKLIC_{name.upper()}": str(getattr(config, name)) for name in names}
    words = (*system.PREKLIC, "worker", "campaign", "--concurrency", "1")
    process = await asyncio.create_subprocess_exec(*words, env=os.environ | given, stderr=asyncio.subprocess.DEVNULL)

    async def begun():
        return await store.mongo["campaigns"].count({}) > 0

    try:
        await auntil(begun, 20, "the campaign is recorded")
    finally:
        process.kill()
        await process.wait()
    left = [job for job in jobs if await store.messages.state(job) is None]
    assert left, "it died too late"


async def story(store, producer, ask, jobs):
    async def told(path="/autumn"):
        return (await ask("GET", path)).json()["data"]

    async def ended(*ids):
        states = [await store.messages.state(job) for job in ids]
        return None if None in states else states

    async def end_of(answer):
        return (await auntil(lambda: ended(answer.json()["data"]["id"]), 20, "it has ended"))[0]

    async def reached():
        found = await told()
        return found if found["state"] == "done" else None

    assert await auntil(lambda: ended(*jobs), 20, "every start has ended") == ["applied"] * 20
    found = await auntil(reached, 20, "everybody is reached")
    assert (found["purpose"], found["walked"], found["published"], found["mails"]) == ("offers", 1, 1, [])
    assert len(await told("")) == 1

    other = await ask("POST", "", json=AUTUMN | {"data": {"title": "Zima"}})
    assert await end_of(other) == "refused"
    conflict = {"id": other.json()["data"]["id"], "state": "refused", "reason": "idempotency_conflict"}
    newest = (await told())["asked"][0]
    assert (conflict | {"by": "editor"}).items() <= newest.items()
    status = await ask("GET", f"/../messages/{conflict['id']}")
    assert status.json()["data"] == {"id": conflict["id"], "status": "refused", "reason": "idempotency_conflict"}

    when = NOW + dt.timedelta(days=9)
    receipt = await asyncio.to_thread(
        lambda: producer.campaign("winter", "newsletter", "newsletter", {"title": "Z"}, at=when)
    )
    assert await auntil(lambda: ended(receipt.job_id), 20, "it has ended") == ["applied"]
    for act, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert await end_of(await ask("POST", f"/winter/{act}", json={"reason": "case 17"})) == "applied"
        assert (await told("/winter"))["state"] == state

    async def held():
        return (await told("/winter"))["stopped"]

    await auntil(held, 20, "the switch is seen")
    assert (await ask("GET", f"/{new_id()}")).status_code == 404
    with pytest.raises(Rejected, match="segment"):
        producer.campaign("spring", "offers", "offer", segment="contact = x")
