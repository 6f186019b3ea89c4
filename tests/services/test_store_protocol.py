"""Random walks through the gate protocol on the real store, with the faults that the model searches (law 1).

Two workers, deaths and freezes at every step, leases that pass, the reaper, doubt assumed, asked or sent once more,
late evidence, and one withdrawal; what the model calls a fault must never be seen here either.
"""

import asyncio
import random
from contextlib import suppress

import pytest

from preklic_shared.ids import new_id
from preklic_workers import doubt
from preklic_workers.store import Captured, Claimed, Ended, GateBusy, GatePassed, GateRefused, Withdraw
from storing import MINUTE, OFFERS, PAYMENT, claim_of, gated, grant, lease_passes, now, state, subject

WALKS, STEPS, AT_ONCE = 200, 40, 20


class Fault(AssertionError):
    """The protocol broke; the walk that did it is the message."""


class Walk:
    """One message of one person, walked through at random."""

    def __init__(self, store, seed, *, once):
        self.store, self.once, self.random = store, once, random.Random(seed)
        self.address = f"{new_id()}@primer.si"
        self.person, self.message = subject(self.address), new_id()
        # Consent for both, so that the withdrawal ends it; `once` decides what follows doubt.
        self.purpose = OFFERS
        self.workers = [None, None]
        self.bodies, self.no, self.listed, self.trace = 0, None, None, []

    async def go(self):
        await grant(self.store, self.address, OFFERS, PAYMENT, at=now() - 10 * MINUTE)
        for _ in range(STEPS):
            step = self.random.choices([self.work, self.die, self.world], [8, 1, 3])[0]
            await step(self.random.randrange(2))
        self.check(self.bodies <= 1 + self.once, "two bodies")
        if self.bodies:
            self.check(await self.recorded() != "refused", "refused, but a body went out")
        for worker in self.workers:
            if worker is not None:
                await worker.aclose()

    async def work(self, number):
        if self.workers[number] is None:
            self.workers[number] = self.worker(number)
        try:
            await anext(self.workers[number])
        except StopAsyncIteration:
            self.workers[number] = None

    async def die(self, number):
        if self.workers[number] is not None:
            self.trace.append(f"{number} dies")
            await self.workers[number].aclose()
            self.workers[number] = None

    async def world(self, _number):
        steps = [self.lease, self.reap, self.set_aside, self.prove, self.withdraw, self.apply]
        await self.random.choice(steps)()

    async def worker(self, number):
        """Each `yield` is a place to die or to freeze."""
        epoch = await self.claim(number)
        if epoch is None:
            return
        yield
        gate = await gated(self.store, self.person, self.message, epoch, self.purpose)
        self.trace.append(f"{number} gate {gate}")
        yield
        if isinstance(gate, GateRefused | GateBusy):
            end = "refused" if isinstance(gate, GateRefused) else "in_doubt"
            await self.store.messages.settle(self.message, epoch, end, reason="gate")
            return
        if not isinstance(gate, GatePassed):
            return
        self.check(self.no is None or gate.seq < self.no.seq, "a gate passed after the withdrawal")
        if self.random.random() < 0.2:
            self.trace.append(f"{number} gives back")
            await self.store.gate.pull(self.person, self.message, epoch)
            yield
            await self.store.messages.settle(self.message, epoch, "deferred", reason="gate_late")
            return
        self.trace.append(f"{number} DATA {epoch}")
        self.bodies += 1
        listed = self.listed is None or Captured(self.message, epoch) in self.listed
        self.check(listed, "a body after applied that the receipt does not list")
        yield
        await self.store.messages.settle(self.message, epoch, "sent")
        self.trace.append(f"{number} settles")
        yield
        await self.store.gate.pull(self.person, self.message, epoch)

    async def claim(self, number):
        claim = claim_of(self.message, self.person, self.purpose)
        answer = await self.store.messages.claim(claim)
        unknown = isinstance(answer, Ended) and answer.state == "in_doubt"
        if unknown and self.once and await self.store.once_more(self.message, self.person, answer.epoch):
            answer = await self.store.messages.claim(claim)
        self.trace.append(f"{number} claim {answer}")
        return answer.epoch if isinstance(answer, Claimed) else None

    async def lease(self):
        self.trace.append("lease passes")
        await lease_passes(self.store, self.message)

    async def reap(self):
        people = {self.message: self.person}
        for doc in await self.store.messages.overdue():
            if doc["_id"] == self.message and await self.store.persons.open_hand_overs(people):
                self.trace.append(f"reaped {await self.store.messages.reap(self.message, doc['epoch'])}")

    async def set_aside(self):
        if self.once:
            return
        for doc in await self.store.messages.doubtful([self.message]):
            end = self.random.choice(["assumed", "asked"])
            self.trace.append(f"{end} {await doubt.set_aside(self.store, doc, end, 'nothing_heard')}")

    async def prove(self):
        for doc in await self.store.messages.doubtful([self.message]) if self.bodies else ():
            self.trace.append(f"proven {await doubt.prove(self.store, doc, 'sent', 'delivered')}")

    async def withdraw(self):
        if self.no is None:
            no = Withdraw(new_id(), self.person, [OFFERS.key], "one_click", now())
            self.no = await self.store.withdrawals.withdraw(no)
            self.trace.append(f"withdrawn {self.no}")

    async def apply(self):
        if self.no is not None and self.listed is None:
            left = await self.store.withdrawals.drained(self.person, self.no.captured)
            self.listed = {*left.open, *left.stale}
            self.trace.append(f"applied, listed {self.listed}")

    async def recorded(self):
        with suppress(TypeError):  # nothing is recorded before the first claim
            return await state(self.store, self.message)

    def check(self, holds, fault):
        if not holds:
            raise Fault(f"{fault}:\n  " + "\n  ".join(self.trace))


@pytest.mark.attack(17, guard="preklic_workers.store.message_states:takeover")
@pytest.mark.parametrize("once", [False, True], ids=["never twice", "once more"])
async def test_no_walk_through_the_protocol_breaks_a_law(store, once):
    first = random.randrange(10**9)
    ends, bodies = set(), 0
    for start in range(first, first + WALKS, AT_ONCE):
        walks = [Walk(store, seed, once=once) for seed in range(start, start + AT_ONCE)]
        await asyncio.gather(*(walk.go() for walk in walks))
        bodies += sum(walk.bodies for walk in walks)
        ends |= {await walk.recorded() for walk in walks}
    assert bodies > WALKS / 10
    assert ends >= {"sent", "refused", "in_doubt"}
