"""A send worker without its broker: the real handler on a real store, in front of the real sink."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.jobs import SendJob, SendPayload
from preklic_shared.registry import SWITCHES, load_registry
from preklic_shared.settings import Processor
from preklic_shared.tokens import TokenKeys
from preklic_workers.blind import Blind
from preklic_workers.compose.composer import SHIPPED, UNSIGNED, Composer, House
from preklic_workers.compose.labels import UNLABELLED
from preklic_workers.compose.templates import Templates
from preklic_workers.envelope import EPOCH_GROUPS, Epochs
from preklic_workers.keyring import KeyRing
from preklic_workers.runtime import Opened, no_reply
from preklic_workers.send import handle
from preklic_workers.send_plan import SendDeps
from preklic_workers.smtp.pool import Limits, RelayPool, Target
from preklic_workers.smtp.routes import Route
from preklic_workers.store import Grant, Store, Withdraw, moment, open_store
from preklic_workers.store.schema import apply

RING = KeyRing(
    role="send",
    blind=Blind(suppress=b"s" * 32, lookup=b"l" * 32),
    epochs=Epochs({group: {1: b"e" * 32} for group in EPOCH_GROUPS}),
    tokens=TokenKeys({1: b"t" * 32}, 1),
)
PROCESSOR = Processor(
    name="Mail company", contract="2026/1", country="SI", valid_from="2020-01-01", valid_to="2099-12-31"
)
HOUSE = House("https://gateway.lucrum.example", "lucrum.example", "Ljubljana")
REGISTRY = load_registry()
DATA = {
    "newsletter": {
        "title": "Novice",
        "intro": "Uvod",
        "articles": [{"title": "Prvi", "summary": "Povzetek", "url": "https://lucrum.example/1"}],
    },
    "offer": {"title": "Ponudba", "text": "Besedilo", "url": "https://lucrum.example/ponudba"},
    "payment": {"invoice": "2026-17", "amount": "29,90 €", "due": "1. 12. 2026", "url": "https://lucrum.example/p"},
    "confirm": {},
}
HOUR = 3_600_000


def composer(signers=UNSIGNED):
    return Composer(Templates(SHIPPED), REGISTRY, RING.tokens, HOUSE, signers)


def route(port: int, *, processor: Processor = PROCESSOR, name: str = "sink", labels=UNLABELLED, **limits) -> Route:
    target = Target("127.0.0.1", port, "worker.lucrum.example", tls="off")
    return Route(name, processor, RelayPool(target, Limits(**limits)), labels=labels)


def send_job(purpose="newsletter", template=None, *, after=None, age=0, job_id=None):
    now = int(time.time() * 1000) - age
    return SendJob(
        id=job_id or new_id(),
        producer="website",
        at=now,
        expires=now + HOUR,
        purpose=purpose,
        template=template or purpose.removesuffix("s"),
        after=after,
        key="send-1",
        sealed="AAAA",
    )


@dataclass
class Desk:
    """What a test sends with. `replies` is what the handler told of the relay."""

    store: Store
    deps: SendDeps
    replies: list[tuple[str, str]] = field(default_factory=list)

    async def grant(self, address, *purposes, confirmed=True, switches=(), job=None) -> str:
        """Record a permission; the id of its job."""
        job = job or new_id()
        parsed = parse(address)
        grant = Grant(
            job=job,
            subject=self.subject(address),
            purposes=[REGISTRY.get(key) for key in purposes],
            at=moment(int(time.time() * 1000)),
            proof={"wording": "w", "source": "s", "method": "form"},
            address=parsed,
            confirmed=confirmed,
            switches=switches,
        )
        await self.store.grants.grant(grant)
        return job

    async def withdraw(self, address, purposes, **more):
        no = Withdraw(new_id(), self.subject(address), purposes, "test", moment(int(time.time() * 1000)), **more)
        return await self.store.withdrawals.withdraw(no)

    def opened(self, job, to, *, attempt=0, expired=False, alive=lambda: True, data=None, **payload) -> Opened:
        values = DATA.get(getattr(job, "template", ""), {}) if data is None else data
        return Opened(job, SendPayload(to=to, data=values, **payload), attempt, "website", expired, alive, no_reply)

    async def send(self, job, to, **how):
        """Handle the job once."""
        deps = replace(self.deps, **how.pop("deps", {}))
        return await handle(self.opened(job, to, **how), deps)

    async def state(self, job):
        """What is recorded of the job, with dots instead of brackets."""
        return SimpleNamespace(**{"reason": None, "doubted": False} | (await self.store.messages.show(job.id) or {}))

    async def person(self, address):
        return await self.store.persons.whole(self.subject(address))

    def subject(self, address) -> str:
        return RING.blind.subject(parse(address))

    async def close(self):
        for each in self.deps.routes:
            await each.pool.close()
        self.store.close()


async def open_desk(mongo_url: str, database: str, routes: Sequence[Route], *, schema: bool = True) -> Desk:
    """A desk on a fresh database whose validators are on; without `schema` on one that another desk has made."""
    store = await open_store(SimpleNamespace(mongo_url=mongo_url, mongo_database=database), RING)
    if schema:
        await apply(store.mongo)
    replies: list[tuple[str, str]] = []
    deps = SendDeps(
        store, REGISTRY, composer(), routes, RING.blind, observe=lambda relay, kind: replies.append((relay, kind))
    )
    return Desk(store, deps, replies)


__all__ = [
    "DATA",
    "HOUR",
    "HOUSE",
    "PROCESSOR",
    "REGISTRY",
    "RING",
    "SWITCHES",
    "Desk",
    "composer",
    "open_desk",
    "route",
    "send_job",
]
