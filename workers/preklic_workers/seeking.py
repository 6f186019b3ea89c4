"""Finds the job that a person means and all that is known of it: in the store, and where need be in the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preklic_shared.settings import Settings
from preklic_workers import naming
from preklic_workers.logsearch import Search, search
from preklic_workers.store import Store
from preklic_workers.store.stories import Records, Stories
from preklic_workers.stories import Line, told
from preklic_workers.telling import told as telling
from preklic_workers.webhooks.events import ids_about


@dataclass(frozen=True, slots=True)
class Sought:
    """What was asked for, the job that it names, and what is known.

    `tried`: whose key it could be, if it is one, and `others` the jobs that it would name then.
    """

    name: str
    job: str
    records: Records
    log: Search | None = None
    tried: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def lines(self) -> list[Line]:
        """Its story, empty when nothing is known."""
        return told(self.records, self.log.found if self.log else ())

    def standing(self) -> str:
        """In words where it stands, of a job whose message is not recorded."""
        logged = self.log.found if self.log else []
        if self.records.empty and logged:
            return (
                "void: never confirmed" if any(one.void for one in logged) else "waiting: no worker has recorded it yet"
            )
        return "recorded, but not as a message"

    def looked(self) -> list[str]:
        """Where was looked, in words."""
        places = ["looked among messages, dead letters, withdrawals, permissions, events, schedule, plans and acts"]
        if self.tried:
            places.append(f"as the key of {', '.join(self.tried)}")
        if self.log is not None:
            since = f"since {self.log.since:%Y-%m-%d %H:%M}" if self.log.since else "from its beginning"
            places.append(self.log.problem or f"in the log {since} ({self.log.entries} jobs)")
        return places


async def seek(store: Store, settings: Settings, name: str, producers: Sequence[str], *, log: bool) -> Sought | None:
    """What is known under that name, None for one that names nothing. Without a record, or with `log`, the log too."""
    reader = Stories(store.mongo)
    found = await _by_id(reader, settings, name)
    if found is None or found.records.empty:
        whose = set(producers) or await reader.producers() | {one.name for one in settings.tokens} | {settings.producer}
        found = await _by_key(reader, settings, name, whose) or found
    if found is None or not (log or found.records.empty):
        return found
    made = naming.made_at(found.job) or (found.records.message or {}).get("created")
    jobs = frozenset({found.job, *found.others} if found.records.empty else {found.job})
    with telling() as tell:
        looked = await asyncio.to_thread(
            search, settings.amqp_url, jobs, made, lambda done: tell("reading the log", done, done)
        )
    return replace(found, log=looked, job=looked.job or found.job)


async def _by_id(reader: Stories, settings: Settings, name: str) -> Sought | None:
    job = naming.job_of(name)
    return None if job is None else Sought(name, job, await reader.of(job, ids_about(job, settings.webhooks_out)))


async def _by_key(reader: Stories, settings: Settings, key: str, producers: set[str]) -> Sought | None:
    """The job of this key that is recorded, else the first that could be; None for what is no key."""
    jobs = naming.jobs_of_key(key, producers)
    tried = tuple(sorted({whose.partition(" ")[0] for whose in jobs.values()}))
    for job in jobs:
        records = await reader.of(job, ids_about(job, settings.webhooks_out))
        if not records.empty:
            return Sought(key, job, records, tried=tried)
    first = naming.job_of(key) or next(iter(jobs), None)
    return None if first is None else Sought(key, first, Records(first), tried=tried, others=tuple(jobs))
