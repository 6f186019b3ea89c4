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
from typing import Any, Final, NamedTuple, Protocol, Self

from bson.timestamp import Timestamp
from pymongo import CursorType, MongoClient
from pymongo.errors import PyMongoError

from faults.witnesses import RACING

# Times are whole milliseconds: what lies so many of them apart is less than 5 ms apart.
NEAR: Final = 4
_AIMED: Final = 100  # ms: pairs further apart say nothing about the aim
_STEP: Final = 0.05  # ms
_UNSEEN: Final = 60.0  # seconds after which a write that the oplog did not show is given up
_TOGETHER: Final = 8
_GATHER: Final = 0.5  # seconds that pairs of one worker wait for more of them
_LEAD: Final = 0.15  # seconds in which the word to go reaches both workers
_APART: Final = 0.06  # seconds between moments
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


class Ready(NamedTuple):
    """A pair of which both halves wait at their doors: the jobs and the processes that hold them."""

    mail: str
    mail_at: int
    end: str
    end_at: int


class Starter:
    """Lets pairs go: those whose mails wait in the same worker together, for that is one group of its gate.

    So few at a time that their withdrawals, each a write of its own, are over within what counts as near.
    """

    def __init__(self) -> None:
        self._mails: dict[str, int] = {}
        self._ends: dict[str, str] = {}
        self._ready: dict[int, list[Ready]] = {}
        self._since: dict[int, float] = {}
        self._free = 0.0

    def arrived(self, mail: str, pid: int, end: str) -> None:
        """A mail waits at its door; `end` is the withdrawal that sets out."""
        self._mails[mail] = pid
        self._ends[end] = mail

    def ready(self, end: str, pid: int, now: float) -> None:
        """A withdrawal waits at its door."""
        mail = self._ends.pop(end, None)
        if mail is not None:
            mail_at = self._mails.pop(mail)
            self._ready.setdefault(mail_at, []).append(Ready(mail, mail_at, end, pid))
            self._since.setdefault(mail_at, now)

    def starts(self, now: float) -> Iterator[tuple[float, Sequence[Ready]]]:
        """The pairs that are to go now, with their moment; both in seconds since the epoch."""
        for pid, pairs in list(self._ready.items()):
            if len(pairs) < _TOGETHER and now - self._since[pid] < _GATHER:
                continue
            for start in range(0, len(pairs), _TOGETHER):
                moment = max(now + _LEAD, self._free)
                self._free = moment + _APART
                yield moment, pairs[start : start + _TOGETHER]
            del self._ready[pid], self._since[pid]


@dataclass
class Races:
    """The pairs: `runners` are mails that have no withdrawal yet, with the address. One person runs once.

    `centre` is where withdrawals are aimed (ms after their mail), `gaps` how far the gate was behind its withdrawal
    (ms), `near` the pairs that met, `unseen` those of which the oplog did not show both.
    """

    times: Times
    runners: dict[str, str] = field(default_factory=dict)
    closed_by: set[str] = field(default_factory=set)
    centre: float = 0.0
    near: dict[str, int] = field(default_factory=lambda: {"sent": 0, "refused": 0})
    gaps: list[float] = field(default_factory=list)
    unseen: int = 0
    _gates: dict[str, tuple[bool, Sequence[Write], float]] = field(default_factory=dict)
    _closings: dict[str, Write] = field(default_factory=dict)

    def saw(self, line: dict[str, Any]) -> None:
        """A line that a worker told: gates and closings of pairs are noted."""
        if line["what"] == "gate" and line["purpose"] == RACING and line["answer"] in {"GatePassed", "GateRefused"}:
            passed, person = line["answer"] == "GatePassed", line["person"]
            writes = [(person, line["seq"])] if passed else [(line["mark"], number) for number in line["marks"]]
            self._gates.setdefault(person, (passed, writes, time.monotonic()))
        elif line["what"] == "closed" and line["job"] in self.closed_by:
            self.closed_by.discard(line["job"])
            self._closings[line["person"]] = line["person"], line["seq"]

    @property
    def far(self) -> int:
        """Pairs further apart than what counts."""
        return len(self.gaps) - sum(self.near.values())

    def settle(self) -> None:
        """Judge the pairs of which both halves were seen."""
        for person in list(self._gates.keys() & self._closings.keys()):
            passed, writes, since = self._gates[person]
            closed, asked = self.times.at(self._closings[person]), [self.times.at(write) for write in writes]
            if closed is not None and None not in asked:
                self._judge(passed, max((at - closed for at in asked if at is not None), key=abs))
            elif time.monotonic() - since > _UNSEEN:
                self.unseen += 1
            else:
                continue
            del self._gates[person], self._closings[person]

    def _judge(self, passed: bool, gap: float) -> None:  # noqa: FBT001
        self.gaps.append(gap)
        if abs(gap) <= NEAR:
            self.near["sent" if passed else "refused"] += 1
        if abs(gap) <= _AIMED:
            # More sent than refused: the withdrawals come too late.
            self.centre = max(-60.0, min(60.0, self.centre + (-_STEP if passed else _STEP)))
