"""An erasure under a hold, the change to the hold's key, and that hold's end, killed at each of their writes.

All is kept, or all is gone, and never is anything left to the person's own keys.
"""

import itertools

import pytest

from lawing import MOJCA, law_of
from ledgering import sequencer_of
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.holds import Wanted
from preklic_workers.opening import DISCLOSURE, open_fields
from preklic_workers.store import Unavailable
from preklic_workers.store.mongo import Collection
from storing import HOUR, NEWS, REGISTRY, claimed, grant, now, subject

WRITES = ("insert", "insert_many", "bulk", "change", "delete")


class Deaths:
    """Dies at the n-th write from now: before it, or after it with the answer lost."""

    def __init__(self, monkeypatch) -> None:
        self.left, self.after, self.died = 0, False, False
        for name in WRITES:
            monkeypatch.setattr(Collection, name, self._dying(getattr(Collection, name)))

    def at(self, left: int, *, after: bool) -> None:
        self.left, self.after, self.died = left, after, False

    def _dying(self, write):
        async def written(*given, **more):
            self.left -= 1
            dies = self.left == 0
            if dies and not self.after:
                self.died = True
                raise Unavailable("it died")
            result = await write(*given, **more)
            if dies:
                self.died = True
                raise Unavailable("it died")
            return result

        return written


async def finished(step):
    """The step, again and again until it comes to its end."""
    while True:
        try:
            return await step()
        except Unavailable:
            continue


async def keys_of(store, person):
    """Each key document of the person, as its group and what it is."""
    docs = await store.mongo.keys().find({"_id.p": person})
    return {(doc["_id"]["g"], "".join(doc["_id"])[2:]) for doc in docs}


async def opened(store, person):
    """What the ledger's leaves about this person open to."""
    await sequencer_of(store).once()
    runs = [run async for run in store.ledger.runs(person)]
    found = []
    for run in runs:
        places = [run.start + n for n, one in enumerate(run.persons) if one == person]
        found += (await store.ledger.opened(run, places)).values()
    return [one.content["entry"]["what"] for one in found if one is not None]


async def held_person(store, number):
    """Somebody with a profile and a mail, under a hold of address and evidence; the person and the hold."""
    address = f"p{number}@primer.si"
    person = subject(address)
    await grant(store, address, NEWS, at=now() - HOUR)
    await store.persons.enrich(person, "profile", {"name": "Ana"}, "form", now())
    message = await claimed(store, person)
    await store.messages.settle(message, 1, "sent", relay="main")
    wanted = Wanted("II P 12/2026", ("contact", "evidence"), now() + HOUR, "a lawsuit", (message,))
    return person, address, await holds.add(law_of(store), MOJCA, person, wanted)


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:held_groups")
async def test_killed_at_any_write_an_erasure_keeps_what_is_held_and_the_release_completes_it(
    emptied_store, monkeypatch
):
    store, deaths = emptied_store, Deaths(monkeypatch)
    dead = [True, True]
    for number in itertools.count(1):
        if not any(dead):
            break
        person, address, hold = await held_person(store, number)

        async def erase(person=person):
            done = await store.erasures.erase(new_id(), person, now(), lambda _: frozenset())
            await holds.round_of(store, now())
            return done

        async def release(hold=hold):
            return await holds.release_signed(law_of(store), MOJCA, hold.id, "judged")

        deaths.at(number, after=number % 2 == 0)
        assert await finished(erase)
        dead[0] = deaths.died
        deaths.at(0, after=False)
        assert await keys_of(store, person) == {("hold", "h")}
        assert await store.holds.keys.groups(person) == {"contact", "evidence"}
        assert await open_fields(store, REGISTRY, person, "contact", DISCLOSURE) == {"address": address}
        assert len(await store.holds.mails(person)) == 1
        assert "sent" in await opened(store, person)
        assert ("evidence", "") not in await keys_of(store, person)

        deaths.at(number, after=number % 2 == 1)
        await finished(release)
        dead[1] = deaths.died
        deaths.at(0, after=False)
        await holds.round_of(store, now())  # what the ledger set aside meanwhile
        assert await keys_of(store, person) == set()
        doc = await store.mongo["persons"].find_one({"_id": person})
        assert not {"held", "waiting"} & set(doc)
        assert await store.holds.mails(person) == []
        assert await store.proofs.opened(person) == []
        assert await opened(store, person) == []
    assert number > 12  # so many writes there are at least
