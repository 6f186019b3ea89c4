import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.tokens import (
    KEY_BYTES,
    MAX_TOKEN,
    MAX_URL,
    Click,
    Confirm,
    Open,
    Preference,
    TokenKeys,
    Unsubscribe,
)
from preklic_shared.tokens import (
    KINDS as EVERY_KIND,
)

KEYS = TokenKeys({1: b"\x01" * KEY_BYTES, 2: b"\x02" * KEY_BYTES}, current=2)
KINDS = (Click, Open, Unsubscribe, Preference, Confirm)
MESSAGE = "018f5f3e-7a01-7c3b-9a77-6a1b2c3d4e5f"
PID = bytes(range(16))

ids = st.uuids().map(str)
pids = st.binary(min_size=16, max_size=16)
purposes = st.from_regex(r"[a-z][a-z0-9_.]{0,63}", fullmatch=True)
printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="@\\[]")
urls = st.text(printable, max_size=200).map("https://lucrum.si/".__add__)
tokens = st.one_of(
    st.builds(Click, ids, pids, st.integers(0, 65535), urls),
    st.builds(Open, ids, pids),
    st.builds(Unsubscribe, ids, pids, purposes),
    st.builds(Preference, ids, pids),
    st.builds(Confirm, ids, pids, purposes, st.integers(0, 2**32 - 1)),
)


@given(tokens)
def test_a_token_comes_back_as_it_was_and_as_no_other_kind(token):
    text = KEYS.mint(token)
    assert KEYS.check(text, type(token)) == token
    assert all(KEYS.check(text, kind) is None for kind in KINDS if kind is not type(token))


@pytest.mark.attack(47, guard="preklic_shared.tokens:same")
@given(tokens, st.data())
def test_one_changed_bit_anywhere_is_not_believed(token, data):
    raw = bytearray(base64.urlsafe_b64decode(KEYS.mint(token) + "=="))
    place = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[place // 8] ^= 1 << place % 8
    forged = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    assert KEYS.check(forged, type(token)) is None


@given(tokens, st.integers(1, 20))
def test_a_cut_or_padded_token_is_not_believed(token, cut):
    text = KEYS.mint(token)
    assert KEYS.check(text[:-cut], type(token)) is None
    assert KEYS.check(text + "A" * cut, type(token)) is None
    assert KEYS.check(text + "=", type(token)) is None


@given(tokens)
def test_only_one_spelling_is_believed(token):
    text = KEYS.mint(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    believed = [last for last in alphabet if KEYS.check(text[:-1] + last, type(token))]
    assert believed == [text[-1]]


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_text_is_answered_without_an_exception(text):
    assert all(KEYS.check(text, kind) is None for kind in KINDS)


def test_old_keys_verify_by_their_id_and_a_key_taken_away_does_not():
    old = TokenKeys({1: b"\x01" * KEY_BYTES}, current=1)
    text = old.mint(Unsubscribe(MESSAGE, PID, "newsletter"))
    assert KEYS.check(text, Unsubscribe) == Unsubscribe(MESSAGE, PID, "newsletter")
    assert TokenKeys({2: b"\x02" * KEY_BYTES}, current=2).check(text, Unsubscribe) is None


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil.si/",
        "/local",
        "https://",
        "https://a@evil.si/",
        "https://lucrum.si\\@evil.si/",
        "https://lucrum.si/\r\nSet-Cookie: a=b",
        "https://lucrum.si/ a",
        "https://čebela.si/",
        "ftp://lucrum.si/",
        "https://lucrum.si/" + "a" * MAX_URL,
    ],
)
@pytest.mark.attack(48, guard="preklic_shared.tokens:_url")
def test_only_a_plain_absolute_url_can_be_signed(url):
    with pytest.raises(ValueError, match="link"):
        KEYS.mint(Click(MESSAGE, PID, 0, url))


@pytest.mark.parametrize("purpose", ["", "Newsletter", "a b", "a" * 65, "č", "1st"])
def test_only_a_registry_key_can_be_a_purpose(purpose):
    with pytest.raises(ValueError, match="purpose"):
        KEYS.mint(Unsubscribe(MESSAGE, PID, purpose))


def test_the_longest_click_fits_and_a_one_click_header_is_short():
    longest = KEYS.mint(Click(MESSAGE, PID, 65535, "https://lucrum.si/" + "a" * (MAX_URL - 18)))
    assert len(longest) <= MAX_TOKEN
    assert KEYS.check(longest, Click) is not None
    assert len(KEYS.mint(Unsubscribe(MESSAGE, PID, "partner_offers"))) < 100


def test_no_key_is_shared_between_kinds():
    derived = KEYS._derived
    assert len(set(derived.values())) == len(derived) == 2 * len(EVERY_KIND)


@pytest.mark.parametrize(
    ("keys", "current"), [({}, 0), ({1: bytes(31)}, 1), ({256: bytes(32)}, 256), ({1: bytes(32)}, 2)]
)
def test_keys_of_a_wrong_shape_are_refused(keys, current):
    with pytest.raises(ValueError, match="token key"):
        TokenKeys(keys, current)


def test_a_pid_of_a_wrong_size_or_a_message_that_is_no_uuid_is_refused():
    with pytest.raises(ValueError, match="pid"):
        KEYS.mint(Open(MESSAGE, b"short"))
    with pytest.raises(ValueError, match="UUID"):
        KEYS.mint(Open("not-a-uuid", PID))
    assert UUID(MESSAGE).version == 7
