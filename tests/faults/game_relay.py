"""A relay dies in the middle of its work: the other one carries on, and the dead one's log ends the doubts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faults.field import MAIN, Field, Report, domain
from preklic_stack.mailsink import MailSink
from waiting import until


@dataclass(frozen=True)
class Size:
    """`mails` are under way when the relay dies with at least `minimum` bodies unanswered; `after` come later. `slow`:
    so many seconds it takes for its answer to a body.
    """

    mails: int = 3000
    minimum: int = 20
    after: int = 300
    slow: float = 0.3
    seconds: float = 400


def play(played: Field, size: Size) -> Report:
    """Kill the relay, follow the runbook, look at every mail."""
    report = Report("a relay dies")
    if not played.senders:
        played.deploy()
    for sink in played.relays:
        sink.pace(size.slow)
    jobs = played.publish(played.people.make(size.mails))
    until(lambda: _unanswered(played.system.sink) >= size.minimum, 60, "mails are in the air")
    lost = played.system.sink
    played.lose_main()
    log = played.system.folder / "mail.log"
    log.write_text("".join(postfix_lines(lost, domain())), "ascii")
    played.spare.pace(0)
    operator = played.operator(places={"/var/log/mail.log": str(log)})
    operator.follow("PreklicRelayAway", hands={"wait until it answers": _settled(played, size, jobs)})
    open_before = {doc["_id"] for doc in played.database.messages.find({"state": "in_doubt"}, {"_id": 1})}
    operator.follow("PreklicInDoubt")
    back = played.system.sink
    later = played.publish(played.people.make(size.after)) if size.after else []
    taken = {line["job"] for line in lost.lines() if line["phase"] == "body"}
    _judge(played, size, report, jobs + later, open_before, taken)
    report.wrong += _story(operator.shown, open_before, taken)
    report.figures["commands of the runbook"] = len(operator.done)
    if later:
        # A worker tries it again after ten seconds.
        until(lambda: later.extend(played.publish(played.people.make(10))) or back.lines(), 60, "it carries mail again")
        report.wrong += played.ends({job: {"sent"} for job in later}, size.seconds)
        carried = sum(line["phase"] == "body" for line in back.lines())
        report.figures["carried by the relay after it came back"] = carried
    return report


def _unanswered(sink: MailSink) -> int:
    counts = sink.counts()
    return counts.get("body", 0) - counts.get("accepted", 0)


def _settled(played: Field, size: Size, jobs: list[str]) -> Callable[[], None]:
    """Meanwhile the spare relay carries what the dead one cannot, and the dead one is started again."""

    def wait() -> None:
        until(lambda: played.count(jobs, "sent", "in_doubt") == len(jobs), size.seconds, "the other relay carries on")
        played.revive_main()

    return wait


def _judge(played: Field, size: Size, report: Report, jobs: list[str], open_before: set[str], taken: set[str]) -> None:
    expected: dict[str, set[str]] = {job: {"sent"} for job in jobs}
    # What the relay had not wholly taken when it died is in no log: nobody knows, and marketing is not sent again.
    unknown = open_before - taken
    expected |= {job: {"in_doubt"} for job in unknown}
    report.wrong += played.ends(expected, size.seconds)
    states = played.states(jobs)
    report.wrong += [f"{job}: stays in doubt, and the log knows it" for job in taken if states.get(job) == "in_doubt"]
    report.wrong += played.rests()
    for to in ("stopped", "goes"):
        report.wrong += played.recorded("control", switch=f"relay:{MAIN}", to=to)
    report.figures |= {
        "mails asked for": len(jobs),
        "in doubt when the relay had died": len(open_before),
        "resolved from its log": len(open_before & taken),
        "in doubt still: in nobody's log": len(unknown),
        "sent": sum(state == "sent" for state in states.values()),
        "whole bodies in the ledgers": len(played.bodies(jobs)),
    }


def _story(shown: Callable[..., object], open_before: set[str], taken: set[str]) -> Iterator[str]:
    """What the record must say of the doubts and their ends."""
    resolved = shown("doubt", "resolve")
    assert isinstance(resolved, list)
    if {one["job"] for one in resolved if one["after"] == "sent"} != open_before & taken:
        yield f"the log resolved {len(resolved)} doubts, and could have {len(open_before & taken)}"


def postfix_lines(sink: MailSink, ours: str) -> Iterator[str]:
    """What a Postfix writes into its log of the mails that it took, in its own format."""
    for number, line in enumerate(one for one in sink.lines() if one["phase"] == "body" and one.get("kept", True)):
        queue, host = f"{number:010X}", "Nov 27 14:00:00 mx postfix"
        yield f"{host}/cleanup[7]: {queue}: message-id=<{line['job']}@{ours}>\n"
        yield f"{host}/qmgr[8]: {queue}: from=<bounce@{ours}>, size={line['size']}, nrcpt=1 (queue active)\n"
