"""Replay plans: which jobs, with the outcome that each would have today; pure.

A plan's id is the digest of what it holds, so an edited plan is another plan and does not run (attack 69).
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from preklic_shared.jobs import Job, RevokeJob, SendJob
from preklic_shared.registry import Registry
from preklic_shared.topology import role_of
from preklic_shared.wire import Malformed, NewerVersion, decode
from preklic_workers import permission
from preklic_workers.lifecycle import ACCOUNTED
from preklic_workers.moments import millis
from preklic_workers.permission import Person, confirms, decide, may_begin

WOULD_RUN: Final = "would run"
NO_BODY: Final = "not replayable: body gone"
MOST: Final = 10_000  # items of one plan: it is one document
AHEAD: Final = dt.timedelta(minutes=5)  # a job from further ahead dies (`runtime.check_clock`)
_SAMPLES: Final = 3
# A circuit breaker of fewer would let one odd job end a replay; a smaller share is not this plan's cause.
AGAIN_COUNT: Final = 5
AGAIN_SHARE: Final = 0.2


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a plan. `outcome` is the preview.

    `letter` is its dead letter, empty when there is none; `offset` its place in the log, -1 when it is not from there.
    """

    job: str
    queue: str
    actor: str
    letter: str = ""
    offset: int = -1
    outcome: str


@dataclass(frozen=True, slots=True)
class Head:
    """What a plan needs of a job, from its clear header or its record. Times are in ms; `person` is a pid in hex."""

    job: str
    kind: str
    producer: str
    at: int
    expires: int
    purpose: str = ""
    template: str = ""
    campaign: str | None = None
    person: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A job that may be planned: its head, or the `fault` that kills it again before anybody looks at it."""

    job: str
    queue: str
    actor: str
    head: Head | None
    fault: str = ""
    letter: str = ""
    offset: int = -1
    body: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known today of a plan's jobs: states by job, persons of mails that are claimed or name one.

    `scheduled` are the jobs that wait for their time; `templates` those that there are, None where nobody asked.
    """

    states: Mapping[str, str]
    persons: Mapping[str, Person]
    scheduled: Collection[str] = ()
    templates: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a plan takes; what is None, or empty, is not asked. `producer` is the user that published it."""

    queue: str | None = None
    purpose: str | None = None
    template: str | None = None
    campaign: str | None = None
    producer: str | None = None
    jobs: frozenset[str] = field(default_factory=frozenset)

    def takes(self, found: Found) -> bool:
        """Whether it is one of them; what cannot be read has no fields that it could be known by."""
        if self.jobs and found.job not in self.jobs:
            return False
        if self.queue not in {None, found.queue}:
            return False
        asked = ("purpose", "template", "campaign", "producer")
        fields = {name: value for name in asked if (value := getattr(self, name)) is not None}
        return all(found.head is not None and getattr(found.head, name) == value for name, value in fields.items())


def head_of(job: Job) -> Head:
    """The head of a decoded job."""
    if not isinstance(job, SendJob):
        return Head(job.id, job.KIND, job.producer, job.at, job.expires)
    named = (job.purpose, job.template, job.campaign, job.person, job.after)
    return Head(job.id, job.KIND, job.producer, job.at, job.expires, *named)


def read(body: bytes, queue: str, by: str | None) -> Head | str:
    """The head of the job in a body, or how it dies again. `by` is the user that the broker saw publish it."""
    try:
        _, job = decode(body, queue)
    except Malformed as error:
        return f"dead again: {error.reason}"
    except NewerVersion:
        return "dead again: newer_version"
    return "dead again: impostor" if poses(job.producer, by) else head_of(job)


def poses(producer: str, by: str | None) -> bool:
    """Whether a website speaks for another one: a replay by the operator's own user must not launder that."""
    return by is not None and role_of(by) == "website" and producer != by


def preview(body: bytes, queue: str, facts: Facts, registry: Registry, now: dt.datetime, by: str | None = None) -> str:
    """What would become of this body on `queue` now; the gate judges again when it runs."""
    head = read(body, queue, by)
    return head if isinstance(head, str) else judge(head, facts, registry, now)


def judge(head: Head, facts: Facts, registry: Registry, now: dt.datetime) -> str:
    """What would become of this job now."""
    state = facts.states.get(head.job)
    if state in (ACCOUNTED | {"scheduled"}) - {"dead"}:
        return f"nothing: it is {state}"
    if head.job in facts.scheduled:
        return "nothing: it is scheduled"
    if head.kind == RevokeJob.KIND:
        return WOULD_RUN  # a no does not expire, and no clock refuses it
    if head.expires <= millis(now):
        return "expired"
    if head.at > millis(now + AHEAD):
        return "dead again: clock"
    return _judged(head, facts, registry)


def _judged(head: Head, facts: Facts, registry: Registry) -> str:
    if head.kind != SendJob.KIND:
        return WOULD_RUN
    purpose = registry.for_mail(head.purpose, head.template)
    # Who it is for is sealed, unless the header or an earlier claim names the person.
    person = facts.persons.get(head.job)
    if purpose is None or person is None:
        reason = may_begin(purpose, carried=True, expired=False)
    else:
        reason = decide(permission.Facts(purpose, person, confirming=confirms(purpose, head.template)))
    if reason is not None:
        return f"refused: {reason}"
    return f"template gone: {head.template}" if _gone(head.template, facts.templates) else WOULD_RUN


def _gone(template: str, there: Collection[str] | None) -> bool:
    """Whether no template of that name is there, nor a variant of it in a language."""
    return there is not None and not any(name == template or name.startswith(f"{template}-") for name in there)


def item_of(found: Found, facts: Facts, registry: Registry, now: dt.datetime) -> Item:
    """The job with its preview; what is judged without a body cannot run."""
    outcome = found.fault if found.head is None else judge(found.head, facts, registry, now)
    if outcome == WOULD_RUN and not found.body:
        outcome = NO_BODY
    return Item(
        job=found.job, queue=found.queue, actor=found.actor, letter=found.letter, offset=found.offset, outcome=outcome
    )


def plan_id(items: Sequence[Item], made: dt.datetime) -> str:
    """The first 16 hex digits of the plan's SHA-256 digest: outcomes are part of it, because they were approved."""
    return hashlib.sha256(msgspec.json.encode([millis(made), items])).hexdigest()[:16]


def plan_document(items: Sequence[Item], source: str, by: str, now: dt.datetime) -> dict[str, Any]:
    """The plan as it is stored."""
    return {
        "_id": plan_id(items, now),
        "source": source,
        "by": by,
        "made": now,
        "state": "planned",
        "items": msgspec.to_builtins(items),
        "jobs": len(items),
        "chosen": sum(item.outcome == WOULD_RUN for item in items),
        "done": 0,
    }


def items_of(plan: Mapping[str, Any]) -> list[Item]:
    """The items of a stored plan; ValueError when it was edited since it was made."""
    items = msgspec.convert(plan["items"], list[Item])
    if not unedited(plan["_id"], items, plan["made"]):
        raise ValueError("the plan was edited after it was made")
    return items


def unedited(named: str, items: Sequence[Item], made: dt.datetime) -> bool:
    """Whether these items are the ones that the plan's id names."""
    return plan_id(items, made) == named


def outcomes(items: Iterable[Item]) -> dict[str, int]:
    """The preview: how many jobs would end how, the most frequent first."""
    return dict(Counter(item.outcome for item in items).most_common())


def samples(items: Iterable[Item]) -> dict[str, list[str]]:
    """The first three jobs of each outcome."""
    found: dict[str, list[str]] = {}
    for item in items:
        if len(named := found.setdefault(item.outcome, [])) < _SAMPLES:
            named.append(item.job)
    return found


def same_cause(died: Mapping[str, int], ended: int) -> str | None:
    """The fingerprint that kills what is replayed again: five, and a fifth of those whose end is known; None: none.

    >>> same_cause({"f": 5}, 25), same_cause({"f": 5}, 26), same_cause({"f": 4}, 4)
    ('f', None, None)
    """
    grave = [(count, one) for one, count in died.items() if count >= max(AGAIN_COUNT, AGAIN_SHARE * ended)]
    return max(grave)[1] if grave else None
