"""Replay plans: which jobs, with the outcome that each would have today; pure.

A plan's id is the digest of what it holds, so an edited plan is another plan and does not run (attack 69).
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_shared.jobs import Job, SendJob
from preklic_shared.registry import Registry
from preklic_shared.wire import Malformed, NewerVersion, decode
from preklic_workers import permission
from preklic_workers.lifecycle import ACCOUNTED
from preklic_workers.permission import Person, confirms, decide, may_begin

WOULD_RUN: Final = "would run"
MOST: Final = 10_000  # items of one plan: it is one document


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One job of a plan. `letter` is its dead letter, empty when it comes from the log; `outcome` the preview."""

    job: str
    queue: str
    actor: str
    letter: str = ""
    outcome: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows of the jobs of a plan: states by job, and persons of the mails that were claimed once."""

    states: Mapping[str, str]
    persons: Mapping[str, Person]


def preview(body: bytes, queue: str, facts: Facts, registry: Registry, now: dt.datetime) -> str:
    """What would become of this body on `queue` now; the gate judges again when it runs."""
    try:
        _, job = decode(body, queue)
    except Malformed as error:
        return f"dead again: {error.reason}"
    except NewerVersion:
        return "dead again: newer_version"
    state = facts.states.get(job.id)
    if state in (ACCOUNTED | {"scheduled"}) - {"dead"}:
        return f"nothing: it is {state}"
    if job.expires <= now.timestamp() * 1000:
        return "expired"
    return _judged(job, facts, registry)


def _judged(job: Job, facts: Facts, registry: Registry) -> str:
    if not isinstance(job, SendJob):
        return WOULD_RUN
    purpose = registry.for_mail(job.purpose, job.template)
    # Who it is for is sealed, unless the mail was claimed before and the claim names the person.
    person = facts.persons.get(job.id)
    if purpose is None or person is None:
        reason = may_begin(purpose, carried=True, expired=False)
    else:
        reason = decide(permission.Facts(purpose, person, confirming=confirms(purpose, job.template)))
    return WOULD_RUN if reason is None else f"refused: {reason}"


def plan_id(items: Sequence[Item]) -> str:
    """The first 16 hex digits of the plan's SHA-256 digest: outcomes are part of it, because they were approved."""
    return hashlib.sha256(msgspec.json.encode(items)).hexdigest()[:16]


def plan_document(items: Sequence[Item], source: str, by: str, now: dt.datetime) -> dict[str, Any]:
    """The plan as it is stored. Two plans of the same items made at different times are the same plan."""
    return {
        "_id": plan_id(items),
        "source": source,
        "by": by,
        "made": now,
        "state": "planned",
        "items": msgspec.to_builtins(items),
        "done": 0,
    }


def items_of(plan: Mapping[str, Any]) -> list[Item]:
    """The items of a stored plan; ValueError when it was edited since it was made."""
    items = msgspec.convert(plan["items"], list[Item])
    if not unedited(plan["_id"], items):
        raise ValueError("the plan was edited after it was made")
    return items


def unedited(named: str, items: Sequence[Item]) -> bool:
    """Whether these items are the ones that the plan's id names."""
    return plan_id(items) == named


def outcomes(items: Iterable[Item]) -> dict[str, int]:
    """The preview: how many jobs would end how, the most frequent first."""
    return dict(Counter(item.outcome for item in items).most_common())
