"""Makes and runs replay plans: reads dead letters or the log, publishes what would run, and notes each step."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from preklic_shared.jobs import ACTORS
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.registry import Registry, load_registry
from preklic_shared.settings import Settings
from preklic_shared.topology import JOBS
from preklic_workers import joblog, looking
from preklic_workers.replaying import MOST, WOULD_RUN, Facts, Item, items_of, plan_document, preview
from preklic_workers.store import Store
from preklic_workers.store.plans import Plans

__all__ = ["NotRun", "Source", "items_of", "make_plan", "plans_of", "run_plan"]


class NotRun(Exception):
    """The plan may not run: unknown, edited, or run before."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plan's jobs come from: the dead letters, or a window of the log (aware times)."""

    dead: bool
    fingerprint: str | None = None
    queue: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    job: str
    queue: str
    actor: str
    letter: str
    body: bytes


def plans_of(store: Store) -> Plans:
    """The plans of this store."""
    return Plans(store.mongo)


async def make_plan(store: Store, settings: Settings, source: Source, *, by: str) -> dict[str, Any]:
    """A stored plan with its preview. Raises both rooms' Unavailable."""
    found = await _dead(store, source) if source.dead else _logged(settings.amqp_url, source)
    facts = await _facts(store, [one.job for one in found])
    registry = load_registry(settings.registry)
    items = [_item(one, facts, registry, store.mongo.now()) for one in found]
    plan = plan_document(items, "dead" if source.dead else "log", by, store.mongo.now())
    await plans_of(store).add(plan)
    return plan


async def run_plan(
    store: Store, settings: Settings, plan_id: str, *, reason: str, by: str, rate: float
) -> dict[str, int]:
    """Publish the plan's jobs that would run, `rate` a second; how many were published and skipped."""
    plans = plans_of(store)
    items = await _begun(plans, plan_id, reason=reason, by=by, rate=rate)
    chosen = [item for item in items if item.outcome == WOULD_RUN]
    published = 0
    async with Publisher(settings.amqp_url, deadline=10.0, name="preklic replay") as publisher:
        async for item, body in _bodies(store, settings, chosen):
            if not await plans.step(plan_id, published):
                break
            await publisher.publish(Publication(JOBS, item.queue, body, item.job, item.actor))
            if item.letter:
                await store.dead.move(item.letter, "dead", "replayed", reason)
            published += 1
            await asyncio.sleep(1 / rate)
    ended = await plans.step(plan_id, published) and await plans.end(plan_id, "done")
    return {"items": len(items), "published": published, "skipped": len(items) - published, "stopped": int(not ended)}


async def _begun(plans: Plans, plan_id: str, *, reason: str, by: str, rate: float) -> list[Item]:
    """The items of a plan that now runs. Raises NotRun."""
    plan = await plans.show(plan_id)
    if plan is None:
        raise NotRun(f"there is no plan {plan_id}")
    try:
        items = items_of(plan)
    except ValueError as error:
        raise NotRun(str(error)) from None
    if not await plans.begin(plan_id, reason=reason, by=by, rate=rate):
        raise NotRun(f"the plan is {plan['state']} already: make a new one")
    return items


async def _dead(store: Store, source: Source) -> list[_Found]:
    rows = await store.dead.find(fingerprint=source.fingerprint, queue=source.queue, limit=MOST)
    found = []
    for row in rows:
        letter = await store.dead.show(row["_id"])
        if letter is not None:
            job = str(letter.get("job", letter["_id"]))
            found.append(_Found(job, letter["queue"], letter.get("actor", ""), letter["_id"], bytes(letter["body"])))
    return found


def _logged(url: str, source: Source) -> list[_Found]:
    """The window of the log without what was voided, each job once; by the job's own time, not the chunk's.

    The log is read to its end, for a job may be voided late; only the window is kept in memory.
    """
    void: set[str] = set()
    found: dict[str, _Found] = {}
    for entry in joblog.entries(url, source.since):
        if entry.void:
            void.add(entry.job)
        elif source.queue in {None, entry.queue} and joblog.within(entry, source.since, source.until):
            found.setdefault(entry.job, _Found(entry.job, entry.queue, entry.actor, "", entry.body))
    return [one for job, one in found.items() if job not in void][:MOST]


async def _facts(store: Store, jobs: list[str]) -> Facts:
    return Facts(await looking.states(store, jobs), await looking.persons(store, jobs))


def _item(one: _Found, facts: Facts, registry: Registry, now: dt.datetime) -> Item:
    actor = one.actor if one.actor in ACTORS else "unknown"
    outcome = preview(one.body, one.queue, facts, registry, now)
    return Item(job=one.job, queue=one.queue, actor=actor, letter=one.letter, outcome=outcome)


async def _bodies(store: Store, settings: Settings, items: list[Item]) -> AsyncIterator[tuple[Item, bytes]]:
    """The sealed bytes of each item, as they were: dead letters keep them, the rest is read from the log again."""
    for item in items:
        letter = await store.dead.show(item.letter) if item.letter else None
        if letter is not None and letter["state"] == "dead":
            yield item, bytes(letter["body"])
    logged = {item.job: item for item in items if not item.letter}
    for entry in joblog.entries(settings.amqp_url) if logged else ():
        if not entry.void and entry.job in logged:
            yield logged.pop(entry.job), entry.body
