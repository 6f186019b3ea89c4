"""Whether the ledger's time stamps are of its heads, and from when to when there is none. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from preklic_workers.ledger.leaves import Leaf
from preklic_workers.ledger.stamps import SKEW, Refused, Trust, stamped_at
from preklic_workers.ledger.verify import Altered
from preklic_workers.moments import moment
from preklic_workers.store.stamps import Stamp

LATE: Final = dt.timedelta(days=1, hours=1)
"""No head is stamped later by the role `ledger` (`stamping.STALE`): such a ledger may be dated back."""
_read = msgspec.json.Decoder(Leaf, strict=True).decode


@dataclass(frozen=True, slots=True)
class Gap:
    """No stamp came in time over the heads of `first` to `last` leaves.

    The first was signed at `since`; the next stamp is of `until`, None when there is none yet.
    """

    first: int
    last: int
    since: dt.datetime
    until: dt.datetime | None


def time_of(leaf: bytes | None) -> dt.datetime | None:
    """When this leaf says it was put on, None for one that is gone or in another form: that is found elsewhere."""
    try:
        return None if leaf is None else moment(_read(leaf).at)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None


def check_stamp(stamp: Stamp, notes: Mapping[int, str], last_leaf: dt.datetime | None, trust: Trust) -> dt.datetime:
    """The time of the stamp, once it is believed and fits its head's last leaf. Raises Altered."""
    what = f"the stamp of {stamp.size} leaves"
    note = notes.get(stamp.size)
    if note is None:
        raise Altered(f"{what}: this ledger has no such head")
    try:
        said = stamped_at(stamp.response, note, trust)
    except Refused as refused:
        raise Altered(f"{what}: not believed ({refused.reason})") from None
    if (odd := odd_time(said, last_leaf)) is not None:
        raise Altered(f"{what}: {odd}")
    return said


def odd_time(said: dt.datetime, last_leaf: dt.datetime | None) -> str | None:
    """What is wrong with a stamp's time beside that of the last leaf under it; None when nothing is."""
    if last_leaf is None:
        return None
    if said < last_leaf - SKEW:
        return f"it is of {said:%Y-%m-%d %H:%M} UTC, before its last leaf says to be: a clock was set ahead"
    if said > last_leaf + LATE:
        return f"it is of {said:%Y-%m-%d %H:%M} UTC, long after its last leaf says to be: a clock was set back"
    return None


def gaps(
    heads: Sequence[tuple[int, dt.datetime]],
    stamps: Mapping[int, dt.datetime],
    every: dt.timedelta,
    now: dt.datetime,
) -> list[Gap]:
    """Where no stamp came within two intervals.

    `heads`: each head's size and when it was signed, in order; `stamps`: the times of the stamps by their heads' size.
    """
    found: list[Gap] = []
    coming = sorted(stamps.items(), reverse=True)
    for size, at in heads:
        while coming and coming[-1][0] < size:
            coming.pop()
        over = coming[-1][1] if coming else None
        if (over or now) - at <= 2 * every:
            continue
        last = found[-1] if found else None
        if last is not None and last.until == over:
            found[-1] = Gap(last.first, size, last.since, over)
        else:
            found.append(Gap(size, size, at, over))
    return found
