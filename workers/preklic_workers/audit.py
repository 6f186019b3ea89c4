"""The standing account: every few minutes the recent log is compared by id with what is recorded, for the metric."""

import asyncio
import datetime as dt
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.ids import is_id
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_workers import joblog, looking
from preklic_workers.accounting import Account, account
from preklic_workers.store import Store, Unavailable

_EVERY: Final = 300.0  # seconds between accounts
WINDOW: Final = dt.timedelta(minutes=15)
_LOOK_AGAIN: Final = 0.5  # seconds; a job that is being claimed right now is recorded within that

log = telemetry.logger(__name__)


async def read_account(store: Store, url: str, since: dt.datetime | None, patience: float = 0.0) -> Account:
    """The account of the log since then (None: all of it). Raises both rooms' Unavailable.

    A job that a worker holds and has not claimed yet is neither in a queue nor recorded: what seems unaccounted is
    looked at again for `patience` seconds.
    """
    jobs, void = await asyncio.to_thread(logged, url, since)
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        depths = await asyncio.to_thread(joblog.depths, url)
        waiting = sum(max(count, 0) for count in depths.values())
        result = account(jobs, void, await looking.states(store, jobs), waiting)
        if result.unaccounted == 0 or asyncio.get_running_loop().time() >= deadline:
            return result
        await asyncio.sleep(_LOOK_AGAIN)


def logged(url: str, since: dt.datetime | None) -> tuple[list[str], set[str]]:
    """The ids in the log since then, each once, and those that were voided. What bears no id is no job."""
    jobs: dict[str, None] = {}
    void = set()
    for entry in joblog.entries(url, since):
        if entry.void:
            void.add(entry.job)
        elif is_id(entry.job):
            jobs[entry.job] = None
    return list(jobs), void


class Audit:
    """Keeps the metric `preklic_jobs_unaccounted`, in the background."""

    def __init__(self, url: str, store: Store, every: float = _EVERY) -> None:
        self._url = url
        self._store = store
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, with a first account after one interval."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="preklic audit")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self) -> Account:
        """One account of the recent log, told to the metric."""
        since = dt.datetime.now(dt.UTC) - WINDOW
        result = await read_account(self._store, self._url, since, patience=10.0)
        metrics.JOBS_UNACCOUNTED.set(result.unaccounted)
        if result.unaccounted:
            log.error("jobs are unaccounted for", count=result.unaccounted)
        return result

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.once()
            except (BrokerAway, Unavailable):
                log.warning("no account: a service is away")
