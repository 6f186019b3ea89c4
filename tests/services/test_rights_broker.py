"""Who may do what on RabbitMQ: every cell of the matrix of roles, on a broker with the generated definitions."""

import uuid
from functools import partial

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel as Channel
from pika.exceptions import ChannelClosedByBroker

from preklic_shared import topology

INTAKE = {"send.now", "send.bulk", "track", "revoke", "record", "void"}
# The matrix in words of its own, beside the regular expressions that the broker gets.
PUBLISHES = {
    "website": INTAKE | {"campaign"},
    "gateway": INTAKE | {"campaign", "ask", "mark"},
    "feedback": {"track", "revoke", "record", "void"},
    "campaign": {"send.now", "send.bulk", "void"},
    "upkeep": INTAKE | {"campaign", "webhooks"},
}
READS = {
    "send": {"send.now", "send.bulk"},
    "track": {"track"},
    "revoke": {"revoke", "marks"},
    "record": {"record"},
    "answer": {"ask"},
    "campaign": {"campaign"},
    "webhook": {"webhooks"},
    "upkeep": {"dead", "jobs.log"},
}
SETTLES = {*READS}  # who takes jobs gives them back or buries them
ROLES = [role for role in topology.ROLES if role != "topology"]
KEYS = sorted({*topology.QUEUES, topology.VOID, topology.MARK, "anything"})
NAMES = [queue.name for queue in topology.queues()]


@pytest.fixture(scope="module")
def broker(rabbit):
    """A virtual host with the generated definitions; `broker(role)` is a connection of that role's user."""
    vhost = f"m-{uuid.uuid4().hex[:8]}"
    users = {role: f"{role}.{vhost}" for role in ROLES}
    rabbit.management.add_vhost(vhost)
    passwords = dict.fromkeys(users.values(), "word")
    rabbit.management.call("POST", "definitions", topology.definitions(passwords, vhost, rabbit.management.version()))

    def connect(role):
        return pika.BlockingConnection(pika.URLParameters(rabbit.amqp_url(vhost, users[role], "word")))

    yield connect
    for user in users.values():
        rabbit.management.delete_user(user)
    rabbit.management.delete_vhost(vhost)


class Tries:
    """Does things on one connection, each on a channel that may be lost; whether the broker allowed them."""

    def __init__(self, connection):
        self.connection = connection
        self.open = {}

    def __call__(self, work, kind="other"):
        channel = self.open.get(kind)
        if channel is None:
            channel = self.open[kind] = self.connection.channel()
            if kind == "publish":
                channel.confirm_delivery()
        try:
            work(channel)
        except ChannelClosedByBroker as closed:
            del self.open[kind]
            if closed.reply_code != 403:
                raise
            return False
        return True


@pytest.fixture(params=ROLES)
def role_at_work(request, broker):
    connection = broker(request.param)
    yield request.param, Tries(connection)
    connection.close()


@pytest.mark.attack(9)  # its guard is switched off in test_broker_topology, where each test makes its own users
def test_every_cell_of_the_matrix(role_at_work):
    role, may = role_at_work
    assert {key for key in KEYS if publishes(may, "jobs", key)} == PUBLISHES.get(role, set())
    elsewhere = {name for name in ("retry", "return", "dead", "") if publishes(may, name, "none")}
    assert elsewhere == ({"retry", "dead"} if role in SETTLES else set()) | ({""} if role == "answer" else set())
    assert {name for name in NAMES if reads(may, name)} == READS.get(role, set())
    # To RabbitMQ who may take jobs may also throw them away; a stream it never purges.
    purged = {name for name in NAMES if name != "jobs.log" and may(partial(Channel.queue_purge, queue=name))}
    assert purged == READS.get(role, set()) - {"jobs.log"}


def test_only_the_owner_of_the_topology_declares_binds_or_deletes(role_at_work):
    _, may = role_at_work
    for name in NAMES:
        assert not may(partial(Channel.queue_delete, queue=name))
        assert not may(partial(Channel.queue_bind, queue=name, exchange="jobs", routing_key="mark"))
    assert not may(lambda channel: channel.queue_declare("mine", durable=True))
    assert not may(lambda channel: channel.exchange_declare("mine", "topic"))
    assert not may(lambda channel: channel.exchange_delete("dead"))


def publishes(may, exchange, key):
    return may(lambda channel: channel.basic_publish(exchange, key, b"{}", mandatory=False), "publish")


def reads(may, name):
    """A stream is read by a consumer alone; basic.get would not say who may."""

    def look(channel):
        if name == topology.LOG:
            channel.basic_qos(prefetch_count=1)
            tag = channel.basic_consume(name, lambda *_: None)
            channel.basic_cancel(tag)
        else:
            channel.basic_get(name, auto_ack=True)

    return may(look, name)
