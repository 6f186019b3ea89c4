"""The jobs that peers are given: plain fields, not sealed."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from bench.peers.letter import DATA, recipient


def sends(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"id": str(uuid.uuid4()), "to": recipient(number), "data": DATA}


def events(count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {
            "id": str(uuid.uuid4()),
            "message": str(uuid.uuid4()),
            "person": uuid.uuid4().hex,
            "event": "clicked",
            "link": 1,
            "agent": "browser",
            "at": time.time_ns() // 1_000_000,
        }


def nothings(count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {"id": str(uuid.uuid4())}


KINDS = {"noop": nothings, "send_message": sends, "send_bytes": sends, "track": events}
