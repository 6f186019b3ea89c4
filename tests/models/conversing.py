"""A worker from its gate to the end of its conversation: `handover.py`, `store/gate.py`, `attempts.py`."""

from collections.abc import Callable, Mapping

from models.protocol import Person, State, Steps, of, pulled
from models.sending import after, never_left, own_doubt
from models.turns import Turn


def asking(t: Turn) -> Steps:
    """MAIL and RCPT, then the gate."""
    if t.setup.refusals:
        yield f"epoch {t.w.epoch}: RCPT 4xx", t.go("deferring")
        yield f"epoch {t.w.epoch}: RCPT 5xx", t.go("failing")
    if t.setup.dead:
        yield f"epoch {t.w.epoch} cannot be composed", t.go("dying")
    if t.broken("read_gate"):
        yield f"epoch {t.w.epoch} reads, writes nothing", t.go("verified" if t.s.person.yes else "refuse")
        return
    passed = opened(t)
    if passed is None:
        yield f"epoch {t.w.epoch}: gate does not pass", t.go("unpassed")
    else:
        yield f"epoch {t.w.epoch}: gate", through(t, "verified" if t.broken("no_verify") else "gated", passed)
    if t.setup.unsure:
        yield from _unsure_gate(t, passed)


def unsure(t: Turn) -> Steps:
    """The write's outcome is unknown: a majority's answer is read, then the epoch; what was not seen is owed."""
    if t.broken("unknown_is_yes"):
        yield f"epoch {t.w.epoch} takes unknown for yes", t.go("verified")
    elif t.broken("unknown_is_no"):
        yield f"epoch {t.w.epoch} takes unknown for no", t.go("deferring")
    elif t.broken("epoch_before_read_back"):
        yield f"epoch {t.w.epoch} reads its message", t.go("reading" if t.mine else "give_back")
    elif t.s.person.open & t.bit:
        yield f"epoch {t.w.epoch} reads its hand-over back", t.go("gated")
    else:
        yield f"epoch {t.w.epoch} reads no hand-over back", t.go("give_back")


def reading(t: Turn) -> Steps:
    """As it was built: the message was read before the hand-over was seen."""
    there = t.s.person.open & t.bit
    yield f"epoch {t.w.epoch} reads {'its' if there else 'no'} hand-over", t.go("verified" if there else "give_back")


def unpassed(t: Turn) -> Steps:
    """The gate changed nothing: whose is the message by now, and why not?"""
    if t.broken("group_answers_for_all") and t.s.person.open & ~of(t.w.mail):
        yield f"epoch {t.w.epoch} takes another member's answer", t.go("verified")
    elif not t.mine:
        yield f"epoch {t.w.epoch} has lost its claim", t.go("give_back")
    elif t.open:
        yield f"epoch {t.w.epoch}: an earlier hand-over is open", t.go("doubting")
    elif not t.s.person.yes:
        yield f"epoch {t.w.epoch}: the gate says no", t.go("refuse")
    elif t.s.over:
        yield f"epoch {t.w.epoch}: the gate says expired", t.go("expire")
    else:
        yield f"epoch {t.w.epoch}: it changed meanwhile", t.go("deferring")


def gated(t: Turn) -> Steps:
    """Verify (law 1c): the message still bears this epoch, the channel is up."""
    good = t.mine and t.w.held
    yield f"epoch {t.w.epoch} {'verifies' if good else 'may not go on'}", t.go("verified" if good else "give_back")


def verified(t: Turn) -> Steps:
    """The last moment before DATA. The relay takes the body, refuses it, or says nothing that helps."""
    name, broken = f"epoch {t.w.epoch}: DATA", begun(t)
    body = t.mail._replace(bodies=t.mail.bodies + 1)
    yield f"{name}, the relay has it", _marked(broken, t.go("taken", mail=body))
    yield f"{name}, cut off", _marked(broken, _unheard(t))
    if t.setup.refusals:
        yield f"{name}, 4xx", _marked(broken, t.go("told4"))
        yield f"{name}, 5xx", _marked(broken, t.go("failing_heard"))
    yield f"epoch {t.w.epoch} is too late for DATA", t.go("give_back")


def give_back(t: Turn) -> Steps:
    """Before DATA the owner may always take its hand-over back (law 1b)."""
    if t.broken("keeps_late"):
        yield f"epoch {t.w.epoch} keeps its hand-over", t.go("deferring")
    else:
        yield f"epoch {t.w.epoch} gives back", pulled(t.go("deferring"), t.bit)


def told4(t: Turn) -> Steps:
    """4xx: nothing was taken, so the pull comes first; or patience has ended."""
    if t.broken("deferred_keeps"):
        yield f"epoch {t.w.epoch} keeps its hand-over", t.go("deferring_heard")
    else:
        yield f"epoch {t.w.epoch} pulls", pulled(t.go("deferring_heard"), t.bit)
    yield f"epoch {t.w.epoch}: patience has ended", t.go("failing_heard")


def taken(t: Turn) -> Steps:
    """The relay has the body; its 250 is read, or lost."""
    if t.broken("pull_first"):
        yield f"epoch {t.w.epoch} reads 250 and pulls", pulled(t.go("settling"), t.bit)
    else:
        yield f"epoch {t.w.epoch} reads 250 and settles: sent", _sent(t, "pull")
    yield f"epoch {t.w.epoch} never hears the 250", _unheard(t)


def settling(t: Turn) -> Steps:
    """The wrong way round."""
    yield f"epoch {t.w.epoch} settles: sent", _sent(t, "ack")


def failing(t: Turn) -> Steps:
    """5xx before DATA: the mail ends, a doubt stays."""
    yield f"epoch {t.w.epoch} settles: failed", _failed(t, heard=t.broken("unheard_ends_doubt"))


def failing_heard(t: Turn) -> Steps:
    """5xx to DATA or to the body, or patience has ended: certain of this epoch's conversation."""
    yield f"epoch {t.w.epoch} settles: failed", _failed(t, heard=True)


def pull(t: Turn) -> Steps:
    """After its settle."""
    yield f"epoch {t.w.epoch} pulls", pulled(t.go("ack"), t.bit)


def opened(t: Turn) -> Person | None:
    """The gate's one conditional write: None when it changes nothing."""
    person = t.s.person
    closed = t.open and not t.broken("many_open")
    return None if not person.yes or t.s.over or closed else person._replace(open=person.open | t.bit)


def through(t: Turn, at: str, person: Person) -> State:
    """The gate was passed: after a no only a later yes may do that."""
    s = t.go(at, person=person, rises=not t.broken("gate_keeps_seq"))
    after = s.no.stage != "none" and not s.later_yes
    return s._replace(broken="a gate passed after the no") if after else s


def begun(t: Turn) -> str:
    """What DATA at this moment breaks, if anything."""
    no = t.s.no
    if no.stage == "applied" and not t.s.later_yes and not no.listed & t.bit:
        return "DATA began after applied, and the receipt does not list it"
    if t.mail.bodies and not t.mail.again:
        return "a second DATA for a mail that the relay has, without a doubt in between"
    return ""


def _marked(broken: str, s: State) -> State:
    """The state in which that fell, if anything did."""
    return s._replace(broken=broken) if broken else s


def _unheard(t: Turn) -> State:
    """Cut off after the body was written: nobody knows."""
    return t.go("told4" if t.broken("lost_is_certain") else "doubting")._replace(cause=True)


def _sent(t: Turn, then: str) -> State:
    """`sent`, whatever the message's epoch is: who holds the hand-over knows (law 1d)."""
    late = t.broken("settle_by_epoch") and not (t.mine or own_doubt(t))
    if late or t.mail.state == "sent":
        return t.go(then)
    return t.go(then, mail=t.mail._replace(state="sent", doubted=False, ended=t.w.epoch))


def _failed(t: Turn, *, heard: bool) -> State:
    if heard and own_doubt(t):
        return t.go("pull", mail=t.mail._replace(state="failed", doubted=False, ended=t.w.epoch))
    return t.go("pull" if after(t) == "ack" else "give_back", mail=never_left(t, "failed"))


def _unsure_gate(t: Turn, passed: Person | None) -> Steps:
    epoch = f"epoch {t.w.epoch}: gate, outcome unknown"
    yield f"{epoch}, under way", t.go("unsure")._replace(floating=t.s.floating | t.bit)
    if passed is None:
        yield f"{epoch}, nothing", t.go("unsure")
    else:
        yield f"{epoch}, written", through(t, "unsure", passed)


STEPS: Mapping[str, Callable[[Turn], Steps]] = {
    "asking": asking,
    "unsure": unsure,
    "reading": reading,
    "unpassed": unpassed,
    "gated": gated,
    "verified": verified,
    "give_back": give_back,
    "told4": told4,
    "taken": taken,
    "settling": settling,
    "failing": failing,
    "failing_heard": failing_heard,
    "pull": pull,
}
