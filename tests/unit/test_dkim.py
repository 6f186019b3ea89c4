"""DKIM as a receiver checks it: by dkimpy, which shares no code with ours."""

import base64
import doctest
import hashlib
import re
import stat

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as curve_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from preklic_shared.cli import run
from preklic_shared.settings import SettingsError
from preklic_workers.compose import dkim as ours
from preklic_workers.compose.dkim import COVERED, Signers
from preklic_workers.compose.verify import split_header
from preklic_workers.dkim_keys import NoDkimKey, read
from preklic_workers.duties import signers_for
from preklic_workers.keydir import KeyDirError, load_ring
from preklic_workers.keyfiles import init_keys, make_dkim, status
from preklic_workers.moments import moment
from sending import REGISTRY
from unit.test_compose_mime import assembled

DOMAIN = "lucrum.example"
NOW = moment(1_764_000_000_000)
SIGNED = "preklic_workers.compose.dkim:signature"


@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    return make_dkim(tmp_path_factory.mktemp("rsa"), DOMAIN, "s1", "rsa")


@pytest.fixture
def ed(tmp_path):
    return make_dkim(tmp_path / "ed", DOMAIN, "s2", "ed25519")


def dns(*keys):
    """Answers as the zone file would: the strings of a TXT record joined."""
    records = {f"{key.name}.".encode(): "".join(re.findall('"([^"]*)"', key.record())).encode() for key in keys}
    return lambda name, **_: records.get(name)


def signed(*keys, **changed):
    mail = assembled("Žiga\n\n.\n  dva  presledka\t\n\n\n", "<p>  Žiga \t</p>\n\n", **changed)
    return Signers(keys).sign(mail, DOMAIN, 1_764_000_000).raw


def verified(raw, *keys, index=0):
    try:
        return dkim.DKIM(raw).verify(idx=index, dnsfunc=dns(*keys))
    except dkim.ValidationError:
        return False


@pytest.mark.attack(32, guard=SIGNED)
@pytest.mark.parametrize(
    "subject", ["Novice", "Čas je za žgance in še kaj, kar je tako dolgo, da se prelomi v več vrstic"]
)
def test_a_signed_mail_verifies_at_the_receiver(rsa, subject):
    raw = signed(rsa, subject=subject, automatic=True)
    assert verified(raw, rsa)
    assert raw.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=lucrum.example;\r\n")
    assert max(map(len, raw.split(b"\r\n\r\n")[0].split(b"\r\n"))) <= 998


def test_two_keys_sign_side_by_side(rsa, ed):
    raw = signed(rsa, ed)
    fields = [value for name, value in split_header(raw.partition(b"\r\n\r\n")[0]) if name == "DKIM-Signature"]
    assert [re.search(rb"a=([a-z0-9-]+)", field)[1] for field in fields] == [b"rsa-sha256", b"ed25519-sha256"]
    assert verified(raw, rsa, ed)
    assert checked_by_hand(raw, ed)


def checked_by_hand(raw, key):
    """RFC 8463 3: Ed25519 over the SHA-256 of what RFC 6376 3.7 hashes, canonical by other code than ours."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = [(name.lower(), re.sub(rb"\s+", b" ", value).strip()) for name, value in split_header(head)]
    own = next(value for name, value in fields if name == "dkim-signature" and b"ed25519" in value)
    tags = dict(part.strip().split(b"=", 1) for part in own.split(b";"))
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip() for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    hashed = hashlib.sha256(b"".join(line + b"\r\n" for line in lines)).digest()
    values = dict(fields)
    names = dict.fromkeys(re.sub(rb"\s", b"", tags[b"h"]).decode().split(":"))
    covered = b"".join(b"%s:%s\r\n" % (name.encode(), values[name]) for name in names if name in values)
    covered += b"dkim-signature:" + own[: own.index(b" b=") + 3]
    sent = base64.b64decode(re.sub(rb"\s", b"", tags[b"b"]))
    key.private.public_key().verify(sent, hashlib.sha256(covered).digest())
    return base64.b64decode(tags[b"bh"]) == hashed


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Id"])
def test_what_is_changed_or_added_on_the_way_is_seen(rsa, name):
    raw = signed(rsa)
    field = b"\r\n" + name.encode() + b": "
    assert not verified(raw.replace(field, field + b"x", 1), rsa)
    assert not verified(raw.replace(field, field + b"x@evil.example" + field, 1), rsa)


def test_the_one_click_fields_are_covered(rsa):
    raw = signed(rsa)
    listed = re.sub(rb"\s", b"", re.search(rb"\th=([^;]+);", raw)[1]).split(b":")
    assert listed.count(b"list-unsubscribe") == listed.count(b"list-unsubscribe-post") == 2
    assert {name.lower().encode() for name in COVERED} == set(listed)
    # A header that is not there may not be added either.
    assert not verified(raw.replace(b"\r\nTo: ", b"\r\nReply-To: x@evil.example\r\nTo: ", 1), rsa)


def test_a_changed_body_is_seen_and_trailing_blanks_are_not(rsa):
    raw = signed(rsa)
    assert not verified(raw.replace(b"presledka", b"presledek"), rsa)
    assert verified(raw + b"\r\n\r\n", rsa)


def test_a_domain_without_a_key_is_not_signed_for(rsa):
    mail = assembled()
    assert Signers([rsa]).sign(mail, "other.example", 0) is mail
    assert Signers().sign(mail, DOMAIN, 0) is mail


def test_a_sender_that_would_be_the_only_one_without_a_signature_stops_the_start(rsa, tmp_path):
    assert signers_for(REGISTRY, [rsa]) is not None
    assert signers_for(REGISTRY, []) is not None
    with pytest.raises(SettingsError, match="no DKIM key"):
        signers_for(REGISTRY, [make_dkim(tmp_path, "other.example", "s1", "ed25519")])


def test_the_key_lies_in_the_ring_of_the_role_that_sends(tmp_path):
    init_keys(tmp_path / "keys", NOW)
    key = make_dkim(tmp_path / "keys" / "send", DOMAIN, "s1", "ed25519")
    assert [found.name for found in load_ring(tmp_path / "keys" / "send", "send").dkim] == [key.name]
    assert "dkim" in {each.kind for each in status(tmp_path / "keys", NOW)}
    make_dkim(tmp_path / "keys" / "record", DOMAIN, "s1", "ed25519")
    with pytest.raises(KeyDirError, match="not for the role record"):
        load_ring(tmp_path / "keys" / "record", "record")


def pem(private):
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 32, b"x" * 10_000, pem(curve_key(SECP256R1())), pem(rsa_key(65537, 1024))],
    ids=["empty", "raw", "long", "another curve", "short"],
)
@pytest.mark.attack(61, guard="preklic_workers.keydir:check_dkim")
def test_what_cannot_sign_is_refused_at_the_start(tmp_path, content):
    init_keys(tmp_path / "keys", NOW)
    path = tmp_path / "keys" / "send" / f"s1._domainkey.{DOMAIN}.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyDirError, match="keys dkim make"):
        load_ring(tmp_path / "keys" / "send", "send")


@pytest.mark.parametrize(
    ("domain", "selector"), [("", "s1"), ("lucrum", "s1"), (DOMAIN, "S1"), (DOMAIN, "../s"), ("a..b", "s")]
)
def test_a_name_that_is_no_name_makes_no_key(tmp_path, domain, selector):
    with pytest.raises(NoDkimKey):
        make_dkim(tmp_path, domain, selector, "ed25519")
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_a_key_is_made_used_and_retired(tmp_path, capsys):
    root = tmp_path / "keys"
    init_keys(root, NOW)
    at = ["--root", str(root)]
    assert run(["keys", "dkim", "make", "--domain", DOMAIN, "--selector", "s1", *at]) == 0
    told = capsys.readouterr()
    name = f"s1._domainkey.{DOMAIN}"
    assert told.out.startswith(f'{name}. IN TXT "v=DKIM1; k=rsa; p=')
    assert f"keys dkim use {name}" in told.err
    path = root / "send" / f"{name}.pem"
    assert not path.exists()
    assert run(["keys", "dkim", "make", "--domain", DOMAIN, "--selector", "s1", *at]) == 2
    assert run(["keys", "dkim", "use", name, *at]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(path).kind == "rsa"
    assert run(["keys", "dkim", "use", name, *at]) == 1
    capsys.readouterr()
    assert run(["keys", "dkim", "list", "--json", *at]) == 0
    assert '"signs": "yes"' in capsys.readouterr().out
    assert run(["keys", "dkim", "retire", name, *at]) == 0
    assert not path.exists()
    assert run(["keys", "dkim", "use", "../../etc/passwd", *at]) == 1


def test_the_examples_hold():
    assert doctest.testmod(ours).failed == 0
