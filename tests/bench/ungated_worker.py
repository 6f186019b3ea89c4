"""The send worker with a store that says yes to everything and keeps nothing: what the store costs is what is left.

The store is replaced from outside; production code knows nothing of it.
"""

import asyncio
import datetime as dt
import os
import signal
from dataclasses import replace

import uvloop

from preklic_shared import telemetry
from preklic_shared.registry import load_registry
from preklic_shared.settings import load_settings
from preklic_workers.duties import Means
from preklic_workers.envelope import Epochs
from preklic_workers.permission import Permission, Person
from preklic_workers.rings import ring_of
from preklic_workers.roles import Worker
from preklic_workers.store import Claimed, GatePassed

YES = {"newsletter": Permission("granted", dt.datetime.now(dt.UTC), "0", 1)}


class Agreeable:
    """Messages, persons, gate, controls and marks in one: what the send handler asks, answered at once."""

    async def claim(self, _claim: object) -> Claimed:
        return Claimed(1)

    async def settle(self, *_facts: object, **_more: object) -> None:
        return None

    async def read(self, subject: str) -> Person:
        return Person(subject, pid=b"p" * 16, seq=1, permissions=YES)

    async def pass_through(self, _handover: object) -> GatePassed:
        return GatePassed(1)

    async def pull(self, _person: str, _message: str, _epoch: int) -> None:
        return None

    async def handed(self, _message: str, _epoch: int) -> bool:
        return False

    async def stopped(self, *_names: str) -> None:
        return None

    async def look(self) -> frozenset[str]:
        return frozenset()

    async def late(self, _seconds: float) -> None:
        return None

    def close(self) -> None:
        return None

    @property
    def messages(self) -> "Agreeable":
        return self

    persons = gate = controls = marks = leases = messages


async def main() -> None:
    telemetry.configure()
    settings = load_settings(os.environ)
    store: object = Agreeable()
    # Without the keys of data at rest nobody tells a database which of them this process holds.
    ring = replace(ring_of(settings, "send"), epochs=Epochs({}))
    worker = Worker("send", Means(settings, load_registry(settings.registry), store, ring))
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await worker.start()
    await stopping.wait()
    await worker.stop()


if __name__ == "__main__":
    uvloop.run(main())
