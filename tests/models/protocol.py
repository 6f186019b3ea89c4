"""What the model knows: the two documents of law 1, the workers, the queue, upkeep and one withdrawal.

A hand-over is one bit, by message and epoch, so that a person's `open` and `stale` are numbers and states are cheap.
Each step is atomic on ONE document or on one worker, as MongoDB's writes are; everything else may come between. Writes
that are grouped are searched one by one, each with its own outcome: a group that half succeeds is one of those.
Left out: bounces and erasure (a no like any other), kill switches (a 4xx like any other), `after`, conflicting bodies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NEW = "new"  # nothing is recorded yet
CLAIMABLE = frozenset({NEW, "claimed", "deferred", "dead"})
CERTAIN = frozenset({"sent", "failed"})
NEVER_LEFT = frozenset({"refused", "expired", "failed", "dead"})
OVER = frozenset({"sent", "failed", "refused", "expired", "assumed"})
_BITS = 4


class Mail(NamedTuple):
    """A message's document, its copies in the queue, and the truth that nobody in the system sees: `bodies`.

    A lease may pass at any time, so it is no part of the state: a claim may be taken over, or found busy, always.
    """

    state: str = NEW
    epoch: int = 0
    doubted: bool = False
    again: bool = False
    ended: int = 0  # the epoch that said how it ended
    ready: int = 1  # copies in the queue and in tiers
    letter: str = ""  # of a dead letter: queued, said (the message is settled), kept
    bodies: int = 0


class Person(NamedTuple):
    """A person's document: the permission and the hand-overs."""

    yes: bool = True
    open: int = 0
    stale: int = 0


class Worker(NamedTuple):
    """`at`: the step before which it stands. `held`: the channel that brought the job is up. `again`: as claimed."""

    at: str = "idle"
    mail: int = 0
    epoch: int = 0
    held: bool = False
    again: bool = False


class No(NamedTuple):
    """The withdrawal and its receipt."""

    stage: str = "none"  # none, closed, applied
    captured: int = 0
    listed: int = 0


class Upkeep(NamedTuple):
    """What upkeep has read and not yet written. `seen`: open and stale of the person, None once `seq` has risen."""

    at: str = "idle"
    mail: int = 0
    epoch: int = 0
    seen: tuple[int, int] | None = None


class State(NamedTuple):
    """All there is. `broken` is the sentence of the property that fell on the way here."""

    mails: tuple[Mail, ...] = (Mail(),)
    person: Person = Person()
    workers: tuple[Worker, ...] = (Worker(), Worker())
    no: No = No()
    upkeep: Upkeep = Upkeep()
    later_yes: bool = False
    over: bool = False  # the jobs have expired
    floating: int = 0  # gate writes of unknown outcome that may still land
    cause: bool = False  # something happened that may leave a doubt
    broken: str = ""


Step = tuple[str, State]
Steps = Iterator[Step]


@dataclass(frozen=True, slots=True)
class Setup:
    """One configuration: which features are searched, within which bounds, and which rules are broken."""

    name: str
    mails: int = 1
    epochs: int = 3
    copies: int = 1
    once: bool = False  # the purpose sends once more after doubt
    refusals: bool = False  # relays answer 4xx and 5xx
    withdrawal: bool = False
    grants: bool = False
    unsure: bool = False  # outcomes of gate writes may be unknown
    deaths: bool = True
    channels: bool = True  # channels are lost; who loses one and is never scheduled again might as well be dead
    dead: bool = False  # jobs die: dead letters, replayed from there
    replay: bool = False  # the whole log is published again, at any time
    reopens: bool = False  # a plan reopens refused and failed mails
    expiry: bool = False
    proof: bool = False  # a relay's log is read
    variants: frozenset[str] = frozenset()  # the rules that are dropped

    def start(self) -> State:
        """Nothing has happened; one copy of each job waits."""
        return State(mails=(Mail(),) * self.mails)


def bit(mail: int, epoch: int) -> int:
    """The hand-over of this epoch."""
    return 1 << (mail * _BITS + epoch)


def of(mail: int, upto: int = _BITS - 1) -> int:
    """All hand-overs of a message, or those up to an epoch."""
    return ((2 << upto) - 1) << (mail * _BITS)


def with_mail(s: State, number: int, mail: Mail) -> State:
    """The state with this message's document changed."""
    return State((*s.mails[:number], mail, *s.mails[number + 1 :]), *s[1:])


def with_person(s: State, person: Person, *, rises: bool = True) -> State:
    """The state with the person's document written: `seq` rises, so whoever read it before must read again."""
    if rises and s.upkeep.seen is not None:
        s = s._replace(upkeep=s.upkeep._replace(seen=None))
    return s._replace(person=person)


def pulled(s: State, gone: int, *, rises: bool = True) -> State:
    """The state without these hand-overs."""
    person = s.person
    return with_person(s, person._replace(open=person.open & ~gone, stale=person.stale & ~gone), rises=rises)


def requeued(mail: Mail, setup: Setup) -> Mail:
    """One more copy in the queue; beyond the bound copies are all alike."""
    return mail._replace(ready=min(setup.copies, mail.ready + 1))
