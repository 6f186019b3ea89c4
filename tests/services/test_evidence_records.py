"""Events and rows of lists in evidence: each is proven by its batch's leaf, and nothing of anybody else is there."""

import hashlib
import io
import json

import pytest

from evidencing import bare_in, bundle_of, listed
from lawing import MOJCA, law_of
from ledgering import KEY, PUBLIC, audited, sequencer_of
from preklic_shared.ids import new_id
from preklic_workers import holds
from preklic_workers.evidence_scope import About
from preklic_workers.holds import Wanted
from preklic_workers.importing import Import, digest_of
from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.bundle import ALTERED, INCOMPLETE, TRUE, check, report
from preklic_workers.ledger.verify import Altered, canonical, read_canonical
from preklic_workers.store import Event, ledger
from storing import HOUR, OFFERS, REGISTRY, RING, claimed, gated, grant, now, sent, subject

ANA, BOR = "ana@primer.example", "bor@primer.example"
ROWS = "".join(f"{one},newsletter@1,web,sl,2020-03-01T10:00:00+01:00\n" for one in (ANA, BOR))


class World:
    """Two persons with a mail each, whose events and rows of a list were recorded together."""

    def __init__(self, store) -> None:
        self.store = store
        self.mails: dict[str, str] = {}

    async def begin(self) -> None:
        file = io.BytesIO(f"address,wording,source,language,at\n{ROWS}".encode())
        await Import(self.store, REGISTRY, RING.blind, {OFFERS.key: OFFERS}, digest_of(file)).run(file, lambda _: None)
        for address in (ANA, BOR):
            await grant(self.store, address)
            self.mails[address] = message = await claimed(self.store, subject(address))
            await gated(self.store, subject(address), message)
            await sent(self.store, address, message)
        await self.store.events.record([self.event(one, kind) for one in (ANA, BOR) for kind in ("opened", "clicked")])
        await self.store.events.record([self.event(ANA, "bounced")])
        await self.sign()

    def event(self, address, kind):
        message = self.mails[address]
        more = {"bounce": "hard", "code": "5.1.1"} if kind == "bounced" else {"link": 3}
        return Event(f"{message}|{kind}||3", message, subject(address), kind, "human", now(), rules=1, **more)

    async def sign(self) -> None:
        await sequencer_of(self.store).once()
        await sequencer_of(self.store).checkpoint()


@pytest.fixture
async def world(emptied_store):
    made = World(emptied_store)
    await made.begin()
    return made


def of_kind(files, folder):
    return {name: octets for name, octets in files.items() if name.startswith(folder)}


@pytest.mark.clause("U13", guard="preklic_workers.ledger.batched:check_batched")
async def test_each_event_and_row_of_a_list_is_proven_on_a_bare_machine_and_nobody_elses_is_shown(world, tmp_path):
    octets = await bundle_of(world.store, About(person=subject(ANA)))
    verdict, files = check(octets, [PUBLIC]), read_archive(octets)
    assert verdict.code == TRUE
    told = sorted((one.what, one.content.get("kind", one.content.get("action"))) for one in verdict.batched)
    events = [("events", kind) for kind in ("bounced", "clicked", "opened")]
    assert told == [*events, ("permissions", "granted")]
    assert {one.content["person"] for one in verdict.batched} == {subject(ANA)}
    assert [one.kind for one in verdict.shown].count("batch.events") == 2
    whole = b"".join(files.values())
    for strange in (subject(BOR), world.mails[BOR], BOR):
        assert strange.encode() not in whole
    assert len(of_kind(files, "wordings/")) == 1  # the row's own: the yes that was given to no known wording has none
    assert octets == await again(world, octets)
    target, script = tmp_path / "bundle.zip", tmp_path / "verify.py"
    target.write_bytes(octets)
    script.write_bytes(files["verify.py"])
    seen = bare_in(tmp_path / "empty")(script, target, "--key", PUBLIC.hex())
    assert (seen.returncode, seen.stderr) == (TRUE, "")
    assert seen.stdout.splitlines() == report(octets, [PUBLIC])[1]
    assert f"{verdict.records} records are as they were signed" in seen.stdout


async def again(world, octets):
    """The same bundle, made anew in the same moment."""
    made = json.loads(read_archive(octets)["manifest.json"])["made"]
    files = read_archive(await bundle_of(world.store, About(person=subject(ANA))))
    manifest = json.loads(files["manifest.json"]) | {"made": made}
    same = read_archive(octets)
    files |= {"manifest.json": canonical(manifest), "explanation.pdf": same["explanation.pdf"]}
    return listed(files, KEY)


async def test_a_mail_has_its_own_events_and_its_persons_rows(world, monkeypatch):
    monkeypatch.setattr(ledger, "_LOOKED_THROUGH", 2)  # some leaves at a time, wherever runs begin
    verdict = check(await bundle_of(world.store, About(record=world.mails[ANA])), [PUBLIC])
    assert sorted(one.content.get("kind", "row") for one in verdict.batched) == ["bounced", "clicked", "opened", "row"]
    other = await claimed(world.store, subject(ANA))
    await world.store.messages.settle(other, 1, "sent", relay="main")
    await world.sign()
    verdict = check(await bundle_of(world.store, About(record=other)), [PUBLIC])
    assert [one.what for one in verdict.batched] == ["permissions"]


async def test_a_case_has_the_events_of_the_mails_that_its_hold_keeps_and_no_other(world):
    later = await claimed(world.store, subject(ANA))
    await world.store.messages.settle(later, 1, "sent", relay="main")
    other = Event(f"{later}|opened||0", later, subject(ANA), "opened", "human", now(), rules=1)
    await world.store.events.record([other])
    wanted = Wanted("II P 12/2026", ("evidence",), now() + HOUR, "a lawsuit", mails=(world.mails[ANA],))
    await holds.add(law_of(world.store), MOJCA, subject(ANA), wanted)
    await world.sign()
    octets = await bundle_of(world.store, About(case="II P 12/2026"))
    verdict, whole = check(octets, [PUBLIC]), b"".join(read_archive(octets).values())
    assert verdict.code == TRUE
    assert sorted(one.content.get("kind", "row") for one in verdict.batched) == ["bounced", "clicked", "opened", "row"]
    assert [name for name in (later, subject(BOR), world.mails[BOR]) if name.encode() in whole] == []


async def test_what_no_signed_head_is_over_yet_is_not_in_it(world):
    await world.store.events.record([world.event(ANA, "complained")])
    verdict = check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])
    assert (verdict.code, len(verdict.batched)) == (TRUE, 4)
    await world.sign()
    assert len(check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC]).batched) == 5


@pytest.mark.attack(63, guard="preklic_workers.ledger.batched:check_batched")
async def test_a_changed_strange_or_missing_record_or_list_is_found_by_name_whoever_packs_it(world):
    """Packed anew by somebody who has the ledger's key: the leaf's digest stands against him."""
    files = read_archive(await bundle_of(world.store, About(person=subject(ANA))))
    records, lists = of_kind(files, "records/"), of_kind(files, "batches/")
    name = next(one for one in records if b'"kind":"clicked"' in records[one])
    record = read_canonical(files[name], name)
    mine, other = f"batches/{record['batch']}.hashes", next(one for one in lists if record["batch"] not in one)
    forged = canonical(record | {"verdict": "scanner"})
    named = f"records/{hashlib.sha256(forged).hexdigest()}.json"
    moved = canonical(record | {"batch": other[8:44]})
    elsewhere = f"records/{hashlib.sha256(moved).hexdigest()}.json"
    less = {one: octets for one, octets in files.items() if one != mine}
    for packed, fault in (
        (files | {name: forged}, f"{name}: not the recorded one"),
        (files | {named: forged}, f"{named}: it does not stand in {mine}"),
        (files | {elsewhere: moved}, f"{elsewhere}: it does not stand in {other}"),
        (files | {mine: files[mine] + hashlib.sha256(forged).digest()}, f"{mine}: not the list"),
        (files | {mine: files[mine][:32]}, f"{mine}: not the list"),
        (files | {mine: files[other]}, f"{mine}: not the list"),
        (files | {f"batches/{new_id()}.hashes": files[mine]}, "no leaf here commits to it"),
        (less, f"{mine} is missing"),
        (files | {"records/one.json": forged}, "records/one.json: nothing of this name"),
    ):
        code, lines = report(listed(packed, KEY), [PUBLIC])
        assert (code, fault in lines[0]) == (ALTERED, True), (fault, lines[0])
    assert check(listed(files, KEY), [PUBLIC]).code == TRUE


@pytest.mark.attack(63, guard="preklic_workers.ledger.batched:check_batched")
async def test_an_event_that_was_changed_in_the_database_gives_no_bundle_that_is_believed(world):
    found = await world.store.mongo["events"].find_one({"kind": "bounced"})
    await world.store.mongo["events"].change({"_id": found["_id"]}, {"$set": {"bounce": "soft"}})
    with pytest.raises(Altered, match=r"^records/[0-9a-f]{64}\.json: it does not stand in batches/"):
        check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])


async def test_after_an_erasure_the_events_are_gone_and_the_chain_is_shown(world):
    before = check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])
    (row,) = [one.content for one in before.batched if one.what == "permissions"]
    await world.store.erasures.erase(new_id(), subject(ANA), now(), lambda _person: frozenset())
    octets = await bundle_of(world.store, About(person=subject(ANA)))
    verdict = check(octets, [PUBLIC])
    await audited(world.store)
    assert (verdict.code, list(verdict.batched)) == (INCOMPLETE, [])
    assert f"batch {row['batch']}: 1 of its records can not be shown any more" in verdict.gaps
    assert [one.kind for one in verdict.shown if one.content is not None] == ["batch.permissions"]
    for gone in (row["proof"], "clicked", "5.1.1"):
        assert gone.encode() not in b"".join(of_kind(read_archive(octets), "").values())
    boris = check(await bundle_of(world.store, About(person=subject(BOR))), [PUBLIC])
    assert (boris.code, len(boris.batched)) == (TRUE, 3)


async def test_what_a_hold_keeps_from_an_erasure_is_proven_after_it(world):
    wanted = Wanted("II P 12/2026", ("contact", "evidence"), now() + HOUR, "a lawsuit")
    held = await holds.add(law_of(world.store), MOJCA, subject(ANA), wanted)
    await world.store.erasures.erase(new_id(), subject(ANA), now(), lambda _person: frozenset())
    verdict = check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])
    assert verdict.code == TRUE
    assert sorted(one.content.get("kind", "row") for one in verdict.batched) == ["bounced", "row"]
    await holds.release(world.store, subject(ANA), held.id, by="mojca", reason="over")
    verdict = check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])
    assert (verdict.code, list(verdict.batched)) == (INCOMPLETE, [])


async def test_a_record_whose_list_is_not_kept_any_more_is_counted_and_not_shown(world):
    docs = await world.store.mongo["events"].find({"person": subject(ANA), "kind": {"$ne": "bounced"}})
    (batch,) = {doc["batch"] for doc in docs}
    await world.store.mongo["batches"].delete({"_id": batch})
    verdict = check(await bundle_of(world.store, About(person=subject(ANA))), [PUBLIC])
    assert verdict.code == INCOMPLETE
    assert verdict.gaps == [f"batch {batch}: 2 of its records can not be shown any more"]
    assert sorted(one.content.get("kind", "row") for one in verdict.batched) == ["bounced", "row"]
