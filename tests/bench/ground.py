"""The services that one run stands on, all on loopback and all gone afterwards."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pika
from pika.exceptions import AMQPError
from pymongo import MongoClient

from bench.peers.place import Place
from bench.peers.progress import total
from preklic_shared import topology_apply
from preklic_shared.broker import PreklicBroker
from preklic_shared.publication import Publication
from preklic_stack.children import Child, Children
from preklic_stack.mailsink import MailSink, start_sink
from preklic_stack.mongo import Mongo, own_cache, start_mongo
from preklic_stack.rabbit import Rabbit, start_rabbit

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".venv-bench" / "bin" / "python"
PEER_DATABASE = "bench_peers"
OUR_DATABASE = "bench_ours"


class DoesNotRun(Exception):
    """Something that is to be measured does not run; the message holds the end of its output."""


@dataclass
class Ground:
    """Running services, and how to start what is measured beside them."""

    run_dir: Path
    children: Children
    rabbit: Rabbit
    mongo: Mongo
    sink: MailSink
    vhost: str = field(default_factory=lambda: f"bench-{uuid.uuid4().hex[:8]}")
    started: int = 0
    houses: dict[str, Any] = field(default_factory=dict)

    @property
    def amqp(self) -> str:
        return self.rabbit.amqp_url(self.vhost)

    @property
    def services(self) -> dict[str, list[int]]:
        """Process groups by name; empty for a service that was given and not started."""
        rabbit = [self.rabbit.child.pid] if self.rabbit.child else []
        return {"rabbitmq": rabbit, "mongod": [m.pid for m in self.mongo.members], "sink": [self.sink.child.pid]}

    def place(self, name: str) -> Place:
        """Where a peer works: a queue and a folder of its own."""
        progress = self.run_dir / "progress" / name
        progress.mkdir(parents=True, exist_ok=True)
        templates = ROOT / "workers" / "preklic_workers" / "templates"
        return Place(
            self.amqp, self.mongo.url, PEER_DATABASE, self.sink.port, f"peer.{name}", str(progress), str(templates)
        )

    def peer_environment(self, place: Place) -> dict[str, str]:
        rooms = os.pathsep.join(str(ROOT / room) for room in ("tests", "workers", "shared"))
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "HOME") if name in os.environ}
        return kept | {"PYTHONPATH": rooms, "BENCH": json.dumps(asdict(place)), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, name: str, argv: Sequence[str], env: dict[str, str]) -> Child:
        """A process of what is measured, with a log of its own."""
        self.started += 1
        return self.children.start(name, argv, env=env, log=self.run_dir / "logs" / f"{self.started:03d}-{name}.log")

    def stop(self, child: Child) -> None:
        child.stop(15)
        self.children.forget(child)

    def run(self, name: str, argv: Sequence[str], env: dict[str, str], seconds: float = 120) -> str:
        """Run to the end; what it printed. Raises `DoesNotRun`."""
        try:
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise DoesNotRun(f"{name} did not end within {seconds:.0f} s") from None
        if done.returncode:
            raise DoesNotRun(f"{name}: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    def publish(self, publications: Iterable[Publication]) -> None:
        """Lay jobs ready, each confirmed. Raises `DoesNotRun`."""
        broker = PreklicBroker(self.amqp, deadline=30)
        try:
            if failures := broker.publish_many(publications):
                raise DoesNotRun(f"{len(failures)} publications failed: {next(iter(failures.values()))!r}")
        finally:
            broker.close()

    def queue(self, name: str) -> tuple[int, int]:
        """Ready messages and consumers of a queue; zeros when it does not exist."""
        try:
            with pika.BlockingConnection(pika.URLParameters(self.amqp)) as connection:
                found = connection.channel().queue_declare(name, passive=True).method
                return found.message_count, found.consumer_count
        except AMQPError:
            return 0, 0

    def empty(self, name: str, seconds: float = 10) -> None:
        """Wait until nobody consumes, then throw away what is left."""
        deadline = time.monotonic() + seconds
        while self.queue(name)[1] and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            with pika.BlockingConnection(pika.URLParameters(self.amqp)) as connection:
                connection.channel().queue_purge(name)
        except AMQPError:
            return

    def accepted(self) -> int:
        """Mails that the sink has accepted so far."""
        return self.sink.counts().get("accepted", 0)

    def documents(self, database: str, collection: str) -> int:
        """Documents in a collection, from its metadata."""
        return self._client[database][collection].estimated_document_count()

    def recorded(self, database: str, message: str) -> bool:
        """Whether an event of this message is there."""
        return self._client[database]["events"].find_one({"message": message}, {"_id": 1}) is not None

    def raw(self, database: str) -> Any:
        """The database itself, for what no worker would write."""
        return self._client[database]

    def forget(self, database: str) -> None:
        self._client.drop_database(database)

    def ticks(self, name: str) -> int:
        """What the processes of `place(name)` have counted."""
        return total(Path(self.place(name).progress))

    @property
    def _client(self) -> MongoClient[dict[str, Any]]:
        if not hasattr(self, "_mongo_client"):
            self._mongo_client: MongoClient[dict[str, Any]] = MongoClient(self.mongo.url)
        return self._mongo_client


def ours_environment(ground: Ground, settings: dict[str, str]) -> dict[str, str]:
    """For processes of ours: nothing of the caller's own settings, the bench's instead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREKLIC_")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT / "tests")]))
    base = {"PREKLIC_AMQP_URL": ground.amqp, "PREKLIC_MONGO_URL": ground.mongo.url, "PYTHONPATH": path}
    return kept | base | settings


@contextmanager
def running_ground(run_dir: Path) -> Iterator[Ground]:
    """RabbitMQ, MongoDB and a sink that keeps no mails; everything is stopped on the way out."""
    with Children() as children:
        with ThreadPoolExecutor(2) as pool:
            later = pool.submit(start_mongo, children, run_dir / "mongo", options=own_cache())
            rabbit = start_rabbit(children, run_dir / "rabbit")
            mongo = later.result()
        sink = start_sink(children, run_dir / "sink", "--keep", "0")
        with prepared(Ground(run_dir, children, rabbit, mongo, sink)) as ground:
            yield ground


@contextmanager
def prepared(ground: Ground) -> Iterator[Ground]:
    """A virtual host with our topology; it and the databases are gone afterwards."""
    ground.rabbit.management.add_vhost(ground.vhost)
    try:
        topology_apply.apply(ground.amqp)
        yield ground
    finally:
        for database in (PEER_DATABASE, OUR_DATABASE, *ground.houses):
            ground.forget(database)
            ground.forget(f"{database}_keys")
        ground.rabbit.management.delete_vhost(ground.vhost)


def peer(module: str, *words: str) -> list[str]:
    return [str(PEERS), "-m", f"bench.peers.{module}", *words]


def ours(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"bench.{module}", *words]
