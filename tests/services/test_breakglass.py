import datetime as dt

import pytest

from lawing import BORIS, MOJCA, OFFICERS, ZALA, denials, law_of, officer
from preklic_workers import breakglass
from preklic_workers.breakglass import Wanted
from preklic_workers.officers import Denied
from preklic_workers.pseudonyms import by_pseudonym
from preklic_workers.store import Unavailable
from storing import HOUR, NEWS, claimed, grant, now, subject

ANA = "ana@primer.si"
MINUTES = dt.timedelta(minutes=1)


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
async def ana(store):
    await grant(store, ANA, NEWS, at=now() - HOUR)
    return subject(ANA)


def wanted(**more):
    sound = {"case": "INC-7", "reason": "a mail to a wrong person", "person": subject(ANA), "groups": ("contact",)}
    return Wanted(**{"minutes": 30} | sound | more)


async def asked(store, **more):
    return (await breakglass.ask(law_of(store), MOJCA, wanted(**more))).id


async def look(store, request, signer=MOJCA, officers=OFFICERS):
    return await breakglass.look(law_of(store, officers), signer, request)


async def refused(store, request, code, **more):
    """It is refused, and that is recorded."""
    with pytest.raises(Denied) as denied:
        await look(store, request, **more)
    last = (await store.acts.of(person=subject(ANA)))[0]
    assert (denied.value.code, last.kind, last.why) == (code, "breakglass_denied", code)


@pytest.mark.clause("P2", guard="preklic_workers.store.acts:Acts.record")
@pytest.mark.clause("U14", guard="preklic_workers.store.acts:Acts.record")
async def test_with_a_case_and_a_second_person_it_opens_recorded_before_each_look(store, ana):
    mail = await claimed(store, ana)
    request = await asked(store, person=await by_pseudonym(store, mail))
    until = await breakglass.approve(law_of(store), BORIS, request)
    assert until - store.mongo.now() <= 30 * MINUTES
    for _ in range(2):
        assert await look(store, request) == {"contact": {"address": ANA}}
    acts = await store.acts.of(person=ana)
    assert [act.kind for act in acts] == ["breakglass_read"] * 2 + ["breakglass_approved", "breakglass_asked"]
    assert (acts[0].by, acts[0].facts["case"], acts[2].by) == ("mojca", "INC-7", "boris")
    assert ANA not in str(acts)
    assert (await breakglass.listing(law_of(store)))[0]["state"] == "open"


@pytest.mark.clause("U14", guard="preklic_workers.breakglass:check_wanted")
async def test_without_a_case_nothing_is_even_asked(store, ana):
    changes = [{"case": ""}, {"reason": ""}, {"groups": ()}, {"minutes": 0}, {"minutes": 241}]
    for change in changes:
        with pytest.raises(Denied):
            await asked(store, **change)
    assert await store.requests.recent("breakglass") == []
    assert await denials(store) == ["missing"] * 4 + ["too_long"]


@pytest.mark.clause("U14", guard="preklic_workers.approving:check_approvals")
async def test_without_a_second_person_it_stays_shut(store, ana):
    request = await asked(store)
    await refused(store, request, "not_approved")
    with pytest.raises(Denied, match="a second person must"):
        await breakglass.approve(law_of(store), MOJCA, request)
    own = MOJCA.sign("approve", (await store.requests.show(request)).body, store.mongo.now())
    await store.requests.approve(await store.requests.show(request), own)  # as if nobody had asked who it is
    await refused(store, request, "not_approved")
    assert (await breakglass.listing(law_of(store)))[0]["state"] == "pending"


@pytest.mark.clause("U14", guard="preklic_workers.breakglass:check_open")
async def test_it_ends_by_the_databases_clock(store, ana, monkeypatch):
    request = await asked(store)
    await breakglass.approve(law_of(store), BORIS, request)
    ahead = store.mongo.ahead
    monkeypatch.setattr(store.mongo, "ahead", ahead + 29 * MINUTES)
    assert await look(store, request)
    monkeypatch.setattr(store.mongo, "ahead", ahead + 30 * MINUTES)
    await refused(store, request, "expired")
    # A later moment for the approval is one that nobody signed.
    later = {"$set": {"approvals.0.at": store.mongo.now()}}
    await store.mongo["requests"].change({"_id": request}, later)
    await refused(store, request, "altered")


@pytest.mark.clause("U14", guard="preklic_workers.breakglass:check_own")
async def test_it_is_open_to_whoever_asked_alone(store, ana):
    request = await asked(store)
    await breakglass.approve(law_of(store), BORIS, request)
    for other in (BORIS, ZALA):
        await refused(store, request, "not_yours", signer=other)
    await refused(store, request, "no_right", officers=[officer(MOJCA), officer(BORIS, "disclose")])


@pytest.mark.clause("U14", guard="preklic_workers.breakglass:check_fresh")
async def test_a_request_does_not_wait_for_ever_and_closed_is_closed(store, ana, monkeypatch):
    request, old = await asked(store), await asked(store)
    await breakglass.approve(law_of(store), BORIS, request)
    for _ in range(2):
        await breakglass.close(law_of(store), MOJCA, request)
    await refused(store, request, "closed")
    assert [act.kind for act in await store.acts.of(kind="breakglass_closed")] == ["breakglass_closed"]
    monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + 24 * HOUR)
    with pytest.raises(Denied, match="waited longer than a day"):
        await breakglass.approve(law_of(store), BORIS, old)
    assert [row["state"] for row in await breakglass.listing(law_of(store))] == ["expired", "closed"]


@pytest.mark.clause("P2", guard="preklic_workers.opening:check_may")
async def test_an_incident_opens_what_the_registry_says_and_no_more(store, ana):
    await store.persons.enrich(ana, "court", {"case": 1}, "form", now())
    with pytest.raises(Denied, match="does not open court for incidents"):
        await asked(store, groups=("contact", "court"))


async def test_what_cannot_be_recorded_is_not_shown(store, ana, monkeypatch):
    request = await asked(store)
    await breakglass.approve(law_of(store), BORIS, request)

    async def away(*_arguments):
        raise Unavailable("test")

    monkeypatch.setattr(type(store.acts), "record", away)
    with pytest.raises(Unavailable):
        await look(store, request)
