"""The send handler: claim, read the person, may, compose, connect, gate, DATA, settle, pull (laws 1 and 2).

Each step that says no ends the mail there. A no before MAIL costs no conversation; after RCPT the gate asks once more,
in the last write before DATA; and only a relay's reply, never a silence, counts as an answer.
"""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from preklic_workers.addressed import Unsendable, addressed
from preklic_workers.attempts import STOPPED_SECONDS, Attempt
from preklic_workers.compose.composer import Composer, NotComposed
from preklic_workers.envelope import Altered, NoKey
from preklic_workers.handover import LOST_CLAIM, Watch, hand_over, withheld
from preklic_workers.individual import handed, individual
from preklic_workers.keeping import keep
from preklic_workers.outcomes import Done, Outcome, Refused, RetryLater
from preklic_workers.permission import Person, may, rests_on_choice
from preklic_workers.runtime import Opened
from preklic_workers.send_plan import Plan, SendDeps, claim_of, patience, plan_of, subject_of
from preklic_workers.smtp.choice import choose, elsewhere
from preklic_workers.smtp.meter import TIERS
from preklic_workers.smtp.routes import Route
from preklic_workers.store import (
    CERTAIN,
    Busy,
    Claim,
    Claimed,
    Conflict,
    Ended,
    Store,
    Unavailable,
    held_by,
    moment,
    switches,
)
from preklic_workers.store.message_states import LEASE, UNDER_WAY
from preklic_workers.timed import put_by

UNKNOWN_SECONDS: Final = 30.0  # an unknown person's grant may still be on its way
SOON_SECONDS: Final = 5.0
EARLIER: Final = "earlier_hand_over"
# Reasons that leave no doubt (law 2): no body went out, and the next attempt may take another relay.
_RELAYS_FAULT: Final = frozenset({"relay_away", "relay_tls", "relay_auth", "relay_lost", "deferred", *TIERS})
AFTER_FAILED: Final = frozenset({"refused", "expired", "cancelled", "dead", "discarded", "failed"})


async def handle(opened: Opened, deps: SendDeps) -> Outcome:
    """One mail to one person, at most once. Without a store no mail goes out, and none is lost."""
    begun = deps.clock()
    try:
        outcome = await _send(opened, deps)
        if isinstance(outcome, Done | Refused) and deps.clock() - begun >= LEASE.total_seconds():
            return await _still_ours(opened, deps, outcome)
    except Unavailable:
        return RetryLater(SOON_SECONDS, "store_away", count=False)
    return outcome


async def _still_ours(opened: Opened, deps: SendDeps, outcome: Outcome) -> Outcome:
    """After its lease an end may have matched nothing: who claimed since may hold no copy of the job, so ours stays."""
    if await deps.store.messages.state(opened.job.id) in UNDER_WAY:
        return RetryLater(LOST_CLAIM, "lost_claim", count=False)
    return outcome


async def _send(opened: Opened, deps: SendDeps) -> Outcome:
    named = opened if opened.job.person is None else await addressed(opened, deps)
    if isinstance(named, Unsendable):
        return await _refuse(opened, deps, named.reason, named.subject)
    return await _send_to(named, deps) if isinstance(named, Opened) else named


async def _send_to(opened: Opened, deps: SendDeps) -> Outcome:
    plan = plan_of(opened, deps)
    if isinstance(plan, str):
        return await _refuse(opened, deps, plan)
    if opened.job.send_at is not None and (early := await put_by(opened, deps, plan)) is not None:
        return await _refuse(opened, deps, early) if isinstance(early, str) else early
    if (reason := await _after(opened, deps)) is not None:
        return await _refuse(opened, deps, reason) if isinstance(reason, str) else reason
    route = await _route(f"{opened.job.id}/{opened.attempt // 2}", opened.job.campaign, plan, deps)
    if isinstance(route, str):
        return RetryLater(TIERS.get(route, STOPPED_SECONDS), route, count=False)
    attempt = await _claim(opened, deps, plan, route)
    if not isinstance(attempt, Attempt):
        return attempt
    watch = Watch(opened.alive, deps.clock, deps.observe, deps.bulk_closes_after)
    return _sooner(await _deliver(attempt, plan, route, watch, deps.composer), plan, route, deps.clock())


def _sooner(outcome: Outcome, plan: Plan, route: Route, now: float) -> Outcome:
    """What this relay could not take, and surely did not, need not wait for it: another one is there."""
    if not isinstance(outcome, RetryLater) or outcome.reason not in _RELAYS_FAULT:
        return outcome
    if not elsewhere(plan.routes, plan.purpose.key, plan.provider, route, now):
        return outcome
    return replace(outcome, seconds=min(outcome.seconds, SOON_SECONDS))


async def _deliver(attempt: Attempt, plan: Plan, route: Route, watch: Watch, composer: Composer) -> Outcome:
    person = await _person(attempt, plan)
    if (no := may(person, plan.purpose, confirming=attempt.confirming)) is not None:
        return await _no(attempt, no)
    if attempt.confirming and not await attempt.store.asking.may_ask(plan.subject, attempt.job.id):
        return await attempt.refused("confirmation_limit")
    assert person is not None  # a contract has recorded its address, and all else is refused as unknown
    try:
        profile = await _profile(attempt, plan, person, composer)
    except Altered as altered:
        return await attempt.dead("altered", str(altered))
    mail = composer.compose(attempt.job, plan.payload, plan.purpose, person, plan.address, profile, route.labels)
    if isinstance(mail, NotComposed):
        return await attempt.dead(mail.reason, mail.field)
    if (ended := await keep(attempt, person, mail.raw)) is not None:
        return ended
    attempt.individual = bool(profile)
    return await hand_over(attempt, mail, route, watch)


async def _profile(attempt: Attempt, plan: Plan, person: Person, composer: Composer) -> Mapping[str, Any]:
    """The fields that make this mail individual (U3); none is read unless its template asks and the person lets it."""
    asked = composer.asked(attempt.job, plan.payload)
    if not asked or not individual(person, plan.purpose):
        return {}
    try:
        return handed(await attempt.store.profiles.read(person.id), asked, plan.purpose)
    except NoKey:
        return {}  # erased a moment ago, or not this worker's to open: then nothing is individual


async def _after(opened: Opened, deps: SendDeps) -> RetryLater | str | None:
    """None when the job that this one stands on is recorded, else how long to wait, or why there is nothing to hope."""
    job = opened.job
    if job.after is None:
        return None
    state = await deps.store.messages.state(job.after)
    if state == "applied":
        return None
    if state in AFTER_FAILED:
        return "after_failed"
    return RetryLater(patience((time.time() * 1000 - job.at) / 1000), "after", count=False)


async def _route(mail: str, campaign: str | None, plan: Plan, deps: SendDeps) -> Route | str:
    """The relay for `mail` among those that no kill switch holds, or why there is none now.

    Two attempts in turn go by the same relay if nothing is wrong with it: a greylisting host asks for that.
    """
    if (late := await withheld(deps.store, plan.purpose, deps.bulk_closes_after)) is not None:
        return late
    held, routes = switches(plan.purpose), []
    for route in plan.routes:
        if await deps.store.controls.stopped(*held, *held_by(route.name, campaign)) is None:
            routes.append(route)  # noqa: PERF401 -- an asynchronous comprehension costs each mail a coroutine more
    if not routes:
        return "stopped"
    return choose(routes, plan.purpose.key, plan.provider, mail, deps.clock())


async def _claim(opened: Opened, deps: SendDeps, plan: Plan, route: Route) -> Attempt | Outcome:
    claim = claim_of(opened, deps, plan.subject, route)
    answer = await deps.store.messages.claim(claim)
    if isinstance(answer, Ended) and answer.state == "in_doubt" and plan.purpose.in_doubt == "once_more":
        if (wait := await _still_talking(claim.id, plan, deps.store)) is not None:
            return wait
        # Whoever of two comes second claims again too: the first may have no channel to bring the job back by.
        await deps.store.once_more(claim.id, plan.subject, answer.epoch)
        answer = await deps.store.messages.claim(claim)
    if not isinstance(answer, Claimed):
        return await _unclaimed(answer, claim, plan.subject, deps)
    tried, over = (answer.epoch, opened.attempt, answer.again), (route.name, route.processor.name, plan.provider)
    attempt = Attempt(deps.store, opened.job, plan.purpose, plan.subject, *tried, *over)
    attempt.passed = handed_before = await deps.store.handed(claim.id, answer.epoch)
    return await attempt.in_doubt(EARLIER) if handed_before else attempt


async def _still_talking(message: str, plan: Plan, store: Store) -> RetryLater | None:
    """How long the relay may still answer the earlier attempt: a repetition waits for that."""
    person = await store.persons.whole(plan.subject)
    until = [entry.until for entry in person.open if entry.message == message] if person else []
    left = max(until) - store.mongo.now() if until else dt.timedelta()
    return RetryLater(left.total_seconds(), "in_doubt", count=False) if left > dt.timedelta() else None


async def _unclaimed(answer: Busy | Ended | Conflict, claim: Claim, subject: str | None, deps: SendDeps) -> Outcome:
    match answer:
        case Ended(state, _, epoch):
            if state in CERTAIN and epoch and subject is not None:
                # Whoever settled it may have died before the pull (law 1d): a drain would wait for nothing.
                await deps.store.gate.pull(subject, claim.id, epoch)
            return Done()
        case Busy(seconds):
            return RetryLater(seconds, "busy", count=False)
        case Conflict():
            return Refused("idempotency_conflict")
        case _:
            assert_never(answer)


async def _refuse(opened: Opened, deps: SendDeps, reason: str, subject: str | None = None) -> Outcome:
    """End a mail that never began: claimed all the same, so that its end is recorded once."""
    claim = claim_of(opened, deps, subject, None)
    answer = await deps.store.messages.claim(claim)
    if not isinstance(answer, Claimed):
        return await _unclaimed(answer, claim, subject_of(opened, deps), deps)
    if await deps.store.handed(opened.job.id, answer.epoch):
        await deps.store.messages.settle(opened.job.id, answer.epoch, "in_doubt", reason=EARLIER, passed=True)
        return Done()
    state = "expired" if reason == "expired" else "refused"
    await deps.store.messages.settle(opened.job.id, answer.epoch, state, reason=reason)
    return Refused(reason)


async def _person(attempt: Attempt, plan: Plan) -> Person | None:
    """The person's facts. A contract or a legal duty records an address that is new to it, with its provenance.

    Somebody erased is new to it too; their other purposes stay as they are, ended.
    """
    persons, job = attempt.store.persons, attempt.job
    person = await persons.read(plan.subject)
    if rests_on_choice(plan.purpose):
        return person
    if person is not None and not person.erased and plan.purpose.key in person.permissions:
        return person
    return await persons.ensure(plan.address, plan.purpose, job.id, moment(job.at), job.producer)


async def _no(attempt: Attempt, reason: str) -> Outcome:
    if reason == "unknown" and attempt.number == 0 and attempt.job.after is None:
        return await attempt.later(UNKNOWN_SECONDS, reason)
    return await attempt.refused(reason)
