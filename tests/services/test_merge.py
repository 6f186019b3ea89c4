"""Two persons who turn out to be one, in a real store: what stands, what stays, and that it is one change."""

import asyncio
import random

import pytest

from preklic_shared.ids import job_id_for
from preklic_workers.permission import may
from preklic_workers.store import GatePassed, GateRefused, Merge, Unavailable, merges
from storing import MINUTE, NEWS, OFFERS, PAYMENT, REGISTRY, claimed, gated, grant, now, subject, withdraw

OLD, NEW, OTHER = "stara@primer.example", "nova@primer.example", "tretja@primer.example"


def merge_of(source, target):
    one, other = subject(source), subject(target)
    return Merge(job_id_for("merge", f"{one}\0{other}"), one, other, now())


async def states(store, address):
    return {key: said.state for key, said in (await store.persons.whole(subject(address))).permissions.items()}


@pytest.mark.clause("U1", guard="preklic_workers.store.merge_docs:leaving")
async def test_the_stricter_answer_stands_and_the_source_stays_as_a_no(store):
    await grant(store, OLD, NEWS, OFFERS, PAYMENT, ref="stranka 7", switches=["engagement.clicks"])
    await grant(store, NEW, NEWS, OFFERS, ref="stranka 8")
    await withdraw(store, NEW, NEWS)
    await store.persons.enrich(subject(OLD), "profile", {"name": "x"}, "web", now())
    found = await store.merges.merge(merge_of(OLD, NEW), REGISTRY)
    assert found.answers == {"newsletter": "withdrawn", "offers": "granted", "payment": "granted"}
    assert await states(store, NEW) == found.answers
    left = await states(store, OLD)
    assert {left[key] for key in (*REGISTRY.marketing, "payment", "engagement.clicks")} == {"withdrawn"}
    assert set(left.values()) == {"withdrawn", "objected"}
    for purpose in (NEWS, OFFERS):
        message = await claimed(store, subject(OLD), purpose)
        assert await gated(store, subject(OLD), message, purpose=purpose) == GateRefused("withdrawn")
    # A contract outlives it, as every no.
    assert isinstance(
        await gated(store, subject(OLD), await claimed(store, subject(OLD), PAYMENT), purpose=PAYMENT), GatePassed
    )
    assert await store.persons.all_by_ref("stranka 7") == await store.persons.all_by_ref("stranka 8") == [subject(NEW)]
    assert await store.persons.address_of(subject(OLD)) == OLD
    assert (
        await store.persons.fields(subject(OLD), "profile"),
        await store.persons.fields(subject(NEW), "profile"),
    ) == (
        {"name": "x"},
        {},
    )


async def test_a_third_name_and_a_suppression_come_along(store):
    await grant(store, OLD, NEWS, ref="a")
    await grant(store, NEW, NEWS, ref="b")
    await grant(store, OTHER, NEWS, ref="c")
    await withdraw(store, OTHER, OFFERS, suppress="bounce")
    for source in (OLD, OTHER):
        await store.merges.merge(merge_of(source, NEW), REGISTRY)
    assert {(await store.persons.by_ref(ref)).id for ref in "abc"} == {subject(NEW)}
    assert may(await store.persons.whole(subject(NEW)), NEWS) == "suppressed_bounce"
    assert await store.merges.merge(merge_of(NEW, OLD), REGISTRY) == "merged_elsewhere"


async def test_twice_is_once_and_a_later_yes_of_the_source_is_its_own(store):
    await grant(store, OLD, NEWS)
    await grant(store, NEW, NEWS)
    await store.merges.merge(merge_of(OLD, NEW), REGISTRY)
    before = await store.mongo["persons"].find({}, sort=[("_id", 1)])
    assert await store.merges.outlook(merge_of(OLD, NEW)) == "done"
    assert await store.merges.merge(merge_of(OLD, NEW), REGISTRY) == "done"
    assert await store.mongo["persons"].find({}, sort=[("_id", 1)]) == before
    assert await grant(store, OLD, OFFERS, at=now() + 6 * MINUTE) == {"offers": "granted"}
    assert await store.merges.merge(merge_of(OLD, NEW), REGISTRY) == "done"
    assert (await states(store, OLD))["offers"] == "granted"


async def test_killed_in_the_middle_neither_has_changed(store, monkeypatch):
    await grant(store, OLD, NEWS)
    await grant(store, NEW, NEWS, OFFERS)
    before = await store.mongo["persons"].find({}, sort=[("_id", 1)])

    class Cut(dict):
        """The target is written, and then the process is gone."""

        def items(self):
            yield next(iter(super().items()))
            raise Unavailable("killed")

    change = store.mongo.change_together
    with monkeypatch.context() as dying:

        async def cut(name, ids, decide):
            await change(name, ids, lambda docs: Cut(decide(docs)))

        dying.setattr(store.mongo, "change_together", cut)
        with pytest.raises(Unavailable):
            await store.merges.merge(merge_of(OLD, NEW), REGISTRY)
    assert await store.mongo["persons"].find({}, sort=[("_id", 1)]) == before
    assert (await store.merges.merge(merge_of(OLD, NEW), REGISTRY)).ended == ["offers"]


async def test_noes_and_gates_in_the_same_moment_lose_nothing(store):
    for number in range(15):
        old, new = f"stara{number}@primer.example", f"nova{number}@primer.example"
        for address in (old, new):
            await grant(store, address, NEWS, OFFERS)
        message = await claimed(store, subject(new))
        steps = [
            store.merges.merge(merge_of(old, new), REGISTRY),
            withdraw(store, random.choice((old, new)), NEWS),
            gated(store, subject(new), message),
        ]
        random.shuffle(steps)
        answers = await asyncio.gather(*steps)
        person = await store.persons.whole(subject(new))
        stopped = may(person, NEWS) or may(await store.persons.whole(subject(old)), NEWS)
        assert stopped == "withdrawn"
        assert may(person, OFFERS) is None
        passed = any(isinstance(answer, GatePassed) for answer in answers)
        assert [entry.message for entry in person.open] == ([message] if passed else [])


async def test_a_no_just_before_the_merge_is_always_in_it(store):
    await grant(store, OLD, NEWS)
    await grant(store, NEW, NEWS)
    await withdraw(store, OLD, NEWS)
    assert isinstance(await store.merges.merge(merge_of(OLD, NEW), REGISTRY), merges.Merged)
    assert may(await store.persons.whole(subject(NEW)), NEWS) == "withdrawn"
    assert await grant(store, NEW, NEWS, at=now()) == {"newsletter": "after_withdrawal"}
