"""The octets of mails in evidence: kept before they leave where a hold asks for it, and no others in their place."""

import datetime as dt
import json
from dataclasses import replace

import dkim
import pytest

from evidencing import bundle_of, listed
from lawing import MOJCA, law_of
from ledgering import KEY, PUBLIC, sequencer_of
from preklic_workers import holds
from preklic_workers.compose.dkim import Signers
from preklic_workers.envelope import GROUPS
from preklic_workers.evidence_scope import About
from preklic_workers.exporting import export_of
from preklic_workers.holds import Wanted
from preklic_workers.keyfiles import make_dkim
from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.bundle import ALTERED, INCOMPLETE, TRUE, check, report
from preklic_workers.officers import Denied
from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.store import Act
from sending import REGISTRY, composer, open_desk, route, send_job
from storing import lease_passes, now

ANA, BORIS = "ana@primer.si", "boris@primer.si"
CASE = "II P 12/2026"
WANTED = Wanted(CASE, ("contact", "evidence"), now() + dt.timedelta(days=30), "a lawsuit", octets=True)


@pytest.fixture
async def desk(emptied_store, mongo_url, one_database, sink):
    opened = await open_desk(mongo_url, one_database, [route(sink.port)], schema=False)
    for address in (ANA, BORIS):
        await opened.grant(address, "newsletter")
    yield opened
    await opened.close()


async def signed_bundle(desk, about, *keys):
    sequencer = sequencer_of(desk.store)
    await sequencer.once()
    await sequencer.checkpoint()
    return await bundle_of(desk.store, about, *keys)


@pytest.mark.clause("U13", guard="preklic_workers.ledger.bundle:_mails")
async def test_what_left_under_a_hold_is_in_the_bundle_octet_for_octet_and_nothing_else_can_be(desk, sink, tmp_path):
    key = make_dkim(tmp_path, "lucrum.example", "s1", "rsa")
    held = await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), WANTED)
    job, other = send_job(), send_job()
    deps = {"composer": composer(Signers([key]))}
    assert await desk.send(job, ANA, deps=deps) == await desk.send(other, BORIS, deps=deps) == Done()
    assert await desk.store.mongo["copies"].count({}) == 1  # of Boris nothing is held
    whole = await desk.store.exports.whole(desk.subject(ANA), lambda _done, _of: None)
    (copy,) = export_of(whole, REGISTRY, now())["copies"]
    assert set(copy) == {"mail", "epoch", "at", "sha256", "size"}
    octets = await signed_bundle(desk, About(record=job.id), key)
    verdict, files = check(octets, [PUBLIC]), read_archive(octets)
    assert verdict.code == TRUE
    said = {one.kind: one.content for one in verdict.shown}
    assert set(said) == {"permission.granted", "copy.kept", "mail.sent"}
    assert said["mail.sent"]["entry"]["reply"]["code"] == 250
    assert said["mail.sent"]["entry"]["processor"] == "Mail company"
    name = f"mails/{job.id}.1.eml"
    (mail,) = [mail for mail in sink.mails() if mail["job"] == job.id]
    assert files[name] == mail["raw"]
    assert list(verdict.mails.items()) == [(name, "handed over as it is here, the relay's reply 250 2.0.0")]
    record = json.loads(files["dkim.json"])["s1._domainkey.lucrum.example"]
    assert record["mails"] == [name]
    assert dkim.verify(files[name], dnsfunc=lambda asked, **_: record["record"].encode() if b"s1." in asked else None)
    for changed in ({name: files[name] + b"x"}, {"mails/another.1.eml": b"Subject: never sent\r\n\r\n"}):
        code, lines = report(listed(files | changed, KEY), [PUBLIC])  # packed anew by whoever has the ledger's key
        assert (code, "no record says that these octets" in lines[0]) == (ALTERED, True)
    assert check(listed({one: files[one] for one in files if one != name}, KEY), [PUBLIC]).code == INCOMPLETE

    await holds.release(desk.store, desk.subject(ANA), held.id, by="mojca", reason="over")
    assert await desk.store.mongo["copies"].count({}) == 0
    left = check(await signed_bundle(desk, About(record=job.id)), [PUBLIC])
    assert left.gaps == [f"{name}: its octets are not here"]


@pytest.mark.clause("U13", guard="preklic_workers.keeping:keep")
async def test_what_cannot_be_kept_does_not_leave(desk, sink):
    await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), WANTED)
    await desk.store.vault.destroy(desk.subject(ANA), keep=[group for group in GROUPS if group != "contact"])
    job = send_job()
    outcome = await desk.send(job, ANA)
    assert isinstance(outcome, RetryLater)
    assert outcome.reason == "copy_not_kept"
    assert [mail for mail in sink.mails() if mail["job"] == job.id] == []
    assert (await desk.state(job)).state == "deferred"


async def test_what_no_relay_took_is_not_said_to_be_handed_over(desk, sink):
    """One attempt is put off, the next one goes."""
    await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), WANTED)
    job = send_job()
    sink.mode("greylist", times=1)
    assert isinstance(await desk.send(job, ANA), RetryLater)
    await lease_passes(desk.store, job.id)
    assert await desk.send(job, ANA, attempt=1) == Done()
    verdict = check(await signed_bundle(desk, About(record=job.id)), [PUBLIC])
    assert [fate.partition(",")[0] for fate in verdict.mails.values()] == [
        "no record says that these octets were handed over",
        "handed over as it is here",
    ]


async def test_a_copy_waits_for_the_ledger_and_then_goes_with_its_hold(desk):
    with pytest.raises(Denied, match="hold that group too"):  # their key is the one of the address
        await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), replace(WANTED, groups=("evidence",)))
    held = await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), WANTED)
    assert await holds.state_of(law_of(desk.store), desk.subject(ANA), held) == "good"
    assert await desk.send(send_job(), ANA) == Done()
    await holds.release(desk.store, desk.subject(ANA), held.id, by="mojca", reason="over")
    assert await desk.store.mongo["copies"].count({}) == 1  # its entry is not in the ledger yet
    await sequencer_of(desk.store).once()
    await holds.round_of(desk.store, now())
    assert await desk.store.mongo["copies"].count({}) == 0
    assert "copy.kept" in {json.loads(leaf)["kind"] async for run in desk.store.ledger.runs() for leaf in run.leaves}


async def test_an_erasure_leaves_the_octets_to_the_hold_and_its_release_takes_them(desk):
    held = await holds.add(law_of(desk.store), MOJCA, desk.subject(ANA), WANTED)
    job = send_job()
    assert await desk.send(job, ANA) == Done()
    before = await signed_bundle(desk, About(record=job.id))
    await desk.store.persons.erase(desk.subject(ANA), now(), lambda _person: frozenset())
    await holds.round_of(desk.store, now())
    after = await signed_bundle(desk, About(record=job.id))
    name = f"mails/{job.id}.1.eml"
    assert read_archive(after)[name] == read_archive(before)[name]
    assert check(after, [PUBLIC]).code == TRUE
    await holds.release(desk.store, desk.subject(ANA), held.id, by="mojca", reason="over")
    verdict = check(await signed_bundle(desk, About(record=job.id)), [PUBLIC])
    assert (verdict.code, verdict.mails) == (INCOMPLETE, {})
    assert all(one.content is None for one in verdict.shown if not one.kind.startswith("act."))


async def test_whose_hold_has_ended_takes_no_other_persons_octets_along(desk):
    ana, boris = desk.subject(ANA), desk.subject(BORIS)
    _, ended = [await holds.add(law_of(desk.store), MOJCA, one, WANTED) for one in (ana, boris)]
    jobs = [send_job(), send_job()]
    for job, address in zip(jobs, (ANA, BORIS), strict=True):
        assert await desk.send(job, address) == Done()
    await desk.store.persons.erase(boris, now(), lambda _person: frozenset())
    await holds.release(desk.store, boris, ended.id, by="mojca", reason="over")
    assert await desk.store.mongo["copies"].count({}) == 2  # the ledger does not have their entries yet
    assert [copy.mail for copy in await desk.store.holds.copies.of({ana, boris}, None)] == [jobs[0].id]


@pytest.mark.clause("U13", guard="preklic_workers.evidence_scope:of_case")
async def test_a_case_is_its_holds_mails_and_everybody_who_looked_and_no_other_case(desk):
    """Ana is held for two cases, Boris for one; somebody looked for each."""
    mails = {}
    for address in (ANA, BORIS):
        job = send_job()
        assert await desk.send(job, address) == Done()
        mails[address] = job.id
    law, ana = law_of(desk.store), desk.subject(ANA)
    theirs = replace(WANTED, mails=(mails[ANA],))
    held = await holds.add(law, MOJCA, ana, theirs)
    other = await holds.add(law, MOJCA, ana, replace(WANTED, case="another case"))
    await holds.add(law, MOJCA, desk.subject(BORIS), replace(WANTED, case="another case", mails=(mails[BORIS],)))
    later = send_job()
    assert await desk.send(later, ANA) == Done()
    for kind, why, facts in (
        ("disclosed", "ZPP 219", {"request": "r1", "order": CASE}),
        ("disclosure_denied", "expired", {"request": "r1"}),
        ("disclosed", "ZPP 219", {"request": "r2", "order": "another case"}),
        ("breakglass_read", "who was it", {"request": "r3", "case": CASE}),
    ):
        await desk.store.acts.record(Act(kind, "mojca", why, ana, facts))
    await desk.store.acts.record(Act("evidence", "boris", "asked", None, {"record": "all", "case": CASE}))
    octets = await signed_bundle(desk, About(case=CASE))
    verdict, custody = check(octets, [PUBLIC]), json.loads(read_archive(octets)["custody.json"])
    kinds = [one["kind"] for one in custody]
    assert kinds[0] == "hold_added"
    assert sorted(kinds[1:]) == ["breakglass_read", "disclosed", "disclosure_denied", "evidence"]
    assert (custody[0]["id"], custody[0]["by"], custody[0]["why"]) == (held.id, "mojca", "a lawsuit")
    assert "another case" not in json.dumps(custody)
    assert other.id not in json.dumps(custody)
    assert verdict.code == TRUE
    assert {one.content.get("person") for one in verdict.shown} == {ana, None}
    assert {one.content["of"] for one in verdict.shown if one.kind == "mail.sent"} == {mails[ANA], later.id}
    assert list(verdict.mails) == [f"mails/{later.id}.1.eml"]  # the other one left before anybody asked for octets
    assert sorted(one.kind for one in verdict.shown if one.kind.startswith("act.")) == sorted(f"act.{x}" for x in kinds)
    assert verdict.manifest["about"] == {"case": CASE}
