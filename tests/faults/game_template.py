"""A bad template goes out, mails die of it, and people withdraw; then somebody follows the runbook."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from faults.field import Field, Report
from faults.world import Human
from waiting import until

GOOD, BAD = "{{ article.summary }}", "{{ article.sumary }}"
BODY = "newsletter/body.html.j2"
SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Size:
    """`dead` mails of the bad template; `withdraw` of their people say no meanwhile, in three parts: before the plan,
    between plan and run, and during the run. `waiting` mails come while the purpose is stopped, `bills` all the time.
    """

    dead: int = 3000
    withdraw: int = 200
    waiting: int = 200
    bills: int = 100
    seconds: float = 400


@dataclass
class Game:
    """One game. `noes` are the withdrawals by address, `jobs` the mails that died by address."""

    field: Field
    size: Size
    report: Report

    def play(self) -> None:
        """Break, follow the runbook, look at every mail."""
        field, size = self.field, self.size
        self.begun = dt.datetime.now(dt.UTC)
        self._write(GOOD, BAD)
        field.deploy()
        people = field.people.make(size.dead)
        self.jobs = dict(zip((one.address for one in people), field.publish(people), strict=True))
        self.bills = field.publish(field.people.make(size.bills), "payment")
        until(lambda: field.database.dead.count_documents({"state": "dead"}) == size.dead, 180, "all have died")
        third = size.withdraw // 3
        self.before = field.withdraw(people[:third])
        field.applied(self.before)
        self._follow(people[third : 2 * third], people[2 * third : size.withdraw])
        self._judge()

    def _follow(self, between: list[Human], during: list[Human]) -> None:
        """The runbook, word for word. What people do meanwhile happens beside it."""
        self.operator = self.field.operator(self._told)
        self.between: Mapping[str, str] = {}
        self.during: Mapping[str, str] = {}
        self._people = (between, during)
        self._beside: list[threading.Thread] = []
        self.operator.follow("PreklicDead", hands={"mend what it names, until it names nothing": self._mend})
        for thread in self._beside:
            thread.join()

    def _told(self, command: str) -> None:
        if command.startswith("$ preklic replay run"):
            between, during = self._people
            self.between = self.field.withdraw(between)
            self.field.applied(self.between)
            self._beside.append(threading.Thread(target=self._withdraw_during, args=(during,)))
            self._beside[-1].start()

    def _withdraw_during(self, people: list[Human]) -> None:
        sent = list(self.jobs.values())
        until(lambda: self.field.count(sent, "sent") > self.size.dead // 20, 120, "the replay is under way")
        self.during = self.field.withdraw(people)

    def _mend(self) -> None:
        """Newsletters are still asked for while the purpose is stopped; then the template is put right."""
        self.waiting = self.field.publish(self.field.people.make(self.size.waiting))
        self._write(BAD, GOOD)

    def _write(self, old: str, new: str) -> None:
        file = self.field.templates / BODY
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new), "utf-8")

    def _judge(self) -> None:
        field, report = self.field, self.report
        late = field.applied(self.during)
        expected = {job: {"sent"} for job in (*self.waiting, *self.bills, *self.jobs.values())}
        expected |= {self.jobs[one]: {"discarded"} for one in self.before}
        expected |= {self.jobs[one]: {"refused"} for one in self.between}
        expected |= {self.jobs[one]: {"refused", "sent"} for one in self.during}
        report.wrong += field.ends(expected, self.size.seconds)
        report.wrong += field.after_a_no(self.jobs, late)
        report.wrong += field.rests()
        report.wrong += self._story()
        report.wrong += self._once_more()
        states = Counter(field.states(expected).values())
        report.figures |= {
            "mails that died of the template": self.size.dead,
            "people who withdrew meanwhile": len(self.before) + len(self.between) + len(self.during),
            "commands of the runbook": len(self.operator.done),
            **{f"mails in the end {state}": count for state, count in sorted(states.items())},
            "whole bodies in the ledgers": len(field.bodies(expected)),
        }

    def _story(self) -> Iterator[str]:
        """What the record must say: causes, who did what and why, and what became of one mail of each kind."""
        shown, run = self.operator.shown, self.operator.run
        group, dead = self.operator.done[0].shown[0], self.size.dead
        if (group["reason"], group["field"], group["count"]) != ("template_error", "newsletter", dead):
            yield f"dead groups: the largest is {group['reason']} {group['field']}, {group['count']} times"
        plan = shown("replay", "plan")
        foreseen = {"would run": dead - len(self.before), "refused: withdrawn": len(self.before)}
        if plan["outcomes"] != {name: count for name, count in foreseen.items() if count}:
            yield f"the plan foresaw {plan['outcomes']}"
        if (listed := shown("replay", "list")[0])["reason"] != "template mended, case 17" or not listed["run_by"]:
            yield "replay list does not say who ran the plan, and why"
        for to in ("stopped", "goes"):
            yield from self.field.recorded("control", switch="purpose:newsletter", to=to)
        yield from self.field.recorded("replay", plan=plan["plan"])
        yield from self.field.recorded("dead_discarded")
        kinds = [("discarded", self.before), ("withdrawn", self.between), ("sent", set(self.jobs) - self._all_noes())]
        for end, addresses in kinds:
            job = self.jobs[min(addresses)]
            told = " ".join(f"{line['what']} {line['why']}" for line in run("why", job)["story"])
            missing = [word for word in ("dead", end, *["replay"] * (end != "discarded")) if word not in told]
            if missing:
                yield f"why {job} says nothing of {', '.join(missing)}: {told}"

    def _once_more(self) -> Iterator[str]:
        """What a replay of all that was asked for in this time would do: nothing."""
        since, now = (f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (self.begun, dt.datetime.now(dt.UTC) + SECOND))
        plan = self.operator.run("replay", "plan", "--from", since, "--to", now)
        if plan["jobs"] < self.size.dead or "would run" in plan["outcomes"]:
            yield f"a replay of the log would not be harmless: {plan['outcomes']}"

    def _all_noes(self) -> set[str]:
        return {*self.before, *self.between, *self.during}


def play(field: Field, size: Size) -> Report:
    """A bad template, from the first death to the last mail."""
    report = Report("a bad template")
    Game(field, size, report).play()
    return report
