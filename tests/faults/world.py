"""One Preklic under fire: its servers, its people, and its processes, forked by the zygote and kept at their number."""

import asyncio
import datetime as dt
import itertools
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

from pymongo import MongoClient

from faults import failpoints
from faults.witnesses import RACING
from faults.zygote import Forked, Zygote, wait_gone
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings, load_settings
from preklic_stack.household import SITE, make_users
from preklic_stack.places import quick_folder
from preklic_stack.ports import free_port
from preklic_stack.stack import Stack, running_stack
from preklic_stack.system import System
from preklic_workers.keydir import load_ring
from preklic_workers.store import Grant, open_store

FLEET: Final[Mapping[str, int]] = {"send": 8, "revoke": 2, "record": 1, "track": 1, "upkeep": 1, "gateway": 1}
PURPOSES: Final = ("newsletter", RACING)
# So many jobs of each lane in one send worker, and sessions for nearly all: none waits long for one.
CONCURRENCY: Final = 32
CONNECTIONS: Final = 48
OPEN: Final = "test_open"
RETURNS: Final = "dead_letter_worker_publisher_confirm_timeout"


class Human(NamedTuple):
    """Somebody who gets mail: the address, the suppression hash, and what tokens call them."""

    address: str
    subject: str
    pid: bytes


@dataclass
class World:
    """What the run acts on. `told` is the file in which workers note what they do at fail points."""

    stack: Stack
    system: System
    zygote: Zygote
    passwords: Mapping[str, str]
    lease: float | None
    gateway_port: int
    database: Any
    told: Path
    fleet: list[Forked] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def gateway_url(self) -> str:
        """The gateway's public face."""
        return f"http://127.0.0.1:{self.gateway_port}"

    def amqp_url(self, user: str) -> str:
        """The broker's URL for a user; the only one there is when the broker was given."""
        rabbit, vhost = self.system.rabbit, self.system.vhost
        return rabbit.amqp_url(vhost, user, self.passwords[user]) if self.passwords else rabbit.amqp_url(vhost)

    def environment(self, role: str) -> dict[str, str]:
        """The environment of a process of this role, fail points included."""
        given = self.system.environment(role) | {
            "PREKLIC_AMQP_URL": self.amqp_url(role),
            "PREKLIC_PUBLIC_URL": self.gateway_url,
            failpoints.TOLD: str(self.told),
        }
        if role == "gateway":
            given["PREKLIC_OUTBOX"] = str(self.system.folder / "gateway.outbox")
        return given if self.lease is None else given | {failpoints.LEASE: str(self.lease)}

    def settings(self, role: str) -> Settings:
        """The settings of a process of this role, or of a website, in this process."""
        pin = (self.system.keys / "producers" / "root.pub").read_text(encoding="ascii")
        given = self.environment(role) | {"PREKLIC_SEALING_PIN": pin}
        return load_settings({name: value for name, value in given.items() if name not in failpoints.NAMES})

    def start(self, role: str, fault: str = "") -> Forked:
        """One more process of this role, which belongs to the fleet."""
        gateway = ["gateway", "--port", str(self.gateway_port)]
        few = ["--concurrency", str(CONCURRENCY)] if role == "send" else []
        argv = gateway if role == "gateway" else ["worker", role, *few]
        environment = self.environment(role) | ({failpoints.FAULT: fault} if fault else {})
        forked = self.zygote.fork(role, argv, environment)
        self.fleet.append(forked)
        return forked

    def of(self, role: str) -> list[Forked]:
        """The processes of this role that are at work."""
        return [one for one in self.fleet if one.name == role and one.alive() and not one.stopped]

    def fill(self) -> None:
        """Start what is missing of the fleet."""
        self.fleet = [one for one in self.fleet if one.alive()]
        for role, count in FLEET.items():
            for _ in range(count - len(self.of(role))):
                self.start(role)

    def command(self, *argv: str) -> tuple[int | None, str]:
        """Run `preklic ...` as the operator; exit code and output."""
        given = self.environment("upkeep")
        return self.zygote.run(argv, {name: value for name, value in given.items() if name != failpoints.TOLD})

    def retire(self, seconds: float = 40) -> list[Forked]:
        """SIGTERM to all; those that had to be killed."""
        for one in self.fleet:
            one.signal(signal.SIGCONT)
            one.signal(signal.SIGTERM)
        left = wait_gone(self.fleet, seconds)
        for one in left:
            one.signal(signal.SIGKILL)
        self.fleet.clear()
        return left

    def manage(self, method: str, path: str, body: object = None) -> Any:
        """A call of the management API; `{vhost}` stands for this run's."""
        place = path.replace("{vhost}", quote(self.system.vhost, safe=""))
        return self.system.rabbit.management.call(method, place, body)

    def held(self, seconds: float) -> list[tuple[str, int]]:
        """Message and epoch of each hand-over that was opened within so many seconds and is open still."""
        until = dt.timedelta(seconds=2 * self.lease) if self.lease else dt.timedelta(minutes=11)
        since = dt.datetime.now(dt.UTC) + until - dt.timedelta(seconds=seconds)
        docs = self.database.persons.find({"open.until": {"$gt": since}, "open.0": {"$exists": True}}, {"open": 1})
        return [(e["message"], e["epoch"]) for doc in docs.hint(OPEN) for e in doc["open"] if e["until"] > since]


@contextmanager
def open_world(
    members: int, lease: float | None, say: Callable[[str], None], connections: int = CONNECTIONS
) -> Iterator[World]:
    """Everything, started on a virtual host and a database of its own; all gone on the way out."""
    name = f"faults-{uuid.uuid4().hex[:8]}"
    with (
        tempfile.TemporaryDirectory(dir=quick_folder()) as folder,
        running_stack(Path(folder), say, members=members, sink=("--fsync", "--keep", "0")) as stack,
    ):
        stack.rabbit.management.add_vhost(name)
        parts = (stack.run_dir / "preklic", stack.children, stack.rabbit, stack.mongo, stack.sink)
        system = System(*parts, name, name, connections=connections)
        with MongoClient[dict[str, Any]](stack.mongo.url, tz_aware=True) as client:
            try:
                yield _prepared(stack, system, client[name], lease)
            finally:
                _clear(stack, name)


def _prepared(stack: Stack, system: System, database: Any, lease: float | None) -> World:
    if lease is not None and stack.rabbit.child is not None:
        # A queue that took nothing from a tier is asked again after 3 minutes, unless its worker starts with less.
        stack.rabbit.ctl("eval", f"application:set_env(rabbit, {RETURNS}, {round(1000 * lease)}).")
    system.prepare()
    database.persons.create_index([("open.until", 1)], name=OPEN, partialFilterExpression={"open.0": {"$exists": True}})
    zygote = Zygote(stack.children, stack.run_dir / "forked")
    told = stack.run_dir / "told.jsonl"
    told.touch()
    return World(stack, system, zygote, make_users(system), lease, free_port(), database, told)


def _clear(stack: Stack, name: str) -> None:
    stack.rabbit.management.delete_vhost(name)
    stack.mongo.drop(name, f"{name}_keys")


class Place(Protocol):
    """What people are recorded in."""

    system: System
    database: Any

    def settings(self, role: str) -> Settings:
        """The settings of a process of this role."""


class People:
    """People made cheaply: one permits what is needed as an installation records it, the others are like that one."""

    def __init__(self, world: Place) -> None:
        self._world = world
        self._ring = load_ring(world.system.keys / "record", "record")
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._first = asyncio.run(self._grant(self._address(0)))

    def make(self, count: int) -> list[Human]:
        """So many new ones, who permit newsletter and offers, and that clicks are counted."""
        with self._lock:
            addresses = [self._address(next(self._numbers)) for _ in range(count)]
        made = [Human(address, self._ring.blind.subject(parse(address)), uuid.uuid4().bytes) for address in addresses]
        self._world.database.persons.insert_many(
            [
                self._first
                | {"_id": each.subject, "pid": each.pid, "lookup": self._ring.blind.find(parse(each.address))}
                for each in made
            ]
        )
        return made

    def stranger(self) -> str:
        """An address that is recorded nowhere."""
        with self._lock:
            return self._address(next(self._numbers))

    def subject(self, address: str) -> str:
        """The suppression hash of an address."""
        return self._ring.blind.subject(parse(address))

    async def _grant(self, address: str) -> dict[str, Any]:
        registry = load_registry(None)
        store = await open_store(self._world.settings("record"), self._ring)
        try:
            subject = self.subject(address)
            yes = Grant(
                new_id(),
                subject,
                [registry.purposes[key] for key in PURPOSES],
                dt.datetime.now(dt.UTC),
                {"wording": "faults", "source": "fault run", "method": "form"},
                address=parse(address),
                confirmed=True,
                switches=("engagement.opens", "engagement.clicks"),
            )
            await store.grants.grant(yes)
            doc = await store.mongo["persons"].find_one({"_id": subject})
        finally:
            store.close()
        assert doc is not None
        return doc

    @staticmethod
    def _address(number: int) -> str:
        return f"person{number}@preklic.example"


__all__ = ["CONNECTIONS", "FLEET", "SITE", "Human", "People", "World", "open_world"]
