"""`preklic ledger verify`: reads the whole ledger again, and names the first record that is not what was signed."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from preklic_workers.ledger.leaves import Leaf, canonical
from preklic_workers.ledger.runs import Dated, Run, Seals, odd_side
from preklic_workers.ledger.tree import Edge, hashed
from preklic_workers.ledger.verify import Altered, Head, read_checkpoint

# What `leaf` makes, as octets: nothing is parsed where leaves look like this, and each is where one does not.
_REST: Final = rb',"commitment":"[A-Za-z0-9+/=]{44}","id":"[0-9a-f]{32}","kind":"[a-z_.]+","v":1\}\n'
_MANY: Final = re.compile(rb'\{"at":([1-9][0-9]{0,14})' + _REST + rb'(?:\{"at":\1' + _REST + rb")*")
_read = msgspec.json.Decoder(Leaf, strict=True).decode


@dataclass(slots=True)
class State:
    """How far it came; `good` leaves are as a signed head says.

    `leaves` grows by the leaves as they are, which their runs' own hashes say again.
    """

    leaves: Edge = field(default_factory=Edge)
    at: int = 0
    good: int = 0
    suspect: str | None = None


async def audit(
    runs: AsyncIterator[Run],
    checkpoints: Sequence[tuple[int, str]],
    keys: Mapping[str, Sequence[bytes]],
    progress: Callable[[int], None] = lambda _: None,
    dates: Sequence[Dated] = (),
) -> Head | None:
    """The last signed head when all is as it was signed, None for a ledger without one. Raises `Altered`.

    `keys`: the public keys (32 octets) that may sign, by the ledger's name. `dates`: when the heads were signed.
    """
    seals = Seals(keys)
    heads = heads_of(checkpoints, keys)
    check_dates(dates, seals)
    await follow(runs, heads, seals, State(), progress)
    return heads[-1] if heads else None


def heads_of(checkpoints: Sequence[tuple[int, str]], keys: Mapping[str, Sequence[bytes]]) -> list[Head]:
    """What these say, the size that each is kept under beside it. Raises `Altered`."""
    return [_head(size, note, keys) for size, note in checkpoints]


def check_dates(dates: Sequence[Dated], seals: Seals) -> None:
    """Raises `Altered` for the first head whose time was changed."""
    if odd := next((one for one in dates if not seals.good(one)), None):
        raise Altered(f"the checkpoint of {odd.size} leaves: its time was altered")


async def follow(
    runs: AsyncIterator[Run], heads: Sequence[Head], seals: Seals, state: State, progress: Callable[[int], None]
) -> None:
    """Go through these runs from `state` on, and past these heads. Raises `Altered`."""
    waiting = list(reversed(heads))
    async for run in runs:
        _follow(state, run, waiting)
        if not seals.good(run):
            state.suspect = state.suspect or _beside(run)
        progress(len(run.leaves))
    if waiting:
        raise Altered(f"leaf {state.leaves.size}: missing, the checkpoint of {waiting[-1].size} leaves signs it")
    if state.suspect is not None:
        raise Altered(state.suspect)


def _head(size: int, note: str, keys: Mapping[str, Sequence[bytes]]) -> Head:
    head = read_checkpoint(note, keys, f"the checkpoint of {size} leaves")
    if head.size != size:
        raise Altered(f"the checkpoint of {size} leaves: it is of {head.size}")
    return head


def _follow(state: State, run: Run, waiting: list[Head]) -> None:
    if run.start != state.leaves.size:
        twice = run.start < state.leaves.size
        raise Altered(
            state.suspect or f"leaf {min(run.start, state.leaves.size)}: {'there twice' if twice else 'missing'}"
        )
    found = hashed(b"\x00", run.leaves)  # `leaf_hash` of each
    if found != list(run.hashes):
        state.suspect = state.suspect or _first_odd(run, found)
    _look_at_all(state, run)
    ends = [head.size for head in reversed(waiting) if head.size <= run.end]
    for end in [*ends, run.end]:
        state.leaves.extend(found[state.leaves.size - run.start : end - run.start])
        if waiting and waiting[-1].size == end:
            _compare(state, waiting.pop())
    if state.leaves.hashes != tuple(run.edge):
        state.suspect = state.suspect or f"the run at leaf {run.start}: its edge was altered"


def _first_odd(run: Run, found: Sequence[bytes]) -> str:
    kept = [*run.hashes, *[b""] * len(found)]
    odd = next((place for place, one in enumerate(found) if one != kept[place]), len(found))
    more = len(found) - len(run.hashes)
    return f"leaf {run.start + odd}: {'altered' if not more else 'inserted' if more > 0 else 'missing'}"


def _beside(run: Run) -> str:
    odd = odd_side(run)
    if odd is None:
        return f"the run at leaf {run.start}: its time or its seal was altered"
    return f"leaf {odd}: what stands beside it was altered"


def _look_at_all(state: State, run: Run) -> None:
    """The form and the time of all leaves: at once where all say what nearly all do, or else one by one."""
    text = b"\n".join(run.leaves) + b"\n"
    # No field of these holds an end of line: so many lines that match are so many leaves.
    alike = _MANY.fullmatch(text) if text.count(b"\n") == len(run.leaves) else None
    if alike is not None and int(alike[1]) >= state.at:
        state.at = int(alike[1])
        return
    for place, octets in enumerate(run.leaves, run.start):
        _look(state, octets, place)


def _look(state: State, octets: bytes, place: int) -> None:
    """The form and the time of one leaf."""
    try:
        leaf = _read(octets)
        said = canonical(leaf) == octets
    except (msgspec.DecodeError, ValueError):
        state.suspect = state.suspect or f"leaf {place}: not in its form"
        return
    if not said or leaf.at < state.at:
        state.suspect = state.suspect or f"leaf {place}: {'the clock was set back' if said else 'not in its form'}"
    state.at = max(state.at, leaf.at)


def _compare(state: State, head: Head) -> None:
    """A head was signed over so many leaves: the leaves as they are lead to it, or they were changed."""
    if state.leaves.root() == head.root:
        if state.suspect is not None and "clock" not in state.suspect:
            raise Altered(f"{state.suspect} (the leaves are as signed; what was kept beside them is not)")
        state.good = head.size
        return
    # Who changed the hashes with the leaves hides which one it was, not between which two signatures.
    raise Altered(state.suspect or f"leaves {state.good} to {head.size - 1}: not those that were signed (a fork)")
