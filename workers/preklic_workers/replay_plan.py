"""Makes replay plans: reads dead letters, the log or what is recorded, and judges each job by what is known today."""

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from preklic_shared.jobs import ACTORS
from preklic_shared.registry import Registry, load_registry
from preklic_shared.settings import Settings
from preklic_workers import joblog, looking
from preklic_workers.compose.composer import SHIPPED
from preklic_workers.moments import millis
from preklic_workers.replaying import MOST, WOULD_RUN, Facts, Found, Head, Wanted, item_of, plan_document, read
from preklic_workers.store import Store
from preklic_workers.store.letters import Letters
from preklic_workers.store.mongo import Doc
from preklic_workers.store.plans import Plans

# A producer's clock may be ahead of the broker's by five minutes, and time lands on a chunk of the log.
BEFORE: Final = dt.timedelta(minutes=10)
# How much later than its own time a job of the window may be logged or voided, having waited in an outbox.
LATE: Final = dt.timedelta(hours=1)
_PAGE: Final = 1000
_TOLD: Final = 1000  # entries of the log between two words on progress
_RECORDED: Final = ("kind", "producer", "created", "expires", "purpose", "template", "campaign")
_QUEUES: Final = {kind.KIND: queue for kind, queue in ACTORS.values()}

Tell = Callable[[str, int, int], None]


class TooMany(Exception):
    """More jobs than one plan holds: the message says how to narrow it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plan's jobs come from: the dead letters, what is recorded, or else the log. Times are aware.

    `where` is a condition on the dead letters, made by `sifting` of allowed fields.
    """

    dead: bool = False
    recorded: bool = False
    fingerprint: str | None = None
    where: Doc | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    wanted: Wanted = field(default_factory=Wanted)

    @property
    def word(self) -> str:
        """`dead`, `recorded` or `log`."""
        return "dead" if self.dead else "recorded" if self.recorded else "log"


def quiet(_step: str, _done: int, _total: int) -> None:
    """Tells nobody of progress."""


async def make_plan(store: Store, settings: Settings, source: Source, *, by: str, tell: Tell = quiet) -> dict[str, Any]:
    """A stored plan with its preview, and `notes` of what it cannot see. Raises TooMany, both rooms' Unavailable."""
    notes: list[str] = []
    if source.dead:
        found = await _dead(store, source)
    elif source.recorded:
        found = await _recorded(store, source)
    else:
        found, notes = await asyncio.to_thread(_logged, settings.amqp_url, source, store.mongo.now(), tell)
    found, facts = await _known(store, settings, found)
    registry, now = load_registry(settings.registry), _whole(store.mongo.now())
    tell("jobs judged", 0, len(found))
    items = [item_of(one, facts, registry, now) for one in found]
    tell("jobs judged", len(items), len(items))
    plan = plan_document(items, source.word, by, now) | ({"notes": notes} if notes else {})
    await Plans(store.mongo).add(plan)
    return plan


async def _dead(store: Store, source: Source) -> list[Found]:
    """The dead, the oldest first, each job once: of two letters the later one."""
    found: dict[str, tuple[dt.datetime, Found]] = {}
    asked = Letters(store.mongo).pages(fingerprint=source.fingerprint, queue=source.wanted.queue, where=source.where)
    async for page in asked:
        for doc in page:
            one = _found(str(doc.get("job", doc["_id"])), doc["queue"], doc.get("actor", ""), doc["body"], doc)
            if source.wanted.takes(one) and (one.job not in found or found[one.job][0] < doc["first"]):
                found[one.job] = doc["first"], one
        if len(found) > MOST:
            raise TooMany(f"more than {MOST} dead letters; narrow it with --where, --queue or --fingerprint")
    return [one for _, one in sorted(found.values(), key=lambda pair: pair[0])]


def _logged(url: str, source: Source, now: dt.datetime, tell: Tell) -> tuple[list[Found], list[str]]:
    """The window of the log without what was voided, each job once; by the job's own time, not the chunk's."""
    there = joblog.extent(url)
    start = None if there is None else _start(url, there, source.since)
    if there is None or start is None:
        return [], ["the log has nothing of this time: --recorded shows what is recorded of it"]
    end = _end(url, there, source.until, now)
    void: set[str] = set()
    found: dict[str, Found] = {}
    for entry in joblog.between(url, start, end):
        if entry.void:
            void.add(entry.job)
        elif entry.job not in found and joblog.within(entry, source.since, source.until):
            one = _found(entry.job, entry.queue, entry.actor, entry.body, {"user": entry.user}, entry.offset)
            found |= {one.job: one} if source.wanted.takes(one) else {}
        if len(found) > MOST:
            raise TooMany(_narrower(joblog.made(entry)))
        if (entry.offset - start) % _TOLD == 0:
            tell("entries of the log", entry.offset - start, end - start)
    return [one for job, one in found.items() if job not in void], _cut(there, source.since)


def _start(url: str, there: joblog.Extent, since: dt.datetime | None) -> int | None:
    return there.first.offset if since is None else joblog.offset_at(url, since - BEFORE)


def _end(url: str, there: joblog.Extent, until: dt.datetime | None, now: dt.datetime) -> int:
    """Up to where it must be read: its end, or what was logged so late that it cannot be of the window any more."""
    if until is None or until + LATE >= now:
        return there.last + 1
    return joblog.offset_at(url, until + LATE) or there.last + 1


def _narrower(at: dt.datetime | None) -> str:
    narrow = f"narrow it, as with --to {at:%Y-%m-%dT%H:%M:%S}" if at else "narrow it with --to"
    return f"more than {MOST} jobs; {narrow}, --queue, --purpose, --template, --campaign or --producer"


def _cut(there: joblog.Extent, since: dt.datetime | None) -> list[str]:
    """What to say where retention has taken a part of the window."""
    begins = joblog.made(there.first)
    if there.first.offset == 0 or begins is None or (since is not None and since >= begins):
        return []
    return [f"the log begins at {begins:%Y-%m-%d %H:%M:%S}: earlier jobs are not in this plan (see --recorded)"]


async def _recorded(store: Store, source: Source) -> list[Found]:
    """What is recorded of the window: it can be judged, and only what died still has its body."""
    span = {"$gte": source.since} if source.since else {}
    span |= {"$lt": source.until} if source.until else {}
    where: Doc = {"created": span} if span else {}
    where |= {"_id": {"$in": list(source.wanted.jobs)}} if source.wanted.jobs else {}
    found: list[Found] = []
    async for page in store.mongo["messages"].pages(where, dict.fromkeys(_RECORDED, 1), _PAGE):
        found += [one for one in map(_of_record, page) if source.wanted.takes(one)]
        if len(found) > MOST:
            raise TooMany(_narrower(None))
    return found


def _of_record(doc: Doc) -> Found:
    words = {name: doc[name] for name in ("purpose", "template", "campaign") if name in doc}
    times = (millis(doc["created"]), millis(doc["expires"]))
    head = Head(doc["_id"], doc["kind"], doc["producer"], *times, **words)
    return Found(head.job, _QUEUES.get(head.kind, ""), "", head, body=False)


def _found(job: str, queue: str, actor: str, body: bytes, origin: Doc, offset: int = -1) -> Found:
    """What a body on `queue` holds; `origin` has the `user` that published it, and a letter's id."""
    heard = read(bytes(body), queue, origin.get("user") or None)
    head, fault = (None, heard) if isinstance(heard, str) else (heard, "")
    named = actor if actor in ACTORS else "unknown"
    return Found(job, queue, named, head, fault, origin.get("_id", ""), offset)


async def _known(store: Store, settings: Settings, found: Sequence[Found]) -> tuple[list[Found], Facts]:
    """Those that are found, with the dead letters that they have, and all that decides about them today."""
    jobs = [one.job for one in found]
    heads = [one.head for one in found if one.head is not None]
    letters = {doc["job"]: doc for doc in await Letters(store.mongo).of_jobs(jobs)}
    states = dict(await looking.states(store, [*jobs, *(head.after for head in heads if head.after)]))
    for job, letter in letters.items():
        if letter["state"] == "discarded" and states.get(job) in {"dead", None}:
            states[job] = "discarded"
    facts = Facts(states, await _persons(store, heads), await _scheduled(store, jobs), _templates(settings))
    return [_with_letter(one, letters.get(one.job)) for one in found], facts


def _with_letter(one: Found, letter: Doc | None) -> Found:
    """A dead job's body is its letter's: who discards that ends it for every plan."""
    if one.letter or letter is None or letter["state"] != "dead":
        return one
    actor = letter.get("actor", one.actor)
    return Found(one.job, letter["queue"], actor, one.head, one.fault, letter["_id"], one.offset)


async def _persons(store: Store, heads: Iterable[Head]) -> dict[str, Any]:
    """The persons of mails that name one in their header, or were claimed once."""
    named = {head.job: bytes.fromhex(head.person) for head in heads if head.person}
    known = await store.persons.by_pids(list(set(named.values()))) if named else {}
    claimed = await looking.persons(store, [head.job for head in heads])
    return {job: known[pid] for job, pid in named.items() if pid in known} | dict(claimed)


async def _scheduled(store: Store, jobs: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(jobs), _PAGE):
        page = {"_id": {"$in": list(jobs[start : start + _PAGE])}}
        found |= {doc["_id"] for doc in await store.mongo["schedule"].find(page, {"_id": 1})}
    return found


def _templates(settings: Settings) -> frozenset[str]:
    """The names in the template folder of this machine."""
    return frozenset(path.parent.name for path in (settings.template_dir or SHIPPED).glob("*/template.toml"))


def _whole(at: dt.datetime) -> dt.datetime:
    """As MongoDB keeps it, for the plan's digest names it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


__all__ = ["WOULD_RUN", "Registry", "Source", "TooMany", "make_plan"]
