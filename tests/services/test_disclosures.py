import asyncio
import io
import json

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lawing import BORIS, COURT, COURT_HEX, MOJCA, OFFICERS, ZALA, denials, law_of, officer
from preklic_shared.ids import new_id
from preklic_shared.sealing import Tampered
from preklic_workers import disclosures, holds
from preklic_workers.disclosures import Wanted
from preklic_workers.law import NotFound
from preklic_workers.officers import Denied
from preklic_workers.store import Unavailable, millis
from storing import HOUR, MINUTE, NEWS, claimed, grant, now, subject

ANA = "ana@primer.si"
BOR = "bor@primer.si"


@pytest.fixture
def store(emptied_store):
    return emptied_store


@pytest.fixture
async def ana(store):
    await grant(store, ANA, NEWS, at=now() - HOUR)
    for group, data in (("profile", {"name": "Ana"}), ("service", {"order": 7}), ("court", {"case": 1})):
        await store.persons.enrich(subject(ANA), group, data, "form", now())
    return subject(ANA)


def wanted(*groups, **more):
    grounds = {"authority": "OK Ljubljana", "order": "II Kpr 12/2026", "provision": "ZKP 219", "receiver": COURT_HEX}
    chosen = groups or ("contact", "service")
    scope = {"person": subject(ANA), "groups": chosen, "scope": chosen, "until": millis(now() + HOUR)}
    return Wanted(**grounds | scope | more)


async def approved(store, *approvers, **more):
    """The id of a request that these officers approved."""
    request = await disclosures.ask(law_of(store), MOJCA, wanted(**more))
    for signer in approvers or (BORIS, ZALA):
        await disclosures.approve(law_of(store), signer, request.id)
    return request.id


async def export(store, request, officers=OFFICERS, **more):
    """What the receiver reads."""
    out = io.BytesIO()
    await disclosures.export(law_of(store, officers), MOJCA, request, out, **more)
    return json.loads(disclosures.opened(out.getvalue(), COURT))


async def refused(store, request, code, officers=OFFICERS, **more):
    """It is refused with this code, nothing is written, and the refusal is recorded."""
    out = io.BytesIO()
    with pytest.raises(Denied) as denied:
        await disclosures.export(law_of(store, officers), MOJCA, request, out, **more)
    assert (denied.value.code, out.getvalue()) == (code, b"")
    last = (await store.acts.of())[0]
    assert (last.kind, last.by, last.why, last.facts["request"]) == ("disclosure_denied", "mojca", code, request)


async def refused_unread(store, request):
    """Refused as altered: of whom it is about nothing is believed."""
    await refused(store, request, "altered")
    assert (await store.acts.of(kind="disclosure_denied"))[0].person is None


async def tamper(store, request, change):
    await store.mongo["requests"].change({"_id": request}, change)


@pytest.mark.clause("U9", guard="preklic_workers.store.acts:Acts.record")
async def test_what_two_approved_reaches_its_receiver_alone_and_is_recorded_first(store, ana):
    request = await approved(store)
    out = io.BytesIO()
    assert await disclosures.export(law_of(store), BORIS, request, out) == 1
    told = json.loads(disclosures.opened(out.getvalue(), COURT))
    assert told["fields"] == {"contact": {"address": ANA}, "service": {"order": 7}}
    assert (told["order"], told["provision"], told["person"]) == ("II Kpr 12/2026", "ZKP 219", ana)
    assert ANA.encode() not in out.getvalue()
    acts = await store.acts.of(person=ana)
    assert [act.kind for act in acts] == ["disclosed", "disclosure_approved", "disclosure_approved", "disclosure_asked"]
    assert (acts[0].by, acts[0].facts["groups"]) == ("boris", "contact service")
    assert ANA not in str(acts)


async def test_the_receiver_needs_nothing_of_ours_to_open_it(store, ana):
    out = io.BytesIO()
    await disclosures.export(law_of(store), MOJCA, await approved(store), out)
    line = out.getvalue().split(b"\n")[0] + b"\n"
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    told = json.loads(suite.decrypt(out.getvalue().removeprefix(line), COURT, line))
    assert told["fields"]["contact"] == {"address": ANA}


@pytest.mark.clause("U9", guard="preklic_workers.disclosures:check_complete")
async def test_a_request_without_all_its_grounds_is_refused(store, ana):
    empty = {"groups": (), "scope": (), "until": 0}
    fields = ("authority", "order", "provision", "person", "receiver", *empty)
    for field in fields:
        with pytest.raises(Denied, match=f"a disclosure needs: {field}"):
            await disclosures.ask(law_of(store), MOJCA, wanted(**{field: empty.get(field, "")}))
    assert await store.requests.recent("disclosure") == []
    assert await denials(store) == ["missing"] * len(fields)


@pytest.mark.clause("U9", guard="preklic_workers.disclosures:check_scope")
async def test_nobody_is_told_more_than_the_order_reaches(store, ana):
    with pytest.raises(Denied, match="does not reach: court"):
        await disclosures.ask(law_of(store), MOJCA, wanted("contact", "court", scope=("contact", "service")))
    request = await approved(store, scope=("contact", "service", "court"))
    await refused(store, request, "wider_than_order", groups=("contact", "profile"))
    await refused(store, request, "wider_than_order", groups=("court",))  # the order reaches it, nobody asked for it
    assert (await export(store, request, groups=("service",)))["fields"] == {"service": {"order": 7}}


async def test_no_order_reaches_what_the_registry_keeps_closed(store, ana):
    with pytest.raises(Denied, match="does not open"):
        await disclosures.ask(law_of(store), MOJCA, wanted("diary"))


@pytest.mark.clause("U9", guard="preklic_workers.approving:check_approvals")
async def test_one_approver_is_not_enough(store, ana):
    for signer in (BORIS, MOJCA):
        request = (await disclosures.ask(law_of(store), MOJCA, wanted())).id
        await refused(store, request, "not_approved")
        await disclosures.approve(law_of(store), signer, request)
        await refused(store, request, "not_approved")


@pytest.mark.clause("U9", guard="preklic_workers.approving:check_approvals")
async def test_the_same_approver_twice_is_one_also_where_the_database_was_edited(store, ana):
    request = await approved(store, BORIS)
    with pytest.raises(Denied, match="approved it already"):
        await disclosures.approve(law_of(store), BORIS, request)
    kept = await store.mongo["requests"].find_one({"_id": request})
    await tamper(store, request, {"$set": {"approvals": kept["approvals"] * 2}})
    await refused(store, request, "not_approved")


async def test_ten_approvals_at_once_by_one_officer_are_one(store, ana):
    request = await approved(store, BORIS)
    tries = [disclosures.approve(law_of(store), ZALA, request) for _ in range(10)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, Denied) for one in ended) == 1
    assert len((await store.requests.show(request)).approvals) == 2


@pytest.mark.clause("U9", guard="preklic_workers.officers:check_signed")
async def test_what_was_edited_after_its_approval_is_refused(store, ana):
    request = await approved(store)
    kept = bytes((await store.mongo["requests"].find_one({"_id": request}))["body"])
    changes = {"service": "profile", "12/2026": "13/2026", COURT_HEX: "a" * 64, ana: subject(BOR)}
    for before, after in changes.items():
        edited = kept.replace(before.encode(), after.encode())
        assert edited != kept
        await tamper(store, request, {"$set": {"body": edited}})
        await refused_unread(store, request)
    row = (await disclosures.listing(law_of(store)))[0]
    assert (row["state"], row["request"]) == ("altered", request)


@pytest.mark.clause("U9", guard="preklic_workers.officers:check_signed")
async def test_who_is_no_officer_any_more_has_approved_nothing(store, ana):
    request = await approved(store)
    await refused(store, request, "no_officer", officers=[officer(MOJCA), officer(BORIS)])
    await refused(store, request, "no_right", officers=[officer(MOJCA), officer(BORIS), officer(ZALA, "hold")])


@pytest.mark.clause("U9", guard="preklic_workers.disclosures:check_time")
async def test_after_its_time_nothing_leaves(store, ana, monkeypatch):
    request = await approved(store)
    waiting = await approved(store, BORIS)
    with pytest.raises(Denied, match="time is over"):
        await disclosures.ask(law_of(store), MOJCA, wanted(until=millis(now() - MINUTE)))
    monkeypatch.setattr(store.mongo, "ahead", store.mongo.ahead + 2 * HOUR)
    await refused(store, request, "expired")
    with pytest.raises(Denied, match="time is over"):
        await disclosures.approve(law_of(store), ZALA, waiting)


@pytest.mark.clause("U9", guard="preklic_workers.disclosures:check_once")
async def test_it_leaves_once_or_with_a_reason(store, ana):
    request = await approved(store)
    await export(store, request)
    await refused(store, request, "disclosed")
    await export(store, request, again="the first file was lost")
    assert [act.why for act in await store.acts.of(kind="disclosed")] == ["the first file was lost", "ZKP 219"]
    [row] = await disclosures.listing(law_of(store))
    assert (row["state"], row["times"]) == ("disclosed", 2)


async def test_two_exports_at_once_are_one(store, ana):
    request = await approved(store)
    ended = await asyncio.gather(*(export(store, request) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, dict) for one in ended) == 1
    assert len(await store.acts.of(kind="disclosed")) == 1


async def test_what_cannot_be_recorded_does_not_leave(store, ana, monkeypatch):
    request, out = await approved(store), io.BytesIO()

    async def away(*_arguments):
        raise Unavailable("test")

    monkeypatch.setattr(type(store.acts), "record", away)
    with pytest.raises(Unavailable):
        await disclosures.export(law_of(store), MOJCA, request, out)
    assert out.getvalue() == b""


async def test_a_sealed_file_opens_for_its_receiver_as_it_was_made(store, ana):
    out = io.BytesIO()
    await disclosures.export(law_of(store), MOJCA, await approved(store), out)
    file = out.getvalue()
    for place in (0, 25, 40, 60, 100, len(file) - 1):
        with pytest.raises(Tampered):
            disclosures.opened(file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :], COURT)
    for cut in (b"", file[:30], file[:70], file + b"x"):
        with pytest.raises(Tampered):
            disclosures.opened(cut, COURT)
    with pytest.raises(Tampered):
        disclosures.opened(file, X25519PrivateKey.generate())
    with pytest.raises(Denied, match="no public X25519 key"):
        await disclosures.ask(law_of(store), MOJCA, wanted(receiver="00" * 32))


async def test_evidence_that_a_hold_kept_is_disclosed_after_the_erasure(store, ana):
    mail = await claimed(store, ana)
    held = holds.Wanted("II P 1", ("contact", "evidence"), now() + HOUR, "lawsuit", (mail,))
    await holds.add(law_of(store), MOJCA, ana, held)
    await store.persons.erase(ana, now(), lambda _person: frozenset())
    await holds.round_of(store, now())
    asked = ("contact", "evidence", "service")
    told = await export(store, await approved(store, groups=asked, scope=asked))
    assert told["fields"] == {"contact": {"address": ANA}, "evidence": {}, "service": {}}
    assert [(row["purpose"], row["proof"]["wording"]) for row in told["permissions"]] == [("newsletter", "w")]
    assert [one["_id"] for one in told["mails"]] == [mail]


async def test_there_are_requests_of_this_kind_alone(store, ana):
    with pytest.raises(NotFound):
        await disclosures.approve(law_of(store), BORIS, new_id())
    request = await approved(store)
    copy = new_id()
    kept = await store.mongo["requests"].find_one({"_id": request})
    await store.mongo["requests"].insert(kept | {"_id": copy})
    await refused(store, copy, "altered")
