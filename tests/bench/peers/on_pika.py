"""Raw pika. `publish SECONDS`: a confirm for each message; `fill track N`; `work track`: batches and insert_many."""

import json
import sys
import time
from typing import Any

import pika
from pymongo import MongoClient

from bench.peers.jobs import KINDS
from bench.peers.place import place
from bench.peers.recorded import CONCERN, event

HERE = place()
BATCH = 500
PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="application/json")


def _declared(channel: Any) -> None:
    channel.queue_declare(HERE.queue, durable=True, arguments={"x-queue-type": "quorum"})


def publish(seconds: float) -> None:
    """As many confirmed publications of a send job as fit into the time, one after the other."""
    connection = pika.BlockingConnection(pika.URLParameters(HERE.amqp))
    channel = connection.channel()
    _declared(channel)
    channel.confirm_delivery()
    # As long as a sealed job of ours.
    body = b"x" * int(sys.argv[3])
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        channel.basic_publish("", HERE.queue, body, PERSISTENT, mandatory=True)
        count += 1
    print(json.dumps({"jobs": count, "seconds": time.monotonic() - began}))
    connection.close()


def fill(kind: str, count: int) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(HERE.amqp))
    channel = connection.channel()
    _declared(channel)
    for job in KINDS[kind](count):
        channel.basic_publish("", HERE.queue, json.dumps(job).encode(), PERSISTENT)
    connection.close()


class Batches:
    """Takes what has arrived, at most `BATCH`, inserts it and acks it as a whole."""

    def __init__(self) -> None:
        self.events = MongoClient(HERE.mongo, **CONCERN)[HERE.database].events
        self.waiting: list[dict[str, Any]] = []
        self.tag = 0
        self.channel: Any = None
        self.connection = pika.SelectConnection(pika.URLParameters(HERE.amqp), on_open_callback=self.opened)

    def opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self.consume)

    def consume(self, channel: Any) -> None:
        self.channel = channel
        channel.basic_qos(prefetch_count=BATCH * 4)
        channel.basic_consume(HERE.queue, self.delivered)
        self.later()

    def later(self) -> None:
        self.connection.ioloop.call_later(0.02, self.tick)

    def tick(self) -> None:
        self.flush()
        self.later()

    def delivered(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self.waiting.append(event(json.loads(body)))
        self.tag = method.delivery_tag
        if len(self.waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.events.insert_many(self.waiting, ordered=False)
            self.channel.basic_ack(self.tag, multiple=True)
            self.waiting = []


if __name__ == "__main__":
    match sys.argv[1]:
        case "publish":
            publish(float(sys.argv[2]))
        case "fill":
            fill(sys.argv[2], int(sys.argv[3]))
        case _:
            Batches().connection.ioloop.start()
