"""What tests of broker and engine share: jobs, a look into queues, an engine with actors, dropped connections."""

import json
import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import quote

import dramatiq
import pika

from preklic_shared import wire
from preklic_shared.broker import PreklicBroker
from preklic_shared.jobs import ACTORS, RevokeJob, TrackJob
from preklic_shared.publication import Publication
from preklic_workers.engine import Engine
from waiting import auntil

HOUR = 3_600_000


def now() -> int:
    return time.time_ns() // 1_000_000


def track(**changes) -> TrackJob:
    fields = {"id": str(uuid.uuid4()), "producer": "guest", "at": now(), "expires": now() + HOUR}
    fields |= {"event": "opened", "message": str(uuid.uuid4()), "person": "0" * 32}
    return TrackJob(**(fields | changes))


def revoke(**changes) -> RevokeJob:
    fields = {"id": str(uuid.uuid4()), "producer": "guest", "at": now(), "expires": now() + HOUR}
    fields |= {"purposes": "all", "source": "api", "person": "0" * 32}
    return RevokeJob(**(fields | changes))


def publication(job, actor: str = "track") -> Publication:
    return Publication("jobs", ACTORS[actor][1], wire.encode(job, actor), job.id, actor)


def envelope(job=None, actor: str = "track", **changes) -> dict:
    """The JSON of a good message, to spoil."""
    return json.loads(wire.encode(job or track(), actor)) | changes


class Queues:
    """A blocking look at a broker's queues."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def put(self, body: bytes, queue: str = "track", exchange: str = "jobs", **properties) -> None:
        properties = pika.BasicProperties(**({"delivery_mode": 2} | properties))
        self.channel.basic_publish(exchange, queue, body, properties, mandatory=True)

    def ready(self, queue: str) -> int:
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def take(self, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
        found, count = [], self.ready(queue)
        if count:
            for method, properties, body in self.channel.consume(queue):
                found.append((properties, body))
                # A quorum queue gives no more than 2,000 without an ack.
                if len(found) % 500 == 0 or len(found) == count:
                    self.channel.basic_ack(method.delivery_tag, multiple=True)
                if len(found) == count:
                    break
            self.channel.cancel()
        return found

    def close(self) -> None:
        if self._connection.is_open:
            self._connection.close()


@contextmanager
def queues_of(url: str):
    queues = Queues(url)
    try:
        yield queues
    finally:
        queues.close()


def broker_with(url: str, handlers: dict, *, batch=(), middleware=None) -> PreklicBroker:
    broker = PreklicBroker(url, middleware=middleware)
    for name, function in handlers.items():
        dramatiq.actor(function, broker=broker, actor_name=name, queue_name=ACTORS[name][1], batch=name in batch)
    return broker


@asynccontextmanager
async def working(url: str, handlers: dict, *, batch=(), middleware=None, **options):
    """An engine that runs `handlers` (actor name -> coroutine function) and is stopped afterwards."""
    broker = broker_with(url, handlers, batch=batch, middleware=middleware)
    engine = Engine(broker, url, sorted({ACTORS[name][1] for name in handlers}), **options)
    await engine.start()
    await auntil(engine.channel_open, what="the engine consumes")
    try:
        yield engine
    finally:
        await engine.stop(deadline=2)
        broker.close()


def drop_connections(rabbit, vhost: str, name: str = "") -> int:
    """Close the vhost's connections whose name contains `name`, as an operator would; how many there were."""
    dropped = 0
    for connection in rabbit.management.call("GET", f"vhosts/{vhost}/connections"):
        client = connection.get("client_properties", {}).get("connection_name", "")
        if name in client:
            rabbit.management.call("DELETE", f"connections/{quote(connection['name'], safe='')}")
            dropped += 1
    return dropped
