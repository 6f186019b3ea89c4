"""A person's whole story through gateway and real workers, each with a broker user of its own role."""

import asyncio
import datetime as dt
import hashlib
import re
import secrets
import time

import httpx
import pytest

from preklic_producers import Producer, Proof
from preklic_shared.ids import new_id
from preklic_shared.settings import ApiToken, Settings
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Click, Confirm, Open, Preference, Unsubscribe
from preklic_shared.topology import definitions
from preklic_workers import keyfiles
from preklic_workers.looking import KEYLESS
from preklic_workers.roles import Worker
from preklic_workers.store import open_store, schema
from producing import Served
from waiting import auntil

SECRET = "secret-of-the-shop"
TARGET = "https://lucrum.example/clanek"
ANA = "ana@primer.si"
PROOF = Proof(wording="v3", source="https://lucrum.example", method="form")
ROLES = ("record", "revoke", "answer", "track")


@pytest.fixture
def users(rabbit, vhost):
    """The AMQP URL of each role, as a user of its own."""
    passwords = {f"{role}.{vhost}": secrets.token_urlsafe(9) for role in ("gateway", "website", *ROLES)}
    rabbit.management.call("POST", "definitions", definitions(passwords, vhost))
    yield {user.partition(".")[0]: rabbit.amqp_url(vhost, user, word) for user, word in passwords.items()}
    for user in passwords:
        rabbit.management.delete_user(user)


@pytest.fixture
def settings(users, mongo_url, mongo_database, tmp_path):
    root = tmp_path / "keys"
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))
    token = ApiToken(name="shop", hash=hashlib.sha256(SECRET.encode()).hexdigest(), scopes=("customers", "status"))

    def of(role, **more):
        return Settings(
            amqp_url=users[role],
            mongo_url=mongo_url,
            mongo_database=mongo_database,
            key_dir=root,
            sealing_keys=root / "producers" / "sealing.json",
            sealing_pin=(root / "producers" / "root.pub").read_text(),
            tokens=(token,),
            gateway_token=SECRET,
            **more,
        )

    return of


@pytest.fixture
async def store(settings):
    store = await open_store(settings("record"), KEYLESS)
    await schema.apply(store.mongo)
    yield store
    store.close()


@pytest.fixture
async def workers(settings, store):
    started = [await Worker.open(role, settings(role)) for role in ROLES]
    for worker in started:
        await worker.start()
    yield started
    await asyncio.gather(*(worker.stop() for worker in started))


@pytest.fixture
def keys(settings):
    return load_token_keys(settings("gateway").key_dir / "gateway")


async def person_of(store, said):
    """The one person there is, once `said` is true of what the person permits."""

    async def found():
        doc = await store.mongo["persons"].find_one({})
        person = await store.persons.whole(doc["_id"]) if doc else None
        states = {key: permission.state for key, permission in person.permissions.items()} if person else {}
        return person if said(states) else None

    return await auntil(found, 20, "the person's permissions")


async def test_from_a_grant_over_clicks_to_one_click_and_after(settings, store, workers, keys, free_port, tmp_path):
    with Served(settings("gateway", outbox=tmp_path / "outbox.sqlite"), free_port) as served:
        site = settings("website", gateway_url=served.url)
        async with httpx.AsyncClient(base_url=served.url, headers={"accept-language": "en"}, timeout=20) as http:
            with Producer(site) as producer:
                await story(http, store, keys, producer)


async def story(http, store, keys, producer):
    assert await asyncio.to_thread(producer.check, ANA) is False
    wanted = ["newsletter", "offers", "engagement.clicks"]
    grant = await asyncio.to_thread(lambda: producer.grant(ANA, wanted, proof=PROOF, ref="7"))
    person = await person_of(store, lambda said: said.get("newsletter") == "pending")
    pid, mail = person.pid, new_id()

    # Double opt-in: looking confirms nothing, the button does.
    page = f"/confirm/{keys.mint(Confirm(grant.job_id, pid, 'newsletter', int(time.time())))}"
    assert (await http.get(page)).status_code == (await http.post(page)).status_code == 200
    await person_of(store, lambda said: said.get("newsletter") == "granted")

    # A click is recorded, an open is not: nobody permitted it.
    click, opened = f"/c/{keys.mint(Click(mail, pid, 1, TARGET))}", f"/o/{keys.mint(Open(mail, pid))}.gif"
    assert (await http.get(click)).headers["location"] == TARGET
    assert (await http.get(opened)).status_code == 200
    await auntil(lambda: jobs_ended(store, "track", 2), 20, "both are judged")
    assert [event.kind for event in await store.events.of(mail)] == ["clicked"]

    # The preference centre shows it, and stops.
    centre = f"/p/{keys.mint(Preference(mail, pid))}"
    text = (await http.get(centre)).text
    assert shows(text, "Newsletter", "subscribed")
    assert shows(text, "Recording clicks on links", "allowed")
    assert (await http.post(centre, data={"stop": "engagement.clicks"})).status_code == 200
    await person_of(store, lambda said: said.get("engagement.clicks") == "withdrawn")
    assert (await http.get(click)).headers["location"] == TARGET
    await auntil(lambda: jobs_ended(store, "track", 3), 20, "the late click is judged")
    assert len(await store.events.of(mail)) == 1

    # An objection to individual mail leaves the mail itself as it was (U3).
    assert shows(text, "Made individual for you", "on")
    assert (await http.post(centre, data={"stop": "proposals.profiling"})).status_code == 200
    person = await person_of(store, lambda said: said.get("proposals.profiling") == "objected")
    assert person.permissions["offers"].state == "granted"
    assert "you get the general version" in (await http.get(centre)).text

    # One-click.
    assert (await http.post(f"/u/{keys.mint(Unsubscribe(mail, pid, 'newsletter'))}")).status_code == 200
    await person_of(store, lambda said: said.get("newsletter") == "withdrawn")
    assert shows((await http.get(centre)).text, "Newsletter", "not subscribed")
    status = await asyncio.to_thread(producer.status, grant.job_id)
    assert status.state == "applied"


def shows(text, title, state):
    """Whether the preference centre says this state of the thing with this title."""
    return re.search(f"{title}</h3>.*?<strong>(.*?)</strong>", text)[1] == state


async def jobs_ended(store, kind, count):
    return await store.mongo["messages"].count({"kind": kind}) == count
