"""The topology on a real RabbitMQ: applied, compared, and what each user may do there."""

import time
import uuid

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from preklic_shared import topology, wire
from preklic_shared.publication import Unavailable
from preklic_shared.topology_apply import apply, check
from queueing import queues_of, track
from waiting import until


def test_applied_twice_nothing_differs(amqp_url):
    apply(amqp_url)
    apply(amqp_url)
    assert check(amqp_url) == []


def test_check_says_what_is_missing_and_declares_nothing(amqp_url):
    missing = {finding.name for finding in check(amqp_url)}
    assert missing == {queue.name for queue in topology.queues()} | {exchange.name for exchange in topology.EXCHANGES}
    assert {finding.name for finding in check(amqp_url)} == missing


def test_check_says_what_differs_and_apply_does_not_hide_it(amqp_url):
    with queues_of(amqp_url) as queues:
        queues.channel.queue_declare("track", durable=True)
    (finding,) = [finding for finding in check(amqp_url) if finding.problem == "differs"]
    assert finding.name == "track"
    assert "inequivalent arg" in finding.detail
    with pytest.raises(ChannelClosedByBroker):
        apply(amqp_url)


def test_a_broker_that_is_away_is_unavailable(free_port):
    with pytest.raises(Unavailable):
        check(f"amqp://guest:guest@127.0.0.1:{free_port}/%2F")


def test_a_tier_gives_the_job_back_to_its_queue_and_the_log_has_it_once(amqp_url):
    apply(amqp_url)
    with queues_of(amqp_url) as queues:
        body = wire.encode(track(), "track")
        queues.put(body)
        queues.take("track")
        queues.put(body, exchange="retry", headers={"tier": "5s"})
        began = time.monotonic()
        until(lambda: queues.ready("track"), 30, "the tier gives the job back")
        assert 4 < time.monotonic() - began < 30
        ((properties, returned),) = queues.take("track")
        assert returned == body
        assert properties.headers["x-death"][0]["queue"] == "retry.5s"
        assert logged(queues) == [body]


def logged(queues):
    found = []
    channel = queues.channel
    channel.basic_qos(prefetch_count=100)
    for method, _, body in channel.consume("jobs.log", arguments={"x-stream-offset": "first"}, inactivity_timeout=0.5):
        if method is None:
            break
        found.append(body)
        channel.basic_ack(method.delivery_tag)
    return found


@pytest.fixture
def users(rabbit):
    """Unique names for one user of each role; they are global to the broker and end with the test."""
    names = {role: f"{role}.{uuid.uuid4().hex[:8]}" for role in topology.ROLES if role != "topology"}
    yield names
    for name in names.values():
        rabbit.management.delete_user(name)


@pytest.mark.attack(9, guard="preklic_shared.topology:keys_of")
def test_each_user_publishes_only_its_kinds_and_under_its_own_name(rabbit, vhost, amqp_url, users):
    definitions = topology.definitions(dict.fromkeys(users.values(), "word"), vhost, rabbit.management.version())
    rabbit.management.call("POST", "definitions", {name: definitions[name] for name in definitions if name != "vhosts"})
    assert check(amqp_url) == []

    def may(role, key, exchange="jobs", user=None):
        with queues_of(rabbit.amqp_url(vhost, users[role], "word")) as queues:
            try:
                queues.put(b"{}", key, exchange, user_id=user or users[role])
            except ChannelClosedByBroker as closed:
                return closed.reply_code not in (403, 406)
        return True

    assert may("website", "send.now")
    assert may("feedback", "revoke")
    assert may("gateway", "ask")
    assert may("gateway", "mark")
    assert not may("website", "mark")
    assert not may("feedback", "mark")
    assert not may("gateway", "mark", exchange="retry")
    assert not may("feedback", "send.now")
    assert not may("website", "ask")
    assert not may("send", "send.now")
    assert not may("website", "dead", exchange="dead")
    assert not may("website", "track", exchange="")
    assert not may("website", "send.now", user=users["gateway"])
    assert not may("campaign", "revoke")
    assert may("upkeep", "track", exchange="probes")
    assert not may("website", "track", exchange="probes")
    assert not may("gateway", "track", exchange="probes")
    assert not may("track", "track", exchange="probes")


def test_a_role_reads_its_own_queue_alone(rabbit, vhost, users):
    definitions = topology.definitions(dict.fromkeys(users.values(), "word"), vhost)
    rabbit.management.call("POST", "definitions", {name: definitions[name] for name in definitions if name != "vhosts"})

    def may_read(role, queue):
        with queues_of(rabbit.amqp_url(vhost, users[role], "word")) as queues:
            try:
                queues.channel.basic_get(queue)
            except ChannelClosedByBroker as closed:
                return closed.reply_code != 403
        return True

    assert may_read("send", "send.now")
    assert may_read("upkeep", "dead")
    assert may_read("revoke", "marks")
    assert not may_read("gateway", "marks")
    assert not may_read("send", "marks")
    assert not may_read("send", "revoke")
    assert not may_read("website", "send.now")
    assert not may_read("gateway", "dead")
    with queues_of(rabbit.amqp_url(vhost, users["send"], "word")) as queues, pytest.raises(ChannelClosedByBroker):
        queues.channel.queue_declare(f"mine-{uuid.uuid4()}", durable=True)


def test_an_answer_reaches_the_asker_over_direct_reply_to(rabbit, vhost, users):
    definitions = topology.definitions(dict.fromkeys(users.values(), "word"), vhost)
    rabbit.management.call("POST", "definitions", {name: definitions[name] for name in definitions if name != "vhosts"})
    with (
        queues_of(rabbit.amqp_url(vhost, users["gateway"], "word")) as asker,
        queues_of(rabbit.amqp_url(vhost, users["answer"], "word")) as answerer,
    ):
        answers = []
        asker.channel.basic_consume(
            "amq.rabbitmq.reply-to", lambda _c, _m, properties, body: answers.append((properties, body)), auto_ack=True
        )
        asker.put(b"question", "ask", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        method, properties, _ = until(lambda: got(answerer.channel.basic_get("ask", auto_ack=True)))
        assert method.exchange == "jobs"
        answerer.channel.basic_publish(
            "", properties.reply_to, b"answer", pika.BasicProperties(correlation_id=properties.correlation_id)
        )
        until(lambda: asker._connection.process_data_events(0.05) or answers)
        assert [(properties.correlation_id, body) for properties, body in answers] == [("7", b"answer")]


def got(delivery):
    return delivery if delivery[0] is not None else None


def test_a_job_that_is_given_back_too_often_is_dead_and_a_withdrawal_never(amqp_url):
    apply(amqp_url)
    with queues_of(amqp_url) as queues:
        queues.put(b"{}", "track")
        queues.put(b"{}", "revoke")
        assert given_back(queues, "track", 60) == 51
        assert given_back(queues, "revoke", 60) == 60
        until(lambda: queues.ready("dead") == 1, what="a dead letter")
        ((properties, _),) = queues.take("dead")
        assert properties.headers["x-first-death-reason"] == "delivery_limit"


def given_back(queues, queue, times):
    """How often the one job of `queue` could be given back, at most `times`."""
    for count in range(times):
        method, _, _ = queues.channel.basic_get(queue)
        if method is None:
            return count
        queues.channel.basic_nack(method.delivery_tag, requeue=True)
    return times
