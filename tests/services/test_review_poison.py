"""Found by review: what a website's AMQP properties may hold, and the worker must live through."""

import struct

import pika
import pytest
from pika import spec

from preklic_shared import wire
from preklic_shared.ids import is_id
from preklic_workers.outcomes import Done
from queueing import track, working
from waiting import auntil


class Raw(pika.BasicProperties):
    """Properties in bytes that pika itself would not write."""

    raw: bytes

    def encode(self):
        return [self.raw]


def with_header(value: bytes):
    table = b"\x01t" + value
    flags = spec.BasicProperties.FLAG_HEADERS | spec.BasicProperties.FLAG_DELIVERY_MODE
    properties = Raw(delivery_mode=2)
    properties.raw = struct.pack(">HI", flags, len(table)) + table + struct.pack("B", 2)
    return properties


def nested(depth: int) -> bytes:
    value = b"t\x01"
    for _ in range(depth):
        table = b"\x01t" + value
        value = b"F" + struct.pack(">I", len(table)) + table
    return value


POISON = {
    "time out of range": with_header(b"T" + struct.pack(">Q", 2**63)),
    "tables in tables": with_header(nested(2000)),
}


@pytest.mark.parametrize("name", POISON)
async def test_poisoned_properties_cost_one_dead_letter(url, queues, name):
    seen, wanted = [], "impostor"

    async def record(opened):
        seen.append(opened.job.id)
        return Done()

    async with working(url, {"track": record}) as engine:
        queues.channel.basic_publish("jobs", "track", wire.encode(track(), "track"), POISON[name])
        good = track()
        queues.put(wire.encode(good, "track"))
        await auntil(lambda: seen == [good.id], what="the next job")
        await auntil(lambda: engine.running == 0, what="nothing under way")
        await auntil(lambda: queues.ready("dead") == 1, what="one dead letter")
    ((properties, _),) = queues.take("dead")
    # Who published it cannot be read either, so it speaks for nobody.
    assert properties.headers["reason"] == wanted


def test_an_id_that_is_no_text_is_no_id():
    assert not is_id(b"\xff\xfe")
