"""What follows from a bounce or complaint that came back after a relay had taken the mail.

A hard bounce and a complaint bring a revocation of their own. Here the mail's state follows, an address that bounced
softly for days is suppressed, and a refusal of us, not of the person, stops the purpose.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

from preklic_shared.ids import job_id_for
from preklic_shared.status_codes import refuses_us
from preklic_workers.store import Event, Store, Withdraw

RETURNS: Final = ("bounced", "complained")
WINDOW: Final = dt.timedelta(days=14)
SOFT_DAYS: Final = 3
"""Soft bounces on so many days within WINDOW, and nothing heard between: the mailbox is as good as gone."""


async def follow(store: Store, events: Sequence[Event]) -> set[str]:
    """Do what these events ask for; the mails that are still with a worker, for which it must be done again later.

    Repeating it, in any order, ends the same. Raises store.Unavailable.
    """
    back = [event for event in events if event.kind in RETURNS]
    if not back:
        return set()
    early = await store.returned.record({event.message: event.kind for event in sorted(back, key=_strength)})
    for person in sorted({event.person for event in back if event.bounce == "soft"}):
        since = store.mongo.now() - WINDOW
        if worn_out(heard := await store.events.of_person(person, since)):
            await _suppress(store, person, heard)
    for event in back:
        if event.bounce == "policy" and refuses_us(event.code):
            await _stop(store, event)
    return early


def worn_out(events: Iterable[Event]) -> bool:
    """Whether soft bounces came on SOFT_DAYS days with no delivery, and nothing of the person's own, between. Pure."""
    days: set[dt.date] = set()
    for event in sorted(events, key=lambda one: one.at):
        if event.kind == "bounced" and event.bounce == "soft":
            days.add(event.at.date())
        elif len(days) < SOFT_DAYS and (event.kind == "delivered" or event.verdict == "human"):
            days.clear()
    return len(days) >= SOFT_DAYS


async def _suppress(store: Store, person: str, events: Sequence[Event]) -> None:
    last = max((event for event in events if event.bounce == "soft"), key=lambda event: event.at)
    no = Withdraw(job_id_for("soft_bounces", f"{person}|{last.id}"), person, (), "bounce", last.at, suppress="bounce")
    await store.withdrawals.withdraw(no)
    await store.withdrawals.applied(no.job, (), ())


async def _stop(store: Store, event: Event) -> None:
    purpose = (await store.messages.show(event.message) or {}).get("purpose")
    if purpose is None:
        return
    # Whoever let the purpose go has seen what came before that: told again, it stops nothing a second time.
    said = next((one for one in await store.controls.all() if one.name == f"purpose:{purpose}"), None)
    # A stop for a time ends without anybody having looked.
    if said is None or said.until is not None or (not said.stopped and said.at < event.at):
        await store.controls.stop(f"purpose:{purpose}", reason=f"a bounce said {event.code}", by="track")


def _strength(event: Event) -> int:
    return RETURNS.index(event.kind)
