"""Looks for one job in the log, near the time when it was made if that is known."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pika.exceptions import AMQPError

from preklic_shared.publication import Unavailable
from preklic_workers import joblog
from preklic_workers.stories import Logged

# Clocks differ by as much; and what is taken back is taken back soon.
BEFORE: Final = dt.timedelta(minutes=5)
AFTER: Final = dt.timedelta(minutes=10)
_EACH: Final = 1_000  # entries between two words about how far it is


@dataclass(slots=True)
class Search:
    """What was found of which job, and where was looked: `problem` says why the log could not be read."""

    job: str = ""
    found: list[Logged] = field(default_factory=list)
    entries: int = 0
    since: dt.datetime | None = None
    problem: str = ""


def search(url: str, jobs: frozenset[str], made: dt.datetime | None, tell: Callable[[int], None]) -> Search:
    """Read the log from shortly before `made` (None: its beginning) until one of `jobs` is found, or to its end."""
    done = Search(since=None if made is None else made - BEFORE)
    try:
        _read(url, jobs, done, tell)
    except Unavailable:
        done.problem = "the broker is away"
    except AMQPError as error:
        done.problem = f"the log cannot be read with this user or this broker ({type(error).__name__})"
    return done


def _read(url: str, jobs: frozenset[str], done: Search, tell: Callable[[int], None]) -> None:
    for entry in joblog.entries(url, done.since):
        done.entries += 1
        if done.entries % _EACH == 0:
            tell(done.entries)
        at = joblog.made(entry)
        if entry.job == done.job or (not done.job and entry.job in jobs):
            done.job = entry.job
            last = at or (done.found[-1].at if done.found else dt.datetime.now(dt.UTC))
            done.found.append(Logged(last, entry.queue, entry.user or "", entry.void))
        elif done.found and at is not None and at > done.found[-1].at + AFTER:
            return
