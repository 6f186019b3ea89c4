"""How long a job waits before its next attempt. Tables of seconds, each one a tier of the broker; pure."""

import hashlib
from collections.abc import Mapping
from typing import Final

# Seconds before attempt 1, 2, 3 ... The last entry is the last attempt: after it the job is dead or failed.
TABLES: Final[Mapping[str, tuple[int, ...]]] = {
    # Bulk mail may wait for hours; RFC 5321 4.5.4.1 asks for 30 minutes between tries to one host.
    "marketing": (30, 120, 600, 3600, 3600, 21600, 21600, 21600),
    # A person waits for these: quick at first, then for two days.
    "transactional": (5, 30, 120, 600, 3600, 3600, 21600, 21600, 21600, 21600, 21600, 21600, 21600, 21600),
    # A bug of ours or a service that answers oddly: five tries in about an hour, then a person looks.
    "unexpected": (5, 30, 120, 600, 3600),
    # A receiver that is down for a day learns all of it: 13 tries in 23 hours, quick at first.
    "webhook": (5, 30, 120, 600, 3600, 3600, 3600, 3600, 3600, 21600, 21600, 21600),
    # A withdrawal is tried until it is applied; the table only spaces the tries.
    "revoke": (5, 5, 30, 30, 120, 120, 600, 600, 600, 600),
}
_LONGEST_UNSEEN: Final = 30
_SPREAD: Final = 4  # one job in so many goes one tier earlier, so that a crowd does not come back at once


def tier_for(attempt: int, table: str, seed: str) -> int | None:
    """Seconds to wait after the failed attempt number `attempt` (from 0), or None when the table is used up.

    `seed` (the job id) decides the jitter: the same job always gets the same answer. KeyError: no such table.

    >>> tier_for(0, "unexpected", "any"), tier_for(5, "unexpected", "any")
    (5, None)
    >>> {tier_for(1, "unexpected", str(job)) for job in range(50)} == {5, 30}
    True
    """
    waits = TABLES[table]
    if attempt >= len(waits):
        return None
    early = attempt > 0 and _share(seed, attempt) == 0
    return waits[attempt - 1] if early else waits[attempt]


def unending(attempt: int, table: str, seed: str) -> int:
    """`tier_for` for a job that is never given up: past its end the table's last wait repeats.

    >>> unending(1000, "revoke", "any")
    600
    """
    last = len(TABLES[table]) - 1
    return tier_for(min(attempt, last), table, seed) or TABLES[table][last]


def for_a_no(attempt: int, seed: str) -> int:
    """`unending` for a withdrawal that failed by our own fault, at most half a minute.

    Nothing measures what waits in a tier, and bulk sending rests on no withdrawal being unseen for a minute.

    >>> for_a_no(0, "any"), for_a_no(1000, "any")
    (5, 30)
    """
    return min(unending(attempt, "revoke", seed), _LONGEST_UNSEEN)


def _share(seed: str, attempt: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{attempt}".encode(), digest_size=2).digest()
    return int.from_bytes(digest) % _SPREAD
