"""The account (law 3): every job of the log is in exactly one state. Compared by id; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from preklic_workers.lifecycle import ACCOUNTED

# The word of the account for each state that is still on its way.
UNDER_WAY: Mapping[str, str] = {"claimed": "running", "deferred": "waiting", "pending": "waiting"}


@dataclass(frozen=True, slots=True)
class Account:
    """`logged` jobs by id, without the `void` ones; how many of them are in each state.

    `unrecorded` are the ids without any state. `waiting` counts what the broker holds: so many of them may be queued.
    `strange` are states that no rule knows.
    """

    logged: int
    void: int
    states: Mapping[str, int]
    unrecorded: tuple[str, ...]
    waiting: int
    strange: tuple[str, ...]

    @property
    def unaccounted(self) -> int:
        """Jobs that are nowhere: 0, or someone must be woken."""
        return max(0, len(self.unrecorded) - self.waiting) + len(self.strange)


def account(logged: Iterable[str], void: Collection[str], states: Mapping[str, str], waiting: int) -> Account:
    """The account of the log's job ids. `states` is by job id, `waiting` the number of jobs in queues and tiers.

    >>> account(["a", "b", "b", "c"], ["c"], {"a": "sent"}, 1).unaccounted
    0
    """
    jobs = dict.fromkeys(job for job in logged if job not in void)
    words = {job: UNDER_WAY.get(states[job], states[job]) for job in jobs if job in states}
    known = ACCOUNTED | set(UNDER_WAY.values())
    return Account(
        logged=len(jobs),
        void=len(set(void)),
        states=dict(sorted(Counter(words.values()).items())),
        unrecorded=tuple(job for job in jobs if job not in states),
        waiting=waiting,
        strange=tuple(job for job, word in words.items() if word not in known),
    )
