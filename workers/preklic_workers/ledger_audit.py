"""The whole check of the ledger: its leaves, the heads kept elsewhere, the witness's copy, and the time stamps."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preklic_workers.ledger.parts import audit_parts
from preklic_workers.ledger.stamp_audit import Gap, check_stamp, gaps, time_of
from preklic_workers.ledger.stamps import Trust
from preklic_workers.ledger.verify import Altered, Head, read_checkpoint
from preklic_workers.ledger.witnessed import CosignerKey, cosignature
from preklic_workers.store import Store
from preklic_workers.store.cosignatures import Kept
from preklic_workers.witness import notes_of, size_of

Keys = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the ledger.

    Heads kept elsewhere with their files' names, the witness's copy, and whom to believe time stamps by (None: nobody
    is known here); one is due each `every`. `cosigned`: the last head that a signing witness says it knows;
    `cosigners`: whom to believe the cosignatures that are kept.
    """

    kept: Sequence[tuple[Path, Head]] = ()
    witness: Path | None = None
    trust: Trust | None = None
    every: dt.timedelta = dt.timedelta(hours=1)
    cosigned: str | None = None
    cosigners: Sequence[CosignerKey] = ()


@dataclass(frozen=True, slots=True)
class Audited:
    """All is as it was signed.

    `stamped`: the last stamp's time; `unchecked`: stamps that nobody here could check; `witnessed`: heads in the
    witness's copy, None without one; `lacking`: newer heads that are not in it;
    `cosigned`: the size of the last head that the signing witness knows, None without one; `cosignatures`: that are
    kept and are of these heads, `strange` more of them by witnesses whom nobody here knows.
    """

    head: Head | None
    stamps: int = 0
    stamped: dt.datetime | None = None
    unchecked: int = 0
    gaps: Sequence[Gap] = ()
    witnessed: int | None = None
    lacking: int = 0
    cosigned: int | None = None
    cosignatures: int = 0
    strange: int = 0


async def audit_all(store: Store, keys: Keys, beside: Beside, progress: Callable[[int], None]) -> Audited:
    """Raises Altered, Unavailable; OSError for a witness's copy that cannot be read."""
    kept = store.ledger.stamps
    # What is made of heads is looked at before the heads: what comes in meanwhile is for the next time.
    now, stamped, signed = kept.now(), await kept.sizes(), await kept.cosignatures.newest()
    copied = beside.witness.stat().st_size if beside.witness else 0
    heads = await store.ledger.checkpoints()
    notes = dict(heads)
    seen = Audited(await audit_parts(store.ledger, heads, keys, progress), len(stamped), unchecked=len(stamped))
    for path, head in beside.kept:
        _fits(notes, head, keys, str(path))
    cosigned = _cosigned(notes, keys, beside.cosigned) if beside.cosigned else None
    seen = await _counted(replace(seen, cosigned=cosigned), kept.cosignatures.up_to(signed), notes, beside.cosigners)
    witnessed = _witnessed(notes, keys, notes_of(beside.witness, copied)) if beside.witness else None
    if witnessed is not None:
        newest = max(witnessed, default=0)
        seen = replace(seen, witnessed=len(witnessed), lacking=sum(size > newest for size in notes))
    if beside.trust is None:
        return seen
    there, times = set(stamped), dict[int, dt.datetime]()
    async for one in kept.all():
        if one.size in there:
            times[one.size] = check_stamp(one, notes, time_of(await kept.last_leaf(one.size)), beside.trust)
    missed = gaps([pair for pair in await kept.times() if pair[0] in notes], times, beside.every, now)
    return replace(seen, stamps=len(times), stamped=max(times.values(), default=None), unchecked=0, gaps=missed)


async def _counted(
    seen: Audited, kept: AsyncIterator[Kept], notes: Mapping[int, str], cosigners: Sequence[CosignerKey]
) -> Audited:
    """The same with how many cosignatures are of this ledger's heads, by these witnesses and by others.

    Raises Altered.
    """
    good, strange, known = 0, 0, {(key.name, key.id.hex()): key for key in cosigners}
    async for one in kept:
        what = f"the cosignature of {one.size} leaves"
        if one.size not in notes:
            raise Altered(f"{what}: this ledger has no such head")
        name, _, rest = one.vkey.partition("+")
        key = known.get((name, rest.partition("+")[0]))
        if key is None:
            strange += 1
            continue
        cosignature(notes[one.size], one.line, key, what)
        good += 1
    return replace(seen, cosignatures=good, strange=strange)


def _cosigned(notes: Mapping[int, str], keys: Keys, note: str) -> int:
    """The size of the head that the signing witness knows, which this ledger has. Raises Altered."""
    what = "the head that the witness signed"
    head = read_checkpoint(note, keys, what)
    _fits(notes, head, keys, what)
    return head.size


def _witnessed(notes: Mapping[int, str], keys: Keys, copy: Iterable[tuple[int, str]]) -> set[int]:
    """The sizes of the heads in the copy, each of which this ledger has. Raises Altered."""
    sizes = set()
    for line, note in copy:
        size = size_of(note)
        if notes.get(size) != note:  # what is the same was checked with the ledger
            what = f"line {line} of the witness"
            _fits(notes, read_checkpoint(note, keys, what), keys, what)
        sizes.add(size)
    return sizes


def _fits(notes: Mapping[int, str], head: Head, keys: Keys, what: str) -> None:
    """This ledger has the head that was signed then. Raises Altered."""
    if head.size not in notes or read_checkpoint(notes[head.size], keys, what) != head:
        raise Altered(f"{what}: this ledger does not have the head of {head.size} leaves that it signed then")
