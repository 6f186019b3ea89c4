"""A large ledger, verified on all processors: parts between signed heads, each by a process with a store of its own.

A part begins where the run before it says that the tree was; that run's own part shows whether this is so. So the first
finding of all parts, in their order, is the one that a walk from the beginning has.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from preklic_workers import looking
from preklic_workers.ledger.auditing import State, audit, check_dates, follow, heads_of
from preklic_workers.ledger.leaves import Leaf
from preklic_workers.ledger.runs import Dated, Run, Seals
from preklic_workers.ledger.tree import Edge
from preklic_workers.ledger.verify import Altered, Head, read_canonical
from preklic_workers.store.ledger import LedgerStore

PART: Final = 250_000  # leaves of one part, more or less
_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class Part:
    """The runs that begin from `start` up to `end`; `heads` are signed over leaves behind `start`."""

    start: int
    end: int
    heads: Sequence[Head]
    keys: Mapping[str, Sequence[bytes]]


def processes() -> Executor:
    """One for each processor. They are not forked off this one, which has threads and connections."""
    return ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"))


async def audit_parts(
    ledger: LedgerStore,
    checkpoints: Sequence[tuple[int, str]],
    keys: Mapping[str, Sequence[bytes]],
    progress: Callable[[int], None] = lambda _: None,
    *,
    size: int = PART,
    pool_of: Callable[[], Executor] = processes,
) -> Head | None:
    """What `audit` finds, by parts of this size where there is more than one. Raises `Altered`, `Unavailable`."""
    dates = await ledger.dated()
    places = _places(await ledger.begin_at([head for head, _ in checkpoints]), size)
    if not places:
        return await audit(ledger.runs(), checkpoints, keys, progress, dates)
    heads = _signed(checkpoints, dates, keys)
    starts, ends = [-_END, *places], [*places, _END]
    parts = [Part(a, b, [one for one in heads if a < one.size <= b], keys) for a, b in zip(starts, ends, strict=True)]
    await _all(parts, progress, pool_of())
    return heads[-1]


async def _all(parts: Sequence[Part], progress: Callable[[int], None], pool: Executor) -> None:
    try:
        loop = asyncio.get_running_loop()
        works = [loop.run_in_executor(pool, check, part) for part in parts]
        for work in works:
            work.add_done_callback(lambda done: done.cancelled() or done.exception())  # the first one alone is told
        for work in works:
            progress(await work)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _signed(
    checkpoints: Sequence[tuple[int, str]], dates: Sequence[Dated], keys: Mapping[str, Sequence[bytes]]
) -> list[Head]:
    check_dates(dates, Seals(keys))
    return heads_of(checkpoints, keys)


def _places(heads: Sequence[int], size: int) -> list[int]:
    """Where to cut: behind heads, about so many leaves apart. Pure."""
    found: list[int] = []
    for head in heads:
        if head >= (found[-1] if found else 0) + size:
            found.append(head)
    return found


def check(part: Part) -> int:
    """Verify one part on a store of this process's own; how many leaves. Raises `Altered`."""
    return looking.with_store("read", lambda opened, _: _checked(opened.ledger, part))


async def _checked(ledger: LedgerStore, part: Part) -> int:
    seen: list[int] = []
    state = _behind(part.start, await ledger.before(part.start) if part.start > 0 else None)
    await follow(ledger.runs_between(part.start, part.end), part.heads, Seals(part.keys), state, seen.append)
    return sum(seen)


def _behind(start: int, run: Run | None) -> State:
    """The state behind this run, as it says itself."""
    if start <= 0:
        return State()
    if run is None or run.end != start:
        return State(_unknown(start))
    try:
        edge = Edge(run.end, run.edge)
        last = Leaf(**read_canonical(run.leaves[-1], f"leaf {run.end - 1}"))
    except (Altered, ValueError, TypeError):
        return State(_unknown(start))
    return State(edge, last.at, start)


def _unknown(start: int) -> Edge:
    """An edge that leads to no head: whoever is behind it says so, and the part before it says it first."""
    return Edge(start, [b""] * start.bit_count())
