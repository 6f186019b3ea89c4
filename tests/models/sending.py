"""A worker's way from the queue to its gate, and what it settles: `send.py`, `attempts.py`, `message_states.py`."""

from collections.abc import Callable, Mapping

from models.protocol import CERTAIN, CLAIMABLE, Mail, State, Steps, of, pulled, requeued, with_mail
from models.turns import IDLE, Turn, standing


def take(t: Turn) -> Steps:
    """A delivery of any job that waits."""
    for number, mail in enumerate(t.s.mails):
        if mail.ready:
            s = with_mail(t.s, number, mail._replace(ready=mail.ready - 1))
            yield (
                f"a worker takes{_which(t, number)}",
                standing(s, t.i, IDLE._replace(at="took", mail=number, held=True)),
            )


def took(t: Turn) -> Steps:
    """The claim: compare-and-set on state, epoch and lease."""
    if t.s.over:
        # `_refuse`: the end of a mail that never began is claimed too; it leaves a certain end as it is.
        yield from _claim(t, owned="claimed_over", ended="ack")
    else:
        yield from _claim(t, doubt="doubt" if t.setup.once else "ack")


def reclaim(t: Turn) -> Steps:
    """The claim after `once more`: an answer of `in doubt` is an end now."""
    yield from _claim(t)


def doubt(t: Turn) -> Steps:
    """`_still_talking`: while the relay may still answer the earlier attempt, the repetition waits."""
    if t.open:
        yield "the relay may still answer: later", t.go("retry")
    yield "patience is over", t.go("aside")


def aside(t: Turn) -> Steps:
    """The hand-overs in doubt go to `stale`."""
    moved = t.open if t.broken("aside_any_epoch") else t.s.person.open & of(t.w.mail, t.w.epoch)
    stale = t.s.person.stale if t.broken("once_more_pulls") else t.s.person.stale | moved
    if t.broken("once_more_keeps_open"):
        moved, stale = 0, t.s.person.stale
    person = t.s.person._replace(open=t.s.person.open & ~moved, stale=stale)
    yield "the hand-over in doubt: to stale", t.go("again", person=person)


def again(t: Turn) -> Steps:
    """Compare-and-set from in doubt to deferred, once in a message's life."""
    if t.mail.state == "in_doubt" and (not t.mail.again or t.broken("once_more_twice")):
        yield "once more", t.go("reclaim", mail=t.mail._replace(state="deferred", again=True))
    else:
        yield "somebody else's once more", t.go("ack" if t.broken("trusts_old_doubt") else "reclaim")


def claimed(t: Turn) -> Steps:
    """Is an earlier hand-over open (law 1e)? May this mail go to this person?"""
    if t.w.epoch > 1 and t.open and not t.broken("no_handed"):
        yield f"epoch {t.w.epoch} finds an earlier hand-over", t.go("doubting")
    elif not t.s.person.yes:
        yield f"epoch {t.w.epoch} reads no", t.go("refuse")
    else:
        yield f"epoch {t.w.epoch} reads yes", t.go("asking")


def claimed_over(t: Turn) -> Steps:
    """An expired job is claimed all the same, so that its end is recorded once."""
    yield f"epoch {t.w.epoch} is over", t.go("doubting" if t.w.epoch > 1 and t.open else "expire")


def refuse(t: Turn) -> Steps:
    """A no, before any body of this epoch."""
    yield f"epoch {t.w.epoch} settles: refused", t.go(after(t), mail=never_left(t, "refused"))


def expire(t: Turn) -> Steps:
    """The job's time is over."""
    yield f"epoch {t.w.epoch} settles: expired", t.go(after(t), mail=never_left(t, "expired"))


def dying(t: Turn) -> Steps:
    """Something that a person has to mend: dead, and to the queue `dead`."""
    yield f"epoch {t.w.epoch} settles: dead", t.go("burying", mail=never_left(t, "dead"))


def burying(t: Turn) -> Steps:
    """Published to `dead`, then acked."""
    yield "its dead letter", with_mail(standing(t.s, t.i, IDLE), t.w.mail, t.mail._replace(letter="queued"))


def doubting(t: Turn) -> Steps:
    """Nobody knows whether it arrived: only what may repeat comes back, and once."""
    mail = t.mail._replace(state="in_doubt", doubted=True) if t.mine else None
    then = "retry" if t.setup.once and not t.w.again else after(t)
    yield f"epoch {t.w.epoch} settles: in doubt", t.go(then, mail=mail)


def deferring(t: Turn) -> Steps:
    """Back to a tier, the claim let go: no relay has answered, so a doubt stays what it is."""
    yield f"epoch {t.w.epoch} settles: deferred", _deferred(t, heard=t.broken("unheard_ends_doubt"))


def deferring_heard(t: Turn) -> Steps:
    """The same after a 4xx to DATA or to the body: the relay's answer ends a doubt about this very epoch."""
    yield f"epoch {t.w.epoch} settles: deferred", _deferred(t, heard=True)


def ended(t: Turn) -> Steps:
    """A certain end: whoever settled it may have died before the pull."""
    yield "the pull again", pulled(t.go("ack"), t.bit)


def ack(t: Turn) -> Steps:
    """Nothing of it is left in the queue."""
    yield "acks", standing(t.s, t.i, IDLE)


def retry(t: Turn) -> Steps:
    """Published to a tier, then acked; both copies are there in between."""
    s = standing(t.s, t.i, IDLE)
    yield "back to a tier", with_mail(s, t.w.mail, requeued(t.mail, t.setup))
    if t.setup.copies > 1:
        twice = requeued(requeued(t.mail, t.setup), t.setup)
        yield "back to a tier, dies before its ack", with_mail(s, t.w.mail, twice)


def never_left(t: Turn, state: str) -> Mail:
    """The settlement of an end that says no body went out: after doubt that is not known."""
    if not t.mine:
        return t.mail
    if t.mail.doubted and not t.broken("refuse_after_doubt"):
        return t.mail._replace(state="in_doubt")
    return t.mail._replace(state=state, ended=t.w.epoch if state in CERTAIN else 0)


def after(t: Turn) -> str:
    """Who settles an end that is not its own any more may not ack: the one who claimed since may hold no copy."""
    return "ack" if t.mine or t.broken("acks_unmatched") else "retry"


def own_doubt(t: Turn) -> bool:
    """Whether the message is in doubt over this very epoch, and nobody went on since."""
    return t.mail.state == "in_doubt" and t.mail.epoch == t.w.epoch and not t.mail.again


def _deferred(t: Turn, *, heard: bool) -> State:
    mail = t.mail
    if t.mine:
        mail = mail._replace(state="deferred")
    elif heard and own_doubt(t):
        # Its job may be acked by now, so this is an end: nobody would come for a deferred one.
        late = "deferred" if t.broken("late_deferred") else "failed"
        mail = mail._replace(state=late, doubted=False, ended=0 if late == "deferred" else t.w.epoch)
    return t.go("retry", mail=mail)


def _claim(t: Turn, *, doubt: str = "ack", owned: str = "claimed", ended: str = "ended") -> Steps:
    mail = t.mail
    skips = t.broken("replay_skips_claim") and mail.state == "sent"
    if mail.state == "claimed":
        yield "busy: later", t.go("retry")
    if mail.state in CLAIMABLE or skips:
        yield from _owns(t, owned)
    elif mail.state in CERTAIN:
        latest = t.broken("ended_pulls_latest") or (t.broken("proof_pulls_latest") and not mail.ended)
        epoch = mail.epoch if latest else mail.ended
        yield f"it is {mail.state}", t.remembers(ended, epoch)
    else:
        in_doubt = mail.state == "in_doubt"
        yield f"it is {mail.state}", t.remembers(doubt if in_doubt else "ack", mail.epoch)


def _owns(t: Turn, owned: str) -> Steps:
    mail, number = t.mail, t.mail.epoch + 1
    if mail.epoch == t.setup.epochs:
        return
    over = "its lease has passed: " if mail.state == "claimed" else ""
    s = t.claimed(owned, mail._replace(state="claimed", epoch=number, ended=0))
    yield f"{over}epoch {number} claims{_which(t, t.w.mail)}", s._replace(cause=True) if over else s


def _which(t: Turn, number: int) -> str:
    return f" mail {number}" if t.setup.mails > 1 else ""


STEPS: Mapping[str, Callable[[Turn], Steps]] = {
    "idle": take,
    "took": took,
    "reclaim": reclaim,
    "doubt": doubt,
    "aside": aside,
    "again": again,
    "claimed": claimed,
    "claimed_over": claimed_over,
    "refuse": refuse,
    "expire": expire,
    "dying": dying,
    "burying": burying,
    "doubting": doubting,
    "deferring": deferring,
    "deferring_heard": deferring_heard,
    "ended": ended,
    "ack": ack,
    "retry": retry,
}
