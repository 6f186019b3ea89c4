"""Kill switches: what incident responders stop (all mail, a purpose, a relay, a campaign) or pause (a queue).

It holds until they let it go, or until a moment that they named: whoever reads the switch sees that it is over, so
nothing need be awake for it to end. A stop for a time never takes the place of a longer one.

Beside them stands the database's mark, which `upkeep` moves on every few seconds. One that went back, or is old, means
that a backup was restored under us: then `restored` holds all mail, whatever the switches say (attack 60).
"""

import datetime as dt
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from preklic_shared import telemetry
from preklic_shared.registry import Purpose
from preklic_workers.store.grouping import Grouper
from preklic_workers.store.mongo import Doc, Duplicate, Mongo

FRESH: Final = 1.0  # seconds that an answer is believed
ALL: Final = "all"
# A switch of its own: what stops all marketing must not be let go by letting one purpose go, nor the other way round.
MARKETING: Final = "marketing"
# Only `restore-check` lets this one go.
RESTORED: Final = "restored"
# A queue that is paused: `queue:<name>`. The gate does not ask for it, whoever takes jobs does.
_QUEUE: Final = "queue:"
_MARK: Final = "incarnation"
# The mark that a process sees first must be as young as this; afterwards it must not go back.
YOUNG: Final = dt.timedelta(minutes=5)

log = telemetry.logger(__name__)


class Mark(NamedTuple):
    """Where the database stands: a number that only rises, and a random id that no restored copy knows."""

    number: int
    id: str


@dataclass(frozen=True, slots=True)
class Control:
    """One switch, as it stands now.

    `name` is `all`, `marketing`, `restored`, `purpose:<key>`, `relay:<name>`, `campaign:<name>` or `queue:<name>`.
    `until` is when it ends, or ended, by itself; None: when somebody lets it go, or did.
    """

    name: str
    stopped: bool
    reason: str
    by: str
    at: dt.datetime
    until: dt.datetime | None = None

    @property
    def queue(self) -> str | None:
        """The queue that it pauses, None for any other switch."""
        return self.name.removeprefix(_QUEUE) if self.name.startswith(_QUEUE) else None


def switches(purpose: Purpose) -> tuple[str, ...]:
    """The names of the switches that hold mail of this purpose, whatever relay carries it. Pure."""
    return (RESTORED, ALL, *((MARKETING,) if purpose.marketing else ()), f"purpose:{purpose.key}")


def held_by(relay: str, campaign: str | None) -> tuple[str, ...]:
    """The names of the switches that hold mail by this relay and of this campaign, whatever its purpose. Pure."""
    return (f"relay:{relay}",) if campaign is None else (f"relay:{relay}", f"campaign:{campaign}")


def pause_of(queue: str) -> str:
    """The name of the switch that pauses this queue. Pure."""
    return f"{_QUEUE}{queue}"


def holds(doc: Doc, now: dt.datetime) -> bool:
    """Whether a switch, as it is recorded, holds now. Pure."""
    until: dt.datetime | None = doc.get("until")
    return bool(doc["stopped"]) and (until is None or until > now)


def believable(seen: Mark | None, found: Mark | None, age: dt.timedelta) -> bool:
    """Whether a database with the mark `found`, `age` old, may be the one whose last mark was `seen`. Pure.

    Without any mark nobody watches for restores. A database that never moves on again (its upkeep is away) stays good
    for a process that knows it, and is none for one that has just started: that cannot tell it from a restored one.
    """
    if found is None:
        return seen is None
    if seen is None:
        return age <= YOUNG
    return found.number > seen.number or found == seen


class Controls:
    """The collection `controls`. All methods raise `Unavailable`: a switch that cannot be read lets nothing pass."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._controls = mongo["controls"]
        self._stopped: frozenset[str] = frozenset()
        self._seen: Mark | None = None
        self._read_at = float("-inf")
        self._reads: Grouper[None, frozenset[str]] = Grouper(self._read_group)

    async def stopped(self, *names: str) -> str | None:
        """The first of `names` that is stopped, by a reading at most one second old."""
        current = self._stopped
        if time.monotonic() - self._read_at > FRESH:
            current = await self._reads(None)
        return next((name for name in names if name in current), None)

    async def look(self) -> frozenset[str]:
        """The names of all that is stopped or paused, by a reading of now."""
        return await self._reads(None)

    async def stop(self, name: str, *, reason: str, by: str, until: dt.datetime | None = None) -> bool:
        """Stop `name`, or until then; False when it is stopped for longer already, and stays so."""
        # What is over is let go first: who follows the changes then sees that it is stopped again.
        over: Doc = {"_id": name, "stopped": True, "until": {"$lte": self._mongo.now()}}
        await self._controls.change(over, {"$set": {"stopped": False}, "$unset": {"until": ""}}, {"_id": 1})
        return await self._set(name, stopped=True, reason=reason, by=by, until=until)

    async def go(self, name: str, *, reason: str, by: str) -> None:
        """Let `name` go again."""
        await self._set(name, stopped=False, reason=reason, by=by)

    async def close(self, *, reason: str, by: str) -> bool:
        """Stop all mail because a backup was restored; False when that was noticed before: the first time stays."""
        fields = {"stopped": True, "reason": reason, "by": by, "at": self._mongo.now()}
        try:
            where = {"_id": RESTORED, "stopped": {"$ne": True}}
            await self._controls.change(where, {"$set": fields, **_told(fields)}, {"_id": 1}, upsert=True)
        except Duplicate:
            return False
        self._read_at = float("-inf")
        return True

    async def all(self) -> list[Control]:
        """Every switch that was ever set, by name."""
        docs, now = await self._controls.find({"_id": {"$ne": _MARK}}, sort=[("_id", 1)]), self._mongo.now()
        return [
            Control(doc["_id"], holds(doc, now), doc["reason"], doc["by"], doc["at"], doc.get("until")) for doc in docs
        ]

    async def mark(self) -> tuple[Mark, dt.datetime, int] | None:
        """The database's mark, when it was made, and how many tombstones were told by then; None without one."""
        doc = await self._controls.find_one({"_id": _MARK})
        return None if doc is None else (_mark(doc), doc["at"], doc.get("told", 0))

    async def move(self, found: Mark | None, new: Mark, told: int) -> bool:
        """Set the mark from what it was to the next; False when it is another by now."""
        fields = {"stopped": False, "reason": "mark", "by": "upkeep", "at": self._mongo.now()}
        fields |= {"number": new.number, "mark": new.id, "told": told}
        where: Doc = {"_id": _MARK} | ({"number": found.number, "mark": found.id} if found else {"number": None})
        try:
            changed = await self._controls.change(where, {"$set": fields}, {"_id": 1}, upsert=found is None)
        except Duplicate:
            return False
        return changed is not None

    async def _set(self, name: str, *, stopped: bool, reason: str, by: str, until: dt.datetime | None = None) -> bool:
        fields: Doc = {"stopped": stopped, "reason": reason, "by": by, "at": self._mongo.now()}
        where: Doc = {"_id": name}
        update: Doc = {"$set": fields, "$unset": {"until": ""}, **_told(fields)}
        if until is not None:
            where["$or"] = [{"stopped": False}, {"until": {"$lte": until}}]
            update = {"$set": fields | {"until": until}, **_told(fields, until=until)}
        # Who is told twice of a duplicate found a longer stop; once may be another's first write at this moment.
        for _ in range(2):
            with suppress(Duplicate):
                await self._controls.change(where, update, {"_id": 1}, upsert=True)
                self._read_at = float("-inf")
                return True
        return False

    async def _read_group(self, asked: list[None]) -> list[frozenset[str] | Exception]:
        before = time.monotonic()
        fields = {"stopped": 1, "until": 1, "number": 1, "mark": 1, "at": 1}
        docs, now = await self._controls.find({"$or": [{"stopped": True}, {"_id": _MARK}]}, fields), self._mongo.now()
        names = {doc["_id"] for doc in docs if holds(doc, now)}
        if not self._believes(next((doc for doc in docs if doc["_id"] == _MARK), None)):
            names.add(RESTORED)
        if RESTORED in names - self._stopped:
            log.error("all mail is closed after a restore", switch=RESTORED)
        self._stopped, self._read_at = frozenset(names), before
        return [self._stopped] * len(asked)

    def _believes(self, doc: Doc | None) -> bool:
        found = None if doc is None else _mark(doc)
        age = dt.timedelta() if doc is None else self._mongo.now() - doc["at"]
        if not believable(self._seen, found, age):
            return False
        self._seen = found
        return True


def _told(fields: Doc, **more: dt.datetime) -> Doc:
    """The ledger's entry of a switch that is turned."""
    said = {"at": fields["at"], "what": "stopped" if fields["stopped"] else "goes"}
    return {"$push": {"leaves": said | {"by": fields["by"], "why": fields["reason"]} | more}}


def _mark(doc: Doc) -> Mark:
    return Mark(doc["number"], doc["mark"])
