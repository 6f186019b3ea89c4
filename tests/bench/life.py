"""What a worker costs over a long life: its memory after a million jobs, its CPU while it has nothing to do."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.contest import PAUSE, Pace, Sample
from bench.ground import DoesNotRun, Ground
from bench.watch import Moment, cost, look
from preklic_stack.children import Child

_ATTACH_SECONDS = 40.0
_SETTLE_SECONDS = 2.0
_STALL_SECONDS = 60.0


@dataclass(frozen=True)
class Idle:
    """A process that consumes `queue`, which is empty; `more["percent"]` is what it takes of one core."""

    name: str
    queue: str
    start: Callable[[], Child]

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        ground.empty(self.queue)
        worker = self.start()
        try:
            attach(ground, worker, self.queue)
            time.sleep(_SETTLE_SECONDS)
            begin = look({"worker": [worker.pid]})
            time.sleep(2 * pace.seconds)
            end = look({"worker": [worker.pid]})
        finally:
            stop(ground, worker)
        spent = end.usage["worker"].cpu - begin.usage["worker"].cpu
        return Sample(0, 0, more={"percent": round(100 * spent / (end.at - begin.at), 2)})


@dataclass(frozen=True)
class Endurance:
    """One process works off `pace.long` jobs.

    `more` has its memory in MB after a tenth of them and after all, and its growth between in %.
    """

    name: str
    queue: str
    fill: Callable[[int], object]
    start: Callable[[], Child]
    gauge: Callable[[], int]

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        ground.empty(self.queue)
        before = self.gauge()
        self.fill(pace.long)
        worker = self.start()
        groups = ground.services | {"worker": [worker.pid]}
        begin = look(groups)
        try:
            early = self._reach(worker, before + pace.long // 10, groups)
            end = self._reach(worker, before + pace.long, groups)
        finally:
            stop(ground, worker)
            ground.empty(self.queue)
        first, last = (moment.usage["worker"].memory for moment in (early, end))
        more = {"tenth_mb": round(first, 1), "all_mb": round(last, 1), "growth": round(100 * (last / first - 1), 1)}
        return Sample(pace.long / (end.at - begin.at), pace.long, cost(begin, end, pace.long), more=more)

    def _reach(self, worker: Child, count: int, groups: dict[str, list[int]]) -> Moment:
        last, changed = -1, time.monotonic()
        while (now := self.gauge()) < count:
            if now != last:
                last, changed = now, time.monotonic()
            if not worker.alive() or time.monotonic() - changed > _STALL_SECONDS:
                raise DoesNotRun(f"{self.name} stopped at {now} of {count}: {worker.tail()}")
            time.sleep(PAUSE)
        return look(groups)


def attach(ground: Ground, worker: Child, queue: str) -> None:
    """Wait until the worker consumes; DoesNotRun when it does not."""
    deadline = time.monotonic() + _ATTACH_SECONDS
    while not ground.queue(queue)[1]:
        if not worker.alive() or time.monotonic() > deadline:
            raise DoesNotRun(f"takes no jobs: {worker.tail()}")
        time.sleep(PAUSE)


def stop(ground: Ground, worker: Child) -> None:
    """Ask it to end, and wait."""
    worker.signal(signal.SIGTERM)
    ground.stop(worker)
