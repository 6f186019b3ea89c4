"""Wall clocks: when a person's own clock shows a time. Pure, but for the system's or `tzdata`'s table of zones.

A wall clock is written as a datetime in UTC that is read as if it stood on that wall.
"""

import datetime as dt
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

FIELD: Final = "timezone"  # of the group `profile`: an IANA name
AHEAD: Final = dt.timedelta(hours=14)
"""No zone is further ahead of UTC (Pacific/Kiritimati): nobody's clock shows a time earlier than that before it."""
_NO_PLACES: Final = frozenset({"localtime", "Factory"})


@cache
def zones() -> frozenset[str]:
    """The names that there are. A name that is not among them is never looked for on a disk."""
    return frozenset(available_timezones()) - _NO_PLACES


def zone_of(name: object) -> ZoneInfo | None:
    """The zone of that IANA name; None when there is none.

    >>> zone_of("Europe/Ljubljana"), zone_of("../../etc/passwd"), zone_of(7)
    (zoneinfo.ZoneInfo(key='Europe/Ljubljana'), None, None)
    """
    return ZoneInfo(name) if isinstance(name, str) and name in zones() else None


def begins(wall: dt.datetime) -> dt.datetime:
    """The earliest moment at which anybody's clock shows it."""
    return wall - AHEAD


def shown(wall: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The moment (UTC) at which that zone's clocks show it.

    A time that is shown twice (clocks go back) is the first of the two. One that is never shown (clocks go forward) is
    as long after the change as it would have been: 02:30 is then 03:30, and nobody is left out (PEP 495, fold 0).

    >>> shown(dt.datetime(2026, 10, 25, 2, 30, tzinfo=dt.UTC), ZoneInfo("Europe/Ljubljana")).isoformat()
    '2026-10-25T00:30:00+00:00'
    >>> shown(dt.datetime(2026, 3, 29, 2, 30, tzinfo=dt.UTC), ZoneInfo("Europe/Ljubljana")).isoformat()
    '2026-03-29T01:30:00+00:00'
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
