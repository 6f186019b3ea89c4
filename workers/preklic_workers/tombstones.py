"""Tombstones: who was erased, and when, in a file outside MongoDB and its backups: a restored dump is erased again.

One line for each erasure: number, suppression hash, time (ms since the Unix epoch) and a MAC over these and the MAC
before (HMAC-SHA256, RFC 2104, 128 bits), so that a line that was edited, moved or taken out is found. The end of the
file is held by the database: its mark knows how many lines there were.
"""

import hmac
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from preklic_workers.blind import Blind
from preklic_workers.durable import append, locked
from preklic_workers.envelope import NoKey

FILE: Final = "tombstones"
_LINE: Final = re.compile(rb"([1-9][0-9]{0,11}) ([A-Za-z0-9_-]{43}) ([0-9]{1,15}) ([0-9a-f]{32})\n")
_LINE_LIMIT: Final = 128
_MAC: Final = 16


class Broken(Exception):
    """The tombstones are not as they were written; the message names the line."""


class Tombstone(NamedTuple):
    """One erasure: the suppression hash, and the time (ms) of the wish or of the last no before it."""

    subject: str
    at: int


class Tombstones:
    """The file in `state`, read and checked whole when it is opened. One process writes at a time."""

    def __init__(self, state: Path, blind: Blind) -> None:
        """Raises Broken, or NoKey where the ring has no suppression key."""
        if not blind.suppress:
            raise NoKey("suppress")
        self.path = state / FILE
        self._lock = state / f"{FILE}.lock"
        self._beginning = state / f"{FILE}.begins"
        self._key = hmac.digest(blind.suppress, b"tombstones", "sha256")
        self.count = 0
        self._mac = b""
        self._size = 0
        self._load()

    @property
    def begins(self) -> bool:
        """Whether the erasures of before this file are not all told yet."""
        return not self.path.exists() or self._beginning.exists()

    def begun(self) -> None:
        """They are told."""
        self.append(())
        self._beginning.unlink(missing_ok=True)

    def read(self) -> Iterator[Tombstone]:
        """All of them, the oldest first. Raises Broken."""
        for stone, _mac, _size in self._lines():
            yield stone

    def append(self, stones: Iterable[Tombstone]) -> None:
        """Add these, durably. Raises Broken, Locked."""
        with locked(self._lock):
            if not self.path.exists():
                append(self._beginning, b"")
            if self._length() != self._size:
                self._load()
            lines = []
            for stone in stones:
                text = f"{self.count + 1} {stone.subject} {stone.at}".encode("ascii")
                self._mac = _mac(self._key, self._mac, text)
                self.count += 1
                lines.append(b"%s %s\n" % (text, self._mac.hex().encode("ascii")))
            data = b"".join(lines)
            append(self.path, data)
            self._size += len(data)

    def _load(self) -> None:
        self.count, self._mac, self._size = 0, b"", 0
        for _stone, mac, size in self._lines():
            self.count, self._mac, self._size = self.count + 1, mac, self._size + size
        if self._length() > self._size:
            # A line that was cut by a crash was never relied on: its erasure is still to be told.
            os.truncate(self.path, self._size)

    def _lines(self) -> Iterator[tuple[Tombstone, bytes, int]]:
        if not self.path.exists():
            return
        mac, number = b"", 0
        with self.path.open("rb") as file:
            while (line := file.readline(_LINE_LIMIT)).endswith(b"\n"):
                number += 1
                match = _LINE.fullmatch(line)
                if match is None or int(match[1]) != number:
                    raise Broken(f"{self.path}: line {number} is no tombstone: restore the file from its own backup")
                mac = _mac(self._key, mac, line[: match.start(4) - 1])
                if not intact(mac, match[4]):
                    raise Broken(f"{self.path}: line {number} was changed: restore the file from its own backup")
                yield Tombstone(match[2].decode("ascii"), int(match[3])), mac, len(line)
            if len(line) == _LINE_LIMIT:
                raise Broken(f"{self.path}: line {number + 1} is no tombstone: restore the file from its own backup")

    def _length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def intact(mac: bytes, told: bytes) -> bool:
    """Whether the line bears the MAC that it must bear."""
    return hmac.compare_digest(mac.hex().encode("ascii"), told)


def _mac(key: bytes, before: bytes, text: bytes) -> bytes:
    return hmac.digest(key, before + b"|" + text, "sha256")[:_MAC]
