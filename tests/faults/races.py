"""Pairs of a mail and the withdrawal of its purpose: how near they came to each other, by the database's own time.

Each change of a person's document stands in the oplog with the time of its write and the `seq` that it gave the person.
A gate that refused changed nothing: it was asked between two writes of its worker's mark (`witnesses`), and the one
that is further from the withdrawal counts.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from bson.timestamp import Timestamp
from pymongo import CursorType, MongoClient
from pymongo.errors import PyMongoError

# Times are whole milliseconds: what lies so many of them apart is less than 5 ms apart.
NEAR: Final = 4
_AIMED: Final = 25  # ms: what is further apart was held up, and says nothing about the aim
_STEP: Final = 0.002  # of a gap, by which the aim is moved: a whole burst is judged at once
_UNSEEN: Final = 60.0  # seconds after which a write that the oplog did not show is given up
_TOGETHER: Final = 16
_WAIT: Final = 1.0  # seconds that a burst waits for its last pairs
_LEAD: Final = 0.1  # seconds in which the word to go reaches both workers
_APART: Final = 0.05  # seconds between moments
_KEPT: Final = 120.0  # seconds that the times of writes are kept
_FIELDS: Final = {"wall": 1, "o2._id": 1, "o._id": 1, "o.seq": 1, "o.diff.u.seq": 1}
_PAUSE: Final = 0.1

Write = tuple[str, int]


class Times(Protocol):
    """Knows when a write took place."""

    def at(self, write: Write) -> int | None:
        """Milliseconds since the epoch."""
        ...


class Oplog:
    """When persons were written, by person and `seq`: the primary's oplog, followed from `with` to its end."""

    def __init__(self, url: str, database: str) -> None:
        self._url = url
        self._where = {"ns": f"{database}.persons", "op": {"$in": ["u", "i"]}}
        self._since = Timestamp(int(time.time()) - 1, 0)
        self._seen: dict[Write, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="oplog")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def at(self, write: Write) -> int | None:
        """When this write took place, in milliseconds; None while it is not seen."""
        return self._seen.get(write)

    def _follow(self) -> None:
        while not self._over.wait(0.1):
            # A primary that steps down or dies takes the cursor with it: the next one is asked from there on.
            with suppress(PyMongoError), MongoClient[dict[str, Any]](self._url) as client:
                for entry in self._entries(client):
                    self._note(entry)

    def _entries(self, client: MongoClient[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        where = self._where | {"ts": {"$gt": self._since}}
        found = client.local["oplog.rs"].find(where, _FIELDS | {"ts": 1}, cursor_type=CursorType.TAILABLE)
        # Not a cursor that awaits: it would be woken by every single write.
        while found.alive and not self._over.wait(_PAUSE):
            yield from found

    def _note(self, entry: dict[str, Any]) -> None:
        self._since = entry["ts"]
        told = entry["o"]
        person = entry.get("o2", told).get("_id")
        seq = told.get("diff", {}).get("u", told).get("seq")
        if seq is not None:
            now = round(entry["wall"].timestamp() * 1000)
            self._seen.setdefault((person, seq), now)
            while self._seen[oldest := next(iter(self._seen))] < now - 1000 * _KEPT:
                del self._seen[oldest]


@dataclass(frozen=True, slots=True)
class Pair:
    """A mail and the withdrawal of its purpose, by job. `at_door` has who waits at a door, with the process."""

    mail: str
    end: str
    at_door: dict[str, int] = field(default_factory=dict)

    def complete(self) -> bool:
        """Whether both wait."""
        return len(self.at_door) == 2


class Starter:
    """Lets a burst of pairs go when all of it waits.

    Those whose mails are in one worker go together, for they are one group of its gate; and one worker goes after the
    other, so that each moment has the machine to itself.
    """

    def __init__(self) -> None:
        self._entered = 0.0
        self._free = 0.0
        self._pairs: list[Pair] = []
        self._of: dict[str, Pair] = {}

    def idle(self, now: float) -> bool:
        """Whether the burst before is over. Times are in seconds since the epoch."""
        return not self._pairs and now > self._free

    def enter(self, pairs: list[Pair], now: float) -> None:
        """A burst that sets out."""
        self._entered, self._pairs = now, pairs
        self._of = {job: pair for pair in pairs for job in (pair.mail, pair.end)}

    def at_door(self, job: str, pid: int) -> None:
        """Somebody waits at a door."""
        if job in self._of:
            self._of[job].at_door[job] = pid

    def starts(self, now: float) -> Iterator[tuple[float, Pair]]:
        """The pairs that are to go, each with its moment. Who is not there by then goes on alone."""
        ready = [pair for pair in self._pairs if pair.complete()]
        if not self._pairs or (len(ready) < len(self._pairs) and now - self._entered < _WAIT):
            return
        self._free = now + _LEAD
        for pairs in _by_worker(ready):
            yield from ((self._free, pair) for pair in pairs)
            self._free += _APART
        self._pairs = []


def _by_worker(ready: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Groups of pairs whose mails are in one worker, as large as they may be."""
    workers: dict[int, list[Pair]] = {}
    for pair in ready:
        workers.setdefault(pair.at_door[pair.mail], []).append(pair)
    for pairs in workers.values():
        yield from (pairs[start : start + _TOGETHER] for start in range(0, len(pairs), _TOGETHER))


@dataclass
class Races:
    """How pairs met. `centre` is where withdrawals are aimed (ms after their mails), `gaps` how far the gate was behind
    its withdrawal (ms), `near` the pairs that met, `unseen` those of which the oplog did not show both.
    """

    times: Times
    mails: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)
    centre: float = 0.0
    near: dict[str, int] = field(default_factory=lambda: {"sent": 0, "refused": 0})
    gaps: list[float] = field(default_factory=list)
    unseen: int = 0
    _gates: dict[str, tuple[str, bool, Sequence[Write], float]] = field(default_factory=dict)
    _closings: dict[str, Write] = field(default_factory=dict)

    def saw(self, line: dict[str, Any]) -> None:
        """A line that a worker told: the first gate of each mail that was let go, and the withdrawals, are noted."""
        job, what = line.get("job"), line["what"]
        if what == "gate" and job in self.mails and line["answer"] in {"GatePassed", "GateRefused"}:
            self.mails.discard(job)
            passed, person = line["answer"] == "GatePassed", line["person"]
            writes = [(person, line["seq"])] if passed else [(line["mark"], number) for number in line["marks"]]
            self._gates[job] = person, passed, writes, time.monotonic()
        elif what == "closed" and job in self.ends:
            self.ends.discard(job)
            self._closings[line["person"]] = line["person"], line["seq"]

    @property
    def far(self) -> int:
        """Pairs further apart than what counts."""
        return len(self.gaps) - sum(self.near.values())

    def settle(self) -> None:
        """Judge the pairs of which both halves were seen."""
        for mail, (person, passed, writes, since) in list(self._gates.items()):
            closed = self.times.at(self._closings[person]) if person in self._closings else None
            asked = [self.times.at(write) for write in writes]
            if closed is not None and None not in asked:
                self._judge(passed, max((at - closed for at in asked if at is not None), key=abs))
            elif time.monotonic() - since > _UNSEEN:
                self.unseen += 1
            else:
                continue
            del self._gates[mail]

    def _judge(self, passed: bool, gap: float) -> None:  # noqa: FBT001
        self.gaps.append(gap)
        if abs(gap) <= NEAR:
            self.near["sent" if passed else "refused"] += 1
        if abs(gap) <= _AIMED:
            self.centre += _STEP * gap
