"""The noes of a list: each closes the gate as every withdrawal does, whatever its date, and has its receipt.

An import of a no is a no that arrives now: it ends even a yes that is younger than the row says (law 5, the stricter
answer). Repeating it is harmless: its receipt remembers when it arrived first.
"""

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from preklic_shared.registry import Registry
from preklic_workers.permission import stopped_by
from preklic_workers.revoke import DRAIN_SECONDS, drained, kept_groups
from preklic_workers.store import Captured, Doc, Store, Withdraw

REASON: Final = "import"
_TOGETHER: Final = 1_000  # noes that are applied at the same time


@dataclass(frozen=True, slots=True)
class ListNo:
    """A no of a list: its job, the person's suppression hash, and how it was said."""

    job: str
    subject: str
    state: Literal["withdrawn", "objected"]


def ended_by(purposes: Sequence[str], registry: Registry) -> frozenset[str]:
    """The purposes and switches that the noes of a list for `purposes` end: never what a contract demands. Pure."""
    return stopped_by("operator", purposes, registry)


async def withdraw(store: Store, registry: Registry, noes: Sequence[ListNo], ended: frozenset[str]) -> None:
    """Apply them all: gates closed, what was under way ended or listed, erased where no basis is left. Unavailable."""
    for start in range(0, len(noes), _TOGETHER):
        await _withdraw(store, registry, noes[start : start + _TOGETHER], ended)


async def _withdraw(store: Store, registry: Registry, noes: Sequence[ListNo], ended: frozenset[str]) -> None:
    receipts = await store.imports.receipts([no.job for no in noes])
    left = [no for no in noes if "applied" not in receipts.get(no.job, {})]
    withdrawals = [_withdrawal(no, ended, registry, receipts.get(no.job), store.mongo.now()) for no in left]
    closed = await asyncio.gather(*(store.withdrawals.withdraw(one) for one in withdrawals))
    # A receipt that is not applied was killed on its way: perhaps between a person's erasure and that of the keys.
    erasable = await store.persons.with_contact([one.subject for one in withdrawals])
    erasable |= {one.subject for one in withdrawals if one.job in receipts}
    ends = zip(withdrawals, closed, strict=True)
    await asyncio.gather(*(_end(store, registry, one, seen.captured, one.subject in erasable) for one, seen in ends))


async def _end(
    store: Store,
    registry: Registry,
    no: Withdraw,
    captured: tuple[Captured, ...],
    erasable: bool,  # noqa: FBT001 - said once, above
) -> None:
    listed = await drained(store, no.subject, captured, DRAIN_SECONDS)
    if erasable:
        await store.erasures.erase(no.job, no.subject, no.at, partial(kept_groups, registry=registry, asked=False))
    # The last write of the row: an import that runs again does what comes before it once more.
    await store.withdrawals.applied(no.job, [one for one in captured if one not in listed], listed)


def _withdrawal(
    no: ListNo, ended: frozenset[str], registry: Registry, receipt: Doc | None, now: dt.datetime
) -> Withdraw:
    interests = {key for key in ended if (one := registry.get(key)) is not None and one.basis == "interest"}
    return Withdraw(
        job=no.job,
        subject=no.subject,
        purposes=sorted(ended),
        reason=REASON,
        at=receipt["accepted"] if receipt is not None else now,
        objected=ended if no.state == "objected" else frozenset(interests),
    )
