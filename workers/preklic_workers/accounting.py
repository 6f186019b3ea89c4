"""The account (law 3): every job of the log is in exactly one state. Compared by id; pure.

What waits bears no record, and nobody can look into a quorum queue without taking from it. So the jobs without a record
are compared with what lies ready, queue by queue: no more of them can be waiting than their own queue holds, and the
tiers, which all queues share. Where fewer wait than have no record, the oldest of those are named: a queue gives its
oldest out first.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from preklic_shared.topology import QUEUES
from preklic_workers.lifecycle import ACCOUNTED, POSSIBLY_SENT

# The word of the account for each state that is still on its way.
UNDER_WAY: Mapping[str, str] = {
    "claimed": "running",
    "deferred": "waiting",
    "scheduled": "waiting",
    "pending": "waiting",
}


@dataclass(frozen=True, slots=True)
class Account:
    """`logged` jobs by id, without the `void` ones; how many of them are in each state.

    `unrecorded` are the ids without any state, `waiting` counts what the broker holds, `missing` are those of the
    unrecorded that cannot be waiting there. `strange` are in states that no rule knows.
    """

    logged: int
    void: int
    states: Mapping[str, int]
    unrecorded: tuple[str, ...]
    waiting: int
    missing: tuple[str, ...]
    strange: tuple[str, ...]

    @property
    def unaccounted(self) -> int:
        """Jobs that are nowhere: 0, or someone must be woken."""
        return len(self.missing) + len(self.strange)

    @property
    def settled(self) -> bool:
        """Whether every job has come to an end, so that there is nothing to look at again."""
        return not (self.unrecorded or self.strange or set(self.states) & set(UNDER_WAY.values()))


def account(
    logged: Mapping[str, str], void: Collection[str], states: Mapping[str, str], depths: Mapping[str, int]
) -> Account:
    """The account of the log's jobs: `logged` queue by id, the oldest first; `states` by id; `depths` jobs by queue.

    >>> account({"a": "track", "b": "revoke"}, (), {"a": "applied"}, {"revoke": 1, "track": 0}).unaccounted
    0
    >>> account({"a": "track", "b": "revoke"}, (), {"a": "applied"}, {"revoke": 0, "track": 1}).missing
    ('b',)
    """
    jobs = {job: queue for job, queue in logged.items() if job not in void}
    words = {job: UNDER_WAY.get(states[job], states[job]) for job in jobs if job in states}
    known = ACCOUNTED | set(UNDER_WAY.values())
    unrecorded = {job: queue for job, queue in jobs.items() if job not in states}
    return Account(
        logged=len(jobs),
        void=len(set(void)),
        states=dict(sorted(Counter(words.values()).items())),
        unrecorded=tuple(unrecorded),
        waiting=sum(max(count, 0) for count in depths.values()),
        missing=missing(unrecorded, depths),
        strange=tuple(job for job, word in words.items() if word not in known),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """A relay's log beside the account. `lines` counts the mails that it proves something of."""

    lines: int
    sent_without_line: tuple[str, ...]
    line_without_sent: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the two tell the same story."""
        return not (self.sent_without_line or self.line_without_sent)


def compare(mails: Collection[str], proofs: Collection[str], states: Mapping[str, str]) -> Compared:
    """Which of the log's mails are sent and unknown to the relay, and which of the relay's were never sent by us.

    >>> compare(["a", "b"], ["b", "c"], {"a": "sent", "b": "sent", "c": "refused"})
    Compared(lines=2, sent_without_line=('a',), line_without_sent=('c',))
    """
    heard = set(proofs)
    # A claimed mail's conversation may be under way at this moment.
    explained = POSSIBLY_SENT | {"claimed"}
    return Compared(
        lines=len(heard),
        sent_without_line=tuple(job for job in mails if states.get(job) == "sent" and job not in heard),
        line_without_sent=tuple(sorted(job for job in heard if states.get(job) not in explained)),
    )


def missing(unrecorded: Mapping[str, str], depths: Mapping[str, int]) -> tuple[str, ...]:
    """Those of the unrecorded jobs (queue by id, the oldest first) that no queue can hold any more.

    >>> missing({"a": "send.now", "b": "send.now", "c": "track"}, {"send.now": 1, "retry.5s": 1})
    ('a',)
    """
    room = {queue: max(depths.get(queue, 0), 0) for queue in QUEUES}
    beyond = []
    for job, queue in reversed(list(unrecorded.items())):
        if room.get(queue, 0) > 0:
            room[queue] -= 1
        else:
            beyond.append(job)
    # A job in a tier, or among the dead and not yet taken from there, bears no sign of its queue that can be seen.
    anywhere = sum(max(count, 0) for queue, count in depths.items() if queue not in QUEUES)
    return tuple(reversed(beyond[anywhere:]))
