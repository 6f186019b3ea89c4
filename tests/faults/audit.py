"""The auditor of a fault run: compares, by job id, what was published, what is recorded, and what the sink saw.

Pure functions over evidence; each violation is one line that begins with its invariant and names the job.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# How a send may end. A body in the sink's ledger belongs to one of WITH_BODY; `sent` needs one.
WITH_BODY = {"sent", "bounced", "complained", "in_doubt", "asked", "assumed"}
ENDS = WITH_BODY | {"failed", "refused", "expired", "cancelled", "dead"}


@dataclass(frozen=True)
class Evidence:
    """`published` job ids by receipt; `states` by job id; `bodies` whole bodies by job id in the sink's ledger; `kept`
    those the sink took responsibility for; `exposed` jobs whose hand-over was open when a worker was killed."""

    published: tuple[str, ...]
    states: Mapping[str, str]
    bodies: Mapping[str, int]
    kept: frozenset[str]
    exposed: frozenset[str]


def evidence(
    published: Iterable[str], states: Mapping[str, str], ledger: Iterable[Mapping[str, Any]], exposed: Iterable[str]
) -> Evidence:
    """Count the ledger's lines."""
    bodies: Counter[str] = Counter()
    kept = set()
    for line in ledger:
        if line["phase"] == "body":
            bodies[line["job"]] += 1
            if line.get("kept", True):
                kept.add(line["job"])
    return Evidence(tuple(published), states, bodies, frozenset(kept), frozenset(exposed))


def violations(seen: Evidence) -> list[str]:
    """What breaks an invariant of the issue, one line for each job; empty when the promises hold."""
    return list(_violations(seen))


def _violations(seen: Evidence) -> Iterator[str]:
    for job, count in Counter(seen.published).items():
        state = seen.states.get(job)
        if count > 1:
            yield f"{job}: two receipts have this id"
        if state not in ENDS:
            yield f"I1 {job}: is {state or 'recorded nowhere'}, which is no end"
        if seen.bodies.get(job, 0) > 1:
            yield f"I2 {job}: {seen.bodies[job]} whole bodies in the ledger"
        if state == "sent" and job not in seen.kept:
            yield f"I5 {job}: sent, but the sink never took it"
        if job in seen.kept and state not in WITH_BODY:
            yield f"I5 {job}: the sink took it, but it is {state}"
        if state == "in_doubt" and job not in seen.exposed:
            yield f"I10 {job}: in doubt, but no hand-over of it was open at a kill"
    for job in set(seen.bodies) - set(seen.published):
        yield f"I5 {job}: a mail that nobody asked for"


def at_rest(persons: Iterable[Mapping[str, Any]], states: Mapping[str, str], unacked: Mapping[str, int]) -> list[str]:
    """I9: nothing is unacked, and no hand-over is open but of jobs in doubt (proof alone pulls those)."""
    held = {entry["message"] for person in persons for entry in person.get("open", ())}
    found = [f"I9 {job}: {states.get(job)}, and its hand-over is open" for job in held if states.get(job) != "in_doubt"]
    return found + [f"I9 {count} unacked in {queue}" for queue, count in unacked.items() if count]


# How a job of another kind may end, and those mails of which a body may be out.
OTHER_ENDS: Final = ENDS | {"applied", "discarded"}
ONCE_MORE: Final = frozenset({"payment"})


@dataclass(frozen=True, slots=True)
class Body:
    """A whole body in the ledger. `begun` (ns) is its 354; `answer` the code that the sink was about to send, or 0."""

    job: str
    begun: int
    kept: bool
    answer: int


@dataclass(frozen=True, slots=True)
class Gate:
    """A hand-over that was opened, as its worker noted it: `seq` is its place in the person's order, `at` in ns."""

    job: str
    epoch: int
    person: str
    purpose: str
    seq: int
    at: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A withdrawal's receipt; `applied` in ns, 0 while it is not; `listed` the hand-overs it could not wait for."""

    job: str
    person: str
    purposes: frozenset[str]
    seq: int
    applied: int
    listed: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Found:
    """All evidence of a run, at rest. `messages` are the documents by job id; `promised` the purpose by job id, empty
    for what is no mail. `queued` are the ids still in a queue, a tier or an outbox; `unheard` persons whose one-click
    was answered with 200 and who are still written to. `exposed` had a hand-over open at a fault; `cut` are recipients
    of conversations that the relay ended between 354 and the dot, `recipients` who gets which job.
    """

    promised: Mapping[str, str]
    messages: Mapping[str, Mapping[str, Any]]
    bodies: Sequence[Body] = ()
    gates: Sequence[Gate] = ()
    closings: Sequence[Closing] = ()
    logged: Collection[str] = ()
    void: Collection[str] = ()
    queued: Collection[str] = ()
    buried: Mapping[str, str] = field(default_factory=dict)
    unheard: Sequence[str] = ()
    persons: Sequence[Mapping[str, Any]] = ()
    unacked: Mapping[str, int] = field(default_factory=dict)
    exposed: Collection[str] = ()
    cut: Collection[str] = ()
    recipients: Mapping[str, str] = field(default_factory=dict)

    def state(self, job: str) -> str:
        """The recorded state, empty when nothing is recorded; one that died before its claim is among the buried."""
        return str(self.messages.get(job, {}).get("state", "")) or ("dead" if job in self.buried else "")

    def let_go(self, job: str) -> bool:
        """Whether it was dead, and then the person was erased: nobody is left for whom to send it once more."""
        doc = self.messages.get(job, {})
        return doc.get("state") == "discarded" and doc.get("reason") == "erased" and self.died(job)

    def died(self, job: str) -> bool:
        """Whether it was ever dead."""
        return job in self.buried or any(entry["state"] == "dead" for entry in self.history(job))

    def history(self, job: str) -> Sequence[Mapping[str, Any]]:
        """The states that the job had."""
        found: Sequence[Mapping[str, Any]] = self.messages.get(job, {}).get("history", ())
        return found

    def doubted(self, job: str) -> bool:
        """Whether it was ever in doubt."""
        doc = self.messages.get(job, {})
        return bool(doc.get("doubted") or doc.get("again")) or any(e["state"] == "in_doubt" for e in self.history(job))


def bodies_of(ledger: Iterable[Mapping[str, Any]]) -> list[Body]:
    """The whole bodies of a ledger's lines, each with when its 354 was sent and how it was answered."""
    begun: dict[int, int] = {}
    last: dict[int, int] = {}
    found: list[Body] = []
    for line in ledger:
        conn, phase = line["conn"], line["phase"]
        if phase == "data":
            begun[conn] = line["at"]
        elif phase == "body":
            last[conn] = len(found)
            found.append(Body(line.get("job", ""), begun.get(conn, line["at"]), line.get("kept", True), 0))
        elif phase in {"accepted", "refused"} and line.get("job") and conn in last:
            place = last.pop(conn)
            found[place] = Body(found[place].job, found[place].begun, found[place].kept, line["code"])
        elif phase in {"rcpt", "lost"}:
            last.pop(conn, None)
    return found


def audit(found: Found) -> list[str]:
    """Every violation of I1 to I6 and I8 to I10; I7 is about two ledgers (`grown`)."""
    checks = (accounted, at_most, in_order, backed, owned, explained, rested, foreseen)
    return [line for check in checks for line in check(found)]


def accounted(found: Found) -> Iterator[str]:
    """I1: every job is in exactly one state of law 3, by id."""
    for job in dict.fromkeys([*found.promised, *found.logged]):
        if job in found.void and job not in found.promised:
            continue
        state = found.state(job)
        ends = ENDS if found.promised.get(job) else OTHER_ENDS
        if state not in ends and job not in found.queued and not found.let_go(job):
            told = "with a receipt" if job in found.promised else "without a receipt"
            yield f"I1 {job}: is {state or 'recorded nowhere'} and in no queue ({told})"
    for person in found.unheard:
        yield f"I1 a one-click of {person} was answered with 200, and the person is written to as before"


def at_most(found: Found) -> Iterator[str]:
    """I2 and I3: one whole body, or two where the purpose allows it, the second after doubt. A 4xx or 5xx is none."""
    out = Counter(body.job for body in found.bodies if body.answer // 100 not in {4, 5})
    for job, count in out.items():
        once_more = purpose_of(found, job) in ONCE_MORE
        if count > 1 and not once_more:
            yield f"I2 {job}: {count} whole bodies in the ledger"
        if count > 2 and once_more:
            yield f"I3 {job}: {count} whole bodies in the ledger"
        if count == 2 and once_more and not found.doubted(job):
            yield f"I3 {job}: a second body, and it was never in doubt"


def in_order(found: Found) -> Iterator[str]:
    """I4: no gate passes after a withdrawal, no body begins without a gate, or after `applied` unless it is listed."""
    closings: defaultdict[tuple[str, str], list[Closing]] = defaultdict(list)
    for closing in found.closings:
        for purpose in closing.purposes:
            closings[closing.person, purpose].append(closing)
    gates: defaultdict[str, list[Gate]] = defaultdict(list)
    for gate in found.gates:
        gates[gate.job].append(gate)
        for closing in closings.get((gate.person, gate.purpose), ()):
            if gate.seq > closing.seq:
                yield f"I4 {gate.job}: its gate passed as {gate.seq}, and {closing.job} had closed it as {closing.seq}"
    for body in found.bodies:
        yield from _begun(body, gates.get(body.job, []), closings)


def _begun(body: Body, gates: Sequence[Gate], closings: Mapping[tuple[str, str], Sequence[Closing]]) -> Iterator[str]:
    passed = [gate for gate in gates if gate.at <= body.begun]
    if not passed:
        yield f"I4 {body.job}: a body without a gate"
        return
    gate = max(passed, key=lambda each: each.at)
    for closing in closings.get((gate.person, gate.purpose), ()):
        late = 0 < closing.applied < body.begun
        if late and (body.job, gate.epoch) not in closing.listed:
            ms = (body.begun - closing.applied) / 1e6
            yield f"I4 {body.job}: its body began {ms:.0f} ms after {closing.job} was applied, which does not list it"


def backed(found: Found) -> Iterator[str]:
    """I5: `sent` has a body that the sink took; a body that it took has a state that says so."""
    taken = {body.job for body in found.bodies if body.kept and body.answer // 100 not in {4, 5}}
    for job, doc in found.messages.items():
        if doc.get("kind") == "send" and doc["state"] == "sent" and job not in taken:
            yield f"I5 {job}: sent, but the sink never took it"
    for job in taken:
        if found.state(job) not in WITH_BODY:
            yield f"I5 {job}: the sink took it, but it is {found.state(job) or 'recorded nowhere'}"


def owned(found: Found) -> Iterator[str]:
    """I6: an epoch that is over changes nothing; only `sent` is believed of whoever holds the hand-over."""
    for job in found.messages:
        current = 0
        for entry in found.history(job):
            if entry["state"] == "claimed":
                if entry["epoch"] <= current:
                    yield f"I6 {job}: epoch {entry['epoch']} was claimed after {current}"
                current = max(current, entry["epoch"])
            elif entry["epoch"] < current and entry["state"] != "sent":
                yield f"I6 {job}: {entry['state']} by epoch {entry['epoch']}, when {current} had it"


def explained(found: Found) -> Iterator[str]:
    """I8: every dead job has a reason."""
    for job, doc in found.messages.items():
        if doc["state"] == "dead" and not doc.get("reason"):
            yield f"I8 {job}: dead without a reason"
    for job, reason in found.buried.items():
        if not reason:
            yield f"I8 {job}: a dead letter without a reason"


def rested(found: Found) -> Iterator[str]:
    """I9: no lease, no open hand-over but of jobs in doubt, nothing unacked; stale ones only of what was in doubt."""
    states = {job: str(doc["state"]) for job, doc in found.messages.items()}
    yield from (f"I9 {job}: is claimed still" for job, state in states.items() if state == "claimed")
    yield from at_rest(found.persons, states, found.unacked)
    for person in found.persons:
        for entry in person.get("stale", ()):
            if not found.doubted(entry["message"]):
                yield f"I9 {entry['message']}: a stale hand-over, and it was never in doubt"


def foreseen(found: Found) -> Iterator[str]:
    """I10: a job in doubt had its hand-over open at a fault, or the relay left its body unanswered."""
    left = unanswered(found)
    for job, doc in found.messages.items():
        if doc["state"] == "in_doubt" and job not in found.exposed and job not in left:
            yield f"I10 {job}: in doubt ({doc.get('reason')}), but no hand-over of it was open at a fault"


def unanswered(found: Found) -> set[str]:
    """The jobs whose body the relay did not answer, or did not wait for."""
    cut = {job for job, to in found.recipients.items() if to in found.cut}
    return cut | {body.job for body in found.bodies if not body.answer}


def cut_short(ledger: Iterable[Mapping[str, Any]]) -> set[str]:
    """The recipients of conversations that ended between 354 and the whole body."""
    begun: dict[int, str] = {}
    found = set()
    for line in ledger:
        if line["phase"] == "data":
            begun[line["conn"]] = line["to"]
        elif line["phase"] == "lost" and line["conn"] in begun:
            found.add(begun.pop(line["conn"]))
        else:
            begun.pop(line["conn"], None)
    return found


def grown(before: Sequence[Body], after: Sequence[Body]) -> list[str]:
    """I7: what the replay of the log added to the ledger."""
    more = Counter(body.job for body in after) - Counter(body.job for body in before)
    return [f"I7 {job}: {count} more bodies after the replay of the log" for job, count in more.items()]


def purpose_of(found: Found, job: str) -> str:
    """A mail's purpose, as it was promised or is recorded."""
    return found.promised.get(job) or str(found.messages.get(job, {}).get("purpose", ""))
