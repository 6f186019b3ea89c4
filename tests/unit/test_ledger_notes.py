"""Checkpoints and proofs as notes: read back, and every changed character found; canonical JSON beside another's."""

import base64

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from preklic_workers.ledger import leaves, notes, verify
from preklic_workers.ledger.ed25519 import ed25519, pure
from preklic_workers.ledger.verify import Altered, Head

NAME = "primer.example/preklic"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
KEYS = {NAME: [PUBLIC]}
HEAD = Head(NAME, 109482, bytes(range(100, 132)))
NOTE = notes.sign(HEAD, KEY)
PLAIN = st.text(st.characters(max_codepoint=0xD7FF), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(PLAIN, below, max_size=4),
    max_leaves=15,
)


def test_a_checkpoint_has_the_documented_form_and_is_read_back():
    assert NOTE.startswith(f"{NAME}\n109482\n{base64.b64encode(HEAD.root).decode()}\n\n— {NAME} ")
    assert verify.read_checkpoint(NOTE, KEYS, "it") == HEAD


def test_an_example_of_the_specification_has_the_key_that_its_signature_names():
    """The golang checksum database's key, whose id everybody knows: sum.golang.org+033de0ae."""
    public = base64.b64decode("Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")[1:]
    assert verify.key_id("sum.golang.org", public).hex() == "033de0ae"


@settings(max_examples=300)
@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_character_of_a_checkpoint_can_be_changed(place, char):
    altered = NOTE[:place] + char + NOTE[place + 1 :]
    if altered != NOTE:
        with pytest.raises(Altered, match="note 7"):
            verify.read_checkpoint(altered, KEYS, "note 7")


def test_a_checkpoint_of_another_key_or_name_is_not_known():
    other = Ed25519PrivateKey.generate()
    for note in (notes.sign(HEAD, other), notes.sign(HEAD._replace(origin="x.example/y"), KEY)):
        with pytest.raises(Altered, match="no known key"):
            verify.read_checkpoint(note, KEYS, "it")
    both = NOTE + notes.sign(HEAD, other).rpartition("\n\n")[2]
    assert verify.read_checkpoint(both, KEYS, "it").size == HEAD.size


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u2028b"])
def test_a_ledger_has_a_plain_name(origin):
    with pytest.raises(ValueError, match=r"example\.com"):
        notes.sign(HEAD._replace(origin=origin), KEY)


@pytest.mark.parametrize("size", ["007", "-1", "1_0", "\u0661", ""])
def test_a_size_has_one_form(size):
    text = f"{NAME}\n{size}\n{base64.b64encode(HEAD.root).decode()}\n"
    signed = base64.b64encode(verify.key_id(NAME, PUBLIC) + KEY.sign(text.encode())).decode()
    with pytest.raises(Altered, match="not a checkpoint"):
        verify.read_checkpoint(f"{text}\n— {NAME} {signed}\n", KEYS, "it")


def test_a_proof_is_read_back_and_refused_in_any_other_form():
    hashes = [bytes([number]) * 32 for number in range(5)]
    text = notes.proof_text(17, hashes, NOTE)
    assert verify.read_proof(text, "it") == (17, hashes, NOTE)
    for old, new in [("@v1", "@v2"), ("index 17", "index 017"), ("index 17", "extra 17"), ("AAA=", "AA=")]:
        with pytest.raises(Altered, match="proof 3"):
            verify.read_proof(text.replace(old, new, 1), "proof 3")


@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 511), st.booleans())
def test_our_own_ed25519_says_what_the_library_says(message, bit, alter):
    signature = KEY.sign(message)
    if alter:
        signature = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    try:
        Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, message)
        theirs = True
    except InvalidSignature:
        theirs = False
    assert pure(PUBLIC, message, signature) == ed25519(PUBLIC, message, signature) == theirs == (not alter)


@pytest.mark.parametrize("public", [b"", bytes(32), b"\xff" * 32, PUBLIC[:31]])
def test_a_key_that_is_none_verifies_nothing(public):
    assert ed25519(public, b"x", KEY.sign(b"x")) is pure(public, b"x", KEY.sign(b"x")) is False
    assert ed25519(PUBLIC, b"x", KEY.sign(b"x")[:63]) is False


@given(VALUES)
def test_canonical_json_is_the_one_of_another_implementation(value):
    assert verify.canonical(value) == rfc8785.dumps(value) == leaves.canonical(value)
    assert verify.read_canonical(verify.canonical(value), "it") == value


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{",
        b' {"a":1}',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b"1.0",
        b"NaN",
        b'"\\u0061"',
        b"[" * 99_999,
    ],
)
def test_any_other_form_is_found(octets):
    with pytest.raises(Altered, match="leaf 4"):
        verify.read_canonical(octets, "leaf 4")


@pytest.mark.parametrize("value", [1.5, 2**60, {1: 2}, {"\U0001f600": 1}, b"x", [{"a": object()}]])
def test_what_has_no_one_form_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        verify.canonical(value)


def test_an_opening_is_checked_against_the_commitment():
    salt, content = bytes(range(32)), {"kind": "mail.sent", "code": 250, "message": "0193"}
    leaf = {"commitment": verify.commitment(salt, content)}
    verify.check_opening(leaf, salt, content, "it")
    for other, said in [(salt[::-1], content), (salt[:31], content), (salt, content | {"code": 251}), (salt, {})]:
        with pytest.raises(Altered, match="leaf 9"):
            verify.check_opening(leaf, other, said, "leaf 9")
