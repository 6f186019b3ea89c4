"""What processes cost: CPU seconds and resident memory of whole process groups, from /proc."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """`cpu` in seconds since the group began, `memory` the largest member's resident megabytes."""

    cpu: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True)
class Moment:
    """All groups at one time."""

    at: float
    usage: Mapping[str, Usage]


def look(groups: Mapping[str, list[int]]) -> Moment:
    """The usage of named sets of process groups."""
    name_of = {pid: name for name, pids in groups.items() for pid in pids}
    cpu: dict[str, float] = dict.fromkeys(groups, 0.0)
    memory: dict[str, float] = dict.fromkeys(groups, 0.0)
    at = time.monotonic()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            name = name_of.get(int(fields[2]))
            if name is not None:
                cpu[name] += (int(fields[11]) + int(fields[12])) / TICKS
                memory[name] = max(memory[name], int(fields[21]) * PAGE / 1e6)
    return Moment(at, {name: Usage(cpu[name], memory[name]) for name in groups})


def cost(begin: Moment, end: Moment, jobs: int) -> dict[str, float]:
    """CPU seconds for 10,000 jobs, by group."""
    spent = {name: usage.cpu - begin.usage[name].cpu for name, usage in end.usage.items() if name in begin.usage}
    return {name: round(seconds * 10_000 / max(jobs, 1), 3) for name, seconds in spent.items()}
