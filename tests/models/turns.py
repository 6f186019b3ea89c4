"""One worker's turn: what the step functions of `sending` and `conversing` share."""

from dataclasses import dataclass

from models.protocol import Mail, Person, Setup, State, Worker, bit, of, with_mail, with_person

IDLE = Worker()
# Steps at which a worker's epoch says nothing any more; one that loses its channel there might as well die.
LEAVING = frozenset({"ack", "retry", "burying"})


@dataclass(slots=True)
class Turn:
    """A worker that may take its next step, and the state it sees."""

    setup: Setup
    s: State
    i: int
    w: Worker

    @property
    def mail(self) -> Mail:
        """The document of the message that it works on."""
        return self.s.mails[self.w.mail]

    @property
    def bit(self) -> int:
        """Its own hand-over."""
        return bit(self.w.mail, self.w.epoch)

    @property
    def open(self) -> int:
        """The open hand-overs of its message."""
        return self.s.person.open & of(self.w.mail)

    @property
    def mine(self) -> bool:
        """Whether the message is claimed, by this epoch."""
        return self.mail.state == "claimed" and self.mail.epoch == self.w.epoch

    def broken(self, variant: str) -> bool:
        """Whether this rule is dropped."""
        return variant in self.setup.variants

    def go(self, at: str, *, mail: Mail | None = None, person: Person | None = None, rises: bool = True) -> State:
        """The worker moves to `at`; it may have written one document."""
        s = self.s
        if mail is not None:
            s = with_mail(s, self.w.mail, mail)
        if person is not None:
            s = with_person(s, person, rises=rises)
        w = self.w
        return standing(s, self.i, _leaving(w, at) if at in LEAVING else Worker(at, *w[1:]))

    def claimed(self, at: str, mail: Mail) -> State:
        """The worker owns this epoch from now on."""
        w = Worker(at, self.w.mail, mail.epoch, self.w.held, mail.again)
        return standing(with_mail(self.s, self.w.mail, mail), self.i, w)

    def remembers(self, at: str, epoch: int) -> State:
        """The worker keeps the epoch of an answer."""
        return self.go(at) if at in LEAVING else standing(self.s, self.i, self.w._replace(at=at, epoch=epoch))


def _leaving(w: Worker, at: str) -> Worker:
    """What is left to do is for the channel that brought the job; without it, nothing is."""
    return Worker(at, w.mail, held=True) if w.held else IDLE


def standing(s: State, i: int, worker: Worker) -> State:
    """The state with worker `i` as given. Workers are all alike, so their order is no difference."""
    other = s.workers[1 - i]
    return State(s.mails, s.person, (worker, other) if worker <= other else (other, worker), *s[3:])
