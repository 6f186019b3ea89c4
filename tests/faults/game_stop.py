"""Somebody must stop everything now: the last DATA of any worker begins within a second, and nothing is lost."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from faults.beside import beside
from faults.field import Field, Report, nanoseconds
from waiting import until

HEADING = "Stop everything now"


@dataclass(frozen=True)
class Size:
    """`mails` lie in the queues when somebody stops, and more come; it stays stopped for `held` seconds. `pace`: so
    many seconds a relay takes for its answer to a body. No DATA may begin later than `soon` seconds after the order.
    """

    mails: int = 4000
    held: float = 10
    pace: float = 0.02
    soon: float = 1
    seconds: float = 400


@dataclass
class Load:
    """Asks for mails as long as it is open; both kinds, by turns."""

    played: Field
    jobs: list[str] = field(default_factory=list)

    def publish(self, over: threading.Event) -> None:
        """Until it is over."""
        while not over.wait(0.2):
            people = self.played.people.make(10)
            self.jobs += self.played.publish(people[:5]) + self.played.publish(people[5:], "payment")


def play(played: Field, size: Size) -> Report:
    """Stop, wait, withdraw, go; then look at every mail."""
    report = Report("stop everything now")
    if not played.senders:
        played.deploy()
    load = Load(played, played.publish(played.people.make(size.mails)))
    for sink in played.relays:
        sink.pace(size.pace)  # so that many are under way when somebody stops
    before = len(played.bodies(load.jobs))
    with beside(load.publish):
        until(lambda: len(played.bodies(load.jobs)) > before + size.mails // 20, 60, "mail flows")
        regretted: list[str] = []
        operator = played.operator(_waiting(played, size, report, regretted))
        operator.follow(HEADING)
    for sink in played.relays:
        sink.pace(0)
    _judge(played, size, report, load.jobs, regretted)
    return report


def _waiting(played: Field, size: Size, report: Report, regretted: list[str]) -> Callable[[str], None]:
    """What happens between `stop` and `go`: nothing leaves; who says no meanwhile is not written to afterwards."""

    def tell(command: str) -> None:
        if not command.startswith("$ preklic go"):
            return
        at = nanoseconds(played.database.controls.find_one({"_id": "all"})["at"])
        # Until then the order may not have reached every worker, and a mail may go out before its person says no.
        time.sleep(max(0, at / 1e9 + size.soon - time.time()))
        people = played.people.make(3)
        regretted.extend(played.publish(people))
        played.applied(played.withdraw(people))
        time.sleep(size.held)  # nothing may happen in it: there is no predicate for that
        data = [line["at"] for sink in played.sinks for line in sink.lines() if line["phase"] == "data"]
        late = [(moment - at) / 1e9 for moment in data if moment > at]
        report.figures["hand-overs begun after the order"] = len(late)
        report.figures["last DATA, seconds after the order"] = round(max(late, default=0), 3)
        report.figures["seconds held"] = size.held
        report.wrong += [f"a mail's DATA began {max(late):.3f} s after the order"] * (max(late, default=0) > size.soon)

    return tell


def _judge(played: Field, size: Size, report: Report, jobs: list[str], regretted: list[str]) -> None:
    expected = {job: {"sent"} for job in jobs} | {job: {"refused"} for job in regretted}
    report.wrong += played.ends(expected, size.seconds)
    report.wrong += played.rests()
    for to in ("stopped", "goes"):
        report.wrong += played.recorded("control", switch="all", to=to)
    report.figures |= {"mails asked for": len(expected), "sent": played.count(jobs, "sent")}
    report.figures["refused: withdrawn while all was stopped"] = played.count(regretted, "refused")
    report.figures["whole bodies in the ledgers"] = len(played.bodies(expected))
