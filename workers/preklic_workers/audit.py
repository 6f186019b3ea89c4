"""The standing account: every few minutes the log is compared by id with what is recorded, for the metric.

The recent log at each look; every full hour once, when it is old enough to have settled, and again until it has.
"""

import asyncio
import datetime as dt
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_workers.accounting import Account
from preklic_workers.hours import Hours
from preklic_workers.judging import read_account
from preklic_workers.store import Store, Unavailable

_EVERY: Final = 300.0  # seconds between accounts
WINDOW: Final = dt.timedelta(minutes=15)
PATIENCE: Final = 10.0  # seconds for what a worker holds and has not claimed yet

log = telemetry.logger(__name__)


class Audit:
    """Keeps the metric `preklic_jobs_unaccounted` and the account of each hour, in the background."""

    def __init__(self, url: str, store: Store, every: float = _EVERY) -> None:
        self._url = url
        self._store = store
        self._hours = Hours(url, store)
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
        """One account of the recent log and of the hours that are due, told to the metric; the recent one."""
        now = dt.datetime.now(dt.UTC)
        result = await read_account(self._store, self._url, now - WINDOW, patience=PATIENCE)
        count = result.unaccounted + await self._hours.round(now)
        metrics.JOBS_UNACCOUNTED.set(count)
        if count:
            log.error("jobs are unaccounted for", count=count)
        return result

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.once()
            except (BrokerAway, Unavailable):
                log.warning("no account: a service is away")
            except Exception:  # one odd hour must not end the accounts
                log.exception("account failed")
