"""A process that ends the children of a parent that could not: it kills them when its standard input closes.

`PR_SET_PDEATHSIG` would be shorter, but it follows the starting *thread*, and servers are started from a thread pool.
Lines on standard input: `+PID` adds a process group, `-PID` forgets it.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def born(pid: int) -> str:
    """When the kernel started this process (clock ticks), or "" if it is gone: tells a reused pid apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def main() -> None:
    """Follow the parent until it ends, then kill what it left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    left: dict[int, str] = {}
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            left[pid] = born(pid)
        else:
            left.pop(pid, None)
    for pid, birth in reversed(left.items()):
        if birth and born(pid) == birth:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
