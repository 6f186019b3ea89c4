"""Our producer for so many seconds: `python -m bench.publisher producer|broker SECONDS`."""

import json
import os
import sys
import time
from itertools import islice

from bench.peers.letter import DATA, recipient
from preklic_producers import Producer
from preklic_shared.broker import PreklicBroker
from preklic_shared.publication import Publication
from preklic_shared.settings import load_settings

CHUNK = 500


def with_producer(seconds: float) -> tuple[int, float]:
    """`send_many`: checked, sealed, published and confirmed."""
    mails = [
        {"to": recipient(number), "purpose": "newsletter", "template": "newsletter", "data": DATA}
        for number in range(CHUNK)
    ]
    with Producer(load_settings(os.environ)) as producer:
        producer.send_many(mails[:1])
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            count += len(producer.send_many(mails))
        return count, time.monotonic() - began


def with_broker(seconds: float) -> tuple[int, float]:
    """The broker's share alone: jobs that were sealed before, as long as they are."""
    broker = PreklicBroker(load_settings(os.environ).amqp_url, deadline=30)
    body = b"x" * int(sys.argv[3])
    broker.publish(Publication("jobs", "send.bulk", body, "0", "send_bulk"))
    count, began = 0, time.monotonic()
    numbers = iter(range(100_000_000))
    while time.monotonic() - began < seconds:
        chunk = [Publication("jobs", "send.bulk", body, str(number), "send_bulk") for number in islice(numbers, 2000)]
        assert not broker.publish_many(chunk)
        count += len(chunk)
    broker.close()
    return count, time.monotonic() - began


if __name__ == "__main__":
    jobs, took = {"producer": with_producer, "broker": with_broker}[sys.argv[1]](float(sys.argv[2]))
    print(json.dumps({"jobs": jobs, "seconds": took}))
