"""Legal holds (U13): who holds what of whom for which case, recorded first; released by an officer or by their end."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_shared.ids import new_id
from preklic_workers.law import Attempt, Law, NotFound, attempting
from preklic_workers.ledger.leaves import canonical
from preklic_workers.moments import millis
from preklic_workers.officers import Denied, Signer, check_signed
from preklic_workers.store import Act, Fact, Hold, NothingToHold, Store

HOLD: Final = "hold"
MOST_MAILS: Final = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hold as an officer asks for it. `mails` are job ids; `until` a moment (UTC) when it ends by itself.

    `octets`: the exact octets of what leaves while it stands are kept; their key is the person's of `contact`.
    """

    case: str
    groups: tuple[str, ...]
    until: dt.datetime
    reason: str
    mails: tuple[str, ...] = ()
    octets: bool = False


async def add(law: Law, signer: Signer, person: str, wanted: Wanted) -> Hold:
    """Hold what is there now, recorded first. Raises Denied for what is not there, and for what is no hold."""
    hold_id, now = new_id(), law.store.mongo.now()
    async with attempting(law, HOLD, Attempt(signer.name, person, hold_id)):
        check_wanted(wanted, now)
        await _check_there(law.store, person, wanted)
        hold = _signed(hold_id, signer, person, wanted, now)
        facts: dict[str, Fact] = {"hold": hold_id, "case": wanted.case, "groups": " ".join(wanted.groups)}
        facts |= {"until": wanted.until, "mails": len(wanted.mails), "octets": int(wanted.octets)}
        await law.store.acts.record(Act("hold_added", signer.name, wanted.reason, person, facts, id=hold_id))
        try:
            await law.store.holds.add(person, hold)
        except NothingToHold as gone:
            raise _nothing(gone.groups) from None
        except ValueError as error:
            raise Denied("too_many", str(error)) from None
        await law.store.holds.keep_mails(hold_id, person, wanted.mails)
    return hold


async def release(store: Store, person: str, hold: str, *, by: str, reason: str) -> frozenset[str]:
    """End a hold, recorded first, and complete what erasure waited for it; the groups that were emptied."""
    await store.acts.record(Act("hold_released", by, reason, person, {"hold": hold}))
    await store.holds.release(person, hold)
    return await complete(store, person, by=by, reason=f"the hold {hold} is released")


async def release_signed(law: Law, signer: Signer, hold: str, reason: str) -> tuple[str, frozenset[str]]:
    """`release` by an officer; the person besides. The same once more finishes what was left. Raises NotFound."""
    act = await law.store.acts.show(hold)
    if act is None or act.kind != "hold_added" or act.person is None:
        raise NotFound("there was never such a hold")
    return act.person, await release(law.store, act.person, hold, by=signer.name, reason=reason)


async def complete(store: Store, person: str, *, by: str, reason: str) -> frozenset[str]:
    """Empty what an erasure left to a hold that is gone, recorded first; the groups."""
    owed = await store.holds.owed(person)
    if not owed:
        return owed
    await store.acts.record(Act("erasure_completed", by, reason, person, {"groups": " ".join(sorted(owed))}))
    # Proofs, events and dead letters that stayed for the hold: first, for what is owed is what brings us here again.
    await store.erasures.end(person)
    return await store.holds.complete(person)


async def round_of(store: Store, now: dt.datetime) -> int:
    """One round: put the keys of who was erased under the holds, and release holds whose time is over; how many ended.

    What was interrupted is completed.
    """
    await store.holds.keys.catch_up()
    await store.holds.keys.move()
    ended = await store.holds.all(until=now)
    for person, hold in ended:
        await release(store, person, hold.id, by="upkeep", reason=f"its time was over at {hold.until:%Y-%m-%d %H:%M}")
    for person in await store.holds.waiting():
        await complete(store, person, by="upkeep", reason="no hold covers it")
    await store.holds.keys.sweep()
    await store.holds.copies.drop()  # what was on its way when a hold ended, or not in the ledger yet
    return len(ended)


def check_wanted(wanted: Wanted, now: dt.datetime) -> None:
    """Denied for a hold without a case, a reason, a scope or an end that is to come."""
    missing = [name for name in ("case", "reason", "groups") if not getattr(wanted, name)]
    if missing:
        raise Denied("missing", f"a hold needs: {', '.join(missing)}")
    if wanted.octets and "contact" not in wanted.groups:
        raise Denied("missing", "octets are kept under the key of contact: hold that group too")
    if wanted.until <= now:
        raise Denied("expired", "a hold ends in the future")
    if len(wanted.mails) > MOST_MAILS:
        raise Denied("too_many", f"a hold names at most {MOST_MAILS} mails: narrow the period, or add several holds")


async def _check_there(store: Store, person: str, wanted: Wanted) -> None:
    gone = await store.holds.lacking(person, wanted.groups)
    if gone is None or gone:
        raise _nothing(gone or ())
    if strange := set(wanted.mails) - set(await store.holds.own_mails(person, wanted.mails)):
        raise Denied("nothing_there", f"{len(strange)} of these are no recorded mails of this person")


def _nothing(groups: Sequence[str]) -> Denied:
    what = f"nothing is recorded of {', '.join(groups)}" if groups else "nobody of that name is recorded"
    return Denied("nothing_there", f"{what}: what is not there, or erased, cannot be held")


async def state_of(law: Law, person: str, hold: Hold) -> str:
    """`good`, or why the hold, with its copies of mails, is not (any more) what an officer of today signed."""
    kept = await law.store.holds.mails(person, hold.id)
    wanted = Wanted(hold.case, hold.groups, hold.until, "", tuple(mail["_id"] for mail in kept), hold.octets)
    shown = _said(hold.id, person, wanted)
    try:
        said = msgspec.json.decode(hold.body)
        if said != said | shown or hold.mails != shown["mails"]:
            return "altered"
        check_signed(hold.signed, HOLD, hold.body, HOLD, law.officers)
    except Denied as denied:
        return denied.code
    return "good"


def _said(hold: str, person: str, wanted: Wanted) -> dict[str, Any]:
    named = sorted(set(wanted.mails))
    digest = hashlib.sha256("\n".join(named).encode()).hexdigest()
    said: dict[str, Any] = {"id": hold, "person": person, "case": wanted.case, "groups": list(wanted.groups)}
    said |= {"until": millis(wanted.until), "octets": wanted.octets}
    return said | {"mails": len(named), "mails_sha256": digest}


def _signed(hold: str, signer: Signer, person: str, wanted: Wanted, now: dt.datetime) -> Hold:
    said = _said(hold, person, wanted)
    body = canonical(said | {"reason": wanted.reason})
    signed = signer.sign(HOLD, body, now)
    return Hold(hold, wanted.case, wanted.groups, now, wanted.until, said["mails"], body, signed, wanted.octets)
