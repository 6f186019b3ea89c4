import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared import sealing
from preklic_shared.sealing import KeyGone, Opener, Sealer, SealingError, Tampered, sign_public_file

NOW = int(time.time() * 1000)


@pytest.fixture
def signer():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def keys(tmp_path, signer):
    private = X25519PrivateKey.generate()
    (tmp_path / "send-1.x25519").write_bytes(private.private_bytes_raw())
    public = {"send": ("send-1", private.public_key().public_bytes_raw())}
    (tmp_path / "sealing.json").write_bytes(sign_public_file(public, signer, issued=NOW, expires=NOW + 3_600_000))
    return tmp_path


def test_only_the_role_opens_and_only_under_the_same_header(keys):
    sealed = Sealer.load(keys / "sealing.json").seal("send", b"header", {"to": "ana@primer.si"})
    opener = Opener.load(keys)
    assert opener.open("send-1", b"header", sealed) == b'{"to":"ana@primer.si"}'
    assert b"ana@primer.si" not in base64.b64decode(sealed)
    with pytest.raises(Tampered):
        opener.open("send-1", b"header, edited", sealed)
    with pytest.raises(Tampered):
        opener.open("send-1", b"header", sealed[:-8] + "AAAAAAA=")
    with pytest.raises(Tampered):
        opener.open("send-1", b"header", "AAAA")


def test_jobs_share_a_content_key_and_each_stays_bound_to_its_own_header(keys):
    sealer, opener = Sealer.load(keys / "sealing.json"), Opener.load(keys)
    headers = [f"header {number}".encode() for number in range(20)]
    sealed = [base64.b64decode(sealer.seal("send", header, {"n": 1})) for header in headers]
    assert len({octets[:80] for octets in sealed}) == 1
    assert len({octets[80:92] for octets in sealed}) == len(sealed)
    for header, octets, other in zip(headers, sealed, sealed[1:], strict=False):
        assert opener.open("send-1", header, base64.b64encode(octets).decode()) == b'{"n":1}'
        with pytest.raises(Tampered):
            opener.open("send-1", header, base64.b64encode(other).decode())


def test_a_content_key_serves_for_a_while_and_two_producers_never_share_one(keys, monkeypatch):
    monkeypatch.setattr(sealing, "_KEY_JOBS", 3)
    sealers, opener = [Sealer.load(keys / "sealing.json") for _ in range(2)], Opener.load(keys)
    sealed = [sealer.seal("send", b"h", {}) for sealer in sealers for _ in range(7)]
    assert len({base64.b64decode(text)[:80] for text in sealed}) == 6
    monkeypatch.setattr(sealing, "_MOST_KEYS", 2)
    assert {opener.open("send-1", b"h", text) for text in sealed} == {b"{}"}
    monkeypatch.setattr(sealing.time, "monotonic", lambda: float("inf"))
    assert base64.b64decode(sealers[0].seal("send", b"h", {}))[:80] != base64.b64decode(sealed[6])[:80]


def test_a_destroyed_key_is_gone(keys):
    sealed = Sealer.load(keys / "sealing.json").seal("send", b"header", {})
    (keys / "send-1.x25519").unlink()
    with pytest.raises(KeyGone):
        Opener.load(keys).open("send-1", b"header", sealed)


def test_the_public_file_is_believed_only_with_the_pinned_signature(keys, signer):
    path = keys / "sealing.json"
    pin = signer.public_key().public_bytes_raw()
    assert Sealer.load(path, pin).key_id("send") == "send-1"
    altered = json.loads(path.read_text())
    altered["expires"] += 1
    path.write_text(json.dumps(altered))
    with pytest.raises(SealingError, match="signature"):
        Sealer.load(path, pin)


def test_an_expired_or_foreign_file_says_what_to_do(keys, signer):
    path = keys / "sealing.json"
    path.write_bytes(sign_public_file({}, signer, issued=NOW - 2, expires=NOW - 1))
    with pytest.raises(SealingError, match="expired"):
        Sealer.load(path).key_id("send")
    path.write_text("[]")
    with pytest.raises(SealingError, match="fetch it again"):
        Sealer.load(path)
    # What no job could name is no key: it is refused here, for afterwards nobody looks at the name again.
    path.write_bytes(sign_public_file({"send": ("Send 1", bytes(32))}, signer, issued=NOW, expires=NOW + 3_600_000))
    with pytest.raises(SealingError, match="fetch it again"):
        Sealer.load(path)
    with pytest.raises(SealingError, match="ask operations"):
        Sealer.load(keys / "none.json")
