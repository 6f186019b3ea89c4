"""FastStream on quorum queues, one process a start. `fill KIND N`, or `work KIND`."""

import asyncio
import sys
from typing import Any

import aiosmtplib
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pymongo import AsyncMongoClient

from bench.peers.jobs import KINDS
from bench.peers.letter import BOUNCE, as_bytes, compile_templates
from bench.peers.place import place
from bench.peers.progress import Progress
from bench.peers.recorded import CONCERN, sent

HERE = place()
compile_templates(HERE.templates)
CONNECTIONS = 32
broker = RabbitBroker(HERE.amqp, default_channel=Channel(prefetch_count=128), log_level=40)
app = FastStream(broker)
progress = Progress(HERE.progress)
held: dict[str, Any] = {}


def queue_of(kind: str) -> RabbitQueue:
    return RabbitQueue(f"{HERE.queue}.{kind}", queue_type=QueueType.QUORUM, durable=True)


async def noop(body: dict[str, Any]) -> None:
    progress.tick()


async def send_bytes(body: dict[str, Any]) -> None:
    raw = as_bytes(HERE.templates, body["id"], body["to"], body["data"])
    client = await held["idle"].get()
    await client.sendmail(BOUNCE, [body["to"]], raw)
    held["idle"].put_nowait(client)
    await held["mongo"][HERE.database].messages.insert_one(sent(body["id"], body["to"]))


async def open_all() -> None:
    held["mongo"] = AsyncMongoClient(HERE.mongo, **CONCERN)
    held["idle"] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=HERE.smtp, start_tls=False, local_hostname="bench.test")
        await client.connect()
        held["idle"].put_nowait(client)


async def fill(kind: str, count: int) -> None:
    async with broker:
        await broker.declare_queue(queue_of(kind))
        jobs = list(KINDS[kind](count))
        for start in range(0, count, 200):
            publishes = (
                broker.publish(job, queue=f"{HERE.queue}.{kind}", persist=True) for job in jobs[start : start + 200]
            )
            await asyncio.gather(*publishes)


def work(kind: str) -> None:
    handler = {"noop": noop, "send_bytes": send_bytes}[kind]
    broker.subscriber(queue_of(kind))(handler)
    if kind == "send_bytes":
        app.on_startup(open_all)
    asyncio.run(app.run(log_level=40))


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        asyncio.run(fill(sys.argv[2], int(sys.argv[3])))
    else:
        work(sys.argv[2])
