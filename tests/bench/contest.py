"""One contender's turn: lay jobs ready, start its processes, let the clock run between two looks."""

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.ground import DoesNotRun, Ground
from bench.watch import Moment, cost, look
from preklic_stack.children import Child

PAUSE = 0.02


@dataclass(frozen=True)
class Pace:
    """How long a turn is, and how often. `jobs` replaces the number that fits the time: a smoke test needs few.

    `warm` is the time between the first job's end and the clock's start: all processes open their connections then.
    `long` is the number of jobs of an endurance run.
    """

    seconds: float
    turns: int
    warm: float = 1.0
    jobs: int | None = None
    long: int = 1_000_000


@dataclass(frozen=True)
class Sample:
    """One turn: `rate` in jobs a second, `cpu` in seconds for 10,000 jobs and `memory` in MB, both by process."""

    rate: float
    jobs: int
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Consumers:
    """Workers that take laid-out jobs from `queue` until `gauge` says that all are done.

    `guess` is their speed in jobs a second, high rather than low: so many seconds of jobs are laid ready.
    `attached` is how many consumers the queue has when all are there. `polite` ones are asked to end, others killed.
    """

    name: str
    queue: str
    guess: int
    attached: int
    fill: Callable[[int], object]
    start: Callable[[], list[Child]]
    gauge: Callable[[], int]
    after: Callable[[], object] = lambda: None
    polite: bool = False

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        ground.empty(self.queue)
        before = self.gauge()
        jobs = pace.jobs or int(self.guess * (pace.seconds + pace.warm) * 1.1)
        self.fill(jobs)
        started = time.monotonic()
        workers = self.start()
        try:
            return self._timed(ground, pace, workers, before, jobs, started)
        finally:
            self._end(ground, workers)
            ground.empty(self.queue)
            self.after()

    def _timed(
        self, ground: Ground, pace: Pace, workers: list[Child], before: int, jobs: int, started: float
    ) -> Sample:
        groups = ground.services | {"worker": [worker.pid for worker in workers]}
        self._attach(ground, workers, before + jobs)
        if pace.jobs is None:
            self._warm_up(workers, before, pace.warm)
        begin, first = look(groups), self.gauge()
        enough = before + int(jobs * 0.98) if pace.jobs is None else before + jobs
        deadline = begin.at + (pace.seconds if pace.jobs is None else 30)
        last = first
        while last < enough and time.monotonic() < deadline:
            self._check(workers)
            time.sleep(PAUSE)
            last = self.gauge()
        end = look(groups)
        if last == before or (pace.jobs is not None and last < enough):
            raise DoesNotRun(f"{self.name} did {last - before} of {jobs} jobs: {workers[0].tail()}")
        done, took = (last - first, end.at - begin.at) if last > first else (last - before, end.at - started)
        return Sample(done / took, done, cost(begin, end, done), _memory(end), {})

    def _end(self, ground: Ground, workers: list[Child]) -> None:
        for worker in workers:
            if self.polite:
                worker.signal(signal.SIGTERM)
            else:
                worker.kill()
        for worker in workers:
            ground.stop(worker)

    def _attach(self, ground: Ground, workers: list[Child], all_done: int) -> None:
        deadline = time.monotonic() + 40
        while ground.queue(self.queue)[1] < self.attached:
            self._check(workers)
            if self.gauge() >= all_done:
                return
            if time.monotonic() > deadline:
                raise DoesNotRun(f"{self.name} takes no jobs: {workers[0].tail()}")
            time.sleep(PAUSE)

    def _warm_up(self, workers: list[Child], before: int, seconds: float) -> None:
        deadline = time.monotonic() + 20
        while self.gauge() == before and time.monotonic() < deadline:
            self._check(workers)
            time.sleep(PAUSE)
        time.sleep(seconds)

    def _check(self, workers: list[Child]) -> None:
        for worker in workers:
            if not worker.alive():
                raise DoesNotRun(f"{self.name} ended: {worker.tail()}")


@dataclass(frozen=True)
class Sprint:
    """A process that works for so many seconds, or `turn`s, and prints {"jobs", "seconds", ...} as its last line."""

    name: str
    queue: str
    argv: Callable[[float], list[str]]
    env: Callable[[], dict[str, str]]
    server: Callable[[], Child] | None = None

    def turn(self, ground: Ground, pace: Pace) -> Sample:
        server = self.server() if self.server is not None else None
        try:
            return self._timed(ground, pace, server)
        finally:
            if server is not None:
                ground.stop(server)
            if self.queue:
                ground.empty(self.queue)

    def _timed(self, ground: Ground, pace: Pace, server: Child | None) -> Sample:
        seconds = 0.3 if pace.jobs is not None else pace.seconds
        begin = look(groups := ground.services | ({"server": [server.pid]} if server else {}))
        child = ground.start(self.name.replace(" ", "-"), self.argv(seconds), self.env())
        own = {**groups, "client": [child.pid]}
        last = look(own)
        deadline = time.monotonic() + seconds + 40
        while child.alive() and time.monotonic() < deadline:
            time.sleep(PAUSE)
            now = look(own)
            last = now if now.usage["client"].memory else last
        ground.stop(child)
        try:
            told = json.loads(child.tail(1))
        except ValueError:
            raise DoesNotRun(f"{self.name}: {child.tail()}") from None
        jobs = int(told.pop("jobs"))
        rate = jobs / told.pop("seconds")
        begin = Moment(begin.at, {**begin.usage, "client": type(last.usage["client"])()})
        return Sample(rate, jobs, cost(begin, last, jobs), _memory(last), told)


Contender = Consumers | Sprint


def _memory(moment: Moment) -> dict[str, float]:
    return {name: round(usage.memory, 1) for name, usage in moment.usage.items() if usage.memory}
