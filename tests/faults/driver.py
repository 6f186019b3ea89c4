"""Laws 1 to 3 under fire: a real system, random load, random faults; then every job is looked up by its id.

`python -m faults.driver` is `make faults`: a system under 20 minutes of fire, and then a second one, in which mails and
withdrawals race with nothing broken until enough of them met. Each comes to rest, its log is replayed twice, and it is
audited. The seed is printed: the same seed makes the same choices, though not the same interleavings.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from faults.audit import Found, audit, grown, unanswered
from faults.chaos import WEIGHTS, Chaos
from faults.failpoints import ROLES
from faults.gathering import bodies, effects, gather, replay_log, replay_whole, rest, returning
from faults.servers import Servers
from faults.website import Website
from faults.world import CONNECTIONS, FLEET, People, World, open_world
from waiting import until

SHOWN: Final = 50
RACES: Final = 1800.0
_TURN: Final = 0.05  # seconds between looks
_STALE: Final = 6.0  # seconds by which the broker's figures are old


@dataclass(frozen=True)
class Plan:
    """What one system goes through. `seconds` of fire with so many `kills` at fail points; then at most `calm` seconds
    without faults, until so many `pairs` of send and withdrawal met: under fire they seldom meet closely enough.
    `minimum` hand-overs are open at each fault, kept open by a sink that takes `pace` seconds for each mail; `lease`
    seconds instead of 60 for runs that are shorter than that; `load` a factor on what else the website sends. The
    replica set has its `members` for the share `whole` of the fire, then one: on two cores three leave room for a
    quarter of the pairs.
    """

    seconds: float = 1200
    calm: float = 0
    seed: int = 0
    kills: int = 1100
    pairs: int = 100_000
    minimum: int = 32
    pace: float = 0.6
    lease: float | None = None
    load: float = 1.0
    members: int = 3
    whole: float = 0.15
    connections: int = CONNECTIONS
    every: float = 3.0
    rest: float = 900
    replayed: int = 2_000
    only: tuple[str, ...] = ()
    points: tuple[str, ...] = tuple(ROLES)


@dataclass
class Report:
    """What the run did and found; `wrong` must be empty."""

    seed: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    lonely: int = 0
    open_at_kills: list[int] = field(default_factory=list)
    open_at_faults: int = 0
    states: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    promised: int = 0
    turned_away: int = 0
    pairs_sent: int = 0
    pairs_refused: int = 0
    pairs_far: int = 0
    bodies: int = 0
    withdrawals: int = 0
    effect: str = ""
    gap: str = ""
    unanswered: int = 0
    replayed: int = 0
    account: str = ""
    seconds: float = 0
    odd: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The closing table."""
        doubts, near = self.states.get("in_doubt", 0), self.pairs_sent + self.pairs_refused
        return [
            *(f"fault {kind:<33}{count}" for kind, count in sorted(self.faults.items())),
            *(f"kill -9 at {point:<28}{self.kills.get(point, 0)}" for point in ROLES),
            f"kills at fail points                   {sum(self.kills.values())}",
            f"kills with fewer hand-overs open       {self.lonely} (not counted above)",
            f"hand-overs open at each kill, least    {min(self.open_at_kills, default=0)}",
            f"hand-overs open at the kills           {sum(self.open_at_kills)}",
            f"jobs with a receipt                    {self.promised} ({self.turned_away} turned away)",
            *(f"mails {state:<33}{count}" for state, count in sorted(self.states.items())),
            *(f"refused: {reason:<30}{count}" for reason, count in sorted(self.reasons.items())),
            f"whole bodies in the ledger             {self.bodies}",
            f"in doubt                               {doubts}, of which the relay left {self.unanswered} unanswered",
            f"in doubt otherwise, open at the faults {doubts - self.unanswered} <= {self.open_at_faults}",
            f"pairs within 5 ms                      {near}: {self.pairs_sent} sent, {self.pairs_refused} refused",
            f"pairs further apart                    {self.pairs_far} (gap in ms: {self.gap})",
            f"withdrawals                            {self.withdrawals}",
            f"gate closed after (s)                  {self.effect}",
            f"jobs of the log replayed               {self.replayed}",
            f"seconds                                {self.seconds:.0f}",
            f"violations                             {len(self.wrong)}",
            f"seed                                   {self.seed}",
        ]


def run(world: World, plan: Plan, say: Callable[[str], None]) -> Report:
    """Fire on `world` as planned, let it come to rest, audit."""
    began = time.monotonic()
    servers = Servers(world, random.Random(plan.seed))
    servers.hasten_tiers()
    people = People(world)
    world.fill()
    until(lambda: _consumers(world) >= FLEET["send"], 60, "the send workers consume")
    world.system.sink.pace(plan.pace)
    website = Website(world, people, plan.seed, plan.pairs, plan.seconds + plan.calm, plan.load)
    weights = {kind: weight for kind, weight in WEIGHTS.items() if not plan.only or kind in plan.only}
    chaos = Chaos(
        world,
        website,
        servers,
        plan.seed,
        kills=plan.kills,
        minimum=plan.minimum,
        weights=weights,
        points=plan.points,
        every=plan.every,
        whole=plan.whole,
        say=say,
    )
    with website:
        chaos.run(plan.seconds)
        chaos.mend()
        _race_on(website, chaos, plan, say)
    say(f"{len(website.promised.sends)} mails have a receipt; coming to rest")
    world.system.sink.pace(0)
    rested = rest(world, website.promised, plan.rest, chaos.watch)
    if not rested and (held := returning(world)):
        say(f"on their way back from a tier: {held}")
    if not rested:
        show_stacks(world, say)
    say("at rest" if rested else f"not at rest after {plan.rest:.0f} s: the audit says what is not")
    # What is still under way then would look like the replay's doing.
    report = _judged(world, website, chaos, plan if rested else replace(plan, replayed=0), say)
    report.wrong += [] if rested else ["I9 the run: not at rest"]
    report.seconds = time.monotonic() - began
    return report


def _race_on(website: Website, chaos: Chaos, plan: Plan, say: Callable[[str], None]) -> None:
    """Nothing is broken; the website goes on until enough pairs met."""
    began = spoke = time.monotonic()
    website.hurry()
    while not website.met() and (now := time.monotonic()) < began + plan.calm:
        chaos.watch()
        if now - spoke > 30:
            spoke = now
            say(f"calm, {chaos.line(now - began)}")
        time.sleep(_TURN)


def show_stacks(world: World, say: Callable[[str], None]) -> None:
    """What the workers that hold something are doing, and where they wrote it."""
    for one in world.fleet:
        world.zygote.tell(one, "stacks")
    kept = Path(tempfile.mkdtemp(prefix="preklic-stacks-"))
    time.sleep(2)
    for log in {one.log for one in world.fleet}:
        shutil.copy(log, kept)
    say(f"where the workers stand: {kept}")


def _judged(world: World, website: Website, chaos: Chaos, plan: Plan, say: Callable[[str], None]) -> Report:
    chaos.watch()
    before = bodies(world)
    replayed = _replayed(world, website, chaos, plan, say) if plan.replayed else 0
    found = gather(world, website.promised, chaos.seen, chaos.watch)
    report = Report(seed=plan.seed, replayed=replayed, bodies=len(found.bodies), promised=len(found.promised))
    report.wrong = (grown(before, found.bodies) if replayed else []) + audit(found)
    report.about = about(found, report.wrong[:SHOWN])
    seen, races, times = chaos.seen, website.races, effects(world)
    report.faults, report.kills = dict(seen.faults), dict(seen.kills)
    report.open_at_kills, report.open_at_faults, report.lonely = seen.opened, seen.open_at_faults, seen.lonely
    mails = [doc for doc in found.messages.values() if doc["kind"] == "send"]
    report.states = dict(Counter(doc["state"] for doc in mails))
    report.reasons = dict(Counter(doc.get("reason", "") for doc in mails if doc["state"] == "refused"))
    report.turned_away, report.odd = website.promised.refused, seen.odd + website.stuck
    report.pairs_sent, report.pairs_refused, report.pairs_far = races.near["sent"], races.near["refused"], races.far
    report.withdrawals = len(times)
    report.effect, report.gap = shares(times, (0.5, 0.99, 1)), shares(sorted(races.gaps), (0.05, 0.25, 0.5, 0.75, 0.95))
    report.unanswered = len({job for job in unanswered(found) if found.state(job) == "in_doubt"})
    report.account = world.command("account")[1]
    left = world.retire()
    report.odd += [f"{one.name} did not end at SIGTERM" for one in left]
    return report


def _replayed(world: World, website: Website, chaos: Chaos, plan: Plan, say: Callable[[str], None]) -> int:
    """Some of the log by the responders' commands, then all of it twice, as it is; how many jobs that was."""
    count = replay_log(world, plan.replayed, say)
    say(f"{count} jobs were replayed by plans; now the whole log is published twice more")
    count += replay_whole(world, 2)
    time.sleep(_STALE)
    rest(world, website.promised, plan.rest, chaos.watch)
    return count


def about(found: Found, wrong: list[str]) -> list[str]:
    """What is recorded of the jobs that these violations name, and what the ledger has of them."""
    jobs = dict.fromkeys(line.split()[1].rstrip(":") for line in wrong)
    return [
        f"{job}: {found.messages.get(job)}, buried: {found.buried.get(job)}, "
        f"bodies: {[body for body in found.bodies if body.job == job]}, "
        f"gates: {[gate for gate in found.gates if gate.job == job]}"
        for job in jobs
        if job in found.messages or job in found.buried
    ]


def counted(lines: list[str]) -> list[str]:
    """Each line once, with how often it was there."""
    return [f"odd: {line} ({count} times)" for line, count in Counter(lines).most_common(SHOWN)]


def shares(ordered: list[float], of: tuple[float, ...]) -> str:
    """Some quantiles in words.

    >>> shares([1.0, 2.0, 3.0], (0.5, 1))
    'p50 2.000, max 3.000'
    """
    last = len(ordered) - 1
    words = ("max" if share == 1 else f"p{share * 100:.0f}" for share in of)
    return ", ".join(f"{w} {ordered[round(last * s)]:.3f}" for w, s in zip(words, of, strict=True)) if ordered else ""


def _consumers(world: World) -> int:
    return int(world.manage("GET", "queues/{vhost}/send.bulk").get("consumers", 0))


def main() -> int:
    """Both runs, each on a stack of its own; 1 when a promise was broken."""
    plan, races, met, target = _asked()
    say(f"seed {plan.seed}")
    # The first system's share of the races; the second one is for them alone.
    plans = {"fire": replace(plan, pairs=plan.pairs // 2)} if plan.seconds else {}
    if races:
        plans["races"] = replace(plan, seconds=0, kills=0, calm=races, members=1, pairs=met or plan.pairs)
    reports = {name: _alone(name, each) for name, each in plans.items()}
    if target:
        target.write_bytes(msgspec.json.encode(reports))
    return 1 if any(report.wrong for report in reports.values()) else 0


def _alone(name: str, plan: Plan) -> Report:
    with open_world(plan.members, plan.lease, say, plan.connections) as world:
        report = run(world, plan, say)
    said = [f"-- {name} --", report.account, *report.lines(), *counted(report.odd)]
    for line in [*said, *report.wrong[:SHOWN], *report.about]:
        say(line)
    return report


def _asked() -> tuple[Plan, float, int | None, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m faults.driver", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="of fire; rest and audit come on top")
    parser.add_argument("--races", type=float, default=RACES, help="seconds at most for the pairs; 0: no second system")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--pairs", type=int, default=Plan.pairs)
    parser.add_argument("--met", type=int, help="pairs that end the races; without it as many as --pairs says")
    parser.add_argument("--minimum", type=int, default=Plan.minimum, help="hand-overs open at each fault")
    parser.add_argument("--pace", type=float, default=Plan.pace, help="seconds that the relay takes for a mail")
    parser.add_argument("--lease", type=float, help="seconds, instead of 60")
    parser.add_argument("--load", type=float, default=Plan.load, help="factor")
    parser.add_argument("--members", type=int, default=Plan.members, help="of the replica set")
    parser.add_argument("--whole", type=float, default=Plan.whole, help="share of the time that the set is whole")
    parser.add_argument("--connections", type=int, default=Plan.connections, help="of a send worker with the relay")
    parser.add_argument("--every", type=float, default=Plan.every, help="seconds between faults that are no kills")
    parser.add_argument("--rest", type=float, default=Plan.rest, help="seconds for everything to come to an end")
    parser.add_argument("--replayed", type=int, default=Plan.replayed, help="mails replayed by plans; 0: no replays")
    parser.add_argument("--only", nargs="*", default=(), choices=sorted(WEIGHTS), help="kinds of faults")
    parser.add_argument("--points", nargs="*", default=tuple(ROLES), choices=tuple(ROLES), help="of stalls and freezes")
    parser.add_argument("--json", type=Path, help="write the report there")
    options = vars(parser.parse_args())
    races, met, target = options.pop("races"), options.pop("met"), options.pop("json")
    return Plan(**options | {name: tuple(options[name]) for name in ("only", "points")}), races, met, target


def say(line: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
