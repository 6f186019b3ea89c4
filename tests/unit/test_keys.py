import base64
import datetime as dt
import hmac
import shutil
import stat

import pytest

from preklic_shared.addresses import parse
from preklic_shared.jobs import AskPayload
from preklic_shared.sealing import KeyGone, Sealer, SealingError
from preklic_workers.blind import Blind
from preklic_workers.envelope import GROUPS, DataKey, Epochs, NoKey
from preklic_workers.keydir import ROLES, SAMPLE, KeyDirError, check, load_ring
from preklic_workers.keyfiles import (
    PIN_FILE,
    PUBLIC_FILE,
    SEALING_KEPT,
    drop_epoch,
    drop_old_sealing,
    init_keys,
    publish,
    status,
    turn_epochs,
    turn_sealing,
)

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def root(tmp_path):
    init_keys(tmp_path / "keys", NOW)
    return tmp_path / "keys"


def test_an_older_installation_gets_what_a_role_may_hold_since(root):
    for file in (root / "campaign").iterdir():
        file.unlink()
    shutil.rmtree(root / "ledger")
    turn_sealing(root, NOW + dt.timedelta(days=7))
    assert load_ring(root / "ledger", "ledger").ledger is not None
    signs = (root / "ledger" / "ledger.ed25519").read_bytes()
    turn_sealing(root, NOW + dt.timedelta(days=14))
    assert (root / "ledger" / "ledger.ed25519").read_bytes() == signs
    name = "profile.1.epoch"
    assert (root / "campaign" / name).read_bytes() == (root / "send" / name).read_bytes()
    assert {file.group for file in check(root / "campaign", "campaign")} == {"profile", None}


def test_every_role_loads_what_it_needs_and_nothing_else(root):
    for role, needs in ROLES.items():
        ring = load_ring(root / role, role)
        assert set(ring.epochs.keys) == set(needs.groups)
        assert (ring.tokens is not None) == needs.tokens
        assert bool(ring.opener.keys) == needs.sealing
    assert not [
        file for file in root.rglob("*") if file.is_file() and "producers" not in file.parts and mode(file) != 0o600
    ]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.clause("U10", guard="preklic_workers.keydir:check_needed")
@pytest.mark.parametrize("group", ["court", "payments", "recovery", "service", "evidence"])
def test_the_mail_workers_ring_cannot_open_what_is_not_for_mail(root, group):
    record, send = load_ring(root / "record", "record"), load_ring(root / "send", "send")
    key, wrapped = record.epochs.new_key("person", group)
    assert record.epochs.unwrap(wrapped, "person", group) == key
    with pytest.raises(NoKey):
        send.epochs.unwrap(wrapped, "person", group)
    shutil.copy2(root / "record" / f"{group}.1.epoch", root / "send")
    with pytest.raises(KeyDirError, match="not for the role send"):
        load_ring(root / "send", "send")


@pytest.mark.attack(61, guard="preklic_workers.keydir:check_private")
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(root, bits):
    file = root / "send" / "lookup.hmac"
    file.chmod(bits)
    with pytest.raises(KeyDirError, match=r"lookup\.hmac: can be read by others; chmod 600"):
        load_ring(root / "send", "send")


@pytest.mark.attack(61, guard="preklic_workers.keydir:check_private")
def test_a_directory_that_others_can_enter_is_refused(root):
    (root / "send").chmod(0o755)
    with pytest.raises(KeyDirError, match="chmod 700"):
        check(root / "send", "send")


@pytest.mark.attack(61, guard="preklic_workers.keydir:check_content")
@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"x" * 31, "31 bytes"),
        (b"x" * 33, "33 bytes"),
        (b"", "0 bytes"),
        (bytes(32), "no random key"),
        (b"ab" * 16, "no random key"),
        (bytes(range(32)), "no random key"),
        (SAMPLE, "sample key"),
    ],
)
def test_a_key_of_the_wrong_size_zero_or_the_sample_is_refused(root, key, words):
    (root / "revoke" / "suppress.hmac").write_bytes(key)
    with pytest.raises(KeyDirError, match=words):
        load_ring(root / "revoke", "revoke")


def test_a_missing_key_a_link_and_a_strange_file_are_named(root):
    (root / "answer" / "lookup.hmac").rename(root / "answer" / ".lookup.hmac")
    with pytest.raises(KeyDirError, match=r"lookup\.hmac: is missing"):
        check(root / "answer", "answer")
    (root / "answer" / "lookup.hmac").symlink_to(root / "revoke" / "lookup.hmac")
    with pytest.raises(KeyDirError, match="symbolic link"):
        check(root / "answer", "answer")
    (root / "track" / "notes.txt").write_text("")
    with pytest.raises(KeyDirError, match="is no key file"):
        check(root / "track", "track")
    with pytest.raises(KeyDirError, match="preklic keys init"):
        check(root / "nowhere", "send")


def test_keys_are_made_once(root):
    with pytest.raises(KeyDirError, match="not empty"):
        init_keys(root, NOW)


def test_what_a_producer_seals_only_its_role_opens(root):
    pin = bytes.fromhex((root / "producers" / PIN_FILE).read_text())
    sealer = Sealer.load(root / "producers" / PUBLIC_FILE, pin)
    sealed = sealer.seal("answer", b"header", AskPayload(address="ana@primer.si"))
    key = sealer.key_id("answer")
    assert b"ana@primer.si" in load_ring(root / "answer", "answer").opener.open(key, b"header", sealed)
    with pytest.raises(KeyGone):
        load_ring(root / "send", "send").opener.open(key, b"header", sealed)
    with pytest.raises(SealingError, match="signature"):
        Sealer.load(root / "producers" / PUBLIC_FILE, bytes(reversed(pin)))


def test_sealing_keys_turn_and_old_ones_die_after_thirty_days(root):
    before = Sealer.load(root / "producers" / PUBLIC_FILE).key_id("send")
    turn_sealing(root, NOW + dt.timedelta(days=7))
    after = Sealer.load(root / "producers" / PUBLIC_FILE).key_id("send")
    assert after != before
    assert set(load_ring(root / "send", "send").opener.keys) == {before, after}
    assert drop_old_sealing(root, NOW + SEALING_KEPT - dt.timedelta(days=1)) == []
    gone = drop_old_sealing(root, NOW + SEALING_KEPT + dt.timedelta(days=1))
    assert {path.stem for path in gone if path.parent.name == "send"} == {before}
    assert set(load_ring(root / "send", "send").opener.keys) == {after}


@pytest.mark.attack(62, guard="preklic_workers.keyfiles:finished")
def test_a_turn_of_epochs_that_was_killed_half_way_is_finished_with_the_same_key(root):
    assert set(turn_epochs(root).values()) == {2}
    made = (root / "record" / "contact.2.epoch").read_bytes()
    (root / "send" / "contact.2.epoch").unlink()
    assert turn_epochs(root)["contact"] == 2
    assert (root / "send" / "contact.2.epoch").read_bytes() == made
    assert turn_epochs(root)["contact"] == 3


def test_an_installation_from_before_holds_had_keys_gets_them(root):
    (root / "upkeep" / "hold.1.epoch").unlink()
    with pytest.raises(KeyDirError, match=r"hold\.1\.epoch: is missing"):
        load_ring(root / "upkeep", "upkeep")
    turn_sealing(root, NOW + dt.timedelta(days=7))
    assert [path.parent.name for path in root.rglob("hold.*.epoch")] == ["upkeep"]
    assert load_ring(root / "upkeep", "upkeep").epochs.current("hold") == 1


def test_an_epoch_is_destroyed_everywhere_and_never_the_newest(root):
    with pytest.raises(KeyDirError, match="no newer epoch"):
        drop_epoch(root, "contact", 1)
    turn_epochs(root)
    drop_epoch(root, "contact", 1)
    assert not list(root.rglob("contact.1.epoch"))
    assert set(load_ring(root / "send", "send").epochs.keys["contact"]) == {2}


def test_status_lists_each_key_with_its_age(root):
    rows = status(root, NOW + dt.timedelta(days=3))
    assert {row.role for row in rows} == {role for role, needs in ROLES.items() if needs != ROLES["track"]}
    assert {row.kind for row in rows} == {"sealing", "epoch", "blind", "token", "root", "ledger"}
    assert all(2.9 < row.days < 3.1 for row in rows)


def test_publishing_again_names_the_same_keys_with_a_new_expiry(root):
    before = Sealer.load(root / "producers" / PUBLIC_FILE)
    publish(root, NOW + dt.timedelta(days=5))
    after = Sealer.load(root / "producers" / PUBLIC_FILE)
    assert after.key_id("send") == before.key_id("send")
    assert after.expires - before.expires == 5 * 24 * 3600 * 1000


def test_blind_hashes_are_keyed_by_kind_and_folded_by_address():
    blind = Blind(b"s" * 32, b"l" * 32)
    ana = parse("Ana@ČEBELA.si")
    assert blind.subject(ana) == blind.subject(parse("ana@xn--ebela-gya.si"))
    assert len({blind.subject(ana), blind.find(ana), blind.ref(ana.normal)}) == 3
    by_hand = hmac.digest(b"s" * 32, b"person|" + ana.normal.encode(), "sha256")
    assert base64.urlsafe_b64decode(blind.subject(ana) + "=") == by_hand
    with pytest.raises(NoKey):
        Blind(b"", b"l" * 32).subject(ana)


def test_nothing_shows_a_key():
    shown = repr((DataKey(b"k" * 32), Epochs({GROUPS[0]: {1: b"k" * 32}}), Blind(b"k" * 32, b"k" * 32)))
    assert "kkkk" not in shown
