"""Where a peer finds its services: JSON in the environment variable BENCH, written by the harness."""

import json
import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """`queue` is this peer's own; `progress` a folder for `Progress`; `workers` the processes asked for."""

    amqp: str
    mongo: str
    database: str
    smtp: int
    queue: str
    progress: str
    templates: str
    workers: int = 2


def place() -> Place:
    known: dict[str, Any] = json.loads(os.environ["BENCH"])
    return Place(**known)
