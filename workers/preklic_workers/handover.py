"""The conversation of one claimed mail with its relay: MAIL and RCPT, the gate, DATA (law 1b and c).

The relay's answer is waited for inside the session; what follows from it is recorded after the session is free again.
"""

import time
from collections.abc import Callable
from typing import Final, assert_never

import msgspec

from preklic_shared import telemetry
from preklic_shared.registry import Purpose
from preklic_workers.attempts import STOPPED_SECONDS, Attempt
from preklic_workers.compose.mails import Mail
from preklic_workers.outcomes import Outcome
from preklic_workers.permission import rests_on_choice
from preklic_workers.smtp.conversation import Accepted, Connection, Lost, Rejected, stuff
from preklic_workers.smtp.meter import TIERS
from preklic_workers.smtp.pool import RelayAway, Session
from preklic_workers.smtp.routes import INVALID, Route, lapsed
from preklic_workers.smtp.standing import failed, heard
from preklic_workers.store import GateBusy, GateLost, GatePassed, GateRefused, Handover, Store, held_by, moment

log = telemetry.logger(__name__)

GATE_SECONDS: Final = 2.0  # law 1c: an older answer of the gate is none
BULK_CLOSES_AFTER: Final = 60.0
LATE: Final = "withdrawals_late"
_SOON: Final = 5.0
LOST_CLAIM: Final = 30.0

ObserveReply = Callable[[str, str], None]


def unobserved(_relay: str, _kind: str) -> None:
    """No metrics."""


def since_boot() -> float:
    """Seconds by a clock that runs on while the machine sleeps and never goes back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Watch(msgspec.Struct, frozen=True):
    """What a hand-over looks at beside the store: `alive` is of the channel that brought the job."""

    alive: Callable[[], bool]
    clock: Callable[[], float] = since_boot
    observe: ObserveReply = unobserved
    bulk_closes_after: float = BULK_CLOSES_AFTER


class Late(msgspec.Struct, frozen=True):
    """The gate is not asked (channel_gone, withdrawals_late, processor_invalid), or it was and no DATA may begin.

    That is channel_gone or gate_late.
    """

    reason: str


class Conversed(msgspec.Struct, frozen=True):
    """How the conversation ended. `handed`: the hand-over was opened."""

    answer: Accepted | Rejected | Lost | GateRefused | GateBusy | GateLost | Late
    handed: bool


async def hand_over(attempt: Attempt, mail: Mail, route: Route, watch: Watch) -> Outcome:
    """Hand `mail` to the relay of `route` if the gate says so, and record what became of it."""
    try:
        ended = await _in_turn(attempt, mail, route, watch)
    except RelayAway as away:
        return await _no_session(attempt, away.reason, route, watch)
    heard(route, ended.answer, watch.clock())
    return await _recorded(ended, attempt, route, watch)


async def _in_turn(attempt: Attempt, mail: Mail, route: Route, watch: Watch) -> Conversed:
    """The conversation, once the limits let it begin. The turn comes after the place: a turn that waits is none."""
    provider = attempt.provider
    async with route.meter.places(provider):
        if (full := await route.meter.turn(attempt.store.leases, provider, watch.clock())) is not None:
            raise RelayAway(full)
        async with route.pool.session(provider) as session:
            return await _converse(session, attempt, mail, route, watch)


async def _recorded(ended: Conversed, attempt: Attempt, route: Route, watch: Watch) -> Outcome:
    attempt.passed = ended.handed
    match ended.answer:
        case Accepted() as accepted:
            watch.observe(route.name, "2xx")
            return await attempt.sent(accepted)
        case Rejected() as rejected:
            watch.observe(route.name, f"{rejected.reply.code // 100}xx")
            return await attempt.rejected(rejected, handed=ended.handed)
        case Lost() as lost:
            watch.observe(route.name, "lost")
            return await attempt.lost(lost, handed=ended.handed)
        case Late(reason):
            return await _late(attempt, reason, handed=ended.handed)
        case closed:
            return await _closed(attempt, closed)


async def _converse(session: Session, attempt: Attempt, mail: Mail, route: Route, watch: Watch) -> Conversed:
    # A slot may have been waited for, and a session may be older than the contract: no address after its last day.
    if (reason := lapsed(route)) is not None:
        return Conversed(Late(reason), handed=False)
    ready = await session.begin(mail.sender, mail.recipient, utf8=mail.smtputf8)
    if not isinstance(ready, Connection):
        return Conversed(ready, handed=False)
    if (reason := lapsed(route) or await no_gate(attempt, watch)) is not None:
        return Conversed(Late(reason), handed=False)
    asked = watch.clock()
    gate = await attempt.store.gate.pass_through(_handover(attempt))
    if not isinstance(gate, GatePassed):
        return Conversed(gate, handed=False)
    if (reason := too_late(watch.clock() - asked, watch.alive)) is not None:
        return Conversed(Late(reason), handed=True)
    return Conversed(await ready.data(stuff(mail.raw)), handed=True)


async def no_gate(attempt: Attempt, watch: Watch) -> str | None:
    """Why the gate is not even asked: no hand-over is opened that DATA could not follow (law 1)."""
    if (late := await withheld(attempt.store, attempt.purpose, watch.bulk_closes_after)) is not None:
        return late
    return None if watch.alive() else "channel_gone"


async def withheld(store: Store, purpose: Purpose, closes_after: float) -> str | None:
    """The reason when mail of this purpose waits: a no may have been on its way unseen for so many seconds."""
    if not purpose.marketing and purpose.lane != "bulk":
        return None
    return None if await store.marks.late(closes_after) is None else LATE


def too_late(seconds: float, alive: Callable[[], bool]) -> str | None:
    """Why DATA must not begin although the gate was passed, so many seconds after it was asked."""
    if not alive():
        return "channel_gone"
    return "gate_late" if seconds >= GATE_SECONDS else None


def _handover(attempt: Attempt) -> Handover:
    job = attempt.job
    return Handover(
        attempt.subject,
        job.id,
        attempt.epoch,
        attempt.purpose,
        moment(job.expires),
        attempt.confirming,
        attempt.individual,
        held_by(attempt.relay, job.campaign),
    )


async def _late(attempt: Attempt, reason: str, *, handed: bool) -> Outcome:
    if reason == INVALID:
        # Another relay may carry it, which the next attempt looks for; where there is none it is refused.
        return await attempt.later(_SOON, reason, count=False)
    if handed:
        return await attempt.given_back(_SOON, reason)
    return await attempt.later(STOPPED_SECONDS if reason == LATE else _SOON, reason, count=False)


async def _no_session(attempt: Attempt, reason: str, route: Route, watch: Watch) -> Outcome:
    if reason == "relay_busy" or reason in TIERS:
        return await attempt.later(TIERS.get(reason, _SOON), reason, count=False)
    failed(route, watch.clock())
    if reason == "relay_tls":
        log.error("a relay cannot prove itself: it gets no mail", relay=route.name)
    watch.observe(route.name, "tls" if reason == "relay_tls" else "lost")
    return await attempt.relay_away(reason)


async def _closed(attempt: Attempt, gate: GateRefused | GateBusy | GateLost) -> Outcome:
    match gate:
        case GateRefused("erased") if not rests_on_choice(attempt.purpose):
            # Erased between the reading and the gate: the next attempt records the contract's address again.
            return await attempt.later(_SOON, "erased", count=False)
        case GateRefused(reason):
            return await attempt.refused(reason)
        case GateBusy("open"):
            return await attempt.in_doubt("earlier_hand_over")
        case GateBusy("changed"):
            return await attempt.later(_SOON, "changed", count=False)
        case GateBusy():
            return await attempt.later(STOPPED_SECONDS, "stopped", count=False)
        case GateLost():
            return await attempt.later(LOST_CLAIM, "lost_claim", count=False)
        case _:
            assert_never(gate)
