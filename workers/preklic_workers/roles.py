"""The composition root: settings -> key ring -> store -> duty -> actors -> engine, for each role."""

import asyncio
import signal
from collections.abc import Sequence

import dramatiq

from preklic_shared import telemetry
from preklic_shared.broker import PreklicBroker
from preklic_shared.collector import spare_the_collector
from preklic_shared.health import Health
from preklic_shared.jobs import ACTORS
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers.duties import DUTIES, Means, Part
from preklic_workers.engine import Engine
from preklic_workers.holding import Holding
from preklic_workers.measured import as_actor, observe_job
from preklic_workers.rings import ring_of
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
            self._parts.append(self._engine(means))

    @classmethod
    async def open(cls, role: str, settings: Settings) -> "Worker":
        """A worker that is ready to start. Raises SettingsError, KeyDirError, store.Unavailable, store.Standalone."""
        ring = ring_of(settings, role)
        store = await open_store(settings, ring)
        try:
            return cls(role, Means(settings, load_registry(settings.registry), store, ring))
        except BaseException:
            store.close()
            raise

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

    def ready(self) -> bool:
        """Whether every part takes what it should."""
        return all(getattr(part, "channel_open", bool_true)() for part in self._parts)

    def _engine(self, means: Means) -> Engine:
        for name, handler in self._duty.handlers.items():
            declare = dramatiq.actor(
                broker=self._broker, actor_name=name, queue_name=ACTORS[name][1], batch=name in self._duty.batch
            )
            declare(as_actor(handler, ACTORS[name][1]))
        return Engine(
            self._broker,
            means.settings.amqp_url,
            sorted({ACTORS[name][1] for name in self._duty.handlers}),
            concurrency=max(means.settings.concurrency, self._duty.places),
            opener=means.ring.opener,
            observe=observe_job,
            name=f"preklic {self.role}",
        )


def bool_true() -> bool:
    """What has no connection of its own is always ready."""
    return True


async def work(roles: Sequence[str], settings: Settings) -> None:
    """Run these roles until SIGTERM or SIGINT; any number of signals is one (a process group sends several)."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    workers: list[Worker] = []
    health = None
    try:
        for role in roles:
            worker = await Worker.open(role, settings)
            workers.append(worker)
            await worker.start()
        if settings.metrics_port is not None:
            ready = {worker.role: worker.ready for worker in workers}
            health = Health(
                settings.metrics_port, lambda: {role: ask() for role, ask in ready.items()}, settings.metrics_host
            )
        spare_the_collector()
        log.info("worker started", role=" ".join(roles), port=health.port if health else None)
        await stopping.wait()
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
        if health is not None:
            health.close()
    log.info("worker stopped", role=" ".join(roles))
