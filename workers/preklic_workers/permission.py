"""May this mail go to this person? Pure rules over facts that the store has read; the gate asks the same in one write.

`decide` is the whole decision. The send path asks its two halves in turn: `may_begin` of the job, before anybody is
looked up, and `may` of the person. The gate's filter must agree with `may` on every person, and the table of all
combinations is tested whole (tests/deciding.py).
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from preklic_shared.registry import ENGAGEMENT, SWITCHES, Purpose, Registry

PermissionState = Literal["granted", "pending", "withdrawn", "objected"]
Suppression = Literal["bounce", "complaint", "erased"]

# Two clocks may differ by this much, and doubt is a no (law 5).
CLOCK_DOUBT: Final = dt.timedelta(minutes=5)
# The suppressions that end what rests on consent or interest, the gravest first: the reason names one.
SUPPRESSIONS: Final[tuple[Suppression, ...]] = ("erased", "complaint", "bounce")
# The strictest answer first (imports and merges take it).
STRICTEST: Final[tuple[PermissionState, ...]] = ("objected", "withdrawn", "pending", "granted")


@dataclass(frozen=True, slots=True)
class Permission:
    """What a person last said about one purpose: `at` the event's time (UTC), `job` that recorded it, `seq` when."""

    state: PermissionState
    at: dt.datetime
    job: str
    seq: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """One mail between its gate and its settled end."""

    message: str
    epoch: int
    purpose: str
    until: dt.datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Person:
    """The facts of a person's document. `id` is the suppression hash, `contact` the ciphertext of the address.

    `permissions` is by purpose key, with the tracking switches (`engagement.opens`) among them; `suppressed` by kind.
    `keeps`: a hold asks for the octets of every mail to them (U13); it never lets a mail go out.
    `alive` is the day of the latest mail or of the latest event of the person's own (U7: the silent are reviewed).
    """

    id: str
    pid: bytes = b""
    seq: int = 0
    provider: str = ""
    contact: bytes | None = None
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    suppressed: Mapping[Suppression, dt.datetime] = field(default_factory=dict)
    erased: bool = False
    open: Sequence[HandOver] = ()
    stale: Sequence[HandOver] = ()
    alive: dt.datetime | None = None
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides about one mail.

    `purpose` is None where the registry has none of that name, or not with this template (`Registry.for_mail`);
    `person` None where nobody of that address is recorded. `carried`: a relay whose processor has a contract today is
    there (U8). `expired`: the job is of no use any more. `confirming`: it asks to confirm a pending permission.
    """

    purpose: Purpose | None
    person: Person | None
    carried: bool = True
    expired: bool = False
    confirming: bool = False


def decide(facts: Facts) -> str | None:
    """None when the mail may go, else the reason of its refusal. The whole decision, in the order of its reasons."""
    no = may_begin(facts.purpose, carried=facts.carried, expired=facts.expired)
    if no is not None or facts.purpose is None:
        return no
    return may(facts.person, facts.purpose, confirming=facts.confirming)


def may_begin(purpose: Purpose | None, *, carried: bool, expired: bool) -> str | None:
    """What refuses a mail whoever it is for: `expired`, `purpose_denied` or `processor_invalid`; None: go on."""
    if expired:
        return "expired"
    if purpose is None or not purpose.mail:
        return "purpose_denied"
    return None if carried else "processor_invalid"


def may(person: Person | None, purpose: Purpose, *, confirming: bool = False) -> str | None:
    """None when mail for `purpose` may go to `person`, else the reason of the refusal.

    `confirming` is the one mail that asks to confirm a pending permission. Reasons: `purpose_denied`, `unknown`,
    `erased`, `suppressed_erased`, `suppressed_complaint`, `suppressed_bounce`, `objected`, `withdrawn`, `pending`,
    `no_permission`.
    """
    if not purpose.mail:
        return "purpose_denied"
    if person is None:
        return "unknown" if rests_on_choice(purpose) else None
    if person.erased:
        return "erased"
    if not rests_on_choice(purpose):
        return None
    return suppression(person) or _said(person.permissions.get(purpose.key), purpose, confirming=confirming)


def rests_on_choice(purpose: Purpose) -> bool:
    """Whether a no ends this purpose: consent and interest, not a contract or a legal duty."""
    return purpose.needs_known_person


def suppression(person: Person) -> str | None:
    """The reason why nothing that rests on consent or interest may go out, if there is one."""
    if not person.suppressed:
        return None
    return next((f"suppressed_{kind}" for kind in SUPPRESSIONS if kind in person.suppressed), None)


def may_track(person: Person | None, switch: str) -> bool:
    """Whether opens or clicks (`engagement.opens`, `engagement.clicks`) of this person may be recorded (U12)."""
    if person is None or person.erased or suppression(person) is not None:
        return False
    said = person.permissions.get(switch)
    return said is not None and said.state == "granted"


def stopped_by(source: str, purposes: Sequence[str] | Literal["all"], registry: Registry) -> frozenset[str]:
    """The scope of a no: the purposes and switches that a withdrawal from `source` ends.

    A complaint ends all marketing, whatever it named; a bounce ends nothing (it suppresses); `all` ends whatever can
    be revoked. What rests on contract or legal duty is in no scope: a payment mail outlives every no. Naming
    `engagement` names both its switches.
    """
    if source == "complaint":
        return registry.marketing
    if source == "bounce":
        return frozenset()
    if isinstance(purposes, str):
        return registry.revocable if purposes == "all" else frozenset()
    return registry.revocable & _with_switches(purposes)


def suppression_by(source: str, *, erase: bool) -> Suppression | None:
    """The suppression that a withdrawal from `source` leaves behind, if any."""
    if erase:
        return "erased"
    if source == "complaint":
        return "complaint"
    return "bounce" if source == "bounce" else None


def grant_counts(
    grant_at: dt.datetime, withdrawn_at: dt.datetime | None, confirms_token_at: dt.datetime | None = None
) -> bool:
    """Whether a grant stands against the latest withdrawal (law 5).

    It does when the person never withdrew, when the grant's event is more than five minutes later than the
    withdrawal, or when it confirms a token that was made after the withdrawal. A confirmation counts by the age of
    its token alone: an old link that is followed late brings nobody back.
    """
    if withdrawn_at is None:
        return True
    if confirms_token_at is not None:
        return confirms_token_at > withdrawn_at
    return grant_at - withdrawn_at > CLOCK_DOUBT


def confirms(purpose: Purpose, template: str) -> bool:
    """Whether a mail of this template is the one that asks to confirm a pending permission for the purpose."""
    return purpose.confirm is not None and template == purpose.confirm


def strictest(states: Iterable[PermissionState]) -> PermissionState:
    """The answer that an import or a merge keeps; ValueError when there is none.

    >>> strictest(["granted", "withdrawn"])
    'withdrawn'
    """
    return min(states, key=STRICTEST.index)


def _said(permission: Permission | None, purpose: Purpose, *, confirming: bool) -> str | None:
    if permission is None:
        return "no_permission" if purpose.needs_yes else None
    if permission.state == "granted" or (permission.state == "pending" and confirming):
        return None
    # An interest needs no yes; only a no ends it.
    if permission.state == "pending" and purpose.basis == "interest":
        return None
    return permission.state


def _with_switches(purposes: Sequence[str]) -> frozenset[str]:
    named = frozenset(purposes)
    return named | frozenset(SWITCHES if ENGAGEMENT in named else ())
