"""Time stamps and the witness on a real store: each stamp kept is one that openssl believes; a wrong one never is."""

import datetime as dt
import shlex
import subprocess
import sys
import threading

import pytest
from pymongo import DeleteMany, DeleteOne, UpdateOne

from ledgering import KEY, KEYS, NAME, PUBLIC, sequencer_of
from preklic_shared import metrics
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_shared.stamp_settings import Stamps
from preklic_workers import stamping
from preklic_workers.duties import Means, ledger_duty
from preklic_workers.evidence import Issuer, export
from preklic_workers.evidence_scope import About
from preklic_workers.keyring import KeyRing
from preklic_workers.ledger import stamped
from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.bundle import TRUE, report
from preklic_workers.ledger.stamps import MOST_OCTETS, trust_in
from preklic_workers.ledger.verify import Altered
from preklic_workers.ledger_audit import Beside, audit_all
from preklic_workers.stamping import AuthorityAway, Stamper, ask, trust_of
from preklic_workers.store import Act
from preklic_workers.witness import Witness
from stamping import authority_in, forged, make_authority, openssl, reply
from storing import REGISTRY, RING, grant, subject
from waiting import auntil

HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with authority_in(tmp_path_factory.mktemp("stamps") / "authority") as made:
        yield made


@pytest.fixture
def authority(running):
    """A sound authority that was asked nothing yet."""
    running.twist = None
    running.asked.clear()
    return running


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Others: of another root, expired, with a certificate for something else, and a sound one."""
    folder = tmp_path_factory.mktemp("strangers")
    for name, more in {"other": {}, "expired": {"days": -1}, "any": {"use": "any"}, "nameless": {}}.items():
        make_authority(folder / name, **more)
    return folder


@pytest.fixture
async def signed(emptied_store):
    """A store with a first signed head, and `signed.more()` for another one."""
    sequencer = sequencer_of(emptied_store)

    async def more() -> int:
        await emptied_store.acts.record(Act("looked", "mojca", "case 3"))
        await sequencer.once()
        return await sequencer.checkpoint()

    await more()
    return emptied_store, more


def stamper_of(store, authority, **more) -> Stamper:
    named = Stamps(url=authority.url, ca=authority.root, **more)
    return Stamper(store.ledger.stamps, named, trust_of(named))


async def stamps_of(store):
    return [one async for one in store.ledger.stamps.all()]


def audited(store, authority, **more):
    trust = trust_in(authority.root.read_bytes()) if authority else None
    return audit_all(store, KEYS, Beside(trust=trust, **more), lambda _: None)


async def test_the_newest_head_is_stamped_once_an_interval_and_openssl_agrees(signed, authority, tmp_path, monkeypatch):
    store, more = signed
    stamper = stamper_of(store, authority)
    for _ in range(3):
        await stamper.once()
        await more()
    assert len(authority.asked) == 1  # the others are not due
    monkeypatch.setattr(store.mongo, "ahead", HOUR - dt.timedelta(minutes=2))
    await stamper.once()
    monkeypatch.setattr(store.mongo, "ahead", HOUR + dt.timedelta(minutes=2))
    await stamper.once()  # it asks, and the clocks are an hour apart: nothing of it is kept
    assert (len(authority.asked), [one.size for one in await stamps_of(store)]) == (2, [1])
    monkeypatch.setattr(store.mongo, "ahead", dt.timedelta(0))
    await store.mongo["stamps"].bulk([UpdateOne({}, {"$set": {"at": store.mongo.now() - HOUR}})])
    await stamper_of(store, authority).once()
    await stamper_of(store, authority).once()
    kept = await stamps_of(store)
    assert [one.size for one in kept] == [1, 4]
    for one in kept:
        head = await store.ledger.stamps.head(one.size)
        (tmp_path / "it.tsr").write_bytes(one.response)
        (tmp_path / "it.note").write_text(head.note, "utf-8")
        said = openssl(tmp_path, "ts", "-verify", "-in", "it.tsr", "-data", "it.note", "-CAfile", str(authority.root))
        assert b"Verification: OK" in said
    assert metrics.STAMP_OVERDUE._value.get() == 0
    found = await audited(store, authority)
    assert (found.stamps, found.gaps, found.unchecked) == (2, [], 0)
    assert (await audited(store, None)).unchecked == 2


def altered(_, sound):
    place = sound.index(b"\x18\x0f20") + 4  # in the stamp's time
    return sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :]


WRONG = {
    "an altered answer": (altered, "untrusted"),
    "a forged signature": (lambda _, sound: sound[:-1] + bytes([sound[-1] ^ 1]), "untrusted"),
    "an answer cut off": (lambda _, sound: sound[:-9], "form"),
    "one with more behind it": (lambda _, sound: sound + b"\0", "form"),
    "no answer at all": (lambda *_: b"", "form"),
    "an oversized one": (lambda *_: bytes(MOST_OCTETS + 1), "form"),
    "an error": (lambda *_: 503, "away"),
    "a redirect": (lambda *_: 302, "away"),
}


@pytest.mark.attack(63, guard="preklic_workers.ledger.stamps:accepted")
async def test_a_wrong_answer_is_refused_and_the_next_round_goes_on(signed, authority, strangers):
    store, _ = signed
    first = reply(authority.folder, stamping.question("another note\n").as_bytes())
    note = (await store.ledger.stamps.newest_head()).note
    repeated = reply(authority.folder, stamping.question(note).as_bytes())
    sha256, sha384 = bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040202")
    refusal = stamping.question(note).as_bytes().replace(sha256, sha384)  # it stamps over SHA-256 alone
    wrong = WRONG | {
        "a stamp of something else": (lambda *_: first, "imprint"),
        "a stamp of this head for somebody else": (lambda *_: repeated, "nonce"),
        "a refusal": (lambda *_: reply(authority.folder, refusal), "status"),
        "another authority": (lambda query, _: reply(strangers / "other", query), "untrusted"),
    }
    counted = metrics.STAMPS.labels
    for name, (twist, outcome) in wrong.items():
        authority.twist, before = twist, counted(outcome)._value.get()
        stamper = stamper_of(store, authority)
        await stamper.once()
        await stamper.once()  # not at once again
        assert await stamps_of(store) == [], name
        assert counted(outcome)._value.get() == before + 1, name
    authority.twist = None
    await stamper_of(store, authority).once()
    assert len(await stamps_of(store)) == 1


@pytest.mark.attack(63, guard="preklic_workers.ledger.stamps:fault_in")
@pytest.mark.parametrize(
    ("stranger", "words", "outcome"),
    [("expired", None, "untrusted"), ("any", ("-cades",), "untrusted"), ("nameless", (), "signer")],
)
async def test_what_openssl_would_not_believe_is_refused(signed, authority, strangers, stranger, words, outcome):
    """A certificate that has expired, one that is for something else, too, and a stamp that does not name its own."""
    store, _ = signed
    folder = strangers / stranger
    authority.twist = lambda query, sound: reply(folder, query) if words is None else forged(folder, sound, *words)
    named = Stamps(url=authority.url, ca=folder / "ca.pem")
    before = metrics.STAMPS.labels(outcome)._value.get()
    await Stamper(store.ledger.stamps, named, trust_of(named)).once()
    assert metrics.STAMPS.labels(outcome)._value.get() == before + 1
    assert await stamps_of(store) == []


async def of_long_ago(store, monkeypatch, ago) -> None:
    """A signed head of one leaf, of that time."""
    monkeypatch.setattr(store.mongo, "ahead", -ago)
    await store.acts.record(Act("looked", "mojca", "case 3"))
    await sequencer_of(store).once()
    monkeypatch.setattr(store.mongo, "ahead", dt.timedelta(0))


async def test_an_authority_that_is_away_or_slow_is_a_gap_and_a_metric(emptied_store, authority, monkeypatch):
    store = emptied_store
    await of_long_ago(store, monkeypatch, 5 * HOUR)
    await store.acts.record(Act("looked", "mojca", "case 3"))
    await sequencer_of(store).once()
    gone = Stamps(url="http://127.0.0.1:9/tsa", ca=authority.root)
    await Stamper(store.ledger.stamps, gone, trust_of(gone)).once()
    assert metrics.STAMP_OVERDUE._value.get() == pytest.approx(4 * 3600, abs=60)
    (gap,) = (await audited(store, authority)).gaps
    assert (gap.first, gap.last, gap.until) == (1, 1, None)
    await stamper_of(store, authority).once()
    (gap,) = (await audited(store, authority)).gaps
    assert (gap.first, gap.last, gap.since) == (1, 1, (await store.ledger.stamps.times())[0][1])
    assert abs(gap.until - store.mongo.now()) < dt.timedelta(minutes=1)
    assert metrics.STAMP_OVERDUE._value.get() == 0
    with pytest.raises(AuthorityAway, match="timeout"):
        await ask(authority.url, stamping.question("x").as_bytes(), seconds=0.0001)


async def test_a_head_of_yesterday_is_not_stamped_today(emptied_store, authority, monkeypatch):
    store = emptied_store
    await of_long_ago(store, monkeypatch, 25 * HOUR)
    await stamper_of(store, authority).once()
    assert await stamps_of(store) == []
    assert metrics.STAMP_OVERDUE._value.get() > 23 * 3600
    await store.acts.record(Act("looked", "mojca", "case 3"))
    await sequencer_of(store).once()
    await stamper_of(store, authority).once()
    assert [one.size for one in await stamps_of(store)] == [2]


@pytest.mark.attack(63, guard="preklic_workers.ledger.stamp_audit:check_stamp")
async def test_verify_names_a_stamp_that_was_altered_or_is_of_no_head(signed, authority):
    store, more = signed
    await stamper_of(store, authority).once()
    (kept,) = await stamps_of(store)
    place = store.mongo["stamps"]
    await place.bulk([UpdateOne({"_id": 1}, {"$set": {"response": altered(None, kept.response)}})])
    with pytest.raises(Altered, match=r"^the stamp of 1 leaves: not believed \(untrusted\)"):
        await audited(store, authority)
    await place.bulk([DeleteMany({})])
    await more()
    await place.insert({"_id": 2, "response": kept.response, "chain": kept.chain, "at": kept.at})
    with pytest.raises(Altered, match=r"^the stamp of 2 leaves: not believed \(imprint\)"):
        await audited(store, authority)
    await place.bulk([DeleteMany({})])
    await place.insert({"_id": 7, "response": kept.response, "chain": kept.chain, "at": kept.at})
    with pytest.raises(Altered, match=r"^the stamp of 7 leaves: this ledger has no such head"):
        await audited(store, authority)


@pytest.mark.attack(63, guard="preklic_workers.ledger.stamp_audit:odd_time")
@pytest.mark.parametrize(("ahead", "what"), [(-3 * 24 * HOUR, "set back"), (HOUR, "set ahead")])
async def test_verify_names_a_ledger_whose_clock_is_not_the_authoritys(
    emptied_store, authority, monkeypatch, ahead, what
):
    """What somebody dated back, or wrote ahead, and signed with the ledger's own key."""
    store = emptied_store
    await of_long_ago(store, monkeypatch, -ahead)
    head = await store.ledger.stamps.newest_head()
    await stamper_of(store, authority).stamp(head)
    with pytest.raises(Altered, match=f"^the stamp of 1 leaves: .* a clock was {what}"):
        await audited(store, authority)


@pytest.mark.clause("U13", guard="preklic_workers.ledger.stamped:check_stamps")
async def test_a_bundle_shows_by_a_stamp_when_its_records_were_there(signed, authority, tmp_path):
    store, more = signed
    ana = "ana@primer.example"
    await grant(store, ana)
    await more()
    await stamper_of(store, authority).once()
    size = (await stamps_of(store))[0].size
    await more()
    octets = await bundle_of(store, About(person=subject(ana)))
    files = read_archive(octets)
    for name in [one for one in files if one.startswith("stamps/")]:
        (tmp_path / name.removeprefix("stamps/")).write_bytes(files[name])
    (line,) = [one for one in files["stamps/README.txt"].decode().splitlines() if "openssl" in one]
    seconds = files["stamps/README.txt"].decode().split("-attime ")[1].strip()
    for more_words in ([], ["-attime", seconds]):
        program, *words = [*shlex.split(line), *more_words]
        assert program == "openssl"
        assert b"Verification: OK" in openssl(tmp_path, *words)
    code, lines = report(octets, [PUBLIC])
    assert code == TRUE
    assert any(one.startswith(f"stamp: the head of {size} leaves, of 20") for one in lines)
    (tmp_path / "verify.py").write_bytes(files["verify.py"])
    (tmp_path / "bundle.zip").write_bytes(octets)
    assert bare(tmp_path, "--key", PUBLIC.hex()) == (TRUE, "\n".join(lines) + "\n")
    tsr = files[f"stamps/{size}.tsr"]
    other = reply(authority.folder, stamping.question("another note\n").as_bytes())
    for wrong in (other, tsr[:40], b"", b"\x30\x80" + tsr):
        with pytest.raises(Altered, match=rf"^stamps/{size}\.tsr: "):
            stamped.check_stamps(files | {f"stamps/{size}.tsr": wrong}, KEYS)
    with pytest.raises(Altered, match=rf"^stamps/{size}\.note: missing"):
        stamped.check_stamps({name: one for name, one in files.items() if not name.endswith(".note")}, KEYS)


async def bundle_of(store, about) -> bytes:
    return await export(store, about, Issuer(NAME, KEY, REGISTRY), "mojca", "II P 12/2026")


def bare(folder, *words):
    """verify.py in a Python without any package: its exit code, and what it says."""
    argv = [sys.executable, "-I", "-S", "verify.py", "bundle.zip", *words]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stdout


async def test_of_what_no_stamp_covers_the_bundle_has_none(signed, authority):
    store, more = signed
    await stamper_of(store, authority).once()
    await grant(store, "ana@primer.example")
    await more()
    about = About(person=subject("ana@primer.example"))
    files = read_archive(await bundle_of(store, about))
    assert not [name for name in files if name.startswith("stamps/")]


async def test_the_witness_has_each_head_once_whenever_it_was_killed(signed, tmp_path):
    store, more = signed
    copy = tmp_path / "heads.jsonl"
    for torn in (0, 1, 40, 3):
        await more()
        await more()
        await Witness(store.ledger.stamps, copy).once()
        await Witness(store.ledger.stamps, copy).once()
        assert (await audited(store, None, witness=copy)).witnessed == len(await store.ledger.checkpoints())
        with copy.open("rb+") as file:  # what a crash left of the last line
            file.truncate(copy.stat().st_size - torn)
        await audited(store, None, witness=copy)
    found = await audited(store, None, witness=copy)
    assert found.lacking == 1
    await Witness(store.ledger.stamps, copy).once()
    found = await audited(store, None, witness=copy)
    assert (found.witnessed, found.lacking) == (9, 0)
    assert metrics.WITNESS_BEHIND._value.get() == 0


@pytest.mark.attack(63, guard="preklic_workers.ledger_audit:_fits")
async def test_a_ledger_written_anew_with_the_stolen_key_does_not_fit_the_witness(signed, tmp_path):
    store, more = signed
    copy = tmp_path / "heads.jsonl"
    await more()
    await Witness(store.ledger.stamps, copy).once()
    before = copy.read_bytes()
    for name in ("ledger", "checkpoints"):
        await store.mongo[name].bulk([DeleteMany({})])
    anew = sequencer_of(store)
    for _ in range(2):
        await store.acts.record(Act("looked", "mojca", "case 4"))
        await anew.once()
        await anew.checkpoint()
    assert (await audited(store, None)).head.size == 2  # it fits together: whoever holds the key can do that
    with pytest.raises(Altered, match=r"^line 1 of the witness: this ledger does not have the head of 1 leaves"):
        await audited(store, None, witness=copy)
    await Witness(store.ledger.stamps, copy).once()
    assert copy.read_bytes() == before
    assert metrics.WITNESS_BEHIND._value.get() == float("inf")
    await store.mongo["checkpoints"].bulk([DeleteOne({"_id": 2})])
    await Witness(store.ledger.stamps, copy).once()
    assert copy.read_bytes() == before


async def test_a_copy_that_cannot_be_written_is_a_metric_and_one_that_was_edited_a_finding(signed, tmp_path):
    store, _ = signed
    witness = Witness(store.ledger.stamps, tmp_path / "away" / "heads.jsonl")
    await witness.once()
    assert metrics.WITNESS_BEHIND._value.get() == 1
    (tmp_path / "away").mkdir()
    await witness.once()
    assert metrics.WITNESS_BEHIND._value.get() == 0
    copy = tmp_path / "away" / "heads.jsonl"
    copy.write_bytes(copy.read_bytes().replace(b"note", b"nota"))
    with pytest.raises(Altered, match=r"^line 1 of the witness: not a signed head"):
        await audited(store, None, witness=copy)


async def test_an_authority_that_hangs_holds_neither_the_sequencer_nor_the_witness_up(signed, authority, tmp_path):
    store, _ = signed
    go, copy = threading.Event(), tmp_path / "heads.jsonl"
    authority.twist = lambda _, sound: sound if go.wait(20) else 500
    named = Stamps(url=authority.url, ca=authority.root)
    settings = Settings(stamps=named, witness=copy, mail_domain="primer.example")
    ring = KeyRing("ledger", RING.blind, RING.epochs, ledger=KEY)
    duty = ledger_duty(Means(settings, load_registry(), store, ring))
    await store.acts.record(Act("looked", "mojca", "case 5"))
    try:
        for part in duty.beside:
            await part.start()
        await auntil(lambda: authority.asked, 20)
        await auntil(lambda: store.ledger.stamps.head(2), 20)
        await auntil(copy.is_file, 20)
        assert await stamps_of(store) == []
        go.set()
        await auntil(lambda: stamps_of(store), 20)
    finally:
        go.set()
        for part in duty.beside:
            await part.stop()
