"""Declares the topology over AMQP, or says where a broker differs from it. Nobody else declares anything."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pika
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from preklic_shared.amqp import connection_parameters
from preklic_shared.publication import Unavailable
from preklic_shared.topology import EXCHANGES, ROLES, Exchange, Queue, bindings, queues

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between broker and topology; `detail` is the broker's own words."""

    kind: Literal["exchange", "queue", "binding"]
    name: str
    problem: Literal["missing", "differs", "extra"]
    detail: str


def apply(url: str) -> None:
    """Declare every exchange, queue and binding. Safe to repeat.

    Raises Unavailable when the broker is away, and ChannelClosedByBroker when something of that name exists with
    other arguments (406; nothing is deleted here) or the user may not declare (403).
    """
    with _connected(url) as connection:
        channel = connection.channel()
        for exchange in EXCHANGES:
            channel.exchange_declare(exchange.name, exchange.kind, durable=True)
        for queue in queues(server_version(connection)):
            channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for binding in bindings():
            channel.queue_bind(binding.queue, binding.exchange, binding.key, dict(binding.arguments) or None)


def check(url: str) -> list[Finding]:
    """What is missing or differs; creates nothing. The user needs the right to configure. Raises Unavailable."""
    with _connected(url) as connection:
        exchanges = [_check_exchange(connection, exchange) for exchange in EXCHANGES]
        version = server_version(connection)
        return [
            finding
            for finding in (*exchanges, *(_check_queue(connection, queue) for queue in queues(version)))
            if finding is not None
        ]


def version_of(url: str) -> tuple[int, ...]:
    """Major and minor version of the broker. Raises Unavailable."""
    with _connected(url) as connection:
        return server_version(connection)


def absent(url: str, role: str) -> list[str]:
    """The exchanges and queues that `role` writes and reads and that are not there. Any user may ask. Unavailable."""
    rights = ROLES[role]
    with _connected(url) as connection:
        version = server_version(connection)
        read = [queue.name for queue in queues(version) if re.search(rights.read, queue.name)]
        written = [exchange.name for exchange in EXCHANGES if re.search(rights.write, exchange.name)]
        missing = [f"queue {name}" for name in read if not _there(connection, "queue_declare", name)]
        return missing + [f"exchange {name}" for name in written if not _there(connection, "exchange_declare", name)]


def _there(connection: Any, declare: str, name: str) -> bool:
    channel = connection.channel()
    try:
        getattr(channel, declare)(name, passive=True)
    except ChannelClosedByBroker as closed:
        return bool(closed.reply_code != _NOT_FOUND)
    channel.close()
    return True


def server_version(connection: Any) -> tuple[int, ...]:
    """Major and minor version that the connected RabbitMQ says it is."""
    properties = connection._impl.server_properties  # noqa: SLF001 -- pika shows it nowhere else
    version = properties["version"]
    text = version.decode() if isinstance(version, bytes) else str(version)
    return tuple(int(part) for part in text.split(".")[:2])


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    try:
        connection = pika.BlockingConnection(connection_parameters(url))
    except AMQPConnectionError as error:
        raise Unavailable(f"broker away: {type(error).__name__}") from None
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def _check_exchange(connection: Any, exchange: Exchange) -> Finding | None:
    channel = connection.channel()
    try:
        channel.exchange_declare(exchange.name, passive=True)
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    except ChannelClosedByBroker as closed:
        return _finding("exchange", exchange.name, closed)
    channel.close()
    return None


def _check_queue(connection: Any, queue: Queue) -> Finding | None:
    # Passive first: only what exists is declared again, which changes nothing and compares the arguments.
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, passive=True)
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    except ChannelClosedByBroker as closed:
        return _finding("queue", queue.name, closed)
    channel.close()
    return None


def _finding(kind: Literal["exchange", "queue"], name: str, closed: Any) -> Finding:
    problem: Literal["missing", "differs"] = "missing" if closed.reply_code == _NOT_FOUND else "differs"
    return Finding(kind, name, problem, closed.reply_text)
