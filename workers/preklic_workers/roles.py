"""The composition root: settings -> key ring -> store -> duty -> actors -> engine, for each role."""

import asyncio
from collections.abc import Sequence

import dramatiq

from preklic_shared import telemetry
from preklic_shared.broker import PreklicBroker
from preklic_shared.collector import spare_the_collector
from preklic_shared.health import Health
from preklic_shared.jobs import ACTORS
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers.again import Again
from preklic_workers.declaring import EVERY, Declared
from preklic_workers.draining import Draining
from preklic_workers.duties import DUTIES, Means, Part
from preklic_workers.engine import Engine
from preklic_workers.holding import Holding
from preklic_workers.measured import as_actor, observe_job
from preklic_workers.pausing import Pauses
from preklic_workers.recording import StoreRecorder
from preklic_workers.rings import ring_of
from preklic_workers.starting import check_database, check_topology
from preklic_workers.store import open_store
from preklic_workers.store.holders import Holders

log = telemetry.logger(__name__)


class Worker:
    """One role at work: its store, its engine and what runs beside it."""

    def __init__(self, role: str, means: Means) -> None:
        self.role = role
        self._store = means.store
        self._duty = DUTIES[role](means)
        self._broker = PreklicBroker(means.settings.amqp_url)
        self._parts: list[Part] = list(self._duty.beside)
        if means.ring.epochs.keys:
            self._parts.append(Holding(role, means.ring.epochs, Holders(means.store.mongo)))
        if self._duty.handlers:
            queues, engine = self._queues(), self._engine(means)
            # In this order: what is paused is known before the first job is taken.
            self._parts += [Pauses(means.store.controls, queues, engine.hold), engine]

    @classmethod
    async def open(cls, role: str, settings: Settings) -> "Worker":
        """A worker that is ready to start.

        Raises SettingsError, KeyDirError, RegistryError, store.Unavailable, store.Standalone, NotReady.
        """
        ring, registry = ring_of(settings, role), load_registry(settings.registry)
        await asyncio.to_thread(check_topology, settings.amqp_url, role)
        store = await open_store(settings, ring)
        try:
            await check_database(store.mongo, registry)
            declared = Declared(store.mongo, role, registry, ring)
            await declared.once()
            worker = cls(role, Means(settings, registry, store, ring))
        except BaseException:
            store.close()
            raise
        worker._parts.append(Again("declared", declared.once, EVERY))
        return worker

    async def start(self) -> None:
        """Take jobs."""
        for part in self._parts:
            await part.start()

    async def stop(self) -> None:
        """Finish what runs, settle it, and close everything."""
        await asyncio.gather(*(part.stop() for part in self._parts))
        for close in self._duty.close:
            await close()
        self._broker.close()
        self._store.close()

    def give_back(self) -> None:
        """While it stops: wait for no running job any longer."""
        for part in self._parts:
            if isinstance(part, Engine):
                part.give_back()

    def ready(self) -> bool:
        """Whether every part takes what it should."""
        return all(getattr(part, "channel_open", bool_true)() for part in self._parts)

    def _engine(self, means: Means) -> Engine:
        for name, handler in self._duty.handlers.items():
            declare = dramatiq.actor(
                broker=self._broker, actor_name=name, queue_name=ACTORS[name][1], batch=name in self._duty.batch
            )
            declare(as_actor(handler))
        return Engine(
            self._broker,
            means.settings.amqp_url,
            self._queues(),
            concurrency=max(means.settings.concurrency, self._duty.places),
            opener=means.ring.opener,
            observe=observe_job,
            recorder=StoreRecorder(means.store),
            deadline=means.settings.drain_seconds,
            name=f"preklic {self.role}",
        )

    def _queues(self) -> list[str]:
        return sorted({ACTORS[name][1] for name in self._duty.handlers})


def bool_true() -> bool:
    """What has no connection of its own is always ready."""
    return True


async def work(roles: Sequence[str], settings: Settings) -> None:
    """Run these roles until SIGTERM or SIGINT, then finish the jobs under way; a later signal gives them back."""
    draining = Draining()
    draining.listen()
    workers: list[Worker] = []
    health = None
    try:
        for role in roles:
            worker = await Worker.open(role, settings)
            workers.append(worker)
            await worker.start()
        if settings.metrics_port is not None:
            health = Health(
                settings.metrics_port, lambda: readiness(workers, draining=draining.begun), settings.metrics_host
            )
        spare_the_collector()
        log.info("worker started", role=" ".join(roles), port=health.port if health else None)
        await draining.asked()
        log.info("worker draining", role=" ".join(roles))
    finally:
        await _stop(workers, draining)
        if health is not None:
            health.close()
        draining.close()
    log.info("worker stopped", role=" ".join(roles))


def readiness(workers: Sequence[Worker], *, draining: bool) -> dict[str, bool]:
    """Whether each role takes jobs; none does once the process was asked to end."""
    return {worker.role: worker.ready() and not draining for worker in workers}


async def _stop(workers: Sequence[Worker], draining: Draining) -> None:
    """Let all of them finish at once; give back what is left when that is asked."""

    async def give_back() -> None:
        await draining.cut()
        for worker in workers:
            worker.give_back()

    cutting = asyncio.create_task(give_back())
    await asyncio.gather(*(worker.stop() for worker in workers))
    cutting.cancel()
