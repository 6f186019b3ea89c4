"""Upkeep: the reaper, which says what is in doubt, and the taking of dead letters into the store.

The reaper never pulls a hand-over (law 1e): only proof of how a conversation ended does that. What follows from a doubt
is decided in `doubt`.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from preklic_shared.jobs import CampaignJob, Job, SendJob, WebhookJob
from preklic_shared.metrics import ASKED, IN_DOUBT
from preklic_shared.registry import Registry
from preklic_shared.wire import Malformed, NewerVersion, decode
from preklic_workers import doubt, reviewing
from preklic_workers.moments import moment
from preklic_workers.store import MARKETING, DeadLetter, Store

REVOKE: Final = "revoke"  # the queue of withdrawals, and their actor
_FAULTS: Final = ("unexpected:", "unreadable:")  # what follows is the exception's class
_ABOUT: Final = ("purpose", "template", "campaign")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one round did: claims marked in doubt, what became of the doubts, and how many are left."""

    in_doubt: int
    round: doubt.Round
    left: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What upkeep stands on."""

    store: Store
    registry: Registry

    async def reap(self, now: dt.datetime) -> Reaped:
        """One round: overdue claims with an open hand-over become in doubt; the others are left to redelivery.

        Those that nobody can redeliver in time are over.
        """
        marked = await self._reap_claims()
        await self._lapse()
        looked = await doubt.look(self.store, self.registry, now)
        left = await self.store.messages.count_doubts()
        IN_DOUBT.set(sum(left.values()))
        ASKED.set(left["asked"])
        return Reaped(marked, looked, sum(left.values()))

    async def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter, and say `dead` of its job. A dead withdrawal stops all marketing."""
        letter = await self._known(letter)
        await self.store.dead.add(letter)
        if letter.person is not None:
            await self.store.erasures.finish(letter.person)
        if says_no(letter):
            why = f"the withdrawal {letter.job or letter.id} is dead: {letter.reason}"
            await self.store.controls.stop(MARKETING, reason=why, by="upkeep")
        job = job_of(letter)
        if job is not None:
            kind, producer, expires = job
            await self.store.messages.died(str(letter.job), kind, letter.reason, producer=producer, expires=expires)
            await self._doubt_dead(str(letter.job))
            if (name := campaign_of(letter)) is not None:
                await self.store.campaigns.name_in(str(letter.job), name)

    async def sweep(self, since: dt.datetime) -> int:
        """Let go of hand-overs that mails which ended since then left open; how many mails did.

        How the epoch that ended a mail ended is proven, and its hand-over goes; of the others it is not known.
        """
        ended = {doc["_id"]: doc for doc in await self.store.messages.retried(since) if "person" in doc}
        left = await self._open({message: doc["person"] for message, doc in ended.items()})
        for message in left:
            doc = ended[message]
            if "ended" in doc:
                await self.store.gate.pull(doc["person"], message, doc["ended"])
            await self.store.persons.to_stale(doc["person"], message, doc["epoch"])
        return len(left)

    async def silent(self) -> int:
        """How many persons are to be reviewed, for nothing was heard of them (U7)."""
        return await reviewing.count(self.store, self.registry)

    async def _reap_claims(self) -> int:
        overdue = await self.store.messages.overdue()
        open_ones = await self._open({doc["_id"]: doc["person"] for doc in overdue if "person" in doc})
        due = [doc for doc in overdue if doc["_id"] in open_ones]
        return sum([await self.store.messages.reap(doc["_id"], doc["epoch"]) for doc in due])

    async def _lapse(self) -> None:
        """A mail whose time is over and whose job is gone would wait for ever."""
        lapsed = await self.store.messages.lapsed()
        open_ones = await self._open({doc["_id"]: doc["person"] for doc in lapsed if "person" in doc})
        if over := [doc for doc in lapsed if doc["_id"] not in open_ones]:
            await self.store.messages.lapse(over)

    async def _known(self, letter: DeadLetter) -> DeadLetter:
        """The letter with what its mail's claim says: with the person it is found when that person is erased."""
        found = await self.store.messages.show(letter.job) if letter.job is not None else None
        return letter if found is None else of_message(letter, found)

    async def _doubt_dead(self, job: str) -> None:
        """Its mail may be in DATA. One looks when the death is recorded: nobody opens a hand-over of it any more."""
        doc = await self.store.messages.show(job) or {}
        if doc.get("state") == "dead" and "person" in doc and await self._open({job: doc["person"]}):
            await self.store.messages.doubt(job, "dead_in_data")

    async def _open(self, subjects: Mapping[str, str]) -> set[str]:
        return await self.store.persons.open_hand_overs(subjects) if subjects else set()


def campaign_of(letter: DeadLetter) -> str | None:
    """The campaign that something was asked of, None for any other job. Pure."""
    try:
        _, job = decode(letter.body, letter.queue)
    except (Malformed, NewerVersion):
        return None
    return job.campaign if isinstance(job, CampaignJob) else None


def says_no(letter: DeadLetter) -> bool:
    """Whether it may be somebody's no: all that was taken from `revoke`, for what cannot be read may be one. Pure."""
    return REVOKE in {letter.queue, letter.actor}


def letter_of(body: bytes, message_id: str, headers: Mapping[str, Any]) -> DeadLetter:
    """The dead letter in a delivery from the queue `dead`: the headers say why, the body is as it came. Pure."""
    queue = str(headers.get("queue", ""))[:64]
    job, actor, about = message_id, None, {}
    try:
        actor, decoded = decode(body, queue)
        job, about = decoded.id, _clear(decoded)
    except (Malformed, NewerVersion):
        pass
    at = headers.get("at")
    return DeadLetter(
        id=message_id,
        job=job,
        queue=queue,
        actor=actor,
        reason=str(headers.get("reason", "unknown"))[:200],
        fingerprint=str(headers.get("fingerprint", "unknown"))[:64],
        attempts=int(headers.get("attempts", 0)),
        at=moment(at) if isinstance(at, int) else dt.datetime.now(dt.UTC),
        body=body,
        field=str(headers.get("field", ""))[:100],
        **_cause(headers),
        **about,
    )


def of_message(letter: DeadLetter, message: Mapping[str, Any]) -> DeadLetter:
    """The letter with what its mail's record says and its own header did not: whose it was, the relay's last code."""
    said = {name: getattr(letter, name) or message.get(name, "") for name in _ABOUT}
    code = letter.code or message.get("reply", {}).get("enhanced", "")
    return replace(letter, person=message.get("person"), code=_word(code), **said)


def _cause(headers: Mapping[str, Any]) -> dict[str, str]:
    """What failed, and who had published it."""
    reason = str(headers.get("reason", ""))
    said = {"frame": headers.get("frame"), "code": headers.get("code"), "user": headers.get("by")}
    said |= {"exception": reason.partition(":")[2] if reason.startswith(_FAULTS) else ""}
    return {name: _word(value) for name, value in said.items()}


def _clear(job: Job) -> dict[str, str]:
    """What the clear header says the mail was about; nothing for another kind of job."""
    said = {name: getattr(job, name, None) for name in _ABOUT} if isinstance(job, SendJob) else {}
    return {name: value for name, value in said.items() if value}


def _word(value: object) -> str:
    """The value if it is a plain word of ours, else nothing: what the validator refuses would keep the letter out."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""


def job_of(letter: DeadLetter) -> tuple[str, str, dt.datetime] | None:
    """Kind, producer and expiry of the job in a dead letter, None when it cannot be read. Pure.

    None also for a webhook: it is in no log and in no account, its dead letter is all that is recorded of it.
    """
    try:
        _, job = decode(letter.body, letter.queue)
    except (Malformed, NewerVersion):
        return None
    if isinstance(job, WebhookJob):
        return None
    return ("send" if isinstance(job, SendJob) else job.KIND), job.producer, moment(job.expires)
