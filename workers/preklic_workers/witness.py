"""A copy of every signed head in a file elsewhere: a ledger written anew with the stolen key does not fit it.

One line of JSON for each head, `{"note": "..."}`, appended (O_APPEND) and synced; the file is meant to lie on another
machine's mount that lets nobody change what is written. Like a witness of C2SP tlog-witness it goes on with the history
it knows and with no other: of a fork nothing is appended. Its pace is never the sequencer's.
"""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from preklic_shared import metrics, telemetry
from preklic_workers.ledger.key_history import SignedHead
from preklic_workers.ledger.verify import Altered
from preklic_workers.store.stamps import StampStore

EVERY: Final = 10.0
MOST_LINE: Final = 20_000
"""Octets of a line; one of ours has about 270."""
_AT_ONCE: Final = 1000

log = telemetry.logger(__name__)


def line_of(note: str) -> bytes:
    """A head as a line of the file."""
    return json.dumps({"note": note}, ensure_ascii=False).encode() + b"\n"


def note_in(line: bytes) -> str | None:
    """The note in a line, None where it holds none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    note = said.get("note") if isinstance(said, dict) and len(said) == 1 else None
    return note if isinstance(note, str) and line_of(note) == line and size_of(note) else None


def size_of(note: str) -> int:
    """So many leaves a note says, before anybody has checked it; 0 where it says nothing."""
    lines = note.split("\n", 2)
    return int(lines[1]) if len(lines) == 3 and lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 17 else 0


def notes_of(path: Path, octets: int) -> Iterator[tuple[int, str]]:
    """Each note within the first `octets` with the number of its line, from 1. Raises Altered for a line that is none.

    A line that a crash cut off is followed by the same head once more; it is passed over.
    """
    torn: list[tuple[int, bytes]] = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(min(MOST_LINE, octets - file.tell())), b""), 1):
            note = note_in(line)
            if note is None:
                torn.append((number, line))
                continue
            _look(torn, line)
            torn.clear()
            yield number, note
    if torn and torn[-1][1].endswith(b"\n"):
        raise Altered(f"line {torn[-1][0]} of the witness: not a signed head")


def _look(torn: Sequence[tuple[int, bytes]], line: bytes) -> None:
    """Each of these lines was cut off, and is the beginning of this one."""
    for number, part in torn:
        if not line.startswith(part.rstrip(b"\n")):
            raise Altered(f"line {number} of the witness: not a signed head")


class Witness:
    """Appends what is signed to the file. A file that cannot be written, or knows another history, is a metric."""

    def __init__(self, store: StampStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._last = 0
        self._fits: bool | None = None  # None: the file is to be read

    async def once(self) -> None:
        """Append the heads that the file lacks. Raises `Unavailable`."""
        try:
            if not self._fits:
                self._fits = await self._known()
            while self._fits and (heads := await self._store.heads(self._last, _AT_ONCE)):
                await asyncio.to_thread(append, self._path, heads)
                self._last = heads[-1].size
        except OSError as error:
            self._fits = None
            log.warning("the witness's file cannot be written", error=type(error).__name__)
        lacks = await self._store.count_after(self._last)
        metrics.WITNESS_BEHIND.set(float("inf") if self._fits is False else lacks)

    async def _known(self) -> bool:
        """Whether the last head in the file is one of this ledger; then it goes on behind it."""
        note = await asyncio.to_thread(last_note, self._path)
        if note is None:
            return True
        size = size_of(note)
        head = await self._store.head(size)
        if head is None or head.note != note:
            log.error("the witness knows another head of this ledger: preklic ledger verify --witness FILE", count=size)
            return False
        self._last = size
        return True


def last_note(path: Path) -> str | None:
    """The last whole note of the file, None where there is none. Raises OSError."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * MOST_LINE))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    return next((note for line in reversed(lines) if (note := note_in(line)) is not None), None)


def append(path: Path, heads: Sequence[SignedHead]) -> None:
    """Put these heads at the end of the file, synced. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        octets = (b"\n" if torn else b"") + b"".join(line_of(head.note) for head in heads)
        while octets:
            octets = octets[os.write(descriptor, octets) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
