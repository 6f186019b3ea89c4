"""One installation of ours: keys, persons and jobs, made as in production."""

import asyncio
import datetime as dt
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.ground import OUR_DATABASE, Ground, ours_environment
from bench.peers.letter import DATA, recipient
from preklic_producers import Producer
from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import TrackJob
from preklic_shared.publication import Publication
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings, load_settings
from preklic_shared.token_keys import load_token_keys
from preklic_shared.tokens import Click
from preklic_shared.wire import encode
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import PIN_FILE, PUBLIC, PUBLIC_FILE, init_keys, make_dkim
from preklic_workers.store import Grant, open_store, schema

PEOPLE = 20_000
WATCHED = 100
# As docs/bench.md says: the more jobs run at once, the larger the groups in which the store writes.
CONCURRENCY, CONNECTIONS = 256, 128


class House:
    """One installation on a ground: its keys, its settings and, when a mail is to be sent, its people."""

    def __init__(self, ground: Ground, database: str = OUR_DATABASE) -> None:
        self.ground, self.database = ground, database
        self.keys = ground.run_dir / "keys" / uuid.uuid4().hex
        init_keys(self.keys, dt.datetime.now(dt.UTC))
        self.granted = 0
        self._watched: list[bytes] = []

    def environment(self, role: str) -> dict[str, str]:
        """The settings of one role, as environment."""
        return ours_environment(
            self.ground,
            {
                "PREKLIC_MONGO_DATABASE": self.database,
                "PREKLIC_KEY_DIR": str(self.keys / role),
                "PREKLIC_SEALING_KEYS": str(self.keys / PUBLIC / PUBLIC_FILE),
                "PREKLIC_SEALING_PIN": (self.keys / PUBLIC / PIN_FILE).read_text(),
                "PREKLIC_MAIL_DOMAIN": "lucrum.example",
                "PREKLIC_RELAYS__0__NAME": "sink",
                "PREKLIC_RELAYS__0__HOST": "127.0.0.1",
                "PREKLIC_RELAYS__0__PORT": str(self.ground.sink.port),
                "PREKLIC_RELAYS__0__TLS": "off",
                "PREKLIC_RELAYS__0__CONNECTIONS": str(CONNECTIONS),
                "PREKLIC_CONCURRENCY": str(CONCURRENCY),
                "PREKLIC_RELAYS__0__PROCESSOR": "bench",
                "PREKLIC_PROCESSORS__0__NAME": "bench",
                "PREKLIC_PROCESSORS__0__CONTRACT": "bench-1",
                "PREKLIC_PROCESSORS__0__COUNTRY": "SI",
                "PREKLIC_PROCESSORS__0__VALID_FROM": "2020-01-01",
                "PREKLIC_PROCESSORS__0__VALID_TO": "2099-12-31",
            },
        )

    def settings(self, role: str) -> Settings:
        return load_settings(self.environment(role))

    def people(self, count: int) -> None:
        """So many persons who permit the newsletter: one grants it, the others are like that one."""
        if not self.granted:
            asyncio.run(self._grant(range(1)))
            self.granted = 1
        if self.granted < count:
            asyncio.run(self._clone(range(self.granted, count)))
            self.granted = count

    def watched(self) -> list[bytes]:
        """The pids of some persons who permit that clicks are counted; the mails of the others stay plain."""
        if not self._watched:
            numbers = range(1_000_000, 1_000_000 + WATCHED)
            self._watched = asyncio.run(self._grant(numbers, switches=("engagement.clicks",)))
        return self._watched

    def with_dkim(self) -> Path:
        """A copy of the keys of `send` with a DKIM key beside them."""
        copy = self.keys.with_name(f"{self.keys.name}-dkim") / "send"
        if not copy.exists():
            shutil.copytree(self.keys / "send", copy)
            make_dkim(copy, "lucrum.example", "bench", "rsa")
        return copy

    async def _clone(self, numbers: range) -> None:
        ring = load_ring(self.keys / "record", "record")
        store = await open_store(self.settings("record"), ring)
        first = await store.mongo["persons"].find_one({"_id": ring.blind.subject(parse(recipient(0)))})
        assert first is not None
        addresses = (parse(recipient(number)) for number in numbers)
        others = [
            first | {"_id": ring.blind.subject(each), "pid": uuid.uuid4().bytes, "lookup": ring.blind.find(each)}
            for each in addresses
        ]
        assert not (await store.mongo["persons"].insert_many(others)).failed
        store.close()

    async def _grant(self, numbers: range, switches: Sequence[str] = ()) -> list[bytes]:
        ring = load_ring(self.keys / "record", "record")
        store = await open_store(self.settings("record"), ring)
        await schema.apply(store.mongo)
        purpose = load_registry(None).purposes["newsletter"]
        now = dt.datetime.now(dt.UTC)

        async def grant(number: int) -> bytes:
            address = parse(recipient(number))
            subject = ring.blind.subject(address)
            yes = Grant(
                new_id(),
                subject,
                [purpose],
                now,
                {"wording": "bench"},
                address=address,
                confirmed=True,
                switches=switches,
            )
            await store.grants.grant(yes)
            person = await store.persons.read(subject)
            assert person is not None
            return person.pid

        pids: list[bytes] = []
        for start in range(numbers.start, numbers.stop, 100):
            pids += await asyncio.gather(*(grant(n) for n in range(start, min(start + 100, numbers.stop))))
        store.close()
        return pids

    def clicks(self, count: int) -> Iterator[Publication]:
        """Jobs as the gateway makes them, each of another message."""
        pids = self.watched()
        now = time.time_ns() // 1_000_000
        for number in range(count):
            job = TrackJob(
                id=new_id(),
                producer="guest",
                at=now,
                expires=now + 86_400_000,
                event="clicked",
                message=str(uuid.uuid4()),
                person=pids[number % len(pids)].hex(),
                link=1,
                agent="browser",
            )
            yield Publication("jobs", "track", encode(job, "track"), job.id, "track")

    def links(self, count: int) -> list[str]:
        """Paths of clicks, as they stand in mails."""
        tokens = load_token_keys(self.keys / "gateway")
        pids = self.watched()
        clicks = (Click(new_id(), pids[n % len(pids)], 1, f"https://lucrum.example/read/{n}") for n in range(count))
        return [f"/c/{tokens.mint(click)}" for click in clicks]

    def send_jobs(self, count: int) -> None:
        """Lay sends ready, each to one of the people."""
        self.people(min(count, PEOPLE))
        mails = (
            {"to": recipient(n % self.granted), "purpose": "newsletter", "template": "newsletter", "data": DATA}
            for n in range(count)
        )
        with Producer(self.settings("gateway"), deadline=30) as producer:
            producer.send_many(mails)


def house(ground: Ground, database: str = OUR_DATABASE) -> House:
    """The ground's one installation with this database."""
    if database not in ground.houses:
        ground.houses[database] = House(ground, database)
    return ground.houses[database]
