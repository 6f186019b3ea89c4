"""How one claimed attempt at a mail ends: what is recorded, in which order, and the outcome that follows (law 1d).

A certain end settles the message first and then pulls the hand-over; what goes back to a tier pulls first, because
nothing went out and a withdrawal need not wait for it. Doubt pulls nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, assert_never

from preklic_shared.jobs import SendJob
from preklic_shared.registry import Purpose
from preklic_workers import backoff
from preklic_workers.outcomes import Dead, Done, Outcome, Refused, RetryLater
from preklic_workers.permission import confirms
from preklic_workers.smtp.conversation import Accepted, Lost, Rejected
from preklic_workers.smtp.replies import Reply, Verdict, classify
from preklic_workers.store import Store, Unavailable, Withdraw

DOUBT_SECONDS: Final = 600.0  # before "once more": RFC 5321 gives the relay so long to answer
STOPPED_SECONDS: Final = 120.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


@dataclass(slots=True, eq=False)
class Attempt:
    """One claimed epoch of one mail. `number` counts attempts from 0; `again` marks the one repetition after doubt.

    `provider`: the class of the recipient's mailbox provider. `individual`: the mail that was composed holds fields of
    the person's profile. `passed` becomes true once it passed the gate, so that its hand-over was opened.
    """

    store: Store
    job: SendJob
    purpose: Purpose
    subject: str
    epoch: int
    number: int
    again: bool
    relay: str
    processor: str
    provider: str
    individual: bool = False
    passed: bool = False

    @property
    def confirming(self) -> bool:
        """Whether this is the one mail that asks to confirm a pending permission."""
        return confirms(self.purpose, self.job.template)

    async def refused(self, reason: str) -> Outcome:
        """A no, before any body: recorded, and over."""
        await self._settle("expired" if reason == "expired" else "refused", reason)
        return Refused(reason)

    async def dead(self, reason: str, field: str) -> Outcome:
        """Something that a person has to mend; `field` names the place, never a value."""
        await self._settle("dead", reason)
        return Dead(reason, field)

    async def later(self, seconds: float, reason: str, *, count: bool = True) -> Outcome:
        """Back to a tier; the claim is let go."""
        await self._settle("deferred", reason)
        return RetryLater(seconds, reason, count)

    async def relay_away(self, reason: str) -> Outcome:
        """No conversation came about. Until the job expires it is tried again, ever more seldom."""
        return await self.later(backoff.unending(self.number, self.purpose.retry, self.job.id), reason)

    async def given_back(self, seconds: float, reason: str) -> Outcome:
        """The hand-over was opened and no DATA begins: the owner takes it back (law 1b)."""
        await self._pull()
        return await self.later(seconds, reason, count=False)

    async def sent(self, accepted: Accepted) -> Outcome:
        """The relay took it: recorded whatever the epoch is by now, because who holds the hand-over knows."""
        await self._finish("sent", None, accepted.reply)
        return Done()

    async def rejected(self, answer: Rejected, *, handed: bool) -> Outcome:
        """A 4yz or 5yz reply is certain: nothing was taken. `handed`: a hand-over is open."""
        verdict = classify(answer.reply, answer.phase)
        match verdict:
            case Verdict.DEFERRED:
                return await self._deferred(answer.reply, handed=handed)
            case Verdict.POLICY_STOP:
                return await self._stopped(answer.reply, handed=handed)
            case Verdict.BOUNCED:
                await self._finish("bounced", verdict.value, answer.reply, heard=handed)
                await self._suppress()
                return Refused(verdict.value)
            case Verdict.FAILED:
                await self._finish("failed", verdict.value, answer.reply, heard=handed)
                return Refused(verdict.value)
            case Verdict.SENT:
                raise ValueError("a rejection is no acceptance")
            case _:
                assert_never(verdict)

    async def lost(self, lost: Lost, *, handed: bool) -> Outcome:
        """The conversation broke off: certain before the body was written, in doubt after it (law 2)."""
        if not certain(lost):
            return await self.in_doubt("lost_after_body")
        if lost.reason == "smtputf8":
            return await self.refused("undeliverable_smtputf8")
        if handed:
            await self._pull()
        return await self.relay_away("relay_lost")

    async def in_doubt(self, reason: str) -> Outcome:
        """Nobody knows whether it arrived. The hand-over stays; only what may repeat comes back, and once."""
        await surely(lambda: self._settle("in_doubt", reason))
        if self.purpose.in_doubt == "once_more" and not self.again:
            return RetryLater(DOUBT_SECONDS, "in_doubt", count=False)
        return Done()

    async def _deferred(self, reply: Reply, *, handed: bool) -> Outcome:
        seconds = backoff.tier_for(self.number, self.purpose.retry, self.job.id)
        if seconds is None:
            await self._finish("failed", "patience_ended", reply, heard=handed)
            return Refused("patience_ended")
        if handed:
            await self._pull()
        await self._settle("deferred", "deferred", reply, heard=handed)
        return RetryLater(seconds, "deferred")

    async def _stopped(self, reply: Reply, *, handed: bool) -> Outcome:
        """The relay objects to us, not to the person: the purpose stands still until somebody has mended that."""
        if handed:
            await self._pull()
        why = f"relay {self.relay} answered {reply.code} {reply.enhanced}"
        await self.store.controls.stop(f"purpose:{self.purpose.key}", reason=why, by="send")
        await self._settle("deferred", "policy_stop", reply, heard=handed)
        return RetryLater(STOPPED_SECONDS, "policy_stop", count=False)

    async def _suppress(self) -> None:
        """The mailbox is gone: nothing that rests on consent or interest is tried there again."""
        store = self.store
        no = Withdraw(self.job.id, self.subject, (), "bounce", store.mongo.now(), suppress="bounce")
        await surely(lambda: store.withdrawals.withdraw(no))
        await surely(lambda: store.withdrawals.applied(self.job.id, (), ()))

    async def _finish(self, state: str, reason: str | None, reply: Reply, *, heard: bool = True) -> None:
        await surely(lambda: self._settle(state, reason, reply, heard=heard))
        await self._pull()

    async def _pull(self) -> None:
        await surely(lambda: self.store.gate.pull(self.subject, self.job.id, self.epoch))

    async def _settle(self, state: str, reason: str | None, reply: Reply | None = None, *, heard: bool = False) -> None:
        codes = None if reply is None else {"code": reply.code, "enhanced": reply.enhanced}
        relay, processor = (self.relay, self.processor) if reply is not None else (None, None)
        await self.store.messages.settle(
            self.job.id,
            self.epoch,
            state,
            reason=reason,
            relay=relay,
            processor=processor,
            reply=codes,
            heard=heard,
            passed=self.passed,
        )


def certain(lost: Lost) -> bool:
    """Whether a conversation that broke off surely delivered nothing."""
    return not lost.body_sent


async def surely(write: Callable[[], Awaitable[object]]) -> None:
    """Repeat `write` until it is recorded: what we know now nobody else knows. Ends early by cancellation alone."""
    pause = _FIRST_PAUSE
    while True:
        try:
            await write()
        except Unavailable:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return
