"""An erasure under a hold, the change to the hold's key, and that hold's end, killed at each of their writes.

All is kept, or all is gone, and never is anything left to the person's own keys.
"""

import asyncio
import contextlib
import itertools
import os
import random

import pytest

from lawing import MOJCA, law_of
from ledgering import sequencer_of
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.holds import Wanted
from preklic_workers.officers import Denied
from preklic_workers.opening import DISCLOSURE, open_fields
from preklic_workers.store import Unavailable
from preklic_workers.store.holding import alive
from preklic_workers.store.kept_keys import opens
from preklic_workers.store.mongo import Collection
from preklic_workers.store.vault import COLLECTION
from storing import HOUR, MINUTE, NEWS, REGISTRY, claimed, grant, now, subject

GROUPS_HELD = ("contact", "profile", "evidence")
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


class Walk:
    """A person who is held, erased, back and released in any order; `holds` are those that stand, with their groups."""

    def __init__(self, store, seed) -> None:
        self.store, self.chance, self.hours = store, random.Random(seed), 0
        self.address = f"walk{seed}@primer.si"
        self.person, self.holds, self.coming = subject(self.address), {}, asyncio.Lock()

    async def add(self):
        groups = tuple(self.chance.sample(GROUPS_HELD, self.chance.randint(1, 3)))
        wanted = Wanted("II P 12/2026", groups, now() + 9999 * HOUR, "a lawsuit")
        with contextlib.suppress(Denied):
            self.holds[(await holds.add(law_of(self.store), MOJCA, self.person, wanted)).id] = groups

    async def release(self):
        if self.holds:
            name = self.chance.choice(sorted(self.holds))
            del self.holds[name]
            await finished(lambda: holds.release_signed(law_of(self.store), MOJCA, name, "judged"))

    async def erase(self):
        async with self.coming:  # a yes that an erasure overtakes is another test's
            await finished(lambda: self.store.erasures.erase(new_id(), self.person, now(), lambda _: frozenset()))

    async def back(self):
        async with self.coming:
            await self._back()

    async def _back(self):
        self.hours += 1
        await finished(lambda: grant(self.store, self.address, NEWS, at=now() + self.hours * HOUR))
        await finished(lambda: self.store.persons.enrich(self.person, "profile", {"name": "Ana"}, "form", now()))

    async def round(self):
        await finished(lambda: holds.round_of(self.store, now()))

    async def sequence(self):
        await finished(lambda: sequencer_of(self.store).once())

    async def standing(self):
        """The holds that stand: one who died while adding may have added."""
        self.holds = {one.id: one.groups for one in await self.store.holds.of(self.person)}
        return {group for groups in self.holds.values() for group in groups}

    async def check(self):
        """What is held opens for the law; the person's own keys, those of the living, open nothing of it."""
        store, person, held = self.store, self.person, await self.standing()
        doc = await store.mongo["persons"].find_one({"_id": person})
        for group, name in (("contact", "address"), ("profile", "name")):
            there = await open_fields(store, REGISTRY, person, group, DISCLOSURE)
            assert set(there) == ({name} if group in held or alive(doc, group) else set()), (group, held)
        assert bool(await store.proofs.opened(person)) >= ("evidence" in held)
        await opened(store, person)  # of somebody who came back some are gone; none is taken for altered
        await self.round()
        assert await store.vault.groups(person) <= {group for group in GROUPS_HELD if alive(doc, group)}
        for group, stored in doc.get("held", {}).items():
            own = (await store.vault.keys_of([(person, group)])).get((person, group))
            assert own is None or not any(opens(own, bytes(one), person, COLLECTION, group) for one in stored)
        assert {doc["_id"]["h"] for doc in await store.mongo.keys().find({"held": person})} == set(self.holds)


@pytest.mark.clause("U13", guard="preklic_workers.store.holding:held_groups")
async def test_in_any_order_and_at_once_and_dying_all_is_kept_that_is_held_and_nothing_else(emptied_store, monkeypatch):
    """Random walks of one person each: two steps at once, one of their writes dies."""
    store, deaths = emptied_store, Deaths(monkeypatch)
    for seed in range(int(os.environ.get("HOLD_WALKS", "3"))):
        walk = Walk(store, seed)
        await walk.back()
        for _ in range(5):
            steps = [walk.add, walk.add, walk.release, walk.erase, walk.erase, walk.back, walk.round, walk.sequence]
            deaths.at(walk.chance.randint(1, 30), after=walk.chance.random() < 0.5)
            await asyncio.gather(*(step() for step in walk.chance.sample(steps, 2)), return_exceptions=True)
            deaths.at(0, after=False)
            await walk.round()
            monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + MINUTE * 11)
            await walk.round()
            await walk.check()
        await walk.erase()
        while await walk.standing():
            await walk.release()
        await walk.round()
        assert await keys_of(store, walk.person) == set()
