"""The auditor of a fault run: compares, by job id, what was published, what is recorded, and what the sink saw."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# How a send may end. A body in the sink's ledger belongs to one of WITH_BODY; `sent` needs one.
WITH_BODY = {"sent", "bounced", "complained", "in_doubt", "asked", "assumed"}
ENDS = WITH_BODY | {"failed", "refused", "expired", "cancelled", "dead"}


@dataclass(frozen=True)
class Evidence:
    """`published` job ids by receipt; `states` by job id; `bodies` whole bodies by job id in the sink's ledger; `kept`
    those the sink took responsibility for; `exposed` jobs whose hand-over was open when a worker was killed."""

    published: tuple[str, ...]
    states: Mapping[str, str]
    bodies: Mapping[str, int]
    kept: frozenset[str]
    exposed: frozenset[str]


def evidence(
    published: Iterable[str], states: Mapping[str, str], ledger: Iterable[Mapping[str, Any]], exposed: Iterable[str]
) -> Evidence:
    """Count the ledger's lines."""
    bodies: Counter[str] = Counter()
    kept = set()
    for line in ledger:
        if line["phase"] == "body":
            bodies[line["job"]] += 1
            if line.get("kept", True):
                kept.add(line["job"])
    return Evidence(tuple(published), states, bodies, frozenset(kept), frozenset(exposed))


def violations(seen: Evidence) -> list[str]:
    """What breaks an invariant of the issue, one line for each job; empty when the promises hold."""
    return list(_violations(seen))


def _violations(seen: Evidence) -> Iterator[str]:
    for job, count in Counter(seen.published).items():
        state = seen.states.get(job)
        if count > 1:
            yield f"{job}: two receipts have this id"
        if state not in ENDS:
            yield f"I1 {job}: is {state or 'recorded nowhere'}, which is no end"
        if seen.bodies.get(job, 0) > 1:
            yield f"I2 {job}: {seen.bodies[job]} whole bodies in the ledger"
        if state == "sent" and job not in seen.kept:
            yield f"I5 {job}: sent, but the sink never took it"
        if job in seen.kept and state not in WITH_BODY:
            yield f"I5 {job}: the sink took it, but it is {state}"
        if state == "in_doubt" and job not in seen.exposed:
            yield f"I10 {job}: in doubt, but no hand-over of it was open at a kill"
    for job in set(seen.bodies) - set(seen.published):
        yield f"I5 {job}: a mail that nobody asked for"


def at_rest(persons: Iterable[Mapping[str, Any]], states: Mapping[str, str], unacked: Mapping[str, int]) -> list[str]:
    """I9: nothing is unacked, and no hand-over is open but of jobs in doubt (proof alone pulls those)."""
    held = {entry["message"] for person in persons for entry in person.get("open", ())}
    found = [f"I9 {job}: {states.get(job)}, and its hand-over is open" for job in held if states.get(job) != "in_doubt"]
    return found + [f"I9 {count} unacked in {queue}" for queue, count in unacked.items() if count]
