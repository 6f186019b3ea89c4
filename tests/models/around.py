"""All that happens around the workers: deaths, the broker, upkeep, the person's words, time, replays."""

from collections.abc import Iterator

from models.protocol import (
    OVER,
    Mail,
    No,
    Person,
    Setup,
    State,
    Steps,
    Upkeep,
    bit,
    of,
    pulled,
    requeued,
    with_mail,
    with_person,
)
from models.turns import IDLE, LEAVING, standing

_AT_REST = Upkeep()


def steps(setup: Setup, s: State) -> Steps:
    """Every step that is no worker's own."""
    yield from _faults(setup, s)
    yield from _upkeep(setup, s)
    if setup.withdrawal:
        yield from _withdrawal(setup, s)
    if setup.grants:
        yield from _grants(setup, s)
    for number, mail in enumerate(s.mails):
        yield from _queue(setup, s, number, mail)
    if s.floating:
        yield from _floating(setup, s)
    if setup.expiry and not s.over:
        yield "the jobs expire", s._replace(over=True)


def _faults(setup: Setup, s: State) -> Steps:
    """A worker dies, or loses its channel and works on; what it held comes again. Freezing is no step at all."""
    caused = s if s.cause else s._replace(cause=True)
    for i, w in enumerate(s.workers):
        if w.at == "idle":
            continue
        name = f"of epoch {w.epoch}" if w.epoch else f"at '{w.at}'"
        back = with_mail(caused, w.mail, requeued(s.mails[w.mail], setup)) if w.held else caused
        if setup.deaths:
            yield f"the worker {name} dies", standing(back, i, IDLE)
        if setup.channels and w.held and w.at not in LEAVING:
            yield f"the worker {name} loses its channel", standing(back, i, w._replace(held=False))


def _upkeep(setup: Setup, s: State) -> Steps:
    """The reaper and what ends a doubt: each reads first, and writes what it read to be due later."""
    up = s.upkeep
    if up.at == "idle":
        for number, mail in enumerate(s.mails):
            yield from _looks(setup, s, number, mail)
    elif up.at == "reap":
        yield "the reaper marks: in doubt", _reaped(setup, s._replace(upkeep=_AT_REST), up)
    elif up.at == "aside":
        yield from _aside(setup, s, up)
    elif up.at == "clear":
        yield "upkeep clears what is proven", _cleared(setup, s._replace(upkeep=_AT_REST), up)
    else:
        yield "upkeep: assumed", _assumed(s._replace(upkeep=_AT_REST), up)


def _looks(setup: Setup, s: State, number: int, mail: Mail) -> Steps:
    left = s.person.open & of(number)
    if mail.state == "claimed" and left:
        yield f"the reaper sees epoch {mail.epoch}", s._replace(upkeep=Upkeep("reap", number, mail.epoch), cause=True)
    if mail.state == "in_doubt" and not setup.once:
        yield "upkeep reads a doubt", s._replace(upkeep=Upkeep("aside", number, mail.epoch))
    if setup.proof and mail.bodies and mail.state != "sent":
        proven = with_mail(s, number, mail._replace(state="sent", doubted=False, ended=0))
        yield "the relay's log proves it", proven._replace(upkeep=Upkeep("clear", number))
    if mail.state in OVER and left and "no_sweep" not in setup.variants:
        yield "upkeep sweeps", with_person(s, _swept(s.person, number, mail))
    if s.over and not left and waits(mail) and "no_late_end" not in setup.variants:
        state = "in_doubt" if mail.doubted else "expired"
        yield "upkeep ends what has expired", with_mail(s, number, mail._replace(state=state))


def waits(mail: Mail) -> bool:
    """Whether this mail, claimed or deferred, is nobody's just now."""
    return mail.state in {"claimed", "deferred"}


def _swept(person: Person, number: int, mail: Mail) -> Person:
    """What is left open of a mail that is over: how its own epoch ended is proven, of others it is not known."""
    left = person.open & of(number)
    unknown = left & ~bit(number, mail.ended) if mail.ended else left
    return person._replace(open=person.open & ~left, stale=person.stale | unknown)


def _reaped(setup: Setup, s: State, up: Upkeep) -> State:
    mail = s.mails[up.mail]
    if mail.state != "claimed" or mail.epoch != up.epoch:
        return s
    s = with_mail(s, up.mail, mail._replace(state="in_doubt", doubted=True))
    if "reap_pulls" in setup.variants:
        s = with_person(s, s.person._replace(open=s.person.open & ~of(up.mail)))
    return s


def _aside(setup: Setup, s: State, up: Upkeep) -> Steps:
    """To `stale`, by the document as it was read and only if `seq` is the same."""
    if up.seen is None:
        yield "upkeep reads the person", s._replace(upkeep=up._replace(seen=s.person[1:]))
        return
    was_open, was_stale = up.seen
    moved = was_open & of(up.mail, _upto(setup, up))
    stale = was_stale if "resolve_pulls" in setup.variants else was_stale | moved
    s = with_person(s, s.person._replace(open=was_open & ~moved, stale=stale))
    yield "upkeep: to stale", s._replace(upkeep=Upkeep("assume", up.mail))


def _upto(setup: Setup, up: Upkeep) -> int:
    return setup.epochs if "aside_any_epoch" in setup.variants else up.epoch


def _cleared(setup: Setup, s: State, up: Upkeep) -> State:
    """`Upkeep.proven`: the log shows a mail, not which attempt it was; with a second one nothing else is proven."""
    if s.mails[up.mail].again and "proof_clears_all" not in setup.variants:
        return s
    return pulled(s, of(up.mail))


def _assumed(s: State, up: Upkeep) -> State:
    mail = s.mails[up.mail]
    return with_mail(s, up.mail, mail._replace(state="assumed")) if mail.state == "in_doubt" else s


def _withdrawal(setup: Setup, s: State) -> Steps:
    """One write closes and captures; the drain has no patience here, so every wait that is too short is searched."""
    under_way = s.person.open | s.person.stale
    if s.no.stage == "none":
        closed = with_person(s, s.person._replace(yes=s.later_yes))
        yield "the no closes the gate", closed._replace(no=No("closed", captured=under_way))
    elif s.no.stage == "closed":
        left = 0 if "no_drain" in setup.variants else s.no.captured & under_way
        yield f"the no is applied{', and lists' if left else ''}", s._replace(no=No("applied", listed=left))


def _grants(setup: Setup, s: State) -> Steps:
    """Law 5: a yes that is clearly later than the no, whichever is recorded first; an old one that comes late."""
    if not s.later_yes:
        yield "a later yes", with_person(s, s.person._replace(yes=True))._replace(later_yes=True)
    if "grant_ignores_time" in setup.variants and s.no.stage != "none" and not s.person.yes:
        yield "an old yes comes late", with_person(s, s.person._replace(yes=True))


def _queue(setup: Setup, s: State, number: int, mail: Mail) -> Steps:
    """Copies that the broker buries, dead letters that upkeep keeps, and what responders publish again."""
    if setup.dead:
        if mail.ready:
            buried = mail._replace(ready=mail.ready - 1, letter="queued")
            yield "the broker buries the job", with_mail(s, number, buried)
        yield from _letters(setup, s, number, mail)
    if setup.replay and mail.ready < setup.copies:
        yield "the log is replayed", with_mail(s, number, requeued(mail, setup))
    if setup.reopens and _reopens(setup, mail):
        opened = requeued(mail._replace(state="deferred"), setup)
        yield "a responder reopens it", with_mail(s, number, opened)._replace(cause=True)


def _letters(setup: Setup, s: State, number: int, mail: Mail) -> Steps:
    if mail.letter == "queued":
        yield "upkeep says: dead", with_mail(s, number, _said_dead(setup, mail))
    elif mail.letter == "said":
        kept = mail._replace(letter="kept")
        if mail.state == "dead" and s.person.open & of(number):
            kept = kept._replace(state="in_doubt", doubted=True)
        yield "upkeep keeps the letter", with_mail(s, number, kept)
    elif mail.letter == "kept" and mail.state == "dead":
        yield "the dead job is replayed", with_mail(s, number, requeued(mail._replace(letter=""), setup))


def _said_dead(setup: Setup, mail: Mail) -> Mail:
    """`Messages.died`; after it upkeep looks for an open hand-over."""
    mail = mail._replace(letter="kept" if "buried_in_data" in setup.variants else "said")
    if mail.state not in {"new", "claimed"}:
        return mail
    return mail._replace(state="in_doubt" if mail.doubted else "dead")


def _reopens(setup: Setup, mail: Mail) -> bool:
    if "reopen_after_doubt" in setup.variants and mail.state == "in_doubt":
        return True
    return mail.state in {"refused", "failed"} and not mail.doubted


def _floating(setup: Setup, s: State) -> Steps:
    """A gate write whose outcome nobody was told: it lands as the same conditional write, or never."""
    for number, epoch in _bits(setup, s.floating):
        one = bit(number, epoch)
        gone = s._replace(floating=s.floating & ~one)
        yield f"the gate write of epoch {epoch} is lost", gone
        person = s.person
        if person.yes and not s.over and not person.open & of(number):
            landed = with_person(gone, person._replace(open=person.open | one))
            owner = any(w.mail == number and w.epoch == epoch and w.at in {"unsure", "reading"} for w in s.workers)
            after = s.no.stage != "none" and not s.later_yes
            broken = "a gate passed after the no" if after else ""
            landed = landed._replace(cause=landed.cause or not owner, broken=broken)
            yield f"the gate write of epoch {epoch} lands", landed


def _bits(setup: Setup, bits: int) -> Iterator[tuple[int, int]]:
    for number in range(setup.mails):
        for epoch in range(1, setup.epochs + 1):
            if bits & bit(number, epoch):
                yield number, epoch
