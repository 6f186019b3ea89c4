"""What workers note for the auditor, and how a racing mail and its withdrawal are let go together.

Put on from outside, as fail points are; nothing of it changes what is done. Gates and withdrawals are noted with their
place in the person's order. When a gate with a racing mail is written, a document of the worker's own is written first
and last in the same command: it stands in the oplog with its time, as the person's does, and tells when a gate that
changed nothing was asked.
"""

import asyncio
import functools
import itertools
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from pymongo import UpdateOne

from faults.failpoints import Faults, is_gate, present
from preklic_shared import amqp
from preklic_shared.amqp import settle
from preklic_workers import handover
from preklic_workers.store.gate import Gate
from preklic_workers.store.mongo import Collection
from preklic_workers.store.person_docs import fresh
from preklic_workers.store.withdrawals import Withdrawals

# Mails of this purpose race with the withdrawal of it: each tells that it is at the gate's door and waits there until
# the driver, who knows when both are there, says at which moment to go on. What either needs to get there does not
# matter.
RACING: Final = "offers"
_PATIENCE: Final = 4.0  # seconds after which one whose other half did not come goes on alone
_OLD: Final = 60.0  # seconds
_WIDE: Final = 43  # characters of a person's id


class Door:
    """The gate's door in one worker, where mails or withdrawals wait for their moment."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._waiting: dict[str, asyncio.Future[None]] = {}
        faults.hear("go", self._told)

    async def wait(self, job: str) -> None:
        """Tell that a job is at the door, and wait until it may go on. One that is replayed has nobody to meet."""
        if time.time() - made(job) > _OLD:
            return
        self._waiting[job] = asyncio.get_running_loop().create_future()
        self._faults.tell("at_door", job=job)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._waiting[job]
        self._waiting.pop(job, None)

    def _told(self, orders: str) -> None:
        """`<job>@<seconds since the epoch>`, with blanks between."""
        loop, now = asyncio.get_running_loop(), time.time()
        for order in orders.split():
            job, _, moment = order.partition("@")
            loop.call_later(max(0.0, float(moment) - now), self._open, job)

    def _open(self, job: str) -> None:
        if (waiting := self._waiting.get(job)) is not None:
            settle(waiting, None)


def made(job: str) -> float:
    """When a job id was made (UUIDv7), in seconds since the epoch."""
    return int(job.replace("-", "")[:12], 16) / 1000


class Mark:
    """A document of this worker among the persons, written for its time alone: `seq` says which writing it was."""

    def __init__(self) -> None:
        self.name = f"witness-{os.getpid()}".ljust(_WIDE, "-")
        self._numbers = itertools.count(time.time_ns() // 1000)
        self.last: tuple[int, ...] = ()

    def around(self, ops: Sequence[Any]) -> list[Any]:
        """These writes between two of the mark."""
        self.last = (next(self._numbers), next(self._numbers))
        first, last = map(self._write, self.last)
        return [first, *ops, last]

    def _write(self, number: int) -> UpdateOne:
        made = fresh(self.name, os.urandom(16))
        made.pop("seq")
        return UpdateOne({"_id": made.pop("_id")}, {"$set": {"seq": number}, "$setOnInsert": made}, upsert=True)


def put_on(faults: Faults) -> None:
    """Note what the auditor compares, and let racing pairs meet. Raises AttributeError when a place is gone."""
    _witness_gates(faults)
    _witness_withdrawals(faults)
    _let_meet(Door(faults))
    made = present(amqp.Connection, "_proto_connection_made")

    @functools.wraps(made)
    def connected(self: Any, transport: Any) -> None:
        made(self, transport)
        faults.connected(transport)

    amqp.Connection._proto_connection_made = connected


def _witness_gates(faults: Faults) -> None:
    bulk, group = present(Collection, "bulk"), present(Gate, "_group")
    written, mark = [0], Mark()

    @functools.wraps(bulk)
    async def noted(self: Collection, ops: Any, **more: Any) -> Any:
        if not is_gate(ops):
            return await bulk(self, ops, **more)
        try:
            return await bulk(self, mark.around(ops) if mark.last else ops, **more)
        finally:
            written[0] = time.time_ns()

    @functools.wraps(group)
    async def asked(self: Gate, handovers: list[Any]) -> list[Any]:
        # One group is under way at a time, so what is noted here is this one's.
        mark.last = (0,) if any(asking.purpose.key == RACING for asking in handovers) else ()
        answers = await group(self, handovers)
        for asking, answer in zip(handovers, answers, strict=True):
            faults.tell("gate", **_gate(asking, answer), at=written[0], mark=mark.name, marks=mark.last)
        return answers

    Collection.bulk, Gate._group = noted, asked


def _gate(asking: Any, answer: Any) -> dict[str, object]:
    return {
        "job": asking.message,
        "epoch": asking.epoch,
        "person": asking.person,
        "purpose": asking.purpose.key,
        "answer": type(answer).__name__,
        "reason": getattr(answer, "reason", ""),
        "seq": getattr(answer, "seq", None),
    }


def _witness_withdrawals(faults: Faults) -> None:
    close, apply = present(Withdrawals, "_close"), present(Withdrawals, "applied")

    @functools.wraps(close)
    async def closing(self: Withdrawals, no: Any) -> Any:
        closed = await close(self, no)
        faults.tell("closed", job=no.job, person=no.subject, purposes=list(no.purposes), seq=closed.seq)
        return closed

    @functools.wraps(apply)
    async def applying(self: Withdrawals, job: str, *args: Any) -> Any:
        await apply(self, job, *args)
        faults.tell("applied", job=job, at=time.time_ns())

    Withdrawals._close, Withdrawals.applied = closing, applying


def _let_meet(door: Door) -> None:
    ask, enter = present(handover, "no_gate"), present(Withdrawals, "withdraw")

    @functools.wraps(ask)
    async def mail(attempt: Any, watch: Any) -> Any:
        # Before the gate's time runs. One that was given out again has lost its other half.
        if attempt.purpose.key == RACING and attempt.epoch == 1:
            await door.wait(attempt.job.id)
        return await ask(attempt, watch)

    @functools.wraps(enter)
    async def withdrawal(self: Withdrawals, no: Any) -> Any:
        if list(no.purposes) == [RACING]:
            await door.wait(no.job)
        return await enter(self, no)

    handover.no_gate, Withdrawals.withdraw = mail, withdrawal
