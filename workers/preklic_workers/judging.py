"""The account of a part of the log on real services: what the store and the broker say of each of its jobs."""

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from preklic_shared.ids import is_id
from preklic_workers import joblog, looking
from preklic_workers.accounting import Account, Compared, account, compare
from preklic_workers.probes import without
from preklic_workers.store import Store

_LOOK_AGAIN: Final = 0.5  # seconds; a job that is being claimed right now is recorded within that


@dataclass(frozen=True, slots=True)
class Logged:
    """The jobs of a part of the log, each once: its queue by id, the oldest first; and what was voided."""

    jobs: Mapping[str, str]
    void: frozenset[str]


def logged(entries: Iterable[joblog.Entry]) -> Logged:
    """The jobs of these entries. What bears no id is no job; one that was asked for again counts where it came last."""
    jobs: dict[str, str] = {}
    void = set()
    for entry in entries:
        if entry.void:
            void.add(entry.job)
        elif is_id(entry.job):
            jobs.pop(entry.job, None)
            jobs[entry.job] = entry.queue
    return Logged(jobs, frozenset(void))


async def judge(store: Store, url: str, part: Logged, patience: float = 0.0) -> Account:
    """The account of these jobs. Raises both rooms' Unavailable.

    A job that a worker holds and has not claimed yet is neither in a queue nor recorded: what seems unaccounted is
    looked at again for `patience` seconds.
    """
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        asked = await store.ages.waiting()
        depths = without(await asyncio.to_thread(joblog.depths, url), asked)
        result = account(part.jobs, part.void, await looking.states(store, list(part.jobs)), depths)
        if result.unaccounted == 0 or asyncio.get_running_loop().time() >= deadline:
            return result
        await asyncio.sleep(_LOOK_AGAIN)


async def read_account(store: Store, url: str, since: dt.datetime | None, patience: float = 0.0) -> Account:
    """The account of the log since then (None: all of it). Raises both rooms' Unavailable."""
    return (await whole(store, url, since, patience, None))[0]


async def whole(
    store: Store, url: str, since: dt.datetime | None, patience: float, proofs: Mapping[str, str] | None
) -> tuple[Account, Compared | None]:
    """`read_account`, and beside it what a relay's log says (job -> what it proves), if there is one."""
    part = await asyncio.to_thread(lambda: logged(joblog.entries(url, since)))
    result = await judge(store, url, part, patience)
    if proofs is None:
        return result, None
    mails = [job for job, queue in part.jobs.items() if queue.startswith("send.") and job not in part.void]
    return result, compare(mails, proofs, await looking.states(store, [*{*mails, *proofs}]))
