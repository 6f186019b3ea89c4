"""Marks on real services, each role with its restricted user: who is registered, and how late the withdrawals are."""

import asyncio
import datetime as dt
import secrets
import time

import httpx
import pytest

from preklic_producers.outbox import Outbox
from preklic_shared.ids import new_id
from preklic_shared.settings import Settings
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Unsubscribe
from preklic_shared.topology import definitions
from preklic_shared.wire import encode
from preklic_stack.ports import free_port as any_free_port
from preklic_workers import keyfiles
from preklic_workers.looking import KEYLESS
from preklic_workers.marks import MarksTaker
from preklic_workers.progress import Progress
from preklic_workers.roles import Worker
from preklic_workers.store import open_store, schema
from preklic_workers.store.marks import REVOKE
from preklic_workers.store.person_docs import fresh
from producing import Served, Wire, bodies_in
from queueing import queues_of, revoke
from waiting import auntil, until

ROLES = ("gateway", "revoke", "website")


@pytest.fixture
def users(rabbit, vhost):
    """The AMQP URL of each role, as a user of its own."""
    passwords = {f"{role}.{vhost}": secrets.token_urlsafe(9) for role in ROLES}
    rabbit.management.call("POST", "definitions", definitions(passwords, vhost, rabbit.management.version()))
    yield {user.partition(".")[0]: rabbit.amqp_url(vhost, user, word) for user, word in passwords.items()}
    for user in passwords:
        rabbit.management.delete_user(user)


@pytest.fixture
def settings(users, mongo_url, mongo_database, tmp_path):
    root = tmp_path / "keys"
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))

    def of(role, **more):
        fields = {"amqp_url": users[role], "mongo_url": mongo_url, "mongo_database": mongo_database}
        pin = (root / "producers" / "root.pub").read_text()
        fields |= {"key_dir": root, "sealing_keys": root / "producers" / "sealing.json", "sealing_pin": pin}
        return Settings(**(fields | more))

    return of


@pytest.fixture
async def store(settings):
    store = await open_store(settings("revoke"), KEYLESS)
    await schema.apply(store.mongo)
    yield store
    store.close()


@pytest.fixture
async def worker(settings, store):
    worker = await Worker.open("revoke", settings("revoke"))
    await worker.start()
    yield worker
    await worker.stop()


@pytest.fixture
def box(tmp_path):
    return tmp_path / "outbox.sqlite"


async def marked(store, name, said=lambda _: True):
    """The mark of a source, once there is one of which `said` is true."""

    async def found():
        return next((one for one in await store.marks.all() if one.name == name and said(one)), None)

    return await auntil(found, 15, f"the mark of {name}")


def registered(path):
    return f"gateway:{Outbox(path).name}"


def one_click(served, settings):
    token = load_token_keys(settings("gateway").key_dir / "gateway").mint(
        Unsubscribe(new_id(), bytes(16), "newsletter")
    )
    return httpx.post(f"{served.url}/u/{token}")


async def test_a_gateway_registers_itself_and_leaves_when_it_is_shut_down(
    settings, store, worker, box, free_port, users, amqp_url
):
    with Served(settings("gateway", outbox=box), free_port):
        first = await marked(store, registered(box))
        again = await marked(store, registered(box), lambda one: one.published > first.published)
        assert not again.left
        assert (await marked(store, REVOKE)).published <= store.mongo.now()
        assert await store.marks.late(60) is None
    await marked(store, registered(box), lambda one: one.left)
    # A mark is no job: it is in no queue that is counted, and not in the log.
    assert bodies_in(amqp_url, "revoke") == []
    with queues_of(amqp_url) as queues:
        queues.channel.basic_qos(prefetch_count=10)
        log = queues.channel.consume("jobs.log", arguments={"x-stream-offset": "first"}, inactivity_timeout=1)
        assert next(log) == (None, None, None)


async def test_a_gateway_with_a_no_in_its_outbox_says_since_when_and_does_not_leave(
    settings, store, worker, box, free_port
):
    other = Outbox(box)
    with other.turn() as mine, Served(settings("gateway", outbox=box), free_port) as served:
        assert mine  # this process publishes from the box, and does not: what goes in there waits
        before = store.mongo.now()
        served.gateway.delivery._carrier.behind = True
        assert (await asyncio.to_thread(one_click, served, settings)).status_code == 200
        first = await marked(store, registered(box), lambda one: one.published < one.seen - dt.timedelta(seconds=1))
        again = await marked(store, registered(box), lambda one: one.seen > first.seen)
        assert again.published == first.published >= before - dt.timedelta(milliseconds=1)
    still = await marked(store, registered(box), lambda one: one.seen > again.seen)
    assert not still.left
    with Served(settings("gateway", outbox=box), free_port):
        await marked(store, registered(box), lambda one: one.published > again.published)
    await marked(store, registered(box), lambda one: one.left)


async def test_a_gateway_that_is_cut_off_gets_late_and_is_good_again_when_its_no_has_arrived(
    settings, store, worker, box, users, free_port
):
    with_wire = Wire(users["gateway"], free_port).mend()
    with Served(settings("gateway", outbox=box, amqp_url=with_wire.url), any_free_port()) as served:
        await marked(store, registered(box))
        with_wire.cut()
        assert (await asyncio.to_thread(one_click, served, settings)).status_code == 200
        await auntil(lambda: store.marks.late(3), 15, "it is late")
        assert await store.marks.late(3) == registered(box)
        waiting = served.gateway.delivery._box
        await auntil(lambda: waiting.age() > 3, 20, "the no alone would make it late")
        await asyncio.to_thread(with_wire.mend)
        await auntil(lambda: none_late(store, 3), 20, "it is good again")
        assert len(waiting) == 0
    with_wire.cut()


async def none_late(store, seconds):
    return await store.marks.late(seconds) is None


async def test_the_worker_measures_by_what_its_own_handler_holds(worker):
    (taker,) = worker._duty.beside
    assert taker._progress is worker._duty.handlers["revoke"].__self__.progress


async def test_withdrawals_that_drain_keep_no_other_waiting(settings, store, queues):
    message = {"message": new_id(), "epoch": 1, "purpose": "newsletter", "until": store.mongo.now(), "seq": 1}
    people = [secrets.token_bytes(16) for _ in range(20)]
    for pid in people:
        await store.mongo["persons"].insert(fresh(secrets.token_urlsafe(32), pid) | {"open": [message]})
    worker = await Worker.open("revoke", settings("revoke", concurrency=4))
    await worker.start()
    for pid in people:
        queues.put(encode(revoke(person=pid.hex(), purposes=("newsletter",)), "revoke"), "revoke")
    try:
        await auntil(lambda: closed(store, len(people)), what="every gate is closed")
    finally:
        for pid in people:
            await store.mongo["persons"].change({"pid": pid}, {"$set": {"open": []}})
        await worker.stop()


async def closed(store, count):
    return await store.mongo["withdrawals"].count({"applied": {"$exists": False}}) == count


async def test_without_a_worker_the_head_of_the_queue_is_nobodys_and_gets_late(settings, store):
    worker = await Worker.open("revoke", settings("revoke"))
    await worker.start()
    await marked(store, REVOKE)
    assert await store.marks.late(3) is None
    await worker.stop()
    assert await auntil(lambda: store.marks.late(3), 15, "it is late") == REVOKE


async def test_a_queue_that_nobody_works_off_is_not_called_empty(url, store, queues):
    taker = MarksTaker(url, store, Progress())
    await taker.start()
    await auntil(taker.channel_open, what="it takes marks")
    await taker.measure()
    assert await store.marks.all() == []
    await taker.stop()


async def test_the_head_of_the_queue_is_as_old_as_what_waits_there(url, store, queues):
    for job in (revoke(), revoke()):
        queues.put(encode(job, "revoke"), "revoke")
    progress = Progress()
    taker = MarksTaker(url, store, progress)
    with queues_of(url) as slow:
        # A worker that holds one withdrawal and takes no other.
        slow.channel.basic_qos(prefetch_count=1)
        slow.channel.basic_consume("revoke", lambda *_: None)
        until(lambda: slow._connection.process_data_events(0.05) or queues.ready("revoke") == 1, 10, "one is taken")
        await taker.start()
        await marked(store, REVOKE, lambda one: one.published.year == 1)
        taken = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=90)
        progress.took("one", taken, taken)
        progress.closed("one")
        told = await marked(store, REVOKE, lambda one: one.published.year > 1)
        assert abs(told.published - taken) < dt.timedelta(milliseconds=2)
        queues.take("revoke")
        young = await marked(store, REVOKE, lambda one: one.seen - one.published < dt.timedelta(seconds=1))
        assert young.published > taken
    await taker.stop()


async def test_what_a_frozen_store_keeps_from_closing_is_still_in_hand(url, store, queues):
    progress = Progress()
    progress.took("under way", store.mongo.now(), store.mongo.now() - dt.timedelta(seconds=70))
    taker = MarksTaker(url, store, progress)
    with queues_of(url) as other:
        other.channel.basic_consume("revoke", lambda *_: None)
        await taker.start()
        assert await auntil(lambda: store.marks.late(60), 10, "it is late") == REVOKE
        progress.closed("under way")
        await auntil(lambda: none_late(store, 60), 10, "its gate is closed")
    await taker.stop()


async def test_what_is_no_mark_is_dropped_and_the_next_one_counts(url, store, queues):
    taker = MarksTaker(url, store, Progress())
    await taker.start()
    for body in (b"[", b"{}", b'{"gateway":"a b","at":1,"published":1}', b"\xff"):
        queues.put(body, "mark")
    now = int(time.time() * 1000)
    queues.put(b'{"gateway":"web-1","at":%d,"published":%d}' % (now, now), "mark")
    assert not (await marked(store, "gateway:web-1")).left
    await auntil(lambda: queues.ready("marks") == 0, what="none is left")
    await taker.stop()
    assert queues.ready("dead") == 0
