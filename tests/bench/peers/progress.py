"""A counter that one process writes and the harness reads while it runs: eight bytes in a mapped file."""

import mmap
import os
import struct
from pathlib import Path

COUNT = struct.Struct("<Q")


class Progress:
    """Counts up; not for several threads at once. Opened at the first tick, so that forked children differ."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._map: mmap.mmap | None = None
        self._count = 0

    def tick(self, jobs: int = 1) -> None:
        if self._map is None:
            file = os.open(self._folder / f"{os.getpid()}.count", os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(file, COUNT.size)
            self._map = mmap.mmap(file, COUNT.size)
            os.close(file)
        self._count += jobs
        COUNT.pack_into(self._map, 0, self._count)


def total(folder: Path) -> int:
    """The sum over all processes."""
    counts = (path.read_bytes() for path in folder.glob("*.count"))
    return sum(COUNT.unpack(count)[0] for count in counts if len(count) == COUNT.size)
