"""The standing account: every few minutes the log is compared by id with what is recorded, for the metric.

The recent log at each look; every full hour once, when it is old enough to have settled, and again until it has.
"""

import datetime as dt
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_workers.accounting import Account
from preklic_workers.hours import Hours
from preklic_workers.judging import read_account
from preklic_workers.store import Store

EVERY: Final = 300.0  # seconds between accounts
WINDOW: Final = dt.timedelta(minutes=15)
PATIENCE: Final = 10.0  # seconds for what a worker holds and has not claimed yet

log = telemetry.logger(__name__)


class Audit:
    """Keeps the metric `preklic_jobs_unaccounted` and the account of each hour."""

    def __init__(self, url: str, store: Store) -> None:
        self._url = url
        self._store = store
        self._hours = Hours(url, store)

    async def once(self) -> Account:
        """One account of the recent log and of the hours that are due, told to the metric; the recent one."""
        now = dt.datetime.now(dt.UTC)
        result = await read_account(self._store, self._url, now - WINDOW, patience=PATIENCE)
        count = result.unaccounted + await self._hours.round(now)
        metrics.JOBS_UNACCOUNTED.set(count)
        if count:
            log.error("jobs are unaccounted for", count=count)
        return result
