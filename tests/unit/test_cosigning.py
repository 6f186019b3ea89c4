"""What a witness is asked: the proof that a tree grew, out of the old edge and the leaves since alone."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preklic_shared.settings import SettingsError, load_settings
from preklic_shared.stamp_settings import Cosigner
from preklic_workers.cosigned import cosigner_key
from preklic_workers.ledger.cosigning import growth, latest_size
from preklic_workers.ledger.tree import Edge
from preklic_workers.ledger.verify import Head, check_consistency
from witnessing import SigningWitness

LEAVES = [hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(600)]


@settings(max_examples=50)
@given(st.integers(0, 599), st.integers(0, 600))
def test_the_proof_is_of_each_tree_and_the_one_it_grew_into(old, more):
    size = min(old + more, 600)
    edge, whole = Edge(), Edge()
    edge.extend(LEAVES[:old])
    whole.extend(LEAVES[:size])
    proof = growth(old, edge.hashes, LEAVES[old:size])
    check_consistency(Head("it", old, edge.root()), Head("it", size, whole.root()), proof)


def test_a_key_is_a_vkey_of_an_ed25519_cosigner_with_its_id():
    witness = SigningWitness({})
    assert cosigner_key(Cosigner(url="https://w/", key=witness.vkey)).public == witness.public
    name, named, coded = witness.vkey.split("+", 2)
    wrong = (f"{name}+00000000+{coded}", f"other+{named}+{coded}", f"{name}+{named}+AQ{coded[2:]}", "no")
    for key in wrong:
        with pytest.raises(SettingsError, match="COSIGNER__KEY"):
            cosigner_key(Cosigner(url="https://w/", key=key))
    given_all = {"PREKLIC_COSIGNER__URL": "https://w/", "PREKLIC_COSIGNER__KEY": witness.vkey}
    assert load_settings(given_all).cosigner.monitor is None
    for more in ({"URL": "w"}, {"MONITOR": "https://ana:word@w/"}, {"KEY": "no"}):
        with pytest.raises(SettingsError, match="COSIGNER"):
            load_settings(given_all | {f"PREKLIC_COSIGNER__{name}": value for name, value in more.items()})


def test_the_size_that_a_witness_knows_is_a_plain_number():
    assert (latest_size(b"17\n"), latest_size(b"0\n")) == (17, 0)
    for odd in (b"", b"017\n", b"-1\n", b"\xc2\xb2\n", b"1\n\n", b"9" * 17):
        assert latest_size(odd) is None
