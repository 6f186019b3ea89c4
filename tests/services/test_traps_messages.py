"""The measured traps of messages and processes (7, 9, 10, 12), beside stock dramatiq, which still has each fault."""

import json
import logging
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import dramatiq
import pika
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from dramatiq import Message
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Retries

from preklic_shared import topology, wire
from preklic_shared.broker import PreklicBroker
from preklic_shared.jobs import RevokePayload
from preklic_shared.sealing import Opener, Sealer
from preklic_workers.outcomes import Done
from queueing import HOUR, envelope, now, publication, queues_of, revoke, track, working
from waiting import auntil, until

ANA = "ana@primer.si"
HERE = Path(__file__).parent


@pytest.fixture
def queues(amqp_url):
    with queues_of(amqp_url) as queues:
        yield queues


class Counted(RabbitmqBroker):
    consumed = 0

    def consume(self, queue_name, prefetch=1, timeout=5000):
        self.consumed += queue_name == "stock"
        return super().consume(queue_name, prefetch, timeout)


def stock_worker(url, function, **options):
    broker = Counted(url=url, confirm_delivery=True, middleware=[Retries(max_retries=1, min_backoff=60_000)])
    actor = dramatiq.actor(function, broker=broker, actor_name="stock", queue_name="stock", **options)
    broker.declare_queue("stock", ensure=True)
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    return broker, actor, worker


def poison(**changes):
    message = Message("stock", "stock", (), {}, {}).asdict()
    return json.dumps(message | changes).encode()


def test_trap_7_options_null_put_stock_s_consumer_in_an_endless_loop(amqp_url, queues, monkeypatch):
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.05)
    broker, _, worker = stock_worker(amqp_url, lambda: None)
    queues.put(poison(options=None), "stock", exchange="")
    worker.start()
    try:
        until(lambda: broker.consumed > 5, 15, "the consumer starts over and over")
    finally:
        worker.stop(timeout=2000)
        broker.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("changes", "error"), [({"queue_name": "foreign"}, None), ({"options": {"throws": "x"}}, OSError)]
)
def test_trap_7_poison_kills_a_stock_thread_and_the_process_stays_up(amqp_url, queues, changes, error):
    def run():
        if error is not None:
            raise error

    broker, _, worker = stock_worker(amqp_url, run)
    worker.start()
    try:
        queues.put(poison(**changes), "stock", exchange="")
        until(lambda: sum(thread.is_alive() for thread in worker.workers) == 1, 10, "one of two threads is dead")
    finally:
        worker.stop(timeout=2000)
        broker.close()


async def test_trap_7_ours_refuses_all_of_them_and_goes_on(url, queues):
    seen = []

    async def record(opened):
        seen.append(opened.job.id)
        return Done()

    spoiled = [{"options": None}, {"queue_name": "foreign"}, {"options": {"throws": "x"}}]
    good = track()
    async with working(url, {"track": record}, concurrency=2) as engine:
        for changes in spoiled * 3:
            queues.put(json.dumps(envelope(**changes)).encode())
        await engine.publisher.publish(publication(good))
        await auntil(lambda: seen == [good.id], 5, "the next job")
        await auntil(lambda: queues.ready("dead") == 9)
        assert engine.channel_open()


def test_trap_9_stock_shows_the_address_in_logs_and_in_the_queue(amqp_url, queues, caplog):
    def failing(address):
        raise ValueError(f"cannot send to {address}")

    broker, actor, worker = stock_worker(amqp_url, failing)
    with caplog.at_level(logging.DEBUG):
        worker.start()
        try:
            actor.send(ANA)
            until(lambda: "Retrying" in caplog.text, what="a retry")
            until(lambda: queues_hold(worker, broker), what="the retry is delayed in memory")
        finally:
            worker.stop(timeout=2000)
            broker.close()
    assert ANA in caplog.text
    until(lambda: queues.ready("stock.DQ"), what="the delayed message is back in its queue")
    ((_, body),) = queues.take("stock.DQ")
    assert ANA in json.loads(body)["options"]["traceback"]


def queues_hold(worker, broker):
    consumer = worker.consumers.get("stock.DQ")
    return broker and consumer and consumer.delay_queue.qsize()


async def test_trap_9_ours_shows_it_nowhere(url, queues, caplog, capsys):
    private = X25519PrivateKey.generate()
    sealer = Sealer({"revoke": ("k", private.public_key())}, now() + HOUR)
    clear = revoke(person=None, key="k", sealed="QUJD")
    message = envelope(clear, "revoke")
    message["kwargs"]["job"]["sealed"] = sealer.seal("revoke", clear.header(), RevokePayload(address=ANA))
    tried = []

    async def failing(opened):
        tried.append(opened.payload.address)
        raise ValueError(f"cannot withdraw {opened.payload.address}")

    with caplog.at_level(logging.DEBUG):
        async with working(url, {"revoke": failing}, opener=Opener({"k": private})):
            queues.put(json.dumps(message).encode(), "revoke")
            queues.put(b'{"to": "' + ANA.encode() + b'"', "revoke")
            await auntil(lambda: queues.ready("retry.5s") and queues.ready("dead"), what="both are settled")
    assert tried == [ANA]
    output = capsys.readouterr()
    assert "handler failed" in output.out + output.err + caplog.text
    assert ANA not in output.out + output.err + caplog.text
    ((properties, body),) = queues.take("retry.5s")
    assert ANA not in body.decode() + repr(properties)
    ((properties, _),) = queues.take("dead")
    assert ANA not in repr(properties)


@pytest.fixture
def website(rabbit, vhost):
    """A user as `definitions` makes it: writes to `jobs`, declares nothing."""
    name = f"website.{uuid.uuid4().hex[:8]}"
    definitions = topology.definitions({name: "word"}, vhost)
    rabbit.management.call("POST", "definitions", {part: definitions[part] for part in definitions if part != "vhosts"})
    yield rabbit.amqp_url(vhost, name, "word")
    rabbit.management.delete_user(name)


def test_trap_10_stock_needs_to_configure_and_writes_past_topic_permissions(website, amqp_url, queues):
    broker = RabbitmqBroker(url=website, confirm_delivery=True, middleware=[])
    message = Message("track", "track", (), {}, {})
    with pytest.raises(ConnectionClosed):
        broker.enqueue(message)
    broker.close()
    # With rights enough it goes through the default exchange, where no rule looks at the routing key.
    trusted = RabbitmqBroker(url=amqp_url, confirm_delivery=True, middleware=[])
    heard = queues.channel.queue_declare("", exclusive=True).method.queue
    queues.channel.queue_bind(heard, "jobs", "stock")
    trusted.enqueue(Message("stock", "stock", (), {}, {}))
    trusted.close()
    assert queues.ready(heard) == 0
    assert queues.ready("stock") == 1


def test_trap_10_ours_publishes_with_write_on_one_exchange(website, queues):
    broker = PreklicBroker(website)
    job = track()
    broker.publish(publication(job))
    broker.close()
    ((properties, _),) = queues.take("track")
    assert properties.user_id == pika.URLParameters(website).credentials.username


def signalled_to_the_end(worker, folder):
    """When the job has begun, signal the whole process group until the process has ended, as supervisors do.

    One signal to the group is enough to reach a stock worker twice, for its main process passes it on; but two that
    meet count as one, so once would make the test a matter of luck.
    """
    until(lambda: list(folder.glob("started-*")), 15, "the job began")

    def ended():
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGTERM)
        return worker.poll() is not None

    until(ended, 10, "the process ended")
    return worker.returncode


def test_trap_12_signals_to_the_group_cut_stock_s_running_job(amqp_url, tmp_path):
    environment = os.environ | {"STOCK_URL": amqp_url, "STOCK_FOLDER": str(tmp_path), "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "dramatiq", "-p", "1", "-t", "1", "stock_process"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        broker = RabbitmqBroker(url=amqp_url, middleware=[])
        broker.enqueue(Message("stock", "slow", (), {}, {}))
        broker.close()
        signalled_to_the_end(worker, tmp_path)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert not list(tmp_path.glob("ended-*"))


def test_trap_12_ours_lets_it_end(url, queues, tmp_path):
    command = [sys.executable, str(HERE / "engine_process.py"), url, str(tmp_path), "1.5"]
    worker = subprocess.Popen(command, start_new_session=True)
    try:
        queues.put(wire.encode(track(), "track"))
        assert signalled_to_the_end(worker, tmp_path) == 0
    finally:
        worker.kill()
        worker.wait()
    assert len(list(tmp_path.glob("ended-*"))) == 1
    assert queues.ready("track") == 0
