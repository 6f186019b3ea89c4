"""PreklicBroker as websites use it: threads, forks, dramatiq's own messages; and what it refuses."""

import os
import threading
import time

import dramatiq
import pytest
from dramatiq import Message, Middleware

from preklic_shared import wire
from preklic_shared.broker import PreklicBroker
from preklic_shared.publication import Unavailable, Unroutable
from queueing import publication, track
from waiting import until


@pytest.fixture
def broker(url):
    broker = PreklicBroker(url)
    yield broker
    broker.close()


def message(queue="track"):
    job = track()
    return Message(queue, "track", (), {"job": wire.msgspec.to_builtins(job)}, {}, message_id=job.id)


def test_dramatiq_s_send_puts_a_job_that_the_worker_understands(broker, queues):
    actor = dramatiq.actor(lambda job: job, broker=broker, actor_name="track", queue_name="track")
    job = track()
    sent = actor.message_with_options(kwargs={"job": wire.msgspec.to_builtins(job)}).copy()
    broker.enqueue(Message(**(sent.asdict() | {"message_id": job.id})))
    ((properties, body),) = queues.take("track")
    assert wire.decode(body, "track") == ("track", job)
    assert properties.message_id == job.id


def test_what_has_no_queue_is_an_error_not_a_loss(broker):
    with pytest.raises(Unroutable):
        broker.enqueue(message("nobody"))


def test_without_a_broker_it_is_unavailable_in_time(free_port):
    broker = PreklicBroker(f"amqp://guest:guest@127.0.0.1:{free_port}/%2F", deadline=0.4)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        broker.enqueue(message())
    failures = broker.enqueue_many(message() for _ in range(3000))
    assert len(failures) == 3000
    assert time.monotonic() - began < 4
    broker.close()


def test_many_are_in_order_and_a_failure_has_its_position(broker, queues):
    messages = [message("nobody" if number in (7, 900) else "track") for number in range(1500)]
    failures = broker.enqueue_many(iter(messages))
    assert {position: type(error) for position, error in failures.items()} == {7: Unroutable, 900: Unroutable}
    expected = [sent.message_id for sent in messages if sent.queue_name == "track"]
    assert [properties.message_id for properties, _ in queues.take("track")] == expected


def test_threads_share_one_connection(rabbit, vhost, broker, queues):
    threads = [threading.Thread(target=lambda: [broker.enqueue(message()) for _ in range(20)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(queues.take("track")) == 320
    names = until(lambda: producers(rabbit, vhost), what="the broker lists connections")
    assert len(names) == 1


def producers(rabbit, vhost):
    connections = rabbit.management.call("GET", f"vhosts/{vhost}/connections")
    names = [connection.get("client_properties", {}).get("connection_name", "") for connection in connections]
    return [name for name in names if name.startswith("preklic producer")]


def test_after_a_fork_both_sides_publish(broker, queues):
    broker.enqueue(message())
    child = os.fork()
    if not child:
        status = 1
        try:
            broker.enqueue(message())
            broker.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    broker.enqueue(message())
    assert len(queues.take("track")) == 3


def test_closed_it_opens_again_when_needed(broker, queues):
    broker.enqueue(message())
    broker.close()
    broker.close()
    broker.enqueue(message())
    assert len(queues.take("track")) == 2


def test_it_declares_nothing(rabbit, amqp_url, vhost):
    broker = PreklicBroker(amqp_url)
    dramatiq.actor(lambda job: job, broker=broker, actor_name="track", queue_name="track")
    with pytest.raises(Exception, match="404"):
        broker.enqueue(message())
    broker.close()
    assert rabbit.management.call("GET", f"queues/{vhost}") == []


def test_delays_and_dramatiq_s_own_worker_are_refused(broker):
    with pytest.raises(ValueError, match="delay"):
        broker.enqueue(message(), delay=1000)
    with pytest.raises(RuntimeError, match="Engine"):
        broker.consume("track")
    assert broker.get_declared_delay_queues() == set()


class Counting(Middleware):
    def __init__(self):
        self.before, self.after = [], []

    def before_enqueue(self, _broker, message, _delay):
        self.before.append(message.message_id)

    def after_enqueue(self, _broker, message, _delay):
        self.after.append(message.message_id)


def test_middleware_hears_what_is_enqueued_and_what_is_confirmed(url):
    counting = Counting()
    broker = PreklicBroker(url, middleware=[counting])
    one, lost, two = message(), message("nobody"), message()
    broker.enqueue(one)
    assert set(broker.enqueue_many([lost, two])) == {0}
    broker.close()
    assert counting.before == [one.message_id, lost.message_id, two.message_id]
    assert counting.after == [one.message_id, two.message_id]


def test_encoded_jobs_are_published_as_they_are(broker, queues):
    job = track()
    broker.publish(publication(job))
    assert broker.publish_many([publication(track()) for _ in range(3)]) == {}
    assert queues.take("track")[0][1] == wire.encode(job, "track")
