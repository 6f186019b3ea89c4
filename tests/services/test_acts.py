import pytest
from pymongo.errors import WriteError

from preklic_workers.store import Act
from storing import HOUR, now, subject

ANA = "ana@primer.si"


async def test_an_act_is_kept_as_it_was_told_and_found_by_person_and_kind(store):
    first = Act("disclosed", "mojca", "II Kpr 12/2026", subject(ANA), {"groups": "contact", "count": 2, "until": now()})
    await store.acts.record(first)
    await store.acts.record(Act("epoch_turned", "upkeep", "30 days", keep=now() + HOUR))
    (found,) = await store.acts.of(person=subject(ANA))
    assert (found.id, found.why, found.facts) == (first.id, first.why, first.facts)
    assert [act.kind for act in await store.acts.of()] == ["epoch_turned", "disclosed"]
    assert await store.acts.of(kind="exported") == []


@pytest.mark.parametrize("facts", [{"To": ANA}, {"address": {"a": 1}}, {"seen": "x" * 501}, {"$where": 1}])
async def test_an_act_has_no_place_for_what_was_seen(store, facts):
    with pytest.raises((WriteError, ValueError)):
        await store.acts.record(Act("disclosed", "mojca", "II Kpr 12/2026", facts=facts))
    assert await store.acts.of() == []
