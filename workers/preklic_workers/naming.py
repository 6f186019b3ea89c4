"""What a person may call a job by: its id, the Message-ID, or the idempotency key that it was asked for with. Pure.

A key's job is the UUIDv5 of producer, kind and key, so whoever knows only the key has to try the producers.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterable
from typing import Final

from preklic_shared.ids import is_id, job_id_for
from preklic_shared.jobs import ACTORS

_MESSAGE_ID: Final = re.compile(r"<?([0-9a-f-]{36})@[A-Za-z0-9.-]{1,253}>?", re.ASCII)
_KEY: Final = re.compile(r"[\x20-\x7e]{1,200}", re.ASCII)
_SOONEST: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC).timestamp()
_LATEST: Final = dt.datetime(2200, 1, 1, tzinfo=dt.UTC).timestamp()
KINDS: Final = tuple(dict.fromkeys(kind.KIND for kind, _ in ACTORS.values()))


def job_of(text: str) -> str | None:
    """The job that an id or Message-ID names, None when it is neither.

    >>> job_of("<00010203-0405-4607-8809-0a0b0c0d0e0f@lucrum.example>")
    '00010203-0405-4607-8809-0a0b0c0d0e0f'
    """
    found = _MESSAGE_ID.fullmatch(text)
    named = found[1] if found else text
    return named if is_id(named) else None


def jobs_of_key(key: str, producers: Iterable[str]) -> dict[str, str]:
    """The jobs that these producers would have made of this key, each with its producer and kind; none for no key."""
    if not _KEY.fullmatch(key):
        return {}
    return {job_id_for(name, f"{kind}:{key}"): f"{name} ({kind})" for name in sorted(producers) for kind in KINDS}


def made_at(job: str) -> dt.datetime | None:
    """When the id was made, None for one that does not say (only a UUIDv7 does).

    >>> made_at("018f3b5e-0000-7000-8000-000000000000")
    datetime.datetime(2024, 5, 2, 22, 12, 47, 232000, tzinfo=datetime.timezone.utc)
    """
    named = uuid.UUID(job)
    seconds = (named.int >> 80) / 1000
    # An id that somebody made up may say any time at all.
    return dt.datetime.fromtimestamp(seconds, dt.UTC) if named.version == 7 and _SOONEST < seconds < _LATEST else None
