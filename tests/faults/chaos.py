"""The scheduler of faults: seeded, one fault after the other, each noted with how many hand-overs were open."""

import heapq
import itertools
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo.errors import PyMongoError

from faults.failpoints import ROLES, STORE_POINTS
from faults.servers import HOLDING, Servers
from faults.website import Website
from faults.world import FLEET, World
from faults.zygote import Forked

POINTS: Final = tuple(ROLES)
# How often each kind of fault is chosen beside the kills, which follow their own plan.
WEIGHTS: Final = {
    "stall": 4.0,
    "drop": 3.0,
    "away": 3.0,
    "close_connections": 2.0,
    "relay": 5.0,
    "fail_command": 2.0,
    "double_term": 1.0,
    "permission": 0.7,
    "queue_full": 0.7,
    "drop_then_kill": 1.5,
    "hold_then_kill": 0.7,
    "cut_gateway": 0.7,
    "replay": 1.0,
    "freeze": 1.0,
    "alarm": 0.3,
    "step_down": 0.4,
    "mongo_kill": 0.2,
    "broker_stop": 0.15,
}
RELAY: Final = (
    {"name": "drop_after_dot", "kept": True, "share": 0.2},
    {"name": "drop_after_dot", "kept": False, "share": 0.2},
    {"name": "refuse_after_dot", "code": 451, "share": 0.2},
    {"name": "refuse_rcpt", "code": 421, "share": 0.2},
    {"name": "close_in_data", "share": 0.2},
    {"name": "slow_accept", "seconds": 3.0, "share": 0.3},
)
WINDOW: Final = 2.0  # seconds: what was opened within these before a fault is at work when it strikes
EXPOSED: Final = 15.0  # seconds: what was opened within these may end in doubt by it
_TURN: Final = 0.05  # seconds
_LATE: Final = 8.0  # seconds after which a fault that nobody ran into is given to somebody else


@dataclass
class Seen:
    """What the scheduler did and saw. `kills` are by point, and `opened` is by kill: those with enough hand-overs open,
    the others are `lonely`. `exposed` had a hand-over open at any fault.
    """

    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    opened: list[int] = field(default_factory=list)
    lonely: int = 0
    open_at_faults: int = 0
    exposed: set[str] = field(default_factory=set)
    odd: list[str] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)


class Chaos:
    """Breaks things for `seconds`. `weights` are those of WEIGHTS that this run uses; `minimum` hand-overs are open.

    Workers stand still and freeze at `points`. The replica set has all its members for the share `whole` of the time.
    """

    def __init__(
        self,
        world: World,
        website: Website,
        servers: Servers,
        seed: int,
        *,
        kills: int,
        minimum: int,
        weights: dict[str, float],
        points: Sequence[str],
        every: float,
        whole: float,
        say: Callable[[str], None],
    ) -> None:
        self.seen = Seen()
        self._world, self._website, self._say = world, website, say
        self._chance = random.Random(seed)
        self._kills, self._minimum, self._weights, self._every = kills, minimum, weights, every
        self._points, self._whole = points, whole
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._armed: dict[int, tuple[str, float]] = {}
        self._servers = servers
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="fault")
        self._busy = threading.Semaphore(1)
        self._told = world.told.open("rb")
        self._rest = b""
        self._mended = False

    def run(self, seconds: float) -> Seen:
        """Break things for so long; `mend` them afterwards."""
        began = time.monotonic()
        chosen, spoke = began, began
        while (now := time.monotonic()) < began + seconds:
            self.watch()
            wanted, due = self._wanted((now - began) / seconds), now - chosen > self._every
            if (wanted > 0 or due) and self._open() >= self._minimum:
                self._kill_more(wanted)
                if due:
                    chosen = now
                    self._break()
            if now - began > self._whole * seconds and not self._servers.alone:
                self._alone(self._servers.shrink)
            if now - spoke > 30:
                spoke = now
                self._say(self.line(now - began))
            time.sleep(_TURN)
        return self.seen

    def watch(self) -> None:
        """Look at what has happened: processes that ended are replaced, and what the workers told is read."""
        self._read_told()
        while not self._world.zygote.changes.empty():
            forked, change = self._world.zygote.changes.get()
            if change == "exited":
                self._ended(forked)
        self._world.fill()
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        for pid, (_, since) in list(self._armed.items()):
            if now - since > _LATE:
                self._armed.pop(pid)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this then."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), action))

    def _read_told(self) -> None:
        *lines, self._rest = (self._rest + self._told.read()).split(b"\n")
        for text in lines:
            line = json.loads(text)
            if line["what"] == "fired":
                self._fired(line)
            else:
                self.seen.told.append(line)

    def _fired(self, line: dict[str, Any]) -> None:
        self._armed.pop(line["pid"], None)
        self.seen.faults[f"{line['action']} at a point"] += 1
        opened = self._expose(time.time() - line["at"] / 1e9)
        if line["action"] == "kill" and opened < self._minimum:
            self.seen.lonely += 1
        elif line["action"] == "kill":
            self.seen.kills[line["point"]] += 1
            self.seen.opened.append(opened)
        elif line["action"] == "freeze":
            self._thaw_later(line["pid"])

    def _expose(self, ago: float = 0.0) -> int:
        """Note whose hand-overs were open at the fault so many seconds ago; how many were opened just before it."""
        with suppress(PyMongoError):
            self.seen.exposed |= {job for job, _ in self._world.held(ago + EXPOSED)}
            just = len(self._world.held(ago + WINDOW))
            self.seen.open_at_faults += just
            return just
        return 0

    def _open(self) -> int:
        with suppress(PyMongoError):
            return len(self._world.held(WINDOW))
        return 0

    def _ended(self, forked: Forked) -> None:
        self._armed.pop(forked.pid, None)
        if forked.name in FLEET and forked.status not in {0, -signal.SIGKILL}:
            self.seen.odd.append(f"{forked.name} ended with {forked.status}")

    def _wanted(self, share: float) -> int:
        """How many kills the plan is behind."""
        return int(self._kills * min(1.0, share * 1.05)) - sum(self.seen.kills.values()) - len(self._armed)

    def _kill_more(self, wanted: int) -> None:
        """Arm some of the kills that are wanted; the points with the fewest first."""
        for _ in range(min(4, wanted)):
            pending = Counter(point for point, _ in self._armed.values())
            point = min(POINTS, key=lambda p: (self.seen.kills[p] + pending[p], self._chance.random()))
            self._arm(point, "kill")

    def _arm(self, point: str, action: str) -> Forked | None:
        free = self._free(ROLES[point])
        if not free:
            return None
        victim = self._chance.choice(free)
        passage = self._chance.randint(1, 3) if point in {"batch_half", "dead_published", "outbox_written"} else 0
        passage = passage or self._chance.randint(1, 12)
        self._world.zygote.tell(victim, f"arm {point}:{action}:{passage}")
        self._armed[victim.pid] = (point, time.monotonic())
        self._stimulate(point, victim)
        return victim

    def _stimulate(self, point: str, victim: Forked) -> None:
        """Some points are seldom passed by themselves."""
        match point:
            case "dead_published":
                self._aside(lambda: self._website.publish_dead(24))
            case "retry_published":
                self._aside(lambda: self._website.publish_strange(24))
            case "batch_half":
                self._aside(lambda: [self._website.click(20) for _ in range(4)])
            case "outbox_written":
                self._world.zygote.tell(victim, "cut")
                self._aside(lambda: [self._website.one_click() for _ in range(4)])
                self.after(_LATE, lambda: self._world.zygote.tell(victim, "mend"))

    def _aside(self, work: Callable[[], Any]) -> None:
        self._pool.submit(self._guarded, work)

    def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a fault that could not be made is told, and the run goes on
            self.seen.odd.append(f"{type(error).__name__} {error}"[:300])

    def _break(self) -> None:
        kinds = list(self._weights)
        kind = self._chance.choices(kinds, [self._weights[each] for each in kinds])[0]
        if getattr(self, f"_do_{kind}")():
            self.seen.faults[kind] += 1
            self._expose()

    def _do_stall(self) -> bool:
        return self._arm(self._chance.choice(self._points), "stall") is not None

    def _do_drop(self) -> bool:
        return self._arm(self._chance.choice([p for p in POINTS if p != "outbox_written"]), "drop") is not None

    def _do_away(self) -> bool:
        return self._arm(self._chance.choice(sorted(STORE_POINTS)), "away") is not None

    def _do_freeze(self) -> bool:
        if any(one.stopped for one in self._world.fleet):
            return False
        return self._arm(self._chance.choice([p for p in self._points if ROLES[p] != "gateway"]), "freeze") is not None

    def _thaw_later(self, pid: int) -> None:
        """A zombie wakes when its leases are over and others went on with what it had; then it is asked to go."""
        lease = self._world.lease or 60.0
        frozen = [one for one in self._world.fleet if one.pid == pid]
        if self._mended:
            for one in frozen:
                one.signal(signal.SIGCONT)
            return
        long = lease * self._chance.uniform(1.25, 1.6)
        self.after(lease * 1.03, lambda: self._replay(lease + 3))
        for one in frozen:
            self.after(long, lambda one=one: one.signal(signal.SIGCONT))
            self.after(long + 5, lambda one=one: one.signal(signal.SIGTERM))

    def _do_drop_then_kill(self) -> bool:
        """Two broken connections, so that tags of a lost channel name other jobs on the next one; then the end."""
        free = self._free("send")
        if not free:
            return False
        victim, at = self._chance.choice(free), 0.0
        for _ in range(2):
            self.after(at, lambda: self._world.zygote.tell(victim, "drop"))
            at += self._chance.uniform(0.3, 0.7)
        self.after(at, lambda: self._kill(victim))
        return True

    def _do_hold_then_kill(self) -> bool:
        """What a worker holds because no tier takes it must not go with the worker."""
        free = self._free("send")
        if not free or not self._alone(lambda: self._servers.fill_queue(HOLDING)):
            return False
        self._aside(lambda: self._website.publish_strange(24))
        for at in (1.5, 2.5):
            self.after(at, lambda: self._kill(self._chance.choice(self._free("send") or free)))
        return True

    def _free(self, role: str) -> list[Forked]:
        return [one for one in self._world.of(role) if one.pid not in self._armed]

    def _kill(self, victim: Forked) -> None:
        if victim.alive():
            self._expose()
            victim.signal(signal.SIGKILL)
            self.seen.faults["kill -9"] += 1

    def _do_double_term(self) -> bool:
        there = [one for role in FLEET if role != "gateway" for one in self._world.of(role)]
        if not there:
            return False
        victim = self._chance.choice(there)
        victim.signal(signal.SIGTERM)
        self.after(0.05, lambda: victim.signal(signal.SIGTERM))
        self.after(40, lambda: self._must_be_gone(victim))
        return True

    def _must_be_gone(self, victim: Forked) -> None:
        if victim.alive():
            self.seen.odd.append(f"{victim.name} did not end after two SIGTERM")
            victim.signal(signal.SIGKILL)

    def _do_cut_gateway(self) -> bool:
        for gateway in self._world.of("gateway"):
            self._world.zygote.tell(gateway, "cut")
            self._aside(lambda: [self._website.one_click() for _ in range(3)])
            self.after(self._chance.uniform(1, 5), lambda gateway=gateway: self._world.zygote.tell(gateway, "mend"))
        return True

    def _do_relay(self) -> bool:
        self._world.system.sink.mode(**self._chance.choice(RELAY))
        self.after(self._chance.uniform(0.5, 3), lambda: self._world.system.sink.mode("accept"))
        return True

    def _do_close_connections(self) -> bool:
        return self._alone(self._servers.close_connections)

    def _do_fail_command(self) -> bool:
        return self._alone(self._servers.fail_command)

    def _do_permission(self) -> bool:
        return self._alone(self._servers.lose_permission)

    def _do_queue_full(self) -> bool:
        return self._alone(self._servers.fill_queue)

    def _do_alarm(self) -> bool:
        return self._alone(self._servers.memory_alarm)

    def _do_step_down(self) -> bool:
        return self._alone(self._servers.step_down)

    def _do_mongo_kill(self) -> bool:
        return self._alone(self._servers.kill_mongo)

    def _do_broker_stop(self) -> bool:
        return self._alone(self._servers.stop_broker)

    def _do_replay(self) -> bool:
        return self._alone(lambda: self._replay(self._chance.uniform(1, 5), aside=False))

    def _replay(self, seconds: float, *, aside: bool = True) -> None:
        """What the log has of the last seconds, once more, by the responders' commands."""
        if aside:
            self._aside(lambda: self._replay(seconds, aside=False))
            return
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))
        status, text = self._world.command("replay", "plan", "--from", since, "--json")
        if status == 0:
            plan = json.loads(text)["plan"]
            self._world.command("replay", "run", plan, "--rate", "1000", "--reason", "fault run", "--watch", "0")

    def _alone(self, work: Callable[[], Any]) -> bool:
        """In the background, one at a time: servers take seconds to break and to mend."""
        if not self._busy.acquire(blocking=False):
            return False

        def guarded() -> None:
            try:
                self._guarded(work)
            finally:
                self._busy.release()

        self._pool.submit(guarded)
        return True

    def mend(self) -> None:
        """Nothing is broken from here on."""
        self._mended = True
        self._later.clear()
        self._pool.shutdown(wait=True)
        self._servers.mend()
        self._world.system.sink.mode("accept")
        for one in self._world.fleet:
            for word in ("disarm", "mend"):
                self._world.zygote.tell(one, word)
            one.signal(signal.SIGCONT)
        self.watch()

    def line(self, seconds: float) -> str:
        """What was done and seen so far."""
        near = self._website.races.near
        return (
            f"{seconds:5.0f} s: {sum(self.seen.kills.values())} kills at {len(self.seen.kills)} points, "
            f"{sum(self.seen.faults.values())} faults, {len(self._website.promised.sends)} sends, "
            f"pairs {near['sent']} sent {near['refused']} refused {self._website.races.far} far"
        )
