"""A check, and what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from preklic_shared.settings import Settings
from preklic_workers.doctor.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: what, why it matters, and the command or act that mends it."""

    what: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be looked at from here: no fault, and no good news. `mend`: how to see it."""

    what: str
    mend: str


Seen = Finding | Unseen


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: the settings of this process, and the resolver that DNS is asked at, if there is one."""

    config: Settings
    resolver: Resolver | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. `run` yields nothing when it is."""

    name: str
    run: Callable[[Patient], Iterator[Seen]]
