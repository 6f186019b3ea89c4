"""What must hold in every state, and what must be reached so that the model says anything at all."""

from collections.abc import Callable, Iterator, Mapping

from models.around import waits
from models.protocol import NEVER_LEFT, OVER, Mail, Setup, State, of

_ENDS = OVER | {"in_doubt", "dead"}


def fault(setup: Setup, s: State) -> str | None:
    """The sentence of the first property that this state breaks."""
    if s.broken:
        return s.broken
    return next(_faults(setup, s), None)


def _faults(setup: Setup, s: State) -> Iterator[str]:
    for mail in s.mails:
        if mail.bodies > 1 + setup.once:
            yield "three bodies" if setup.once else "two bodies"
        if mail.bodies and mail.state in NEVER_LEFT - {"dead"}:
            yield f"{mail.state}, but a body went out"
        if mail.state == "sent" and not mail.bodies:
            yield "sent, but no body went out"
        if mail.state == "in_doubt" and not s.cause:
            yield "in doubt without a cause"
    if all(w.at == "idle" for w in s.workers) and s.upkeep.at == "idle" and s.no.stage != "closed" and not s.floating:
        for number, mail in enumerate(s.mails):
            if not _awaited(setup, s, number, mail):
                yield from _at_rest(s, number, mail)


def _awaited(setup: Setup, s: State, number: int, mail: Mail) -> bool:
    """Whether somebody will still come for this job: a delivery, the reaper, upkeep."""
    left = s.person.open & of(number)
    swept = left and mail.state in OVER and "no_sweep" not in setup.variants
    late = s.over and waits(mail) and "no_late_end" not in setup.variants
    return bool(mail.ready or mail.letter in {"queued", "said"} or (mail.state == "claimed" and left) or swept or late)


def _at_rest(s: State, number: int, mail: Mail) -> Iterator[str]:
    """Nobody holds the job and nobody is coming for it (I1, I5, I9). What is dead is judged again when replayed."""
    if mail.bodies and mail.state == "dead":
        yield "dead, but a body went out"
    if mail.letter:
        return
    if mail.state not in _ENDS:
        yield f"nobody comes for the job, and it is {mail.state}"
    if s.person.open & of(number) and mail.state not in {"in_doubt", "dead"}:
        yield f"at rest a hand-over is open, and the mail is {mail.state}"


Goal = Callable[[State], bool]


def _state(name: str) -> Goal:
    return lambda s: any(mail.state == name for mail in s.mails)


GOALS: Mapping[str, Goal] = {
    "sent": _state("sent"),
    "refused": _state("refused"),
    "failed": _state("failed"),
    "expired": _state("expired"),
    "in doubt": _state("in_doubt"),
    "assumed": _state("assumed"),
    "sent after a 4xx": lambda s: any(mail.state == "sent" and mail.epoch > 1 and not mail.doubted for mail in s.mails),
    "a second body": lambda s: any(mail.bodies == 2 for mail in s.mails),
    "applied": lambda s: s.no.stage == "applied",
    "applied and lists": lambda s: bool(s.no.listed),
    "both sent": lambda s: all(mail.state == "sent" for mail in s.mails),
    "a yes after the no, and sent": lambda s: (
        s.no.stage == "applied" and s.later_yes and any(mail.state == "sent" for mail in s.mails)
    ),
    "dead, replayed, sent": lambda s: any(mail.state == "sent" and mail.epoch > 1 for mail in s.mails),
}
