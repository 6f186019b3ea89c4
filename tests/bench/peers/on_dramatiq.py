"""Stock dramatiq on quorum queues, its default middleware and AsyncIO. `fill KIND N`, `publish SECONDS OCTETS`.

Its workers start by its own command line.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiosmtplib
import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import AsyncIO
from pymongo import AsyncMongoClient, MongoClient

from bench.peers.jobs import KINDS
from bench.peers.letter import BOUNCE, as_bytes, compile_templates
from bench.peers.place import place
from bench.peers.progress import Progress
from bench.peers.recorded import CONCERN, event, sent

HERE = place()
compile_templates(HERE.templates)
progress = Progress(HERE.progress)
CONNECTIONS = 32
held: dict[str, Any] = {}


class QuorumBroker(RabbitmqBroker):
    """Stock, but for the kind of its queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return super()._build_queue_arguments(queue_name) | {"x-queue-type": "quorum"}


broker = QuorumBroker(url=HERE.amqp)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


async def _connection() -> aiosmtplib.SMTP:
    """A session of this process's pool, kept open; they are opened as they are needed."""
    idle: asyncio.LifoQueue[aiosmtplib.SMTP] = held.setdefault("idle", asyncio.LifoQueue())
    if idle.empty() and held.setdefault("open", 0) < CONNECTIONS:
        held["open"] += 1
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=HERE.smtp, start_tls=False, local_hostname="bench.test")
        await client.connect()
        return client
    return await idle.get()


@dramatiq.actor(queue_name=f"{HERE.queue}.noop")
async def noop(id: str) -> None:  # noqa: A002
    progress.tick()


@dramatiq.actor(queue_name=f"{HERE.queue}.send")
async def send_bytes(id: str, to: str, data: dict[str, Any]) -> None:  # noqa: A002
    if "mongo" not in held:
        held["mongo"] = AsyncMongoClient(HERE.mongo, **CONCERN)
    client = await _connection()
    await client.sendmail(BOUNCE, [to], as_bytes(HERE.templates, id, to, data))
    held["idle"].put_nowait(client)
    await held["mongo"][HERE.database].messages.insert_one(sent(id, to))


@dramatiq.actor(queue_name=f"{HERE.queue}.track")
def track(**fields: Any) -> None:
    if "client" not in held:
        held["client"] = MongoClient(HERE.mongo, **CONCERN)
    held["client"][HERE.database].events.insert_one(event(fields))


ACTORS = {"noop": noop, "send_bytes": send_bytes, "track": track}


def publish(seconds: float, octets: int) -> None:
    """Confirmed publications, one after the other, for so many seconds."""
    broker.confirm_delivery = True
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        noop.send("x" * octets)
        count += 1
    print(json.dumps({"jobs": count, "seconds": time.monotonic() - began}))


def fill(kind: str, count: int) -> None:
    for job in KINDS[kind](count):
        ACTORS[kind].send(**job)


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(float(sys.argv[2]), int(sys.argv[3]))
    else:
        fill(sys.argv[2], int(sys.argv[3]))
