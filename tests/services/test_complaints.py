"""The spam-rate stop on a real store: once, with its reason, and not again by the same complaints."""

import datetime as dt

import pytest

from preklic_shared.ids import new_id
from preklic_workers.complaints import Complaints
from preklic_workers.store import Event
from storing import HOUR, REGISTRY, now, subject

WHO = subject("ana@primer.si")


@pytest.fixture
def upkeep(store):
    return Complaints(store, REGISTRY)


async def deliver(store, count, purpose="newsletter", *, ago=dt.timedelta(), state="sent"):
    at = now() - ago
    same = {"kind": "send", "state": state, "producer": "website", "purpose": purpose, "created": at, "at": at}
    mails = [same | {"_id": new_id(), "expires": at + HOUR, "sent_at": at, "person": WHO} for _ in range(count)]
    result = await store.mongo["messages"].insert_many(mails)
    assert not result.failed
    return [mail["_id"] for mail in mails]


async def complain(store, mails, times=1):
    for number in range(times):
        await store.events.record(
            [Event(f"{mail}|complained|{number}", mail, WHO, "complained", "unknown", now()) for mail in mails]
        )


async def stopped(store, purpose="newsletter"):
    return {one.name: one for one in await store.controls.all() if one.stopped}.get(f"purpose:{purpose}")


async def test_one_in_a_thousand_stops_the_purpose_once_and_a_go_holds(store, upkeep):
    mails = await deliver(store, 3001)
    await complain(store, mails[:3], times=2)  # two reports of one mail are one complaint
    await upkeep.once()
    assert await stopped(store) is None
    await store.mongo["messages"].change({"_id": mails[-1]}, {"$set": {"state": "bounced"}}, {"_id": 1})
    await upkeep.once()
    switch = await stopped(store)
    assert switch.reason == "3 complaints about 3000 delivered mails in a day: 0.10 % or more"
    await upkeep.once()
    assert await stopped(store) == switch  # once: neither the time nor the reason moves on
    await store.controls.go("purpose:newsletter", reason="mended", by="test")
    await upkeep.once()
    assert await stopped(store) is None
    # The same campaign's late complaints do not stop it either; those about what goes out from now on do.
    await complain(store, mails[3:9])
    await upkeep.once()
    assert await stopped(store) is None
    again = await deliver(store, 1000)
    await complain(store, again[:3])
    await upkeep.once()
    assert (await stopped(store)).reason.startswith("3 complaints about 1000 delivered")


async def test_mail_that_is_no_marketing_and_other_days_are_left_alone(store, upkeep):
    await complain(store, (await deliver(store, 1000, "payment"))[:20])
    await deliver(store, 999)
    yesterday = await deliver(store, 10, ago=dt.timedelta(hours=25))
    await complain(store, yesterday)
    await upkeep.once()
    assert [one for one in await store.controls.all() if one.stopped] == []
    await deliver(store, 1, state="complained")  # a complaint that is recorded at the mail itself is a delivered one
    await complain(store, await deliver(store, 3))
    await upkeep.once()
    assert await stopped(store) is not None
    assert await stopped(store, "payment") is None
