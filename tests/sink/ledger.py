"""The sink's append-only ledger: one JSON line per phase of each mail, on disk before the client is told."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

# rcpt: a recipient was accepted; data: 354 is about to be sent; body: the whole body is here; accepted: 250 is about
# to be sent; refused: a 4xx or 5xx is about to be sent; lost: the connection ended with a mail under way.
Phase = Literal["rcpt", "data", "body", "accepted", "refused", "lost"]


class Entry(msgspec.Struct, omit_defaults=True):
    """`at` is Unix time in ns, `conn` numbers connections, `job` is the local part of the Message-ID."""

    phase: Phase
    at: int
    conn: int
    to: str = ""
    job: str = ""
    sha256: str = ""
    size: int = 0
    code: int = 0
    kept: bool = True


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class Ledger:
    """Appends entries. `record(entry, then)` calls `then` once the line is written, or with `fsync` once it is safe.

    Without `fsync` both happen before `record` returns. With it, lines of the same moment share one fsync.
    """

    def __init__(self, path: Path, *, fsync: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._fsync = fsync
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._unsafe: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.counts: dict[str, int] = {}

    def record(self, entry: Entry, then: Callable[[], None]) -> None:
        self.counts[entry.phase] = self.counts.get(entry.phase, 0) + 1
        os.write(self._file, _encode(entry) + b"\n")
        if not self._fsync:
            then()
            return
        self._unsafe.append(then)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._commit())

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def _commit(self) -> None:
        while self._unsafe:
            thens, self._unsafe = self._unsafe, []
            await asyncio.to_thread(os.fsync, self._file)
            for then in thens:
                then()
        self._task = None


def now() -> int:
    return time.time_ns()


def read_ledger(path: Path) -> list[Entry]:
    """Every whole line written so far, in order."""
    if not path.exists():
        return []
    return [_decode(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
