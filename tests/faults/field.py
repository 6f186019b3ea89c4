"""Where a game day is played: two relays, workers that start anew with other templates, people, and an auditor."""

import datetime as dt
import getpass
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient

from faults.audit import Body, at_rest, bodies_of
from faults.kill_run import unacked_in
from faults.launching import Launcher
from faults.runbook import Operator
from faults.world import Human, People
from faults.zygote import Forked
from preklic_producers import Producer
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings, load_settings
from preklic_stack.children import Child
from preklic_stack.household import wait_ready
from preklic_stack.mailsink import MailSink, start_sink
from preklic_stack.ports import free_ports
from preklic_stack.system import System
from preklic_workers.compose.composer import SHIPPED
from waiting import until

SEND: Final = "preklic-worker@send"
MAIN, SPARE = "main", "spare"
ARTICLES: Final = [{"title": "One", "summary": "Nothing to read here.", "url": "https://lucrum.example/one"}]
NEWS: Final = {"title": "A game day", "intro": "Sent while somebody mends.", "articles": ARTICLES}
BILL: Final = {"invoice": "1", "amount": "1 EUR", "due": "1. 1. 2030"}
DATA: Final[Mapping[str, Mapping[str, Any]]] = {"newsletter": NEWS, "payment": BILL}
CHUNK: Final = 500
# No job leaves these any more, right or wrong.
FINAL: Final = frozenset({"sent", "refused", "expired", "failed", "cancelled", "discarded"})
SECOND_RELAY: Final = """
[[relays]]
name = "{name}"
host = "127.0.0.1"
port = {port}
tls = "off"
processor = "sink"
connections = 32
"""


@dataclass
class Report:
    """What a game showed; `wrong` must be empty. `figures` are its closing lines by name."""

    game: str
    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The closing table."""
        rows = [f"{name:<44}{value}" for name, value in self.figures.items()]
        return [f"--- {self.game} ---", *rows, f"{'violations':<44}{len(self.wrong)}", *self.wrong[:50]]


@dataclass
class Field:
    """One Preklic under a game. `senders` are the send workers, `ledgers` those of all relays that there were."""

    system: System
    launcher: Launcher
    spare: MailSink
    database: Any
    producer: Producer
    templates: Path
    number: int
    say: Callable[[str], None]
    senders: list[Child | Forked] = field(default_factory=list)
    more: list[MailSink] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.people = People(self)

    def settings(self, role: str) -> Settings:
        """The settings of this role."""
        return load_settings(self.system.environment(role))

    def environment(self, role: str, **more: str) -> dict[str, str]:
        """The environment of a process of this role, or of an operator."""
        return self.system.environment(role) | {"PREKLIC_TEMPLATE_DIR": str(self.templates)} | more

    def deploy(self) -> None:
        """Start the send workers anew, as a rolling restart does; a new one reads the templates as they are then."""
        old, self.senders = self.senders, self.workers(*["send"] * self.number)
        self.end(old)

    def end(self, workers: Sequence[Child | Forked]) -> None:
        """Ask them to end, all at once, and see that each does by itself."""
        for one in workers:
            one.signal(signal.SIGTERM)
        for one in workers:
            if one.stop(60) != 0:
                raise AssertionError(f"{one.name} did not end by itself: {one.tail()}")
            self.launcher.forget(one)

    def workers(self, *roles: str) -> list[Child | Forked]:
        """Start a worker of each of these roles, ready."""
        ports = free_ports(len(roles))
        self.system.children.ports += ports
        started = [
            self.launcher.start(role, ["worker", role], self.environment(role, PREKLIC_METRICS_PORT=str(port)))
            for role, port in zip(roles, ports, strict=True)
        ]
        for child, port in zip(started, ports, strict=True):
            wait_ready(child, port)
        return started

    def operator(self, beside: Callable[[str], None] = lambda _: None, **more: Any) -> Operator:
        """Somebody who follows the runbook here. `beside` hears each command before it is run."""

        def tell(command: str) -> None:
            self.say(command)
            beside(command)

        given = self.environment("upkeep")
        return Operator(self.launcher, given, machines={f"systemctl restart {SEND}": self.deploy}, tell=tell, **more)

    def publish(self, people: Sequence[Human], kind: str = "newsletter") -> list[str]:
        """A mail to each; the job ids."""
        mails: list[Any] = [
            {"to": one.address, "purpose": kind, "template": kind, "data": dict(DATA[kind])} for one in people
        ]
        chunks = [mails[start : start + CHUNK] for start in range(0, len(mails), CHUNK)]
        return [receipt.job_id for chunk in chunks for receipt in self.producer.send_many(chunk)]

    def withdraw(self, people: Sequence[Human]) -> dict[str, str]:
        """Each of them says no to the newsletter; the withdrawal's job id by address."""
        reason = "asked on the telephone"
        return {one.address: self.producer.revoke(one.address, ["newsletter"], reason=reason).job_id for one in people}

    def applied(self, noes: Mapping[str, str]) -> dict[str, int]:
        """When each of these withdrawals was applied, in ns, by address; waits until all are."""
        found = {"_id": {"$in": list(noes.values())}, "applied": {"$exists": True}}
        until(lambda: self.database.withdrawals.count_documents(found) == len(noes), 120, "every withdrawal is applied")
        at = {doc["_id"]: doc["applied"] for doc in self.database.withdrawals.find(found, {"applied": 1})}
        return {address: nanoseconds(at[job]) for address, job in noes.items()}

    @property
    def relays(self) -> list[MailSink]:
        """The relays that answer, main and spare."""
        return [self.system.sink, self.spare]

    @property
    def sinks(self) -> list[MailSink]:
        """Every relay that there is or was."""
        return [*self.relays, *self.more]

    def lose_main(self) -> None:
        """SIGKILL to the main relay, with all that it has in the air."""
        self.system.sink.child.kill()
        self.system.children.forget(self.system.sink.child)

    def revive_main(self) -> None:
        """The main relay is there again, on its port."""
        lost = self.system.sink
        self.more.append(lost)
        place = self.system.folder / f"{MAIN}{len(self.more)}"
        self.system.sink = start_sink(self.system.children, place, "--port", str(lost.port))

    def bodies(self, jobs: Collection[str]) -> list[Body]:
        """The whole bodies of these jobs in the ledgers of all relays."""
        wanted = frozenset(jobs)
        return [body for sink in self.sinks for body in bodies_of(sink.lines()) if body.job in wanted]

    def states(self, jobs: Collection[str]) -> dict[str, str]:
        """What is recorded of these jobs."""
        return {
            doc["_id"]: doc["state"] for doc in self.database.messages.find({"_id": {"$in": list(jobs)}}, {"state": 1})
        }

    def count(self, jobs: Collection[str], *states: str) -> int:
        """How many of these jobs are in one of these states."""
        wanted = {"_id": {"$in": list(jobs)}, "state": {"$in": list(states)}}
        return int(self.database.messages.count_documents(wanted))

    def acts(self, kind: str) -> list[dict[str, Any]]:
        """Acts of this kind, the oldest first."""
        return list(self.database.acts.find({"kind": kind}, sort=[("at", 1)]))

    def ends(self, expected: Mapping[str, Collection[str]], seconds: float) -> Iterator[str]:
        """Wait until every job is in one of its states; then name those that are not, or have too many or no mails."""
        with suppress(AssertionError):  # what is missing is named below
            until(lambda: FINAL.issuperset(self._elsewhere(expected).values()), seconds)
        for job, state in self._elsewhere(expected).items():
            yield f"{job}: is {state}, and should be {' or '.join(sorted(expected[job]))}"
        states, bodies = self.states(expected), Counter(body.job for body in self.bodies(expected))
        for job, state in states.items():
            unlike = state != "in_doubt" and (state == "sent") != (bodies[job] == 1)
            if bodies[job] > 1 or unlike:
                yield f"{job}: is {state}, and {bodies[job]} whole bodies are in the ledgers"

    def _elsewhere(self, expected: Mapping[str, Collection[str]]) -> dict[str, str]:
        states = self.states(expected)
        found = {job: states.get(job, "recorded nowhere") for job in expected}
        return {job: state for job, state in found.items() if state not in expected[job]}

    def after_a_no(self, jobs: Mapping[str, str], applied: Mapping[str, int]) -> Iterator[str]:
        """Each mail, of `jobs` by address, whose body began after its person's withdrawal was applied (ns)."""
        begun = {body.job: body.begun for body in self.bodies(list(jobs.values()))}
        for address, at in applied.items():
            # The database writes milliseconds.
            if begun.get(jobs[address], 0) > at + 1_000_000:
                yield f"{jobs[address]}: its body began after the withdrawal of its person was applied"

    def rests(self) -> Iterator[str]:
        """What is not at rest: open hand-overs, unacked messages, and jobs that the account does not find."""
        with suppress(AssertionError):  # a worker settles the mail, and pulls its hand-over a moment later
            until(lambda: not self._open(), 15)
        yield from self._open()
        yield from at_rest((), {}, unacked_in(self.system))
        told = self.operator().run("account", "--hours", "2")
        if told["unaccounted"]:
            yield f"account: {told['unaccounted']} jobs are nowhere"

    def _open(self) -> list[str]:
        held = list(self.database.persons.find({"open.0": {"$exists": True}}, {"open": 1}))
        return at_rest(held, self.states([entry["message"] for one in held for entry in one["open"]]), {})

    def recorded(self, kind: str, **facts: str) -> Iterator[str]:
        """A complaint unless an act says that this operator did it, and why."""
        by = getpass.getuser()
        found = [act for act in self.acts(kind) if facts.items() <= act.get("facts", {}).items()]
        if not found or any(act["by"] != by or "case 17" not in act["why"] for act in found):
            yield f"no act says who did {kind} {facts}, and why"


def nanoseconds(moment: dt.datetime) -> int:
    """A moment of the database as the ledgers write it."""
    return round(moment.timestamp() * 1000) * 1_000_000


def domain() -> str:
    """The domain of our newsletters' Message-IDs."""
    sender = load_registry(None).purposes["newsletter"].sender
    assert sender is not None
    return sender.address.rpartition("@")[2]


@contextmanager
def open_field(
    system: System,
    launcher: Launcher,
    number: int,
    say: Callable[[str], None] = lambda _: None,
    *,
    hasty: bool = False,
) -> Iterator[Field]:
    """Prepare this system with a second relay, and start what is not a send worker; there will be `number` of those.

    `say` hears what operators do. `hasty`: no job waits longer than a second in a tier.
    """
    spare = start_sink(system.children, system.folder / SPARE)
    system.relay, system.more = MAIN, system.more + SECOND_RELAY.format(name=SPARE, port=spare.port)
    system.configure()
    for command in system.preparing:
        ended = launcher.run(command, system.environment())
        assert ended.code == 0, ended
    if hasty:
        policy = {"pattern": r"^retry\.", "definition": {"message-ttl": 1000}, "apply-to": "queues"}
        system.rabbit.management.call("PUT", f"policies/{system.vhost}/hasty", policy)
    templates = system.folder / "templates"
    shutil.copytree(SHIPPED, templates)
    with (
        MongoClient[dict[str, Any]](system.mongo.url, tz_aware=True) as client,
        Producer(load_settings(system.environment()), deadline=30) as producer,
    ):
        played = Field(system, launcher, spare, client[system.database], producer, templates, number, say)
        beside = played.workers("upkeep", "revoke")
        try:
            yield played
        finally:
            played.end([*played.senders, *beside])


__all__ = ["MAIN", "SPARE", "Field", "Report", "domain", "nanoseconds", "open_field"]
