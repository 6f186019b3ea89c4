"""Runs a replay plan, once: publishes what would run, at a rate, and notes each step, so that it can be gone on with.

First the act is recorded, then the plan is begun; first a job is confirmed, then noted. A runner that dies in between
publishes a few jobs a second time when its rest is taken over, which the claim makes harmless; it loses none.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from preklic_shared.ids import new_id
from preklic_shared.publisher import Publisher
from preklic_shared.settings import Settings
from preklic_workers.operating import still_admitted
from preklic_workers.pacing import Bucket
from preklic_workers.replay_bodies import Ready, groups
from preklic_workers.replay_plan import Tell, quiet
from preklic_workers.replay_watch import Watch
from preklic_workers.replaying import WOULD_RUN, Item, items_of, same_cause
from preklic_workers.store import Act, Fact, Store, Unavailable
from preklic_workers.store.letters import Letters
from preklic_workers.store.plans import LEASE, Plans

TICK: Final = 0.2  # seconds between two looks, at the most
BEAT: Final = 0.3
_GRACE: Final = 0.4  # seconds that a stopped runner has to note what it published
_LOOK: Final = 1.0


class NotRun(Exception):
    """The plan may not run: unknown, edited, or run before."""


@dataclass(slots=True)
class Run:
    """One runner of a plan: `chosen` are its jobs that would run, `done` how many of them are dealt with."""

    store: Store
    plan: str
    chosen: Sequence[Item]
    rate: float
    reason: str
    done: int
    watch: Watch
    tell: Tell
    id: str = field(default_factory=new_id)
    published: int = 0
    gone: int = 0
    seconds: float = 0.0
    stopping: bool = False
    cause: str | None = None

    @property
    def plans(self) -> Plans:
        """Where it is noted."""
        return Plans(self.store.mongo)

    async def publish(self, publisher: Publisher, url: str) -> None:
        """All that is left, at the rate; ends early with a `cause`. Raises PublishError and both Unavailables."""
        begun = time.monotonic()
        bucket = Bucket(self.rate, begun)
        async for group in groups(Letters(self.store.mongo), url, self.chosen, self.done):
            left = group
            while left and not self.over:
                count = bucket.take(len(left), time.monotonic())
                await self._batch(publisher, left[:count])
                left, self.seconds = left[count:], time.monotonic() - begun
                await asyncio.sleep(min(TICK, bucket.wait(len(left) or 1)))
            if self.over:
                return

    @property
    def over(self) -> bool:
        """Whether nothing more is to be published: somebody stopped it, or it would die again."""
        return self.stopping or self.cause is not None

    async def _batch(self, publisher: Publisher, batch: Sequence[Ready]) -> None:
        """Confirmed first, then noted, then no longer dead. Raises Stop where its operator may no more."""
        if not batch:
            return
        await still_admitted(self.store)
        there = [one for one in batch if one.publication is not None]
        failures = await publisher.publish_many(one.publication for one in there if one.publication is not None)
        for error in failures.values():
            raise error
        gone = [one.place for one in batch if one.publication is None]
        self.done, self.gone, self.published = batch[-1].place + 1, self.gone + len(gone), self.published + len(there)
        await self.plans.step(self.plan, self.id, self.done, gone)
        await Letters(self.store.mongo).replayed([one.item.letter for one in there if one.item.letter], self.reason)
        self.watch.follow(one.item.job for one in there)
        self.tell("jobs published", self.done, len(self.chosen))

    async def judge(self) -> None:
        """See what becomes of the published, beside publishing, until it is cancelled. Raises Unavailable."""
        while True:
            await self.watch.look()
            self.cause = same_cause(self.watch.died, self.watch.ended.total())
            await asyncio.sleep(_LOOK)

    async def alive(self) -> None:
        """A sign of life again and again; returns when the plan is stopped, or another runner has taken it over."""
        while await self.plans.beat(self.plan, self.id):  # noqa: ASYNC110 -- it is the store that says stop
            await asyncio.sleep(BEAT)
        self.stopping = True

    async def leave(self) -> None:
        """It ends before its time; without a store its silence says so."""
        with suppress(Unavailable):
            await self.plans.end(self.plan, self.id, "interrupted")

    async def follow(self, seconds: float) -> None:
        """Wait until all that was published came to an end, or so long."""
        until = time.monotonic() + seconds
        while self.watch.left and time.monotonic() < until:
            await self.watch.look()
            self.tell("jobs ended", self.watch.ended.total(), self.watch.ended.total() + self.watch.left)
            await asyncio.sleep(TICK)
        self.cause = self.cause or same_cause(self.watch.died, self.watch.ended.total())


async def run_plan(
    store: Store,
    settings: Settings,
    plan_id: str,
    *,
    reason: str,
    by: str,
    rate: float,
    resume: bool = False,
    watch: float = 0.0,
    tell: Tell = quiet,
) -> dict[str, Any]:
    """Publish the plan's jobs that would run, `rate` a second, and watch them for so many seconds; what happened.

    Raises NotRun, PublishError, both Unavailables; whatever ends it early leaves it interrupted.
    """
    run, jobs = await _begun(store, plan_id, reason=reason, by=by, rate=rate, resume=resume, tell=tell)
    try:
        state = await _published(run, settings.amqp_url)
    except BaseException:  # Ctrl-C, too: the rest may be gone on with
        await run.leave()
        raise
    if state == "done" and watch:
        await run.follow(watch)
    return await _recorded(run, jobs, state, by)


async def _recorded(run: Run, jobs: int, state: str, by: str) -> dict[str, Any]:
    """How it ended, written down."""
    facts: dict[str, Fact] = {"plan": run.plan, "state": state, "published": run.published, "gone_bodies": run.gone}
    facts |= {"cause": run.cause} if run.cause else {}
    await run.store.acts.record(Act("replay_ended", by, run.reason, facts=facts))
    if run.cause:
        await run.plans.note(run.plan, run.id, {"cause": run.cause})
    return _result(run, jobs, state)


async def _begun(
    store: Store, plan_id: str, *, reason: str, by: str, rate: float, resume: bool, tell: Tell
) -> tuple[Run, int]:
    """A runner of the plan, which is its own now. Raises NotRun."""
    plan, items = await _allowed(store, plan_id, resume=resume)
    chosen = [item for item in items if item.outcome == WOULD_RUN]
    letters = await Letters(store.mongo).of_jobs([item.job for item in chosen])
    run = Run(store, plan_id, chosen, rate, reason, plan["done"], Watch(store, (doc["_id"] for doc in letters)), tell)
    facts = {"plan": plan_id, "jobs": len(chosen), "from": plan["done"], "rate": str(rate)}
    await store.acts.record(Act("replay_resumed" if resume else "replay", by, reason, facts=facts))
    begun = (
        run.plans.resume(plan_id, run.id, rate=rate)
        if resume
        else run.plans.begin(plan_id, run.id, reason=reason, by=by, rate=rate)
    )
    if not await begun:
        raise NotRun("somebody else runs this plan at this moment")
    # Its runner may have died before it said so.
    await Letters(store.mongo).replayed([item.letter for item in chosen[: run.done] if item.letter], reason)
    return run, len(items)


async def _allowed(store: Store, plan_id: str, *, resume: bool) -> tuple[dict[str, Any], list[Item]]:
    """The plan and its items. Raises NotRun."""
    plan = await Plans(store.mongo).show(plan_id)
    if plan is None:
        raise NotRun(f"there is no plan {plan_id}")
    try:
        items = items_of(plan)
    except ValueError as error:
        raise NotRun(str(error)) from None
    if (no := refusal(plan, resume=resume)) is not None:
        raise NotRun(no)
    return plan, items


def refusal(plan: dict[str, Any], *, resume: bool) -> str | None:
    """Why this plan may not be run, or gone on with, and what to do; None when it may. Pure."""
    state, done, chosen = plan["state"], plan["done"], plan["chosen"]
    if state == "interrupted" and not resume:
        return f"the plan was interrupted after {done} of {chosen} jobs: --resume goes on with exactly the rest"
    if state == "running":
        silent = f"without a sign of life for {LEASE.seconds} s it may be resumed"
        return f"the plan runs already, by {plan['run_by']}; {silent}"
    if resume and state != "interrupted":
        return f"the plan is {state}: there is nothing to go on with"
    return None if resume or state == "planned" else f"the plan is {state} already: make a new one"


async def _published(run: Run, url: str) -> str:
    """Publish beside a sign of life, and say how it ended: done, broken or stopped."""
    async with Publisher(url, deadline=10.0, name="preklic replay") as publisher:
        work = asyncio.ensure_future(run.publish(publisher, url))
        life, eyes = asyncio.ensure_future(run.alive()), asyncio.ensure_future(run.judge())
        tasks = (work, life, eyes)
        try:
            over, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if work not in over and life in over and life.exception() is None:
                await asyncio.wait({work}, timeout=_GRACE)
        finally:
            unfinished = [task for task in tasks if task.cancel()]
            await asyncio.gather(*unfinished, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    wanted = "broken" if run.cause else "done"
    ended = not work.cancelled() and await run.plans.end(run.plan, run.id, wanted)
    return wanted if ended else "stopped"


def _result(run: Run, jobs: int, state: str) -> dict[str, Any]:
    return {
        "plan": run.plan,
        "state": state,
        "items": jobs,
        "published": run.published,
        "gone": run.gone,
        "rate": round(run.published / run.seconds, 1) if run.seconds else 0.0,
        "skipped": jobs - run.published,
        "ended": dict(run.watch.ended),
        "under_way": run.watch.left,
        "cause": run.cause,
        "stopped": int(state != "done"),
    }
