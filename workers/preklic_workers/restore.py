"""`restore-check`: what must be done before a restored database may send mail again (attack 60, clause U7).

Wrapped keys of destroyed epochs are taken from the backup of the last turn; who was erased is erased again; every
revocation in the log that the copy does not know is brought back and waited for; every mail of the log that may have
gone out since is in doubt, so that nothing is sent twice. Only then it is the database from now on, and mail goes.
Each step may be repeated, and killed: the service stays closed until a run finds nothing left.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from preklic_shared.ids import job_id_for
from preklic_shared.jobs import RevokeJob, SendJob
from preklic_shared.registry import Registry
from preklic_shared.wire import Malformed, NewerVersion, decode
from preklic_workers import looking
from preklic_workers.incarnation import REASON, Incarnation
from preklic_workers.joblog import Entry
from preklic_workers.keyring import KeyRing
from preklic_workers.logread import Log, open_log
from preklic_workers.moments import moment
from preklic_workers.revoke import kept_groups, withdrawal_of
from preklic_workers.store import RESTORED, Act, Store, key_copies
from preklic_workers.store.restored import Restored
from preklic_workers.tombstones import Tombstone, Tombstones
from preklic_workers.turning import BACKUPS, Tell, silent
from preklic_workers.withdrawn_again import Noes, bring_back, first_offset

PATIENCE: Final = 300.0  # seconds for the revocations to be applied again
# The broker tells times by whole stretches; a mail of this moment waits behind the closed gate and is only doubted.
_AFTER_CLOSING: Final = dt.timedelta(seconds=10)
_PAGE: Final = 500


class Report(msgspec.Struct, frozen=True):
    """What one run did and found. `since`: the copy's last mark. `left`: why mail stays closed, in words."""

    restored: bool
    opened: bool = False
    since: dt.datetime | None = None
    keys: int = 0
    tombstones: int = 0
    erased: int = 0
    revocations: int = 0
    doubts: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreCheck:
    """One run. `accept` opens in spite of what nobody can mend: a log that was cut, lost tombstones."""

    store: Store
    url: str
    registry: Registry
    ring: KeyRing
    state: Path
    by: str
    reason: str
    tell: Tell = silent
    patience: float = PATIENCE
    accept: bool = False

    async def run(self) -> Report:
        """All steps. Raises Broken, BadCopy, Locked and both rooms' Unavailable; then mail stays closed."""
        tombstones = Tombstones(self.state, self.ring.blind)
        incarnation, controls = Incarnation(self.store.controls, self.state, tombstones), self.store.controls
        if await incarnation.look() and await self._closed() is None:
            return Report(restored=False)
        await controls.close(reason=REASON, by=self.by)
        closed = await self._closed() or self.store.mongo.now()
        await self.store.acts.record(Act("restore_checked", self.by, self.reason, facts={"accept": int(self.accept)}))
        report = await self._steps(tombstones, closed)
        if report.left:
            return report
        await incarnation.adopt()
        await controls.go(RESTORED, reason=self.reason, by=self.by)
        return msgspec.structs.replace(report, opened=True)

    async def _steps(self, tombstones: Tombstones, closed: dt.datetime) -> Report:
        mark, log = await self.store.controls.mark(), await open_log(self.url)
        since, told = (mark[1], mark[2]) if mark else (None, 0)
        begins = 0 if log is None else await first_offset(log, since)
        keys, gone = await self._keys()
        lasting = [*lost(tombstones, told), *gap(log, since)]
        lasting += [f"{gone} wrapped keys are of destroyed epochs and in no backup (--accept)"] if gone else []
        erased = await self._erase(tombstones)
        noes = Noes() if log is None else await bring_back(self.store, log, begins, self.tell, self.patience)
        doubts = await self._doubt(log, begins, closed, noes.void)
        return Report(
            restored=True,
            since=since,
            keys=keys,
            tombstones=tombstones.count,
            erased=erased,
            revocations=len(noes.again),
            doubts=doubts,
            left=(*(() if self.accept else lasting), *unapplied(noes)),
        )

    async def _closed(self) -> dt.datetime | None:
        """Since when mail is closed because of a restore."""
        return next((one.at for one in await self.store.controls.all() if one.name == RESTORED and one.stopped), None)

    async def _keys(self) -> tuple[int, int]:
        """Take keys from the newest backup where the copy's are of a destroyed epoch: how many, and how many not."""
        restored, folder = Restored(self.store.mongo), self.state / BACKUPS
        held = self.ring.epochs.numbers()
        counts = await self.store.vault.counts()
        gone = sum(count for group, epoch, count in counts if epoch not in held.get(group, ()))
        copy = next(reversed(key_copies.copies(folder)), None)
        if copy is None or (counts and not gone):
            return 0, gone
        put = 0
        for page in key_copies.paged(key_copies.read(folder, copy), _PAGE):
            there = [] if not counts else await restored.keys_of([doc["_id"] for doc in page])
            destroyed = [doc for doc in there if doc["epoch"] not in held.get(doc["_id"]["g"], ())]
            put += await restored.put_keys(page, destroyed, empty=not counts)
            self.tell("wrapped keys from the backup", put, copy.documents)
        return put, max(0, gone - put)

    async def _erase(self, tombstones: Tombstones) -> int:
        """Erase again who was erased; how many this database did not know of."""
        restored, page, done, again = Restored(self.store.mongo), list[Tombstone](), 0, 0
        for stone in tombstones.read():
            page.append(stone)
            if len(page) == _PAGE:
                again += await self._erase_page(restored, page)
                done, page = done + len(page), []
                self.tell("tombstones", done, tombstones.count)
        again += await self._erase_page(restored, page)
        self.tell("tombstones", tombstones.count, tombstones.count)
        return again

    async def _erase_page(self, restored: Restored, page: Sequence[Tombstone]) -> int:
        kept = partial(kept_groups, registry=self.registry, asked=True)
        again = await restored.unburied([(stone.subject, moment(stone.at)) for stone in page])
        for subject, at in again:
            no = withdrawal_of(erasure_job(subject, at), subject, self.registry)
            assert no is not None  # an erasure suppresses
            await self.store.withdrawals.withdraw(no)
            await self.store.withdrawals.applied(no.job, (), ())
            await self.store.erasures.erase(no.job, subject, at, kept, asked=True)
        return len(again)

    async def _doubt(self, log: Log | None, begins: float, closed: dt.datetime, void: set[str]) -> int:
        """Put in doubt every mail that may have gone out since the copy was made; how many this run did."""
        restored = Restored(self.store.mongo)
        doubts = await restored.doubt_under_way(closed)
        if log is None:
            return doubts
        async for stretch in log.stretches(await log.offset_at(closed + _AFTER_CLOSING)):
            mails = sends(stretch.entries, void)
            states = await looking.states(self.store, list(mails))
            doubts += await restored.doubt_unrecorded([job for job, _ in mails.values() if job.id not in states])
            dead = [job.id for job, offset in mails.values() if offset >= begins and states.get(job.id) == "dead"]
            doubts += await restored.doubt_dead(dead)
            self.tell("mails in the log", stretch.done, stretch.total)
        return doubts


def erasure_job(subject: str, at: dt.datetime) -> RevokeJob:
    """The withdrawal that an erasure is: the same one for the same tombstone, however often it is repeated. Pure."""
    ms = int(at.timestamp() * 1000)
    job = job_id_for("tombstone", f"{subject}|{ms}")
    return RevokeJob(id=job, producer="upkeep", at=ms, expires=ms, purposes="all", source="operator", erase=True)


def lost(tombstones: Tombstones, told: int) -> list[str]:
    """What is wrong with the tombstones beside this copy. Pure but for the look whether the file is there."""
    if tombstones.begins:
        return ["there are no tombstones: restore STATE_DIR from its own backup (--accept goes on without)"]
    if tombstones.count < told:
        return [f"{told - tombstones.count} tombstones are missing at the end: restore the file (--accept goes on)"]
    return []


def gap(log: Log | None, since: dt.datetime | None) -> list[str]:
    """What retention has taken from the log that the copy does not know either. Pure."""
    if log is None or log.begins is None or (since is not None and log.begins <= since):
        return []
    return [f"the log begins at {log.begins:%Y-%m-%d %H:%M}, after this copy: what was before is lost (--accept)"]


def unapplied(noes: Noes) -> list[str]:
    """The revocations that keep mail closed, in words. Pure."""
    left = [f"{len(noes.left)} revocations are not applied: does the role revoke run?"] if noes.left else []
    return left + ([f"{len(noes.dead)} revocations are dead: preklic dead list --queue revoke"] if noes.dead else [])


def sends(entries: Sequence[Entry], void: set[str]) -> dict[str, tuple[SendJob, int]]:
    """The mails of these entries by job id, each with its last offset. Pure."""
    found: dict[str, tuple[SendJob, int]] = {}
    for entry in entries:
        if entry.queue.startswith("send.") and entry.job not in void:
            job: Any = _decoded(entry)
            if isinstance(job, SendJob):
                found[job.id] = (job, entry.offset)
    return found


def _decoded(entry: Entry) -> object:
    try:
        return decode(entry.body, entry.queue)[1]
    except (Malformed, NewerVersion):
        return None
