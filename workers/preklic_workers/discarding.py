"""Lets dead letters go, and takes them back, as a person decides: recorded first, then done (law 7).

A dead withdrawal is a no until somebody has applied it (law 5, doubt is a no): no filter lets one go, and nobody by the
way. It is named alone, by a person who answers for it; or its no was applied and it only lies here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preklic_workers.store import MARKETING, Act, Doc, Fact, Store
from preklic_workers.store.discards import TOGETHER, Discards
from preklic_workers.upkeep import REVOKE

Tick = Callable[[int], None]
_LONGEST: Final = 500  # characters of a fact


class Withdrawal(Exception):
    """These are withdrawals, and nobody has answered for that."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Letters by what may become of them: to be turned, withdrawals left out, turned `already`, `otherwise` used.

    `unknown` are names that no letter has. `what` says how they were chosen.
    """

    letters: Sequence[Doc]
    what: Mapping[str, Fact]
    withdrawals: Sequence[Doc] = ()
    already: Sequence[Doc] = ()
    otherwise: Sequence[Doc] = ()
    unknown: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many letters turned, and how many were asked for; the act that records it, None when there was nothing.

    `marketing_stopped`: a withdrawal was among them, and all marketing stands still.
    """

    changed: int
    asked: int
    act: str | None = None
    marketing_stopped: bool = False


async def named(store: Store, names: Sequence[str], old: str, new: str) -> Chosen:
    """The letters of these ids (their own or their jobs'), by their state."""
    found = await Discards(store.mongo).named(names)
    known = {one["_id"] for one in found} | {one["job"] for one in found if "job" in one}
    return Chosen(
        letters=[one for one in found if one["state"] == old],
        what={"letters": _cut(" ".join(names))},
        already=[one for one in found if one["state"] == new],
        otherwise=[one for one in found if one["state"] not in {old, new}],
        unknown=[name for name in names if name not in known],
    )


async def matching(store: Store, state: str, where: Doc, text: str) -> Chosen:
    """The letters in this state that a sieve lets through; of the dead ones, without withdrawals."""
    found = await Discards(store.mongo).matching(state, where)
    what: dict[str, Fact] = {"where": _cut(text)}
    if state != "dead":
        return Chosen(found, what)
    mails = [one for one in found if not may_be_a_no(one)]
    return Chosen(mails, what, withdrawals=[one for one in found if may_be_a_no(one)])


def may_be_a_no(letter: Mapping[str, object]) -> bool:
    """Whether it may be somebody's withdrawal: all that came from `revoke`: what cannot be read may be one. Pure."""
    return REVOKE in {letter["queue"], letter.get("actor")}


async def discard(store: Store, chosen: Chosen, tick: Tick, *, by: str, why: str, law: bool = False) -> Outcome:
    """Let the letters go. `law`: the one letter is a withdrawal, and `by` answers for it. Raises Withdrawal."""
    left = [one for one in chosen.letters if may_be_a_no(one) and not await _applied(store, one)]
    if left and not (law and len(chosen.letters) == 1):
        raise Withdrawal(", ".join(sorted(one["_id"] for one in left)[:3]))
    act = await _record(store, "withdrawal_discarded" if left else "dead_discarded", chosen, by, why)
    discards, changed = Discards(store.mongo), 0
    for part in _parts(chosen.letters):
        changed += await discards.discard(part, by, why, str(act))
        tick(len(part))
    return Outcome(changed, len(chosen.letters), act, bool(left) and await _marketing_stopped(store))


async def undiscard(store: Store, chosen: Chosen, tick: Tick, *, by: str, why: str) -> Outcome:
    """Take the letters back. A withdrawal among them stops all marketing again, before it is dead again."""
    act = await _record(store, "dead_undiscarded", chosen, by, why)
    if nos := [one["_id"] for one in chosen.letters if may_be_a_no(one)]:
        await store.controls.stop(MARKETING, reason=f"the withdrawal {nos[0]} is dead again: {why}"[:_LONGEST], by=by)
    discards, changed = Discards(store.mongo), 0
    for part in _parts(chosen.letters):
        changed += await discards.undiscard(part, by, why, str(act))
        tick(len(part))
    return Outcome(changed, len(chosen.letters), act, bool(nos))


async def _marketing_stopped(store: Store) -> bool:
    return await store.controls.stopped(MARKETING) is not None


async def _applied(store: Store, letter: Doc) -> bool:
    """Whether the very withdrawal was applied all the same: its receipt says so."""
    receipt = await store.withdrawals.receipt(letter["job"]) if "job" in letter else None
    return receipt is not None and "applied" in receipt


async def _record(store: Store, kind: str, chosen: Chosen, by: str, why: str) -> str | None:
    """The act, None when there is nothing to do: to repeat a decision is not another one."""
    if not chosen.letters:
        return None
    whose = {one.get("person") for one in chosen.letters}
    person = whose.pop() if len(whose) == 1 else None
    facts: dict[str, Fact] = {**chosen.what, "count": len(chosen.letters)}
    return await store.acts.record(Act(kind, by, why, person=person, facts=facts))


def _parts(letters: Sequence[Doc]) -> Iterable[Sequence[Doc]]:
    return (letters[start : start + TOGETHER] for start in range(0, len(letters), TOGETHER))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
