"""Work for the workers of a fault run: mail that never ends, and queues that are full before anybody looks."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from preklic_producers import Producer
from preklic_shared.broker import PreklicBroker
from preklic_shared.ids import new_id
from preklic_shared.jobs import TrackJob
from preklic_shared.publication import Publication
from preklic_shared.topology import TIERS, tier_queue
from preklic_shared.wire import encode
from preklic_stack.system import System
from preklic_workers import joblog

BULK = "send.bulk"
CHUNK = 500
ENOUGH = 2_000
ARTICLES = [{"title": "One", "summary": "Nothing to read here.", "url": "https://lucrum.example/one"}]
DATA = {"title": "A fault run", "intro": "Sent while people withdraw.", "articles": ARTICLES}
_WEEK = 7 * 86_400_000


class Load:
    """Keeps newsletters waiting in `send.bulk` from `with` to its end, or to `stop`."""

    def __init__(self, producer: Producer, system: System, people: int) -> None:
        self._producer = producer
        self._system = system
        self._people = people
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._failed: list[Exception] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._failed:
            raise self._failed[0]

    def stop(self) -> None:
        """Publish no more."""
        self._over.set()
        self._thread.join()

    def busy(self) -> bool:
        """Whether mails wait."""
        return queues_of(self._system)[BULK] > 0

    def left(self) -> bool:
        """Whether mails wait, be it in a tier: that is where they are put while bulk mail is closed."""
        depths = queues_of(self._system)
        return depths[BULK] > 0 or any(depths[tier_queue(tier)] > 0 for tier in TIERS)

    def _publish(self) -> None:
        try:
            while not self._over.is_set():
                if queues_of(self._system)[BULK] < ENOUGH:
                    self._producer.send_many([mail(number % self._people) for number in range(CHUNK)])
                else:
                    time.sleep(0.3)
        except Exception as error:  # noqa: BLE001 - passed on at the end, on the main thread
            self._failed.append(error)


def mail(number: int) -> Any:
    """One newsletter, to the person of that number."""
    return {"to": f"stays{number}@preklic.example", "purpose": "newsletter", "template": "newsletter", "data": DATA}


def bury_in_jobs(producer: Producer, system: System, tracks: int, sends: int, people: int) -> None:
    """Fill `track` and `send.bulk`; every publish is confirmed."""
    broker = PreklicBroker(system.rabbit.amqp_url(system.vhost), deadline=60)
    try:
        if failures := broker.publish_many(_tracks(tracks)):
            raise RuntimeError(f"{len(failures)} publications failed: {next(iter(failures.values()))!r}")
    finally:
        broker.close()
    for start in range(0, sends, CHUNK):
        producer.send_many([mail(number % people) for number in range(start, min(start + CHUNK, sends))])


def _tracks(count: int) -> Iterator[Publication]:
    for _ in range(count):
        now = time.time_ns() // 1_000_000
        job = TrackJob(
            id=new_id(),
            producer="guest",
            at=now,
            expires=now + _WEEK,
            event="opened",
            message=new_id(),
            person="0" * 32,
        )
        yield Publication("jobs", "track", encode(job, "track"), job.id, "track")


def queues_of(system: System) -> Mapping[str, int]:
    """How many jobs are ready in each queue."""
    return joblog.depths(system.rabbit.amqp_url(system.vhost))
