"""Jobs that wait on this disk while the broker is away: on disk first (fsync), published later, in order.

SQLite in WAL mode with `synchronous=FULL`: a put that returned survives a power cut. What is stored is the wire form
of a job, whose personal data is sealed already. A job may be published twice (a crash between its confirm and its
deletion); its id makes that harmless.
"""

import fcntl
import os
import re
import secrets
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

MAX_BYTES: Final = 256 * 1024 * 1024
BATCH: Final = 256
_ROW_BYTES: Final = 200  # what a row costs beside its body
_BUSY_SECONDS: Final = 2.0

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  job TEXT NOT NULL,
  actor TEXT NOT NULL,
  body BLOB NOT NULL,
  stored REAL NOT NULL,
  UNIQUE (job, actor)
) STRICT;
CREATE TABLE IF NOT EXISTS size (id INTEGER PRIMARY KEY CHECK (id = 0), bytes INTEGER NOT NULL) STRICT;
INSERT INTO size VALUES (0, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS box (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS noes ON jobs (stored) WHERE actor = 'revoke';
CREATE TRIGGER IF NOT EXISTS grown AFTER INSERT ON jobs
  BEGIN UPDATE size SET bytes = bytes + length(new.body) + %(row)d; END;
CREATE TRIGGER IF NOT EXISTS shrunk AFTER DELETE ON jobs
  BEGIN UPDATE size SET bytes = bytes - length(old.body) - %(row)d; END;
COMMIT;
"""


class OutboxFull(Exception):
    """No room for this job's share of the box."""


class OutboxFailed(Exception):
    """The disk did not take the job: it is not stored, and nobody may be told that it is."""


class Parcel(Struct, frozen=True):
    """One job for the broker: its id, actor and wire body; `seq` is its row once it is stored."""

    job: str
    actor: str
    body: bytes
    seq: int = 0


class Outbox:
    """The box at `path`, of at most `max_bytes`. Safe in threads, after a fork, and between processes.

    `name` was given to it when it was made and stays: what waits in a box is known by the box, not by its process.
    """

    name: str

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time) -> None:
        """Open or create the box; OutboxFailed when the disk does not let it."""
        self._path = path
        self._max = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        with _disk():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._open()

    def put(self, parcels: Sequence[Parcel], *, share: float = 1.0) -> None:
        """Store the jobs, all or none, with one fsync. The same job again stays one row.

        Raises OutboxFull when they would pass `share` of the box's size, OutboxFailed when the disk fails.
        """
        rows = [(parcel.job, parcel.actor, parcel.body, self._clock()) for parcel in parcels]
        with self._lock, _disk(), self._transaction() as db:
            db.executemany(
                "INSERT INTO jobs (job, actor, body, stored) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
            if _used(db) > self._max * share:
                raise OutboxFull

    def waiting(self, limit: int = BATCH, *, after: int = 0) -> list[Parcel]:
        """The oldest jobs behind row `after`, in the order in which they came."""
        with self._lock, _disk():
            rows = self._here().execute(
                "SELECT job, actor, body, seq FROM jobs WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            )
            return [Parcel(*row) for row in rows]

    def forget(self, published: Sequence[Parcel]) -> None:
        """Remove jobs whose publish the broker confirmed."""
        with self._lock, _disk(), self._transaction() as db:
            db.executemany("DELETE FROM jobs WHERE seq = ?", [(parcel.seq,) for parcel in published])

    def __len__(self) -> int:
        with self._lock, _disk():
            (count,) = self._here().execute("SELECT count(*) FROM jobs").fetchone()
            return int(count)

    def age(self) -> float:
        """Seconds that the oldest job has waited; 0 when the box is empty."""
        with self._lock, _disk():
            (oldest,) = self._here().execute("SELECT min(stored) FROM jobs").fetchone()
            return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    def oldest_no(self) -> float | None:
        """When the withdrawal that has waited longest was stored (seconds since 1970), None when there is none."""
        with self._lock, _disk():
            (oldest,) = self._here().execute("SELECT min(stored) FROM jobs WHERE actor = 'revoke'").fetchone()
            return None if oldest is None else float(oldest)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether this process may publish from the box now: one at a time among those that share it."""
        with self._path.with_suffix(".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def close(self) -> None:
        """Close the box; what is in it stays."""
        with self._lock:
            self._here().close()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA % {"row": _ROW_BYTES})
        self._db.execute("INSERT INTO box VALUES (0, ?) ON CONFLICT DO NOTHING", (_new_name(),))
        (self.name,) = self._db.execute("SELECT name FROM box").fetchone()

    def _here(self) -> sqlite3.Connection:
        # SQLite connections must not cross a fork: the child opens its own and leaves the parent's alone.
        if self._pid != os.getpid():
            self._open()
        return self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._here()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            # A disk that is full has rolled back by itself.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _new_name() -> str:
    """A box's name for life: where it was made, and 8 random digits."""
    host = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:48]
    return f"{host}-{secrets.token_hex(4)}"


def _used(db: sqlite3.Connection) -> int:
    (used,) = db.execute("SELECT bytes FROM size").fetchone()
    return int(used)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise OutboxFailed(type(error).__name__) from error
