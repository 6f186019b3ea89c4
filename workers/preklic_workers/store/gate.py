"""The gate (law 1): the last database write before DATA, grouped with those of the other jobs that run.

One atomic conditional update of each person's document, one statement for all mails of a purpose; then two finds at
once: is my hand-over there, and is the message's epoch still mine? When the outcome of the write is unknown, the
hand-over is read back with majority before anything goes on; what cannot be read is owed, and given back before the
next group.
"""

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Final

from pymongo import UpdateMany

from preklic_shared.registry import Purpose
from preklic_workers.permission import may
from preklic_workers.store.controls import Controls, switches
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.messages import Messages
from preklic_workers.store.mongo import Doc, Mongo, Unavailable
from preklic_workers.store.person_docs import FACTS, Opening, letting_go, passing, person_of
from preklic_workers.store.statements import Alike, write_together

_SEEN: Final = {"open.message": 1, "open.epoch": 1, "open.seq": 1}
_MOST_OWED: Final = 10_000
_LOOKS, _PAUSE = 5, 0.1


@dataclass(frozen=True, slots=True)
class Handover:
    """A mail that is ready for DATA. `person` is the suppression hash; `confirming` asks to confirm a pending grant.

    `individual`: the mail holds fields of the person's profile (U3). `also` names the switches that hold it beside its
    purpose's: those of its relay and its campaign.
    """

    person: str
    message: str
    epoch: int
    purpose: Purpose
    expires: dt.datetime
    confirming: bool = False
    individual: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatePassed:
    """The hand-over is open; `seq` is its place in the person's order."""

    seq: int


@dataclass(frozen=True, slots=True)
class GateRefused:
    """The answer is no: a reason of `permission.may`, `unknown` or `expired`."""

    reason: str


@dataclass(frozen=True, slots=True)
class GateBusy:
    """Not now. `open`: an earlier epoch's hand-over has not ended (its lease has: the message is in doubt).

    `stopped:<what>`: a kill switch is on; later.
    """

    reason: str = "open"


@dataclass(frozen=True, slots=True)
class GateLost:
    """The message is another epoch's, or over. The hand-over was given back already."""


GateAnswer = GatePassed | GateRefused | GateBusy | GateLost


class Gate:
    """Opens hand-overs and gives them back. All methods raise `Unavailable`: then no hand-over is to be used."""

    def __init__(self, mongo: Mongo, messages: Messages, controls: Controls) -> None:
        self._mongo = mongo
        self._persons = mongo["persons"]
        self._messages = messages
        self._controls = controls
        self._gates: Grouper[Handover, GateAnswer] = Grouper(self._group, forsake=True)
        self._pulls: Grouper[Opening, None] = Grouper(self._pull_group)
        self._owed: dict[Opening, None] = {}

    async def pass_through(self, handover: Handover) -> GateAnswer:
        """Ask for this hand-over. After `GatePassed` the caller has 2 s by its own clock to begin DATA."""
        if not handover.purpose.mail:
            return GateRefused("purpose_denied")
        if (stopped := await self._controls.stopped(*switches(handover.purpose), *handover.also)) is not None:
            return GateBusy(f"stopped:{stopped}")
        try:
            return await self._gates(handover)
        except asyncio.CancelledError:
            self._owe(handover)
            raise

    async def pull(self, person: str, message: str, epoch: int) -> None:
        """Take one epoch's hand-over off: its conversation has ended for certain, or never began."""
        await self._pulls(Opening(person, message, epoch))

    async def _group(self, handovers: list[Handover]) -> list[GateAnswer | Exception]:
        await self._pay()
        try:
            sure = (await write_together(self._persons, handovers, _alike, _openings)).sure
        except Unavailable:
            sure = False
        try:
            return await self._look(handovers, sure=sure)
        except BaseException:
            for handover in handovers:
                self._owe(handover)
            raise

    async def _look(self, handovers: list[Handover], *, sure: bool) -> list[GateAnswer | Exception]:
        people = list({handover.person for handover in handovers})
        names = [handover.message for handover in handovers]
        where: Doc = {"_id": {"$in": people}, "open.message": {"$in": names}}
        if sure:
            docs, epochs = await asyncio.gather(self._persons.find(where, _SEEN), self._messages.epochs(names))
        else:
            # In this order: a hand-over that lands late must not be verified by what was true before.
            docs = await self._read_back(where, len(names))
            epochs = await self._messages.epochs(names)
        seen = {Opening(doc["_id"], e["message"], e["epoch"]): e["seq"] for doc in docs for e in doc["open"]}
        answers = [self._answer(handover, seen, epochs, sure=sure) for handover in handovers]
        answers = await self._explain(handovers, answers)
        await self._pay()
        return answers

    async def _read_back(self, where: Doc, expected: int) -> list[Doc]:
        """What a majority has of hand-overs whose write did not say so; a short wait, for it may be on its way."""
        docs: list[Doc] = []
        for _ in range(_LOOKS):
            docs = await self._persons.find(where, _SEEN, majority=True)
            if sum(len(doc["open"]) for doc in docs) >= expected:
                break
            await asyncio.sleep(_PAUSE)
        return docs

    def _answer(
        self, handover: Handover, seen: dict[Opening, int], epochs: dict[str, int], *, sure: bool
    ) -> GateAnswer | Exception:
        seq = seen.get(_key(handover))
        if epochs.get(handover.message) != handover.epoch:
            self._owe(handover)
            return GateLost()
        if seq is not None:
            return GatePassed(seq)
        if not sure:
            # A majority does not have it yet; it may still come.
            self._owe(handover)
            return Unavailable("gate")
        return GateBusy()

    async def _explain(
        self, handovers: list[Handover], answers: list[GateAnswer | Exception]
    ) -> list[GateAnswer | Exception]:
        """Give those that did not pass their reason."""
        closed = {h.person for h, answer in zip(handovers, answers, strict=True) if isinstance(answer, GateBusy)}
        if not closed:
            return answers
        docs = await self._persons.find({"_id": {"$in": list(closed)}}, FACTS | {"open": 1})
        by_id = {doc["_id"]: doc for doc in docs}
        now = self._mongo.now()
        return [
            _reason(handover, by_id.get(handover.person), now) if isinstance(answer, GateBusy) else answer
            for handover, answer in zip(handovers, answers, strict=True)
        ]

    def _owe(self, handover: Handover) -> None:
        if len(self._owed) < _MOST_OWED:
            self._owed[_key(handover)] = None

    async def _pay(self) -> None:
        """Give back what an unknown outcome may have left open: before DATA the owner may always do that."""
        if not self._owed:
            return
        owed = list(self._owed)
        await self._pull_group(owed)
        for key in owed:
            self._owed.pop(key, None)

    async def _pull_group(self, pulls: list[Opening]) -> list[Exception | None]:
        result = await write_together(self._persons, pulls, lambda one: Alike(one.epoch, one.person), _lettings)
        if result.failed or not result.sure:
            raise Unavailable("pull")
        return [None] * len(pulls)


def _key(handover: Handover) -> Opening:
    return Opening(handover.person, handover.message, handover.epoch)


def _alike(handover: Handover) -> Alike:
    return Alike((handover.purpose.key, handover.confirming, handover.individual), handover.person)


def _openings(handovers: list[Handover]) -> list[UpdateMany]:
    one, expires = handovers[0], [handover.expires for handover in handovers]
    openings = [_key(each) for each in handovers]
    return [passing(openings, expires, one.purpose, confirming=one.confirming, individual=one.individual)]


def _lettings(pulls: list[Opening]) -> list[UpdateMany]:
    return [letting_go([one.person for one in pulls], [one.message for one in pulls], pulls[0].epoch)]


def _reason(handover: Handover, doc: Doc | None, now: dt.datetime) -> GateAnswer:
    if doc is None:
        return GateRefused("unknown")
    if any(entry["message"] == handover.message for entry in doc.get("open", ())):
        return GateBusy()
    no = may(person_of(doc), handover.purpose, confirming=handover.confirming)
    if no is not None:
        return GateRefused(no)
    if handover.expires <= now:
        return GateRefused("expired")
    # It was a no a moment ago and is a yes now, or the person objects to individual mail: compose and ask again.
    return GateBusy("changed")
