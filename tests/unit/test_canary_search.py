"""The search for the canary is itself searched: each form that is planted is found, wherever it lies."""

import base64
import hashlib
import json
import quopri
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import Canary, Needles, base64_forms

CANARY = Canary()
NEEDLES = CANARY.needles()
KINDS = ["address", "other", "first_name", "last_name", "ip", "agent"]
FORMS = {
    "plain": lambda text: text.encode(),
    "lower": lambda text: text.lower().encode(),
    "upper": lambda text: text.upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "url": lambda text: quote_plus(text).encode(),
    "hex": lambda text: text.encode().hex().upper().encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "json": lambda text: json.dumps({"x": [text]}).encode(),
    "escapes": lambda text: "".join(f"\\u{ord(char):04X}" for char in text).encode(),
}


@pytest.mark.parametrize("text", [getattr(CANARY, kind) for kind in KINDS], ids=KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_each_thing_is_found(form, text):
    assert NEEDLES.hits(b"before " + FORMS[form](text) + b" after")


@pytest.mark.parametrize("address", [CANARY.address, CANARY.address.lower(), CANARY.other], ids=range(3))
@pytest.mark.parametrize("how", [bytes, lambda d: d.hex().encode(), base64.b64encode, base64.urlsafe_b64encode])
def test_unsalted_hashes_are_found(address, how):
    assert NEEDLES.hits(b"x" + how(hashlib.sha256(address.encode()).digest()) + b"x")


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_base64_of_more_than_the_word_is_found_at_every_offset(before, after):
    whole = before + CANARY.word.encode() + after
    assert NEEDLES.hits(base64.b64encode(whole))
    assert NEEDLES.hits(base64.urlsafe_b64encode(whole))
    assert not NEEDLES.hits(base64.b64encode(before + after))


@given(st.binary(min_size=9, max_size=30), st.binary(max_size=5))
def test_what_is_looked_for_in_base64_depends_on_the_text_alone(raw, around):
    offset = len(around) % 3
    forms = dict(base64_forms(raw))
    assert forms[f"base64 at {offset}"] in base64.b64encode(around + raw + b"tail")


def test_what_is_not_there_is_not_found():
    assert NEEDLES.hits(Canary().address.encode() * 50) == []
    assert NEEDLES.hits(b"") == []
    with pytest.raises(AssertionError):
        Needles().add_text("short")
